"""Our own copy of what is watched, fed by lists and by watch events, read as one snapshot a namespace.

Pods with only hostPID or hostIPC are in here too, and no watch tells of them: they come and go by lists alone.
Of ordinary pods there is nothing but whether a namespace had any when all its pods were last listed, and with what
they were installed.

kopf's indices keep ghosts after a re-list and cost quadratic time at the start; this is a dictionary a kind. An older
version of an object never replaces a newer one, so what the operator has just written is never forgotten again
(resource versions of one resource compare as integers since Kubernetes 1.35, and did in etcd-backed ones before).
"""

import collections
import datetime
import enum
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Final

from hostnetwork_operator.api import exception, ledger, policy, report, shipped, shipped_before
from hostnetwork_operator.decide import guards, snapshot
from hostnetwork_operator.observe import ordinary, parse, unread

Body = Mapping[str, Any]


class Kind(enum.Enum):
    """What is listed; watched are those before EVERY_POD."""

    POD = "pods"
    NAMESPACE = "namespaces"
    EXCEPTION = exception.PLURAL
    POLICY = policy.PLURAL
    ADMISSION_POLICY = "validatingadmissionpolicies"
    ADMISSION_BINDING = "validatingadmissionpolicybindings"
    EVERY_POD = "pods-all"  # the same objects as POD, but from a list that has those without hostNetwork as well
    REPORT = report.OPEN_REPORT.plural  # these two: ours only, and only where somebody has installed their CRDs
    POLICY_REPORT = report.POLICY_REPORT.plural


Key = tuple[str, str]  # namespace, name
# How many removed objects are remembered: enough for every answer that could still be under way to one of them.
_REMEMBERED: Final = 4096
# In the order of preference: the first that is served is written.
REPORTS: Final = {Kind.REPORT: report.OPEN_REPORT, Kind.POLICY_REPORT: report.POLICY_REPORT}
_STORED: Final = {Kind.EVERY_POD: Kind.POD}
_Parsed = (
    snapshot.Pod
    | snapshot.UnreadablePod
    | snapshot.Namespace
    | exception.HostNetworkException
    | snapshot.UnreadableException
    | snapshot.PolicyObject
    | guards.AdmissionPolicy
    | guards.Binding
    | snapshot.Report
)


class Store:
    """Objects by kind, namespace and name."""

    def __init__(self, moment: Callable[[], datetime.datetime] = lambda: snapshot.FOREVER) -> None:
        self._moment = moment  # the API server's time: since when an admission policy is as it is seen
        self._objects: dict[Kind, dict[Key, tuple[int, str, _Parsed]]] = {kind: {} for kind in Kind}
        self._by_namespace: dict[Kind, dict[str, dict[str, _Parsed]]] = {
            kind: {} for kind in (Kind.POD, Kind.EXCEPTION, *REPORTS)
        }
        self._unwatched: set[str] = set()  # uids of the pods with only hostPID or hostIPC
        self._listed: dict[str, datetime.datetime] = {}  # namespace ('' for all) to when every pod there was listed
        self._ordinary = ordinary.OrdinaryPods()
        self._removed: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._policy_listed = False
        self._served: dict[Kind, bool] = {}  # reports only; absent: could not be told yet
        self._exceptions_served = True
        self._last_good: tuple[policy.PolicySpec, datetime.datetime] | None = None
        self._guards: dict[str, snapshot.Guard] | None = None
        self._admission_unlisted: set[Kind] = set()
        self._guard_records: dict[str, ledger.GuardRecord] = {}
        self._kubernetes: snapshot.MinorVersion | None = None
        self.unread = unread.Unread()

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
        try:
            parsed = _parse(kind, body)
        except Exception as error:  # whatever it is about one object, all others are still read
            return self.set_aside(kind, meta, f"{type(error).__name__}: {error}")
        self._keep(kind, key, (version, meta["uid"], parsed))
        if present is not None:
            self._unwatched.discard(present[1])
        if kind is Kind.POD and not parse.watched(body):
            self._unwatched.add(meta["uid"])
        if isinstance(parsed, snapshot.PolicyObject) and parsed.spec is not None and key[1] == policy.NAME:
            self._last_good = parsed.spec, parsed.created  # a broken one changes nothing: the last good one holds
        self._touch_guards(kind)
        return True

    def set_aside(self, kind: Kind, meta: Mapping[str, Any], why: str) -> bool:
        """Takes in an object of which only the metadata could be read; False if the store stays as it was.

        A pod, an exception and a policy become unreadable. Of other kinds the version that was read last stays.
        """
        stored = _STORED.get(kind, kind)
        key, version = (meta.get("namespace", ""), meta["name"]), int(meta["resourceVersion"])
        present = self._objects[stored].get(key)
        if meta["uid"] in self._removed or (present is not None and present[0] >= version):
            return False
        self.unread.add(stored.value, key, why)
        parsed = _unreadable(stored, meta, why)
        if parsed is None or (present is not None and present[1:] == (meta["uid"], parsed)):
            return False
        if kind is not Kind.EVERY_POD:
            self._unwatched.discard(meta["uid"])
        elif present is None or present[1] != meta["uid"]:
            self._unwatched.add(meta["uid"])
        # As if it were one version older: if this version can be read later, that is newer.
        self._keep(stored, key, (version - 1, meta["uid"], parsed))
        return True

    def misunderstood(self, found: snapshot.UnreadablePod | snapshot.UnreadableException) -> None:
        """Takes the place of an object that was read, and that nothing can be decided with; until that changes."""
        kind = Kind.POD if isinstance(found, snapshot.UnreadablePod) else Kind.EXCEPTION
        key = (found.namespace, found.name)
        present = self._objects[kind].get(key)
        if present is not None and present[1] == found.uid:
            self._keep(kind, key, (present[0], found.uid, found))

    def _keep(self, kind: Kind, key: Key, entry: tuple[int, str, _Parsed]) -> None:
        parsed = entry[2]
        self._objects[kind][key] = entry
        if kind in self._by_namespace:
            self._by_namespace[kind].setdefault(key[0], {})[key[1]] = parsed
        if why := _why_unreadable(parsed):
            self.unread.add(kind.value, key, why)
        else:
            self.unread.discard(kind.value, key)

    def remove(self, kind: Kind, body: Body) -> None:
        """Takes an object out, unless another of the same name has come since."""
        meta = body["metadata"]
        self._removed[meta["uid"]] = None
        if len(self._removed) > _REMEMBERED:
            self._removed.popitem(last=False)
        key = (meta.get("namespace", ""), meta["name"])
        present = self._objects[kind].get(key)
        if present is None or present[1] == meta["uid"]:
            self.unread.discard(kind.value, key)
        if present is None or present[1] != meta["uid"]:
            return
        del self._objects[kind][key]
        self._unwatched.discard(meta["uid"])
        if kind is Kind.NAMESPACE:
            self._listed.pop(key[1], None)
            self._ordinary.forget(key[1])
        if kind in self._by_namespace:
            names = self._by_namespace[kind][key[0]]
            del names[key[1]]
            if not names:
                del self._by_namespace[kind][key[0]]
        if kind is Kind.POLICY and key[1] == policy.NAME:
            self._last_good = None
        self._touch_guards(kind)

    def removed(self, kind: Kind, namespace: str, name: str) -> None:
        """The object of this name is gone, whichever it was."""
        present = self._objects[kind].get((namespace, name))
        if present is not None:
            self.remove(kind, {"metadata": {"namespace": namespace, "name": name, "uid": present[1]}})

    def uids(self, kind: Kind) -> list[str]:
        """The uids of all objects of a kind."""
        return [uid for _, uid, _ in self._objects[kind].values()]

    def listing(self, kind: Kind, namespace: str | None = None) -> "Listing":
        """A complete list of a kind, or of one namespace, to be fed page by page."""
        return Listing(self, kind, namespace)

    def sweep(self, kind: Kind, listed: Set[Key], listed_version: int, namespace: str | None) -> set[str]:
        """Takes out what a complete list does not have and is not newer than it: a watch that broke does not say so."""
        touched = set()
        stored = _STORED.get(kind, kind)
        for key, (version, uid, _) in list(self._objects[stored].items()):
            if key in listed or version > listed_version or namespace not in {None, key[0]}:
                continue
            if kind is Kind.POD and uid in self._unwatched:
                continue  # such a list never has it
            self.remove(stored, {"metadata": {"namespace": key[0], "name": key[1], "uid": uid}})
            touched.add(key[1] if kind is Kind.NAMESPACE else key[0])
        if namespace is None:
            self.unread.keep(stored.value, listed | self._objects[stored].keys())
        if kind is Kind.POLICY:
            self._policy_listed = True
        if kind in self._admission_unlisted:
            self._admission_unlisted.discard(kind)
            self._guards = None
        return touched

    def every_pod_listed(self, namespace: str | None, moment: datetime.datetime) -> None:
        """Every pod, of one namespace or of all, has been listed as it was at `moment` or later."""
        self._listed[namespace or ""] = moment

    def incarnations(self, namespace: str | None) -> dict[str, str]:
        """Name to uid of the namespaces that there are, of all or of the one."""
        names = self.namespaces() if namespace is None else [namespace]
        return {name: uid for name in names if (uid := self._uid(name))}

    def ordinary_pods_listed(
        self, looked: Mapping[str, str], found: Mapping[str, ordinary.Answer], version: int
    ) -> set[str]:
        """A complete list had ordinary pods in `found`, of the namespaces that were `looked` through (name to uid).

        Gives those with exceptions of which that is news: nothing else depends on it.
        """
        touched = set()
        for name, uid in looked.items():
            if self._uid(name) != uid:
                continue  # gone meanwhile, or another one
            news = self._ordinary.listed(name, uid, version, found.get(name) or ordinary.Answer())
            if news and name in self._by_namespace[Kind.EXCEPTION]:
                touched.add(name)
        return touched

    def plain_accounts(self, namespace: str) -> frozenset[str]:
        """The service accounts of the namespace's exceptions for pods without host namespaces."""
        found = self._by_namespace[Kind.EXCEPTION].get(namespace, {}).values()
        return frozenset(
            one.spec.service_account
            for one in found
            if isinstance(one, exception.HostNetworkException) and not one.spec.host_namespaces
        )

    def _uid(self, namespace: str) -> str:
        found = self._objects[Kind.NAMESPACE].get(("", namespace))
        return found[1] if found else ""

    def admission_unlisted(self, kind: Kind) -> None:
        """Objects of this kind could not be listed, so nobody can tell which of our admission policies are in place:
        nothing new rests on one, and what rests on one stays.
        """
        self._admission_unlisted.add(kind)
        self._guards = None

    def policy_unlisted(self) -> None:
        """The policies could not be listed: from now on unknown, which is not absent."""
        self._policy_listed = False

    def policies_gone(self) -> bool:
        """There is none, since the API server does not have their kind any more; whether that is news."""
        before = self.policy_state()
        self._objects[Kind.POLICY].clear()  # and not remembered as gone: the kind may come back with them
        self.unread.keep(Kind.POLICY.value, frozenset())
        self._last_good, self._policy_listed = None, True
        return self.policy_state() != before

    def exceptions_are_served(self, served: bool) -> bool:
        """Takes in whether the API server has the kind of exceptions; whether that is news."""
        news, self._exceptions_served = served is not self._exceptions_served, served
        return news

    def serves(self, kind: Kind) -> None:
        """This kind of reports is there."""
        self._served[kind] = True

    def serves_not(self, kind: Kind) -> set[str]:
        """This kind of reports is not there, so none stands; gives the namespaces in which the store had some."""
        self._served[kind] = False
        had = set(self._by_namespace[kind])
        self.unread.keep(kind.value, frozenset())
        self._objects[kind].clear()
        self._by_namespace[kind].clear()
        return had

    def saw_kubernetes(self, version: snapshot.MinorVersion) -> bool:
        """Takes the cluster's version in; whether it is newer than what was seen before.

        While API servers are upgraded one by one they answer by turns: the newest counts.
        """
        if self._kubernetes is not None and version <= self._kubernetes:
            return False
        self._kubernetes = version
        return True

    # -- reading ------------------------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        return sorted(name for _, name in self._objects[Kind.NAMESPACE])

    def namespace(self, name: str) -> snapshot.Namespace | None:
        """The namespace of this name."""
        found = self._objects[Kind.NAMESPACE].get(("", name))
        return found[2] if found is not None and isinstance(found[2], snapshot.Namespace) else None

    def incarnation(self, uid: str) -> snapshot.Namespace | None:
        """The namespace with this uid."""
        found = (parsed for _, of, parsed in self._objects[Kind.NAMESPACE].values() if of == uid)
        home = next(found, None)
        return home if isinstance(home, snapshot.Namespace) else None

    def policy_state(self) -> snapshot.PolicyState:
        """The policy that is acted on."""
        if not self._policy_listed:
            return snapshot.PolicyState(snapshot.Known.UNKNOWN)
        if self._last_good is not None:
            return snapshot.PolicyState(snapshot.Known.PRESENT, *self._last_good)
        # There is one, and never was a good one: what it wants is not known.
        known = snapshot.Known.UNKNOWN if self.policy_object() else snapshot.Known.ABSENT
        return snapshot.PolicyState(known)

    def policy_object(self) -> snapshot.PolicyObject | None:
        """The policy named `default` as it is stored."""
        found = self._objects[Kind.POLICY].get(("", policy.NAME))
        return found[2] if found and isinstance(found[2], snapshot.PolicyObject) else None

    def report_kind(self) -> report.Kind | None:
        """Which reports are written. None as long as the preferred one might be there: never both."""
        for kind, written in REPORTS.items():
            if self._served.get(kind) is not False:
                return written if self._served.get(kind) else None
        return None

    def guards(self) -> dict[str, snapshot.Guard]:
        """Our admission policies, as they stand."""
        if self._guards is None:
            policies = [o for _, _, o in self._objects[Kind.ADMISSION_POLICY].values()]
            bindings = [o for _, _, o in self._objects[Kind.ADMISSION_BINDING].values()]
            self._guards = guards.judge(
                (p for p in policies if isinstance(p, guards.AdmissionPolicy)),
                (b for b in bindings if isinstance(b, guards.Binding)),
                (shipped.POLICIES, shipped_before.POLICIES),
                self._guard_records,
                self._moment(),
            )
            if self._admission_unlisted:
                why = "the admission policies of the cluster could not be listed"
                self._guards = {name: snapshot.Guard(name, None, why, snapshot.FOREVER) for name in self._guards}
            self._guard_records |= {
                name: kept for name, guard in self._guards.items() if (kept := guards.record(guard)) is not None
            }
        return self._guards

    def guard_records(self) -> dict[str, ledger.GuardRecord]:
        """What the ledger is to have of the admission policies."""
        self.guards()
        return dict(self._guard_records)

    def guards_recorded(self, records: Mapping[str, ledger.GuardRecord]) -> None:
        """Take in what the ledger has of the admission policies, before they are read."""
        self._guard_records = dict(records)
        self._guards = None

    def _touch_guards(self, kind: Kind) -> None:
        if kind in {Kind.ADMISSION_POLICY, Kind.ADMISSION_BINDING}:
            self._guards = None

    def snapshot(self, name: str) -> snapshot.NamespaceSnapshot | None:
        """Everything about one namespace; None if there is none of that name."""
        home = self.namespace(name)
        if home is None:
            return None
        pods = self._by_namespace[Kind.POD].get(name, {}).values()
        exceptions = self._by_namespace[Kind.EXCEPTION].get(name, {}).values()
        beside = self._ordinary.live_in(name, home.uid)
        return snapshot.NamespaceSnapshot(
            namespace=home,
            pods=tuple(p for p in pods if isinstance(p, snapshot.Pod)),
            unreadable_pods=tuple(p for p in pods if isinstance(p, snapshot.UnreadablePod)),
            exceptions=tuple(e for e in exceptions if isinstance(e, exception.HostNetworkException)),
            unreadable_exceptions=tuple(e for e in exceptions if isinstance(e, snapshot.UnreadableException)),
            exceptions_served=self._exceptions_served,
            policy=self.policy_state(),
            guards=self.guards(),
            every_pod_listed=max((m for m in map(self._listed.get, ("", name)) if m is not None), default=None),
            ordinary_pods=beside.some if beside is not None else None,
            ordinary_releases=beside.releases if beside is not None else frozenset(),
            plain_pods=tuple(beside.plain) if beside is not None else (),
            plain_accounts=beside.accounts if beside is not None else frozenset(),
            kubernetes=self._kubernetes,
            report_kind=self.report_kind(),
            reports=tuple(
                r
                for kind in REPORTS
                for r in self._by_namespace[kind].get(name, {}).values()
                if isinstance(r, snapshot.Report)
            ),
        )


class Listing:
    """A complete list while it is read: what is taken in, and what has been seen."""

    def __init__(self, kept: Store, kind: Kind, namespace: str | None) -> None:
        self._kept = kept
        self._kind = kind
        self._namespace = namespace
        self._seen: set[Key] = set()
        self._touched: set[str] = set()
        # A namespace that comes while the list is read may not be in it.
        self._looked = kept.incarnations(namespace) if kind is Kind.EVERY_POD else {}
        self._lines = kept.unread.lines(kind.value)
        self._ordinary = {name: ordinary.Answer(accounts=kept.plain_accounts(name)) for name in self._looked}

    def page(self, bodies: Iterable[Body]) -> None:
        """Takes one page in. Nothing refers to its bodies afterwards; of ordinary pods the namespaces stay."""
        for body in bodies:
            if self._kind is Kind.EVERY_POD and not parse.host_namespaces(body):
                answer = self._ordinary.get(body["metadata"]["namespace"])
                if answer is not None and parse.runs_or_will(body):
                    answer.take(body)
                continue
            meta = body["metadata"]
            self._seen.add((meta.get("namespace", ""), meta["name"]))
            if self._kept.put(_STORED.get(self._kind, self._kind), body):
                self._touched.add(_namespace_of(self._kind, meta))

    def set_aside(self, meta: Mapping[str, Any], why: str) -> None:
        """Takes in an object of the list of which only the metadata could be read: of a Namespace that is enough."""
        if self._kind is Kind.NAMESPACE:
            self.page([{"metadata": meta}])
            return
        self._seen.add((meta.get("namespace", ""), meta["name"]))
        if self._kept.set_aside(self._kind, meta, why):
            self._touched.add(_namespace_of(self._kind, meta))

    def end(self, listed_version: str) -> set[str]:
        """After the last page: gives the namespaces that were not as the store had them."""
        version = int(listed_version)
        self._kept.unread.listed(self._kind.value, self._lines)
        touched = self._touched | self._kept.sweep(self._kind, self._seen, version, self._namespace)
        return touched | self._kept.ordinary_pods_listed(self._looked, self._ordinary, version)


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
    """Return what an object is for decisions that could not be read; None where the last version is better."""
    match kind:
        case Kind.POD:
            return snapshot.UnreadablePod(meta["namespace"], meta["name"], meta["uid"], why)
        case Kind.EXCEPTION:
            return parse.unreadable_exception(meta, why)
        case Kind.POLICY:  # one that is there and says nothing is not an absent one
            return parse.unreadable_policy(meta, why)
    return None


def _why_unreadable(parsed: _Parsed) -> str:
    match parsed:
        case snapshot.UnreadablePod() | snapshot.UnreadableException():
            return parsed.why
        case snapshot.PolicyObject():
            return parsed.mistake
    return ""


def _namespace_of(kind: Kind, meta: Mapping[str, Any]) -> str:
    return str(meta["name"] if kind is Kind.NAMESPACE else meta.get("namespace", ""))
