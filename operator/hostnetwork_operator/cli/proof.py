"""Reads what a report needs beside the namespaces: the cluster, the operator, and who may do what."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import hostnetwork_operator
from hostnetwork_operator.act import gateway, versions
from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import connect, rbac, reading
from hostnetwork_operator.decide import benchmark, evidence, exhibits
from hostnetwork_operator.decide import holders as rights

_DEPLOYMENT: Final = f"/apis/apps/v1/namespaces/{labels.SYSTEM_NAMESPACE}/deployments/{labels.MANAGER}"
_IDENTITY: Final = "kube-system"  # the uid of this namespace is the identity of a cluster by convention
_MOST: Final = 10  # exempt namespaces whose roles are read, at two requests each
# Who may create one of these in a namespace can create a pod there.
_WORKLOADS: Final = (
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
)


async def look(connection: connect.Connection, read: reading.Reading, namespace: str | None) -> evidence.ReportFacts:
    """Return the facts of a report, as of the time of the reading. What cannot be read is among the Unseen."""
    unseen = [exhibits.Unseen(each.what, each.why, each.consequence) for each in read.not_looked_at]
    cluster, operator, duties = await asyncio.gather(
        _cluster(connection, read, unseen), _operator(connection, unseen), _duties(connection, read, unseen)
    )
    return evidence.ReportFacts(
        generated=read.now,
        as_of=read.now,
        cluster=cluster,
        tool=exhibits.Tool("kubectl-hostnetwork", hostnetwork_operator.__version__),
        namespace=namespace,
        installed=read.installed,
        not_looked_at=tuple(sorted(unseen, key=lambda each: each.what)),
        policy=read.cluster.store.policy_object(),
        guards=read.cluster.store.guards(),
        operator=operator,
        duties=duties,
    )


async def _cluster(
    connection: connect.Connection, read: reading.Reading, unseen: list[exhibits.Unseen]
) -> exhibits.ClusterIdentity:
    """Return the identity of the cluster. Its version also decides which exceptions are due for a review."""
    uid, version = None, None
    try:
        uid = str((await connection.gateway.get(f"/api/v1/namespaces/{_IDENTITY}")).body["metadata"]["uid"])
    except gateway.ApiError as error:
        unseen.append(_unseen("cluster uid", error, "the uid of the cluster is not known"))
    try:
        answer = await versions.ask(connection.gateway)
        version = answer.text
        read.cluster.store.saw_kubernetes(answer.minor)
    except (gateway.ApiError, versions.VersionError) as error:
        unseen.append(_unseen("cluster version", error, "which exceptions are due for a review may not be known"))
    return exhibits.ClusterIdentity(connection.cluster, uid, version)


async def _operator(connection: connect.Connection, unseen: list[exhibits.Unseen]) -> exhibits.OperatorEvidence:
    try:
        body = (await connection.gateway.get(_DEPLOYMENT)).body
    except gateway.ApiError as error:
        if error.status == 404:
            return exhibits.OperatorEvidence(found=False)
        unseen.append(_unseen("operator", error, "whether the operator runs is not known"))
        return exhibits.OperatorEvidence(found=None)
    image = body["spec"]["template"]["spec"]["containers"][0]["image"]
    available = (body.get("status") or {}).get("availableReplicas") or 0
    return exhibits.OperatorEvidence(found=True, image=image, available_replicas=available)


async def _duties(
    connection: connect.Connection, read: reading.Reading, unseen: list[exhibits.Unseen]
) -> tuple[exhibits.Duty, ...]:
    """Return who may approve, set levels and change the policies, and who can create pods in exempt namespaces."""
    of_cluster = await rbac.read(connection)
    duties = [
        exhibits.Duty(right, None if names is None else tuple(names))
        for right, names in rbac.holders(of_cluster).items()
    ]
    found = read.cluster.store.policy_object()
    spec = found.spec if found is not None else None
    exempt = spec.exempt_namespaces if spec is not None else benchmark.SYSTEM_NAMESPACES
    for name in sorted(exempt)[:_MOST]:
        of_namespace = await rbac.read(connection, name)
        known = [each for each in (of_cluster, of_namespace) if each is not None]
        names = tuple(map(str, _creators(known, name))) if len(known) == 2 else None
        duties.append(exhibits.Duty(f"create pods or workloads in {name}, where no exception is needed", names))
    if len(exempt) > _MOST:
        why = f"the report reads the roles of {_MOST} exempt namespaces, and there are {len(exempt)}"
        unseen.append(
            exhibits.Unseen("roles of other exempt namespaces", why, "who can create pods there is not shown")
        )
    if any(duty.holders is None for duty in duties):
        why = "roles and their bindings could not be read"
        unseen.append(exhibits.Unseen("roles", why, "who may approve and who may set levels is not known"))
    return tuple(duties)


def _creators(known: Sequence[rbac.Rbac], namespace: str) -> Iterable[rights.Holder]:
    roles = [role for each in known for role in each.roles]
    bindings = [binding for each in known for binding in each.bindings]
    found = {
        holder
        for group, resource in _WORKLOADS
        for holder in rights.holders(
            roles, bindings, rights.ResourceAttributes(group, resource, ("create",), namespace=namespace)
        )
    }
    return sorted(found)


def _unseen(what: str, error: Exception, consequence: str) -> exhibits.Unseen:
    if isinstance(error, gateway.ApiError) and error.status in {0, 401}:
        raise error
    why = (error.message or error.reason) if isinstance(error, gateway.ApiError) else str(error)
    return exhibits.Unseen(what, why, consequence)
