"""Who may do what: who may open the cluster and whether the operator has its rights, by RBAC, and what a person may."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import connect
from hostnetwork_operator.decide import holders as rights
from hostnetwork_operator.observe import live

_ADMISSION: Final = "admissionregistration.k8s.io"
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
# Shipped as a policy that denies, too. No grant rests on it, so the operator does not watch it.
_EXEMPT_NAMES: Final = "exempt-names"


@dataclass(frozen=True, slots=True)
class Rbac:
    """The roles and bindings of the whole cluster, or of one namespace, as the API has them."""

    roles: Sequence[Mapping[str, Any]]
    bindings: Sequence[Mapping[str, Any]]


async def read(connection: connect.Connection, namespace: str = "") -> Rbac | None:
    """Return the roles and bindings of the whole cluster ('') or of a namespace; None if they cannot be read."""

    async def listed(resource: str) -> list[Mapping[str, Any]]:
        path = f"{_RBAC}/namespaces/{namespace}/{resource}" if namespace else f"{_RBAC}/cluster{resource}"
        return [body async for page in live.pages(connection.gateway, path) for body in page.items]

    try:
        return Rbac(await listed("roles"), await listed("rolebindings"))
    except gateway.ApiError as error:
        if error.status in {0, 401}:
            raise
        return None


async def lacking(connection: connect.Connection, of_cluster: Rbac | None) -> tuple[str, ...] | None:
    """Return the rights that the operator needs and does not have, in the whole cluster and in single namespaces; None
    if that is not known.
    """
    each_rbac = [of_cluster, *[await read(connection, namespace) for namespace in rights.OPERATOR_NAMESPACES]]
    known = [each for each in each_rbac if each is not None]
    if len(known) < len(each_rbac):
        return None
    return rights.lacking(
        [role for each in known for role in each.roles], [binding for each in known for binding in each.bindings]
    )


def holders(of_cluster: Rbac | None) -> dict[str, Sequence[str] | None]:
    """Return who may approve, set levels, and change the admission policies, by RBAC; None if that is not known."""
    writing = ("update", "patch", "delete", "deletecollection")
    shipped = (*labels.POLICIES, f"{_EXEMPT_NAMES}.{labels.GROUP}")
    bound = [f"{name.removesuffix(f'.{labels.GROUP}')}-deny.{labels.GROUP}" for name in shipped]
    policies = rights.ResourceAttributes(_ADMISSION, "validatingadmissionpolicies", writing, shipped)
    asked = {
        "approve exceptions": rights.ResourceAttributes(labels.GROUP, "hostnetworkexceptions", ("approve",)),
        "set Pod Security levels": rights.ResourceAttributes(labels.GROUP, "namespaces", ("setlevel",)),
        "change admission policies": policies,
        "change their bindings": rights.ResourceAttributes(
            _ADMISSION, "validatingadmissionpolicybindings", writing, bound
        ),
    }
    if of_cluster is None:
        return dict.fromkeys(asked)
    return {
        right: [str(each) for each in rights.holders(of_cluster.roles, of_cluster.bindings, attributes)]
        for right, attributes in asked.items()
    }


async def may(
    connection: connect.Connection, verb: str, group: str, resource: str, *, namespace: str = "", subresource: str = ""
) -> bool:
    """Return whether the API server would let the person do this, in a namespace or ('') in the whole cluster.

    Raise gateway.ApiError.
    """
    attributes = {
        "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace
    }  # fmt: skip
    review = {"spec": {"resourceAttributes": attributes}}
    answer = await connection.gateway.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer.body["status"].get("allowed"))
