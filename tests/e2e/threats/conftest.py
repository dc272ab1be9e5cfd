"""The attackers, the namespaces that they attack, their ways, and the part of the API server that refused them.

The numbers (T1, A1, CVE) are those of docs/explanation/threat-model.md. A test asserts which part refused, not only
that one did: if a defence works for the wrong reason, it ends with that reason.
"""

import copy
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.admission import workbench
from tests.controlplane import api
from tests.e2e.conftest import IMAGE, LABEL, PSA, World
from tests.faults import canary

POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
RBAC = "rbac.authorization.k8s.io"
KEPT = f"{LABEL}/kept-for"  # under our prefix, so that namespace-labels protects the label of a rule
HOSTS = {"hostNetwork": "Network", "hostPID": "PID", "hostIPC": "IPC"}
# In a relaxed namespace both policies judge a pod; which of the two the API server names is undefined.
POD_GUARDS = ("host-namespaces", "relaxed-namespace")
VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]


# -- who refused ------------------------------------------------------------------------------------------------------


def refuser(answer: api.Response) -> str:
    """Return which part of the API server refused: one of our policies, PSA, RBAC, a node's limits, or validation."""
    text = answer.message
    if match := re.search(rf"ValidatingAdmissionPolicy '([a-z-]+)\.{re.escape(LABEL)}'", text):
        return match[1]
    if "violates PodSecurity" in text:
        return "PSA"
    if answer.status == 403 and (re.search(r'User "[^"]*" cannot ', text) or "can not escalate" in text):
        return "RBAC"
    if answer.status == 403 and re.search(r'node "[^"]*"|\bnodes? (can|may|cannot)', text):
        return "node"
    if answer.status == 422 and "is invalid" in text:
        return "validation"
    return f"nobody that is known, status {answer.status}: {text}"


def refused(answer: api.Response, refusers: str | tuple[str, ...], *texts: str) -> str:
    """Assert that one of `refusers` refused with these texts, and return the message."""
    expected = (refusers,) if isinstance(refusers, str) else refusers
    assert refuser(answer) in expected, f"expected {expected}, got {refuser(answer)}: {answer.message}"
    # kubectl apply --force and Flux treat a 422 as an immutable field: they delete the object and create another.
    assert answer.status == (422 if refuser(answer) == "validation" else 403), f"{answer.status}: {answer.message}"
    workbench.sound(answer)
    for text in texts:
        assert text in answer.message, f"{text!r} is not in: {answer.message}"
    return answer.message


# -- who attacks ------------------------------------------------------------------------------------------------------


def tenant(world: World, namespace: str) -> api.Api:
    """Return a client with every verb on everything in this namespace, by a Role."""
    return world.cluster.api(world.cluster.tenant(namespace))


def kubelet(world: World, node: str = "node-1") -> api.Api:
    return world.cluster.api(world.cluster.node_user(node))


def operator_client(world: World) -> api.Api:
    """Return a client with the operator's token."""
    return world.cluster.api(world.cluster.service_account("hostnetwork-system", "hostnetwork-operator"))


def holder(world: World, name: str, *rules: dict[str, Any]) -> api.Api:
    """Return a client of a user with these cluster-wide rules."""
    return world.cluster.api(holders_kubeconfig(world, name, *rules))


def holders_kubeconfig(world: World, name: str, *rules: dict[str, Any]) -> pathlib.Path:
    base = f"/apis/{RBAC}/v1/clusterrole"
    world.admin.post(f"{base}s", {"metadata": {"name": name}, "rules": list(rules)}).expect(201, 409)
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": name}],
    }
    world.admin.post(f"{base}bindings", binding).expect(201, 409)
    user = world.cluster.user(name, "system:authenticated")
    world.cluster.wait_for_right(user, _attributes(rules[0]))
    return user


def _attributes(rule: dict[str, Any]) -> dict[str, str]:
    resource, _, subresource = rule["resources"][0].partition("/")
    return {"group": rule["apiGroups"][0], "resource": resource, "subresource": subresource, "verb": rule["verbs"][0]}


def author(world: World) -> api.Api:
    """Return a client that RBAC lets write exceptions everywhere, without the verb approve."""
    rule = {"apiGroups": [LABEL], "resources": ["hostnetworkexceptions", "hostnetworkexceptions/status"]}
    return holder(world, "exception-author", {**rule, "verbs": VERBS})


# -- what they send ---------------------------------------------------------------------------------------------------


def pod(name: str = "evil", **spec: Any) -> dict[str, Any]:
    """Return a pod of IMAGE with this spec."""
    pod_spec = {"containers": [{"name": "main", "image": IMAGE}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "main", "image": IMAGE, **fields}


_RESOURCES = {
    "Deployment": ("apps/v1", "deployments"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "ReplicationController": ("v1", "replicationcontrollers"),
    "Job": ("batch/v1", "jobs"),
    "CronJob": ("batch/v1", "cronjobs"),
}
WORKLOADS = tuple(_RESOURCES)


def workloads(namespace: str, kind: str) -> str:
    version, plural = _RESOURCES[kind]
    return f"/{'api' if version == 'v1' else 'apis'}/{version}/namespaces/{namespace}/{plural}"


def workload(kind: str, name: str, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """Return a workload whose pods are those of `pod`, with the labels app=<name>."""
    labels = {"app": name}
    job_fields = {"restartPolicy": "Never"} if kind in {"Job", "CronJob"} else {}
    template = {"metadata": {"labels": labels}, "spec": {**pod(**spec)["spec"], **job_fields}}
    selector: Any = labels if kind == "ReplicationController" else {"matchLabels": labels}
    workload_spec: dict[str, Any] = {"selector": selector, "template": template}
    if kind == "Job":
        workload_spec = {"template": template, "backoffLimit": 0}
    elif kind == "CronJob":
        workload_spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template, "backoffLimit": 0}}}
    elif kind == "StatefulSet":
        workload_spec |= {"serviceName": name, "replicas": replicas}
    elif kind != "DaemonSet":
        workload_spec |= {"replicas": replicas}
    return {"apiVersion": _RESOURCES[kind][0], "kind": kind, "metadata": {"name": name}, "spec": workload_spec}


def writes(
    client: api.Api, path: str, current: dict[str, Any], field_path: tuple[str, ...], value: object
) -> Iterator[tuple[str, api.Response]]:
    """Set one field of an object (None removes it) by every verb that writes; yield the method and the answer."""
    new_body = copy.deepcopy(current)
    parent = new_body
    for step in field_path[:-1]:
        parent = parent.setdefault(step, {})
    parent[field_path[-1]] = value
    if value is None:
        del parent[field_path[-1]]
    yield "replace", client.put(path, new_body)
    patch: Any = value
    for step in reversed(field_path):
        patch = {step: patch}
    yield "merge patch", client.patch(path, patch)
    pointer = "/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in field_path)
    operation = {"op": "remove", "path": pointer} if value is None else {"op": "add", "path": pointer, "value": value}
    yield "JSON patch", client.patch(path, [operation], api.JSON_PATCH)
    if current["apiVersion"] == "v1":
        yield "strategic patch", client.patch(path, patch, api.STRATEGIC)
    if value is not None:
        identity = {"apiVersion": current["apiVersion"], "kind": current["kind"]}
        apply_body = {
            **identity,
            **patch,
            "metadata": {"name": current["metadata"]["name"], **patch.get("metadata", {})},
        }
        yield "server-side apply", client.apply(path, apply_body, "attacker", force=True)
    yield "dry run", client.patch(f"{path}?dryRun=All", patch)


def fill(client: api.Api, path: str, labels: int) -> list[api.Response]:
    """Write as many labels and annotations as the API server accepts; return the answers that refuse.

    Each write empties managedFields. The API server drops them from an object that is too large, so managedFields alone
    do not fill the object.
    """
    refusals: list[api.Response] = []

    def write_succeeds(field: str, values: dict[str, str]) -> bool:
        status = 409  # a conflict: a controller has written the object too
        while status == 409:
            body = client.get(path).expect(200).body
            body["metadata"]["managedFields"] = [{}]
            body["metadata"].setdefault(field, {}).update(values)
            answer = client.request("PUT", path, body, timeout=120)
            status = answer.status
        if status != 200:
            refusals.append(answer)
        return status == 200

    def fill_field(field: str, values: Callable[[int], dict[str, str]], high: int, step: int) -> None:
        low = 0
        while high - low > step:
            middle = (low + high) // 2
            low, high = (middle, high) if write_succeeds(field, values(middle)) else (low, middle)

    fill_field("labels", lambda count: {f"l{n:05d}-" + "k" * 56: "v" * 63 for n in range(count)}, labels, 200)
    fill_field("annotations", lambda size: {"fill": "y" * size}, 261_000, 1)
    return refusals


# -- what is there afterwards -----------------------------------------------------------------------------------------


def messages_of(world: World, namespace: str, kind: str, name: str) -> str:
    """Return the messages of an owner's conditions and Events, and those of the objects that it owns."""
    texts = []
    for owner in (kind, "ReplicaSet") if kind == "Deployment" else (kind,):
        for item in world.admin.items(workloads(namespace, owner)):
            if item["metadata"]["name"].startswith(name):
                texts += [condition.get("message", "") for condition in item.get("status", {}).get("conditions", [])]
    for event in world.admin.items(f"/api/v1/namespaces/{namespace}/events"):
        if event["reason"] == "FailedCreate" and event["involvedObject"]["name"].startswith(name):
            texts.append(event["message"])
    return "\n".join(texts)


def host_pods(world: World, namespace: str) -> list[str]:
    """Return the names of the namespace's host-namespace pods."""
    bodies = world.admin.items(world.pods(namespace))
    return sorted(body["metadata"]["name"] for body in bodies if any(body["spec"].get(field) for field in HOSTS))


def deletions(world: World, namespace: str) -> list[dict[str, Any]]:
    """Return the operator's DELETEs of pods in the namespace, from the audit log."""
    return [
        event
        for event in world.writes()
        if event["verb"] == "delete"
        and event["objectRef"]["resource"] == "pods"
        and event["objectRef"]["namespace"] == namespace
    ]


# -- where ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(package_world: World) -> Iterator[World]:
    """The cluster with the operator running; beside every attack honest clients work, which must never be refused."""
    if not package_world.operator.running():
        package_world.operator.start()
    namespaces = [package_world.namespace() for _ in range(2)]
    lift(package_world, namespaces[1])
    with canary.Canary(package_world.cluster, namespaces):
        yield package_world


@pytest.fixture(scope="module")
def enforced(world: World) -> str:
    """A namespace at its target, Baseline, without exceptions."""
    return world.namespace()


@pytest.fixture(scope="module")
def relaxed(world: World) -> str:
    """A namespace whose level is lifted for pods of IMAGE with the host network and service account `agent`."""
    name = world.namespace()
    lift(world, name)
    return name


@pytest.fixture(scope="module")
def agents_namespace(world: World) -> Iterator[str]:
    """A namespace kept for node agents: its target is privileged, so that host-namespaces alone protects it."""
    rules = [{"selector": {"matchLabels": {KEPT: "agents"}}, "enforce": "privileged"}]
    world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    name = world.namespace(labels={KEPT: "agents"})
    world.until("its target is privileged", lambda: world.labels(name).get(PSA) == "privileged")
    yield name
    world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)


def lift(world: World, namespace: str, name: str = "theirs", account: str = "agent", **spec: Any) -> None:
    """Create the service account and an exception for it, and wait until the exception is in force."""
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    world.admin.post(accounts, {"metadata": {"name": account}}).expect(201, 409)
    world.exception(namespace, name, serviceAccountName=account, **spec).expect(201)
    fields = {value: key for key, value in HOSTS.items()}
    host_fields = {fields[host]: True for host in spec.get("hostNamespaces", ["Network"])}
    probe_pod = pod("probe", serviceAccountName=account, **host_fields)
    probe_pod["spec"]["containers"][0]["image"] = spec.get("images", [IMAGE])[0]
    path = f"{world.pods(namespace)}?dryRun=All"
    world.until(f"{name} in force", lambda: world.admin.post(path, probe_pod).status == 201)
