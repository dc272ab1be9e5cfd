"""Who holds a verb in the whole cluster, as RBAC grants it: by a ClusterRole that a ClusterRoleBinding binds.

The admission policies ask RBAC for the verbs approve and setlevel without a name and a namespace. So a Role, and a rule
with resourceNames, give neither. Members of the group system:masters have every verb without any of these objects.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_ALL = "*"


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
