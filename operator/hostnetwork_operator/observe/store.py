"""Our own copy of what is watched, fed by lists and by watch events, read as one snapshot a namespace.

kopf's indices keep ghosts after a re-list and cost quadratic time at the start; this is a dictionary a kind. An older
version of an object never replaces a newer one, so what the operator has just written is never forgotten again
(resource versions of one resource compare as integers since Kubernetes 1.35, and did in etcd-backed ones before).
"""

import collections
import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hostnetwork_operator.api import exception, policy, shipped, shipped_before
from hostnetwork_operator.decide import guards, snapshot
from hostnetwork_operator.observe import parse

Body = Mapping[str, Any]


class Kind(enum.Enum):
    """What is watched."""

    POD = "pods"
    NAMESPACE = "namespaces"
    EXCEPTION = exception.PLURAL
    POLICY = policy.PLURAL
    ADMISSION_POLICY = "validatingadmissionpolicies"
    ADMISSION_BINDING = "validatingadmissionpolicybindings"


Key = tuple[str, str]  # namespace, name
# How many removed objects are remembered: enough for every answer that could still be under way to one of them.
_REMEMBERED: Final = 4096
_Parsed = (
    snapshot.Pod
    | snapshot.UnreadablePod
    | snapshot.Namespace
    | exception.HostNetworkException
    | snapshot.UnreadableException
    | snapshot.PolicyObject
    | guards.AdmissionPolicy
    | guards.Binding
)


class Store:
    """Objects by kind, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, tuple[int, str, _Parsed]]] = {kind: {} for kind in Kind}
        self._by_namespace: dict[Kind, dict[str, dict[str, _Parsed]]] = {Kind.POD: {}, Kind.EXCEPTION: {}}
        self._removed: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._policy_listed = False
        self._last_good: policy.PolicySpec | None = None

    def put(self, kind: Kind, body: Body) -> bool:
        """Takes an object in; False if a newer version of it is there already, or it is known to be gone.

        The answer to a write of ours can come after the watch has told that the object is gone.
        """
        meta = body["metadata"]
        if meta["uid"] in self._removed:
            return False
        key, version = (meta.get("namespace", ""), meta["name"]), int(meta["resourceVersion"])
        present = self._objects[kind].get(key)
        if present is not None and present[0] >= version:
            return False
        parsed = _parse(kind, body)
        self._objects[kind][key] = (version, meta["uid"], parsed)
        if kind in self._by_namespace:
            self._by_namespace[kind].setdefault(key[0], {})[key[1]] = parsed
        if isinstance(parsed, snapshot.PolicyObject) and parsed.spec is not None and key[1] == policy.NAME:
            self._last_good = parsed.spec  # a broken one changes nothing: the last good one holds
        return True

    def remove(self, kind: Kind, body: Body) -> None:
        """Takes an object out, unless another of the same name has come since."""
        meta = body["metadata"]
        self._removed[meta["uid"]] = None
        if len(self._removed) > _REMEMBERED:
            self._removed.popitem(last=False)
        key = (meta.get("namespace", ""), meta["name"])
        present = self._objects[kind].get(key)
        if present is None or present[1] != meta["uid"]:
            return
        del self._objects[kind][key]
        if kind in self._by_namespace:
            names = self._by_namespace[kind][key[0]]
            del names[key[1]]
            if not names:
                del self._by_namespace[kind][key[0]]
        if kind is Kind.POLICY and key[1] == policy.NAME:
            self._last_good = None

    def replace(
        self, kind: Kind, bodies: Iterable[Body], listed_version: str, namespace: str | None = None
    ) -> set[str]:
        """A complete list of a kind, or of one namespace; gives the namespaces that were not as the store had them.

        What the list does not have, and is not newer than the list, is gone: a watch that broke does not say so.
        """
        touched, seen = set(), set()
        for body in bodies:
            meta = body["metadata"]
            seen.add((meta.get("namespace", ""), meta["name"]))
            if self.put(kind, body):
                touched.add(_namespace_of(kind, meta))
        for key, (version, uid, _) in list(self._objects[kind].items()):
            listed = namespace is None or key[0] == namespace
            if listed and key not in seen and version <= int(listed_version):
                self.remove(kind, {"metadata": {"namespace": key[0], "name": key[1], "uid": uid}})
                touched.add(key[1] if kind is Kind.NAMESPACE else key[0])
        if kind is Kind.POLICY:
            self._policy_listed = True
        return touched

    def policy_unlisted(self) -> None:
        """The policies could not be listed: from now on unknown, which is not absent."""
        self._policy_listed = False

    # -- reading ------------------------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        return sorted(name for _, name in self._objects[Kind.NAMESPACE])

    def policy_state(self) -> snapshot.PolicyState:
        """The policy that is acted on."""
        if not self._policy_listed:
            return snapshot.PolicyState(snapshot.Known.UNKNOWN)
        if self._last_good is not None:
            return snapshot.PolicyState(snapshot.Known.PRESENT, self._last_good)
        # There is one, and never was a good one: what it wants is not known.
        known = snapshot.Known.UNKNOWN if self.policy_object() else snapshot.Known.ABSENT
        return snapshot.PolicyState(known)

    def policy_object(self) -> snapshot.PolicyObject | None:
        """The policy named `default` as it is stored."""
        found = self._objects[Kind.POLICY].get(("", policy.NAME))
        return found[2] if found and isinstance(found[2], snapshot.PolicyObject) else None

    def unreadable(self, kind: Kind, body: Body) -> str:
        """Why the stored object cannot be understood, or ''."""
        found = self._objects[kind].get((body["metadata"].get("namespace", ""), body["metadata"]["name"]))
        parsed = found[2] if found else None
        return parsed.why if isinstance(parsed, snapshot.UnreadablePod | snapshot.UnreadableException) else ""

    def guards(self) -> dict[str, snapshot.Guard]:
        """Our admission policies, as they stand."""
        policies = [o for _, _, o in self._objects[Kind.ADMISSION_POLICY].values()]
        bindings = [o for _, _, o in self._objects[Kind.ADMISSION_BINDING].values()]
        return guards.judge(
            (p for p in policies if isinstance(p, guards.AdmissionPolicy)),
            (b for b in bindings if isinstance(b, guards.Binding)),
            (shipped.POLICIES, shipped_before.POLICIES),
        )

    def snapshot(self, name: str) -> snapshot.NamespaceSnapshot | None:
        """Everything about one namespace; None if there is none of that name."""
        found = self._objects[Kind.NAMESPACE].get(("", name))
        if found is None or not isinstance(found[2], snapshot.Namespace):
            return None
        pods = self._by_namespace[Kind.POD].get(name, {}).values()
        exceptions = self._by_namespace[Kind.EXCEPTION].get(name, {}).values()
        return snapshot.NamespaceSnapshot(
            namespace=found[2],
            pods=tuple(p for p in pods if isinstance(p, snapshot.Pod)),
            unreadable_pods=tuple(p for p in pods if isinstance(p, snapshot.UnreadablePod)),
            exceptions=tuple(e for e in exceptions if isinstance(e, exception.HostNetworkException)),
            unreadable_exceptions=tuple(e for e in exceptions if isinstance(e, snapshot.UnreadableException)),
            policy=self.policy_state(),
            guards=self.guards(),
        )


def _parse(kind: Kind, body: Body) -> _Parsed:
    match kind:
        case Kind.POD:
            return parse.pod(body)
        case Kind.NAMESPACE:
            return parse.namespace(body)
        case Kind.EXCEPTION:
            return parse.host_network_exception(body)
        case Kind.POLICY:
            return parse.host_network_policy(body)
        case Kind.ADMISSION_POLICY:
            return parse.admission_policy(body)
        case Kind.ADMISSION_BINDING:
            return parse.admission_binding(body)


def _namespace_of(kind: Kind, meta: Mapping[str, Any]) -> str:
    return str(meta["name"] if kind is Kind.NAMESPACE else meta.get("namespace", ""))
