"""The operator's own copy of the watched objects. Lists and watch events fill it; readers get a snapshot per namespace.

The store also has the pods with only hostPID or hostIPC. No watch reports these pods: only lists add and remove them.
Of ordinary pods, the store has only two facts per namespace, from the last list of all its pods: whether there were
any, and with what they were installed.

kopf's indices keep removed objects after a re-list, and take quadratic time at the start. The store is one dictionary
per kind. An older version of an object never replaces a newer version, so an object that the operator has just written
stays in the store. (Resource versions of one resource compare as integers since Kubernetes 1.35. In clusters that store
their objects in etcd, they did so before.)
"""

import collections
import datetime
import enum
import sys
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Final, NamedTuple

from hostnetwork_operator.api import exception, ledger, policy, report, shipped, shipped_before
from hostnetwork_operator.decide import guards, snapshot
from hostnetwork_operator.observe import ordinary, parse, pod_index, unread
from hostnetwork_operator.observe.unread import Key

Body = Mapping[str, Any]


class Kind(enum.Enum):
    """The kinds that are listed. The kinds before EVERY_POD are watched as well."""

    POD = "pods"
    NAMESPACE = "namespaces"
    EXCEPTION = exception.PLURAL
    POLICY = policy.PLURAL
    ADMISSION_POLICY = "validatingadmissionpolicies"
    ADMISSION_BINDING = "validatingadmissionpolicybindings"
    EVERY_POD = "pods-all"  # the same objects as POD, but from a list that also has the pods without hostNetwork
    # Of the two kinds of reports: only the operator's own, and only in a cluster in which their CRDs are installed.
    REPORT = report.OPEN_REPORT.plural
    POLICY_REPORT = report.POLICY_REPORT.plural


# How many removed objects are remembered: enough for every object that an answer under way may still contain.
_REMEMBERED: Final = 4096
# In the order of preference: the operator writes the first kind that the API server serves.
REPORTS: Final = {Kind.REPORT: report.OPEN_REPORT, Kind.POLICY_REPORT: report.POLICY_REPORT}
_STORED: Final = {Kind.EVERY_POD: Kind.POD}
_NO_PODS: Final = pod_index.PodIndex()
_Parsed = (
    snapshot.Pod
    | snapshot.UnreadablePod
    | snapshot.Namespace
    | exception.HostNetworkException
    | snapshot.UnreadableException
    | snapshot.PolicyObject
    | guards.AdmissionPolicy
    | guards.Binding
    | snapshot.StoredReport
)


class _StoredObject(NamedTuple):
    """A stored object, with its resource version and its uid."""

    version: int
    uid: str
    parsed: _Parsed


class _GoodPolicy(NamedTuple):
    """A version of the policy that could be read."""

    spec: policy.PolicySpec
    created: datetime.datetime


class Store:
    """Objects by kind, namespace and name."""

    def __init__(self, moment: Callable[[], datetime.datetime] = lambda: snapshot.FOREVER) -> None:
        self._moment = moment  # the API server's time, from which the current state of an admission policy counts
        self._objects: dict[Kind, dict[Key, _StoredObject]] = {kind: {} for kind in Kind}
        self._by_namespace: dict[Kind, dict[str, dict[str, _Parsed]]] = {
            kind: {} for kind in (Kind.EXCEPTION, *REPORTS)
        }
        self._pods: dict[str, pod_index.PodIndex] = {}  # by namespace
        self._unwatched: set[str] = set()  # uids of the pods with only hostPID or hostIPC
        self._listed: dict[str, datetime.datetime] = {}  # namespace ('' for all): when all its pods were last listed
        self._ordinary = ordinary.OrdinaryPods()
        self._removed: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._policy_listed = False
        self._served: dict[Kind, bool] = {}  # kinds of reports only; an absent kind: not known yet
        self._exceptions_served = True
        self._last_good: _GoodPolicy | None = None
        self._guards: dict[str, snapshot.Guard] | None = None
        self._admission_unlisted: set[Kind] = set()
        self._guard_records: dict[str, ledger.GuardRecord] = {}
        self._kubernetes: snapshot.MinorVersion | None = None
        self._oldest_kubernetes: snapshot.MinorVersion | None = None
        self._api_servers = snapshot.ApiServers()
        self.unread = unread.Unread()

    def put(self, kind: Kind, body: Body) -> bool:
        """Store an object. Return False if that is no news: if the store has this version or a newer one, if the object
        was removed, if the object is unreadable for the same reason as before, or if nothing about a pod has changed
        that a decision reads. Most events about a pod are about its status.

        The answer to a write of the operator can come after the watch has reported the removal of the object.
        """
        meta = body["metadata"]
        if self.knows(kind, meta):
            return False
        key, version = _key(meta), int(meta["resourceVersion"])
        present = self._objects[kind].get(key)
        try:
            parsed = _parse(kind, body)
        except Exception as error:  # whatever is wrong with this object, the other objects must still be read
            return self.set_aside(kind, meta, f"{type(error).__name__}: {error}")
        if _why_unreadable(parsed):
            changed = self._keep_unread(kind, key, version, meta["uid"], parsed)
        elif isinstance(parsed, snapshot.Pod) and present is not None and parsed == present.parsed:
            self._objects[kind][key] = present._replace(version=version)
            changed = False
        else:
            self._keep(kind, key, _StoredObject(version, meta["uid"], parsed))
            changed = True
        if present is not None:
            self._unwatched.discard(present.uid)
        if kind is Kind.POD and not parse.watched(body):
            self._unwatched.add(meta["uid"])
        if isinstance(parsed, snapshot.PolicyObject) and parsed.spec is not None and key.name == policy.NAME:
            # After a broken version, the last good spec stays in effect.
            self._last_good = _GoodPolicy(parsed.spec, parsed.created)
        self._touch_guards(kind)
        return changed

    def knows(self, kind: Kind, meta: Mapping[str, Any]) -> bool:
        """Return whether the store has this version of an object or a newer one, or the object was removed."""
        present = self._objects[kind].get(_key(meta))
        return meta["uid"] in self._removed or (present is not None and present.version >= int(meta["resourceVersion"]))

    def has_any(self, kind: Kind) -> bool:
        """Return whether the store has an object of this kind."""
        return bool(self._objects[kind])

    def set_aside(self, kind: Kind, meta: Mapping[str, Any], why: str) -> bool:
        """Store an object of which only the metadata could be read. Return False if the store stays unchanged.

        A pod, an exception and a policy become unreadable. For other kinds, the last version that was read stays.
        """
        stored = _STORED.get(kind, kind)
        key, version = _key(meta), int(meta["resourceVersion"])
        present = self._objects[stored].get(key)
        if self.knows(stored, meta):
            return False
        self.unread.add(stored.value, key, why)
        parsed = _unreadable(stored, meta, why)
        if parsed is None:
            return False
        if kind is not Kind.EVERY_POD:
            self._unwatched.discard(meta["uid"])
        elif present is None or present.uid != meta["uid"]:
            self._unwatched.add(meta["uid"])
        return self._keep_unread(stored, key, version, meta["uid"], parsed)

    def _keep_unread(self, kind: Kind, key: Key, version: int, uid: str, parsed: _Parsed) -> bool:
        """Store an unreadable object as if it were one version older, so that the same version counts as newer once the
        object can be read. For a second after a change of a CRD, a watch can still report objects by the schema of the
        old CRD. Return whether more than the version has changed.
        """
        present = self._objects[kind].get(key)
        self._keep(kind, key, _StoredObject(version - 1, uid, parsed))
        return present is None or present.uid != uid or present.parsed != parsed

    def misunderstood(self, unreadable: snapshot.UnreadablePod | snapshot.UnreadableException) -> None:
        """Replace an object that was read, but cannot be used for a decision. This lasts until the object changes."""
        kind = Kind.POD if isinstance(unreadable, snapshot.UnreadablePod) else Kind.EXCEPTION
        key = Key(unreadable.namespace, unreadable.name)
        present = self._objects[kind].get(key)
        if present is not None and present.uid == unreadable.uid:
            self._keep(kind, key, _StoredObject(present.version, unreadable.uid, unreadable))

    def _keep(self, kind: Kind, key: Key, entry: _StoredObject) -> None:
        before = self._objects[kind].get(key)
        if kind is Kind.POLICY and key.name == policy.NAME and before is not None and before.uid != entry.uid:
            self._last_good = None  # an earlier object of this name said so, and no watch reported its deletion
        if isinstance(entry.parsed, snapshot.Pod | snapshot.UnreadablePod):
            entry = entry._replace(parsed=self._pods.setdefault(key.namespace, pod_index.PodIndex()).put(entry.parsed))
        self._objects[kind][key] = entry
        if kind in self._by_namespace:
            self._by_namespace[kind].setdefault(key.namespace, {})[key.name] = entry.parsed
        if why := _why_unreadable(entry.parsed):
            self.unread.add(kind.value, key, why)
        else:
            self.unread.discard(kind.value, key)

    def remove(self, kind: Kind, body: Body) -> None:
        """Remove an object, unless the store by now has another object of the same name."""
        meta = body["metadata"]
        self._removed[meta["uid"]] = None
        if len(self._removed) > _REMEMBERED:
            self._removed.popitem(last=False)
        key = _key(meta)
        present = self._objects[kind].get(key)
        if present is None or present.uid == meta["uid"]:
            self.unread.discard(kind.value, key)
        if present is None or present.uid != meta["uid"]:
            return
        del self._objects[kind][key]
        self._unwatched.discard(meta["uid"])
        if kind is Kind.NAMESPACE:
            self._listed.pop(key.name, None)
            self._ordinary.forget(key.name)
        if kind in self._by_namespace:
            names = self._by_namespace[kind][key.namespace]
            del names[key.name]
            if not names:
                del self._by_namespace[kind][key.namespace]
        if kind is Kind.POD:
            self._pods[key.namespace].remove(key.name)
            if not self._pods[key.namespace]:
                del self._pods[key.namespace]
        if kind is Kind.POLICY and key.name == policy.NAME:
            self._last_good = None
        self._touch_guards(kind)

    def removed(self, kind: Kind, namespace: str, name: str) -> None:
        """Remove the object of this name, whatever its uid is."""
        present = self._objects[kind].get(Key(namespace, name))
        if present is not None:
            self.remove(kind, {"metadata": {"namespace": namespace, "name": name, "uid": present.uid}})

    def uids(self, kind: Kind) -> list[str]:
        """Return the uids of all objects of a kind."""
        return [entry.uid for entry in self._objects[kind].values()]

    def listing(self, kind: Kind, namespace: str | None = None) -> "Listing":
        """Return an empty list of a kind, of all namespaces or of one, to be filled page by page."""
        return Listing(self, kind, namespace)

    def sweep(self, kind: Kind, listed: Set[Key], listed_version: int, namespace: str | None) -> set[str]:
        """Remove the objects that a complete list lacks, except objects that are newer than the list.

        A watch that was interrupted does not report the objects that were removed meanwhile. Return the namespaces of
        the objects that were removed from the store.
        """
        touched = set()
        stored = _STORED.get(kind, kind)
        for key in self._objects[stored].keys() - listed:
            entry = self._objects[stored][key]
            if entry.version > listed_version or namespace not in {None, key.namespace}:
                continue
            if kind is Kind.POD and entry.uid in self._unwatched:
                continue  # a list of the pods with hostNetwork never has this pod
            self.remove(stored, {"metadata": {"namespace": key.namespace, "name": key.name, "uid": entry.uid}})
            touched.add(key.name if kind is Kind.NAMESPACE else key.namespace)
        if namespace is None:
            self.unread.keep(stored.value, listed, self._objects[stored])
        if kind is Kind.POLICY:
            self._policy_listed = True
        if kind in self._admission_unlisted:
            self._admission_unlisted.discard(kind)
            self._guards = None
        return touched

    def every_pod_listed(self, namespace: str | None, moment: datetime.datetime) -> None:
        """Store that a list had every pod, of one namespace or of all, in its state at `moment` or later."""
        self._listed[namespace or ""] = moment

    def pods_complete(self) -> bool:
        """Return whether all pods have been listed once, also those that no watch reports."""
        return "" in self._listed

    def incarnations(self, namespace: str | None) -> dict[str, str]:
        """Return the uid by name of all namespaces that exist, or of the given namespace if it exists."""
        names = self.namespaces() if namespace is None else [namespace]
        return {name: uid for name in names if (uid := self._uid(name))}

    def ordinary_pods_listed(
        self, incarnations: Mapping[str, str], summaries: Mapping[str, ordinary.OrdinaryPodSummary], version: int
    ) -> set[str]:
        """Store what a complete list says about ordinary pods. Return the namespaces for which that is news.

        `incarnations` are the namespaces that the list was about (name to uid), `summaries` the answers by name. Only
        exceptions depend on ordinary pods, so only namespaces with exceptions are returned.
        """
        touched = set()
        for name, uid in incarnations.items():
            if self._uid(name) != uid:
                continue  # the namespace was removed meanwhile, or there is another of the same name
            changed = self._ordinary.listed(name, uid, version, summaries.get(name) or ordinary.OrdinaryPodSummary())
            if changed and name in self._by_namespace[Kind.EXCEPTION]:
                touched.add(name)
        return touched

    def plain_accounts(self, namespace: str) -> frozenset[str]:
        """Return the service accounts of the namespace's exceptions for pods without host namespaces."""
        exceptions = self._by_namespace[Kind.EXCEPTION].get(namespace, {}).values()
        return frozenset(
            item.spec.service_account
            for item in exceptions
            if isinstance(item, exception.HostNetworkException) and not item.spec.host_namespaces
        )

    def _uid(self, namespace: str) -> str:
        entry = self._objects[Kind.NAMESPACE].get(Key("", namespace))
        return entry.uid if entry else ""

    def admission_unlisted(self, kind: Kind) -> None:
        """Mark the objects of this kind as not listed, because listing them has failed.

        Until they are listed, it is not known which of the operator's admission policies are in place. Nothing new
        relies on an admission policy, and what already relies on an admission policy stays.
        """
        self._admission_unlisted.add(kind)
        self._guards = None

    def policy_unlisted(self) -> None:
        """Mark the policy as unknown, because the policies could not be listed. Unknown is not the same as absent."""
        self._policy_listed = False

    def policies_gone(self) -> bool:
        """Remove all policies, because the API server no longer serves their kind. Return whether that is news."""
        before = self.policy_state()
        self._objects[Kind.POLICY].clear()  # not remembered as removed: the kind may come back with the same objects
        self.unread.keep(Kind.POLICY.value)
        self._last_good, self._policy_listed = None, True
        return self.policy_state() != before

    def exceptions_are_served(self, *, served: bool) -> bool:
        """Store whether the API server serves the kind of exceptions. Return whether that is news."""
        changed, self._exceptions_served = served is not self._exceptions_served, served
        return changed

    def serves(self, kind: Kind) -> None:
        """Mark this kind of reports as served by the API server."""
        self._served[kind] = True

    def serves_not(self, kind: Kind) -> set[str]:
        """Mark this kind of reports as not served by the API server, and remove its reports from the store.

        Return the namespaces in which the store had reports of this kind.
        """
        self._served[kind] = False
        namespaces = set(self._by_namespace[kind])
        self.unread.keep(kind.value)
        self._objects[kind].clear()
        self._by_namespace[kind].clear()
        return namespaces

    def saw_kubernetes(self, version: snapshot.MinorVersion) -> bool:
        """Store the version of the cluster if it is newer than every version before. Return whether it is newer.

        While API servers are upgraded one after the other, answers come from old and new servers: the newest counts.
        """
        if self._kubernetes is not None and version <= self._kubernetes:
            return False
        self._kubernetes = version
        return True

    def saw_api_servers(self, api_servers: snapshot.ApiServers) -> bool:
        """Store what each API server said of itself. Return whether that is news."""
        changed, self._api_servers = api_servers != self._api_servers, api_servers
        versions = api_servers.versions
        if versions:
            changed |= self.saw_kubernetes(versions[-1])
            present = self._oldest_kubernetes
            # An API server that does not answer may be an old one, so only answers of all can make the oldest newer.
            if present is None or versions[0] < present or all(server.version for server in api_servers.servers):
                self._oldest_kubernetes = versions[0]
        return changed

    def api_servers(self) -> snapshot.ApiServers:
        """Return what each API server said of itself."""
        return self._api_servers

    def kubernetes_versions(self) -> tuple[snapshot.MinorVersion, ...]:
        """Return the versions that the API servers have, each once, the oldest first; () before the first answer."""
        oldest = self.oldest_kubernetes()
        return () if oldest is None else tuple(sorted({oldest, *self._api_servers.versions}))

    def kubernetes(self) -> snapshot.MinorVersion | None:
        """Return the newest version that an API server has reported; None before the first."""
        return self._kubernetes

    def oldest_kubernetes(self) -> snapshot.MinorVersion | None:
        """Return the version of the oldest API server; the newest version if the API servers are not known."""
        return self._oldest_kubernetes or self._kubernetes

    # -- reading ------------------------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        return sorted(key.name for key in self._objects[Kind.NAMESPACE])

    def namespace(self, name: str) -> snapshot.Namespace | None:
        """Return the namespace of this name; None if there is none."""
        entry = self._objects[Kind.NAMESPACE].get(Key("", name))
        return entry.parsed if entry is not None and isinstance(entry.parsed, snapshot.Namespace) else None

    def incarnation(self, uid: str) -> snapshot.Namespace | None:
        """Return the namespace with this uid; None if there is none."""
        matching = (entry.parsed for entry in self._objects[Kind.NAMESPACE].values() if entry.uid == uid)
        namespace = next(matching, None)
        return namespace if isinstance(namespace, snapshot.Namespace) else None

    def pod(self, namespace: str, name: str) -> snapshot.Pod | None:
        """Return the pod of this name; None if there is none, or if it could not be read."""
        entry = self._objects[Kind.POD].get(Key(namespace, name))
        return entry.parsed if entry is not None and isinstance(entry.parsed, snapshot.Pod) else None

    def has_kind(self, pod: snapshot.Pod) -> bool:
        """Return whether the store has a pod of the same kind in the same namespace."""
        return self._pods.get(pod.namespace, _NO_PODS).has_kind(pod)

    def policy_state(self) -> snapshot.PolicyState:
        """Return the policy that the operator acts on."""
        if not self._policy_listed:
            return snapshot.PolicyState(snapshot.Existence.UNKNOWN)
        if self._last_good is not None:
            return snapshot.PolicyState(snapshot.Existence.PRESENT, self._last_good.spec, self._last_good.created)
        # If a policy exists of which no version could be read, what it demands is not known.
        existence = snapshot.Existence.UNKNOWN if self.policy_object() else snapshot.Existence.ABSENT
        return snapshot.PolicyState(existence)

    def policy_object(self) -> snapshot.PolicyObject | None:
        """Return the policy named `default` as the store has it; None if there is none."""
        entry = self._objects[Kind.POLICY].get(Key("", policy.NAME))
        return entry.parsed if entry and isinstance(entry.parsed, snapshot.PolicyObject) else None

    def report_kind(self) -> report.ReportKind | None:
        """Return which kind of reports the operator writes; None while that is not known.

        It is not known as long as a preferred kind may be served: the operator never writes both kinds.
        """
        for kind, report_kind in REPORTS.items():
            if self._served.get(kind) is not False:
                return report_kind if self._served.get(kind) else None
        return None

    def guards(self) -> dict[str, snapshot.Guard]:
        """Return the operator's admission policies in their current state, by name."""
        if self._guards is None:
            policies = [entry.parsed for entry in self._objects[Kind.ADMISSION_POLICY].values()]
            bindings = [entry.parsed for entry in self._objects[Kind.ADMISSION_BINDING].values()]
            self._guards = guards.judge(
                (p for p in policies if isinstance(p, guards.AdmissionPolicy)),
                (b for b in bindings if isinstance(b, guards.Binding)),
                (shipped.POLICIES, shipped_before.POLICIES),
                self._guard_records,
                self._moment(),
            )
            if self._admission_unlisted:
                why = "the operator could not list the admission policies of the cluster"
                self._guards = {name: snapshot.Guard(name, None, why, snapshot.FOREVER) for name in self._guards}
            self._guard_records |= {
                name: record for name, guard in self._guards.items() if (record := guards.record(guard)) is not None
            }
        return self._guards

    def guard_records(self) -> dict[str, ledger.GuardRecord]:
        """Return what the ledger must record about the admission policies."""
        self.guards()
        return dict(self._guard_records)

    def guards_recorded(self, records: Mapping[str, ledger.GuardRecord]) -> None:
        """Store what the ledger has recorded about the admission policies. Call it before they are read."""
        self._guard_records = dict(records)
        self._guards = None

    def _touch_guards(self, kind: Kind) -> None:
        if kind in {Kind.ADMISSION_POLICY, Kind.ADMISSION_BINDING}:
            self._guards = None

    def snapshot(self, name: str) -> snapshot.NamespaceSnapshot | None:
        """Return everything that the store has about one namespace; None if no namespace has that name."""
        namespace = self.namespace(name)
        if namespace is None:
            return None
        pods = self._pods.get(name, _NO_PODS)
        exceptions = self._by_namespace[Kind.EXCEPTION].get(name, {}).values()
        ordinary_answer = self._ordinary.live_in(name, namespace.uid)
        return snapshot.NamespaceSnapshot(
            namespace=namespace,
            pods=pods.pods(),
            unreadable_pods=tuple(pods.unreadable.values()),
            exceptions=tuple(e for e in exceptions if isinstance(e, exception.HostNetworkException)),
            unreadable_exceptions=tuple(e for e in exceptions if isinstance(e, snapshot.UnreadableException)),
            exceptions_served=self._exceptions_served,
            policy=self.policy_state(),
            guards=self.guards(),
            every_pod_listed=max((m for m in map(self._listed.get, ("", name)) if m is not None), default=None),
            ordinary_pods=ordinary_answer.some if ordinary_answer is not None else None,
            ordinary_releases=ordinary_answer.releases if ordinary_answer is not None else frozenset(),
            plain_pods=ordinary_answer.pods if ordinary_answer is not None else snapshot.NO_PODS,
            plain_accounts=ordinary_answer.accounts if ordinary_answer is not None else frozenset(),
            kubernetes=self._kubernetes,
            oldest_kubernetes=self.oldest_kubernetes(),
            report_kind=self.report_kind(),
            reports=tuple(
                r
                for kind in REPORTS
                for r in self._by_namespace[kind].get(name, {}).values()
                if isinstance(r, snapshot.StoredReport)
            ),
        )


class Listing:
    """A complete list while it is read: it fills the store, and remembers which objects it has had."""

    def __init__(self, cache: Store, kind: Kind, namespace: str | None) -> None:
        self._cache = cache
        self._kind = kind
        self._namespace = namespace
        self._keys: set[Key] = set()
        self._touched: set[str] = set()
        # The list may lack a namespace that is created while the list is read.
        self._incarnations = cache.incarnations(namespace) if kind is Kind.EVERY_POD else {}
        self._lines = cache.unread.lines(kind.value)
        self._ordinary = {
            name: ordinary.OrdinaryPodSummary(accounts=cache.plain_accounts(name)) for name in self._incarnations
        }

    def page(self, bodies: Iterable[Body]) -> None:
        """Store the objects of one page, without a reference to their bodies.

        Of ordinary pods, only the answer per namespace is stored.
        """
        for body in bodies:
            if self._kind is Kind.EVERY_POD and not parse.host_namespaces(body):
                answer = self._ordinary.get(body["metadata"]["namespace"])
                if answer is not None and parse.runs_or_will(body):
                    answer.take(body)
                continue
            meta = body["metadata"]
            self._keys.add(_key(meta))
            if self._cache.put(_STORED.get(self._kind, self._kind), body):
                self._touched.add(_namespace_of(self._kind, meta))

    def knows(self, meta: Mapping[str, Any]) -> bool:
        """Return whether an object with this metadata would be no news."""
        return self._cache.knows(self._kind, meta)

    def confirm(self, known: Iterable[Mapping[str, Any]]) -> None:
        """Remember that the list has these objects, which are no news."""
        self._keys.update(map(_key, known))

    def set_aside(self, meta: Mapping[str, Any], why: str) -> None:
        """Store an object of the list of which only the metadata could be read. For a Namespace that is enough."""
        if self._kind is Kind.NAMESPACE:
            self.page([{"metadata": meta}])
            return
        self._keys.add(_key(meta))
        if self._cache.set_aside(self._kind, meta, why):
            self._touched.add(_namespace_of(self._kind, meta))

    def end(self, listed_version: str) -> set[str]:
        """Finish the list after its last page. Return the namespaces in which the list changed the store."""
        version = int(listed_version)
        self._cache.unread.listed(self._kind.value, self._lines)
        touched = self._touched | self._cache.sweep(self._kind, self._keys, version, self._namespace)
        return touched | self._cache.ordinary_pods_listed(self._incarnations, self._ordinary, version)


def _parse(kind: Kind, body: Body) -> _Parsed:
    match kind:
        case Kind.POD | Kind.EVERY_POD:
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
        case Kind.REPORT | Kind.POLICY_REPORT:
            return parse.standing_report(body, REPORTS[kind])


def _unreadable(kind: Kind, meta: Mapping[str, Any], why: str) -> _Parsed | None:
    """Return the object to store in place of an object that could not be read; None to keep the last version."""
    match kind:
        case Kind.POD:
            return snapshot.UnreadablePod(meta["namespace"], meta["name"], meta["uid"], why)
        case Kind.EXCEPTION:
            return parse.unreadable_exception(meta, why)
        case Kind.POLICY:  # a policy that exists and cannot be read is not an absent policy
            return parse.unreadable_policy(meta, why)
    return None


def _why_unreadable(parsed: _Parsed) -> str:
    match parsed:
        case snapshot.UnreadablePod() | snapshot.UnreadableException():
            return parsed.why
        case snapshot.PolicyObject():
            return parsed.mistake
    return ""


def _key(meta: Mapping[str, Any]) -> Key:
    return Key(sys.intern(meta.get("namespace", "")), meta["name"])


def _namespace_of(kind: Kind, meta: Mapping[str, Any]) -> str:
    return str(meta["name"] if kind is Kind.NAMESPACE else meta.get("namespace", ""))
