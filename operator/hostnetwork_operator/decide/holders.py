"""Who holds a verb, as RBAC grants it, and which rights the operator lacks.

The admission policies ask RBAC for the verbs approve and setlevel without a name and a namespace. So a Role, and a rule
with resourceNames, give neither. To change one object, a rule with the name of the object is enough. Members of the
group system:masters have every verb without any of these objects.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.api import labels, ledger

_ALL: Final = "*"
_ADMISSION: Final = "admissionregistration.k8s.io"
_READ, _WATCH = ("get", "list"), ("get", "list", "watch")
_REPORT: Final = ("list", "create", "patch", "delete")
# Requests with these verbs name no object, so a rule with resourceNames does not allow them.
_NAMELESS: Final = frozenset({"create", "deletecollection"})
# What the operator needs in the whole cluster: group, resources, verbs. A test compares both lists with manifests/rbac.
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
# What it needs in a namespace ('': the whole cluster), or of named objects: namespace, group, resource, verbs, names.
OPERATOR_RIGHTS_SOMEWHERE: Final = (
    ("", _ADMISSION, "validatingadmissionpolicies", ("patch",), (labels.SEAL_PROBE,)),
    ("default", "discovery.k8s.io", "endpointslices", ("get",), ("kubernetes",)),
    (labels.SYSTEM_NAMESPACE, "", "configmaps", ("list", "create"), ()),
    (labels.SYSTEM_NAMESPACE, "", "configmaps", ("patch",), ledger.SHARDS),
    *((namespace, "", "pods", ("create",), ()) for namespace in labels.PREVIEW_NAMESPACES),
)
OPERATOR_NAMESPACES: Final = tuple(sorted({namespace for namespace, *_ in OPERATOR_RIGHTS_SOMEWHERE if namespace}))
# The subjects by which a service account gets a right: itself, its user, and the groups that the API server gives it.
_OPERATOR: Final = frozenset(
    {
        ("ServiceAccount", f"{labels.SYSTEM_NAMESPACE}/{labels.MANAGER}"),
        ("User", labels.OPERATOR_USER),
        ("Group", f"system:serviceaccounts:{labels.SYSTEM_NAMESPACE}"),
        ("Group", "system:serviceaccounts"),
        ("Group", "system:authenticated"),
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """A user, group or service account that holds a verb, and the ClusterRole that gives it."""

    kind: str
    name: str
    role: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} by {self.role}"


@dataclass(frozen=True, slots=True)
class ResourceAttributes:
    """One of the verbs on a resource, in the whole cluster or in one namespace, as a SubjectAccessReview has it.

    With `names`, the verb on one of these objects is enough.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    names: Collection[str] = ()
    namespace: str = ""


def holders(
    roles: Iterable[Mapping[str, Any]], bindings: Iterable[Mapping[str, Any]], attributes: ResourceAttributes
) -> tuple[Holder, ...]:
    """Return who may do what the attributes say.

    `roles` and `bindings` are of the whole cluster, and may also be of namespaces. Objects that are not as RBAC writes
    them give nothing.
    """
    giving = {_key(role) for role in roles if any(_gives(rule, attributes) for rule in role.get("rules") or ())}
    found = set()
    for binding in bindings:
        where = _namespace(binding)
        reference = binding.get("roleRef") or {}
        of_cluster = reference.get("kind") == "ClusterRole"
        role = ("" if of_cluster else where, str(reference.get("name")))
        if where not in {"", attributes.namespace} or not (of_cluster or where) or role not in giving:
            continue
        for subject in binding.get("subjects") or ():
            home = subject.get("namespace")
            name = f"{home}/{subject['name']}" if home else str(subject["name"])
            found.add(Holder(str(subject["kind"]), name, role[1]))
    return tuple(sorted(found))


def lacking(roles: Iterable[Mapping[str, Any]], bindings: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the rights that the operator needs and does not have, as `patch namespaces`.

    `roles` and `bindings` are those of the whole cluster and of OPERATOR_NAMESPACES.
    """
    roles, bindings = tuple(roles), tuple(bindings)

    def has(attributes: ResourceAttributes) -> bool:
        return any((each.kind, each.name) in _OPERATOR for each in holders(roles, bindings, attributes))

    found = [
        _right(verb, resource, group)
        for group, resources, verbs in OPERATOR_RIGHTS
        for resource in resources
        for verb in verbs
        if not has(ResourceAttributes(group, resource, (verb,)))
    ]
    for namespace, group, resource, verbs, names in OPERATOR_RIGHTS_SOMEWHERE:
        for verb in verbs:
            asked: list[tuple[str, ...]] = [(name,) for name in names] or [()]
            missing = [each for each in asked if not has(ResourceAttributes(group, resource, (verb,), each, namespace))]
            if missing:
                found.append(_right(verb, resource, group, [name for each in missing for name in each], namespace))
    return tuple(found)


def _right(verb: str, resource: str, group: str, names: Sequence[str] = (), namespace: str = "") -> str:
    text = f"{verb} {resource}{f'.{group}' if group else ''}"
    if names:
        text += f" {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"
    return f"{text} in namespace {namespace}" if namespace else text


def _key(role: Mapping[str, Any]) -> tuple[str, str]:
    return _namespace(role), str(role["metadata"]["name"])


def _namespace(body: Mapping[str, Any]) -> str:
    """Return the namespace of a Role or RoleBinding; '' for a ClusterRole or ClusterRoleBinding."""
    return str((body.get("metadata") or {}).get("namespace") or "")


def _gives(rule: Mapping[str, Any], attributes: ResourceAttributes) -> bool:
    def has(key: str, *values: str) -> bool:
        listed = rule.get(key) or ()
        return _ALL in listed or any(value in listed for value in values)

    names = rule.get("resourceNames")
    verbs = [verb for verb in attributes.verbs if not names or verb not in _NAMELESS]
    _, slash, subresource = attributes.resource.partition("/")
    resources = (attributes.resource, f"{_ALL}/{subresource}") if slash else (attributes.resource,)
    return (
        (not names or any(name in attributes.names for name in names))
        and has("apiGroups", attributes.group)
        and has("resources", *resources)
        and bool(verbs)
        and has("verbs", *verbs)
    )
