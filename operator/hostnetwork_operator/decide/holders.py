"""Who holds a verb in the whole cluster, as RBAC grants it: by a ClusterRole that a ClusterRoleBinding binds.

The admission policies ask RBAC for the verbs approve and setlevel without a name and a namespace. So a Role, and a rule
with resourceNames, give neither. Members of the group system:masters have every verb without any of these objects.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.api import labels

_ALL = "*"
_ADMISSION: Final = "admissionregistration.k8s.io"
_READ, _WATCH = ("get", "list"), ("get", "list", "watch")
_REPORT: Final = ("list", "create", "patch", "delete")
# What the ClusterRole of the operator gives: group, resources, verbs. A test compares manifests/rbac with the list.
OPERATOR_RIGHTS: Final = (
    ("", ("pods",), (*_WATCH, "delete")),
    ("", ("pods/status",), ("patch",)),
    ("", ("namespaces",), (*_WATCH, "patch")),
    ("", ("serviceaccounts",), ("get",)),
    ("", ("events",), ("create", *_WATCH)),
    ("", ("replicationcontrollers",), _READ),
    ("batch", ("jobs",), (*_READ, "delete")),
    ("batch", ("cronjobs",), ("list",)),
    ("apps", ("deployments",), ("list",)),
    ("apps", ("replicasets", "daemonsets", "statefulsets"), _READ),
    ("openreports.io", ("reports",), _REPORT),
    ("wgpolicyk8s.io", ("policyreports",), _REPORT),
    (labels.GROUP, ("hostnetworkexceptions", "hostnetworkexceptionpolicies"), _WATCH),
    (labels.GROUP, ("hostnetworkexceptions/status", "hostnetworkexceptionpolicies/status"), ("patch",)),
    (_ADMISSION, ("validatingadmissionpolicies", "validatingadmissionpolicybindings"), _WATCH),
)
_OPERATOR: Final = ("ServiceAccount", "hostnetwork-system/hostnetwork-operator")


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """A user, group or service account that holds a verb, and the ClusterRole that gives it."""

    kind: str
    name: str
    role: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} by {self.role}"


def holders(
    roles: Iterable[Mapping[str, Any]],
    bindings: Iterable[Mapping[str, Any]],
    group: str,
    resource: str,
    verbs: Iterable[str],
) -> tuple[Holder, ...]:
    """Return who holds one of the verbs on a resource. Objects that are not as RBAC writes them give nothing."""
    wanted = tuple(verbs)
    giving = {
        str(role["metadata"]["name"])
        for role in roles
        if any(_gives(rule, group, resource, wanted) for rule in role.get("rules") or ())
    }
    found = set()
    for binding in bindings:
        reference = binding.get("roleRef") or {}
        if reference.get("kind") != "ClusterRole" or reference.get("name") not in giving:
            continue
        for subject in binding.get("subjects") or ():
            where = subject.get("namespace")
            name = f"{where}/{subject['name']}" if where else str(subject["name"])
            found.add(Holder(str(subject["kind"]), name, str(reference["name"])))
    return tuple(sorted(found))


def lacking(roles: Iterable[Mapping[str, Any]], bindings: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the rights that the operator needs in the whole cluster and does not have: `patch namespaces`."""
    roles, bindings = tuple(roles), tuple(bindings)
    return tuple(
        f"{verb} {resource}{f'.{group}' if group else ''}"
        for group, resources, verbs in OPERATOR_RIGHTS
        for resource in resources
        for verb in verbs
        if _OPERATOR not in {(each.kind, each.name) for each in holders(roles, bindings, group, resource, (verb,))}
    )


def _gives(rule: Mapping[str, Any], group: str, resource: str, verbs: tuple[str, ...]) -> bool:
    def has(key: str, *values: str) -> bool:
        listed = rule.get(key) or ()
        return _ALL in listed or any(value in listed for value in values)

    return (
        not rule.get("resourceNames")
        and has("apiGroups", group)
        and has("resources", resource)
        and has("verbs", *verbs)
    )
