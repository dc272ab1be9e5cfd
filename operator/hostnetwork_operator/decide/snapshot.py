"""The input of a decision: one namespace, its pods and exceptions, the policy and the guards, frozen at one moment.

A snapshot has the host-namespace pods, and the pods that an exception for pods without host namespaces may cover. Of
ordinary pods it has only whether there are any. Nothing in this module decides anything.
"""

import bisect
import datetime
import enum
import itertools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from hostnetwork_operator.api import exception, grant, ledger, policy, report
from hostnetwork_operator.api import labels as names

# A new admission policy takes about a second to be in force (measured: 0.95 to 1.0 s); five are on the safe side.
SETTLE: Final = datetime.timedelta(seconds=5)
FOREVER: Final = datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC)  # no moment that ever comes
PATIENCE: Final = datetime.timedelta(seconds=60)  # for a controller to create its pods once an exception covers them
_MINOR_VERSION: Final = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to an object, as an Event or a precondition needs it."""

    kind: str
    namespace: str
    name: str
    uid: str
    api_version: str = "v1"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, reduced to what cannot change after its creation and to what the operator needs to handle the pod.

    `host_paths` are the hostPath volumes. A host path is `read_only` if every mount of the volume is read-only and the
    type of the volume creates nothing. `images` are the images of init, regular and ephemeral containers.
    `capabilities` are what the containers that are not privileged add. `host_ports`: whether a container uses a port of
    the node. `release` are the labels that say what the pod was installed with: a claim.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str = field(compare=False)
    created: datetime.datetime
    service_account: str
    host_namespaces: frozenset[names.HostNamespace]
    images: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    privileged: bool = field(default=False, kw_only=True)
    host_paths: frozenset[grant.HostPathAccess] = frozenset()
    host_ports: bool = field(default=False, kw_only=True)
    mirror: bool = field(default=False, kw_only=True)
    deleting: bool = field(default=False, kw_only=True)
    to_be_gone: datetime.datetime | None = None  # the end of its grace period, once it is being deleted
    node: str = ""
    owner: Reference | None = None
    verdict_label: str | None = None
    release: frozenset[str] = frozenset()

    @property
    def reference(self) -> Reference:
        return Reference("Pod", self.namespace, self.name, self.uid)

    @property
    def watched(self) -> bool:
        """Whether a watch reports the pod. There is a field selector for hostNetwork, and none for hostPID or
        hostIPC.
        """
        return names.HostNamespace.NETWORK in self.host_namespaces


# The pods of one template differ in these fields alone, and no verdict depends on them but by `created`.
OWN_FIELDS: Final = frozenset({"name", "uid", "resource_version", "created", "to_be_gone", "node"})
_COMMON: Final[Callable[[Pod], tuple[object, ...]]] = operator.attrgetter(
    *(each.name for each in fields(Pod) if each.name not in OWN_FIELDS | {"deleting"})
)
# The order of pods in a group.
ORDER: Final[Callable[[Pod], tuple[str, str]]] = operator.attrgetter("name", "uid")


def traits(pod: Pod) -> tuple[object, ...]:
    """Return everything that a decision about a pod depends on, except its age. Pods with equal traits are alike."""
    return (*kind(pod), pod.deleting)


def kind(pod: Pod) -> tuple[object, ...]:
    """Return everything that the verdict on a pod and its label depend on, except its age."""
    # Static pods are judged alike on one node only: their verdict names the node.
    return (*_COMMON(pod), pod.node) if pod.mirror else _COMMON(pod)


class AlikePods:
    """Pods of one namespace that are alike, at least one, in the order of their names. `oldest` and `newest` are the
    creation times of the oldest and of the newest.

    A decision looks at the first pod, and counts the others. So its cost does not depend on their number.
    """

    __slots__ = ("_count", "_runs", "newest", "oldest")

    def __init__(
        self, runs: tuple[tuple[Pod, ...], ...], count: int, oldest: datetime.datetime, newest: datetime.datetime
    ) -> None:
        self._runs = runs  # the pods in order, in tuples of limited length
        self._count = count
        self.oldest = oldest
        self.newest = newest

    @classmethod
    def of(cls, pods: Iterable[Pod]) -> "AlikePods":
        """Return pods that are alike as such, in any order."""
        ordered = tuple(sorted(pods, key=ORDER))
        created = [pod.created for pod in ordered]
        return cls((ordered,), len(ordered), min(created), max(created))

    @property
    def first(self) -> Pod:
        return self._runs[0][0]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Pod]:
        return itertools.chain.from_iterable(self._runs)

    def __repr__(self) -> str:
        return f"AlikePods.of({list(self)!r})"

    def between(self, moments: Iterable[datetime.datetime]) -> tuple["AlikePods", ...]:
        """Return these pods cut at the moments: two pods stay together if each moment is before or after both."""
        cuts = sorted(moment for moment in set(moments) if self.oldest < moment <= self.newest)
        if not cuts:
            return (self,)
        parts: dict[int, list[Pod]] = {}
        for pod in self:
            parts.setdefault(bisect.bisect_right(cuts, pod.created), []).append(pod)
        return tuple(AlikePods.of(parts[position]) for position in sorted(parts))


class PodSet:
    """Pods of one namespace, in groups of alike pods. `groups` are in the order of their first pods."""

    __slots__ = ("groups",)

    def __init__(self, groups: Iterable[AlikePods] = ()) -> None:
        self.groups = tuple(sorted(groups, key=lambda group: ORDER(group.first)))

    @classmethod
    def of(cls, pods: Iterable[Pod]) -> "PodSet":
        """Return these pods in groups."""
        groups: dict[tuple[object, ...], list[Pod]] = {}
        for pod in pods:
            groups.setdefault(traits(pod), []).append(pod)
        return cls(map(AlikePods.of, groups.values()))

    def __iter__(self) -> Iterator[Pod]:
        """Iterate over all pods, in the order of their names."""
        return iter(sorted((pod for group in self.groups for pod in group), key=ORDER))

    def __len__(self) -> int:
        return sum(map(len, self.groups))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, PodSet) and list(self) == list(other))

    def __hash__(self) -> int:
        return hash(len(self))

    def __repr__(self) -> str:
        return f"PodSet.of({list(self)!r})"


NO_PODS: Final = PodSet()


@dataclass(frozen=True, slots=True)
class UnreadablePod:
    """A pod that the operator cannot interpret: its verdict is Unknown, and the operator does nothing to it."""

    namespace: str
    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class UnreadableException:
    """An exception object that the operator cannot interpret. `generation` is 0 if that is not known either."""

    namespace: str
    name: str
    uid: str
    why: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Namespace:
    """A Namespace object. Everything in its labels and annotations may be a claim of a tenant (ADR 0026)."""

    name: str
    uid: str
    created: datetime.datetime
    resource_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    terminating: bool = field(default=False, kw_only=True)

    @property
    def reference(self) -> Reference:
        # The namespace of the reference is the name of the Namespace itself, so that people find its Events there.
        return Reference("Namespace", self.name, self.name, self.uid)

    @property
    def enforcement(self) -> names.Enforcement | None:
        value = self.labels.get(names.ENFORCEMENT)
        return names.Enforcement(value) if value in set(names.Enforcement) else None

    @property
    def grants(self) -> dict[str, str]:
        """The grant lines that are written on the namespace, by exception name."""
        prefix = names.GRANT_PREFIX
        return {key.removeprefix(prefix): line for key, line in self.annotations.items() if key.startswith(prefix)}

    def room(self, *keys: str) -> int:
        """Return how many bytes the named annotations may have, beside all other annotations, before the API server
        refuses the write.
        """
        used = sum(len(k.encode()) + len(v.encode()) for k, v in self.annotations.items() if k not in keys)
        return names.ANNOTATION_BYTES - used


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """The policy named `default` as it is stored: its spec, or what is wrong with that spec."""

    uid: str
    created: datetime.datetime
    resource_version: str
    generation: int
    status: policy.PolicyStatus
    spec: policy.PolicySpec | None
    mistake: str = ""


class Existence(enum.Enum):
    """How the operator knows a policy, or why it has none."""

    PRESENT = enum.auto()
    ABSENT = enum.auto()  # policies were listed, and none is named `default`
    UNKNOWN = enum.auto()  # policies could not be listed, or no valid one was ever read


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy that the operator acts on: the last good one if the present object is broken.

    `created` is the creationTimestamp of the object that `spec` was read from.
    """

    existence: Existence
    spec: policy.PolicySpec | None = None
    created: datetime.datetime | None = None

    def trusts(self, created: datetime.datetime) -> bool:
        """Return whether spec.exceptions.trustAtInstall vouches for an object that was created at `created`."""
        if self.spec is None or self.created is None:
            return False
        within = self.spec.exceptions.trust_at_install
        return within is not None and abs(created - self.created) <= within


@dataclass(frozen=True, slots=True, order=True)
class MinorVersion:
    """A minor version of Kubernetes, such as 1.36."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> "MinorVersion":
        """Return the minor version in a text such as `1.36`, `v1.36.2` or `1.36+`. Raise ValueError for any other text.

        What a vendor adds after the minor version is ignored.
        """
        match = _MINOR_VERSION.match(text)
        if match is None:
            raise ValueError("a version must begin with a major and a minor version, such as 1.36")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def tested(self) -> bool:
        """Whether this operator is tested with this version."""
        return OLDEST_TESTED <= self <= NEWEST_TESTED


# The tests run on every minor version from the first to the second (tests/controlplane/binary.py).
OLDEST_TESTED: Final = MinorVersion(1, 33)
NEWEST_TESTED: Final = MinorVersion(1, 37)


@dataclass(frozen=True, slots=True)
class ApiServer:
    """One API server of the cluster: its address (host:port), its version, and whether it has the seal.

    `version` and `sealed` are None if the API server does not tell; `trouble` says why.
    """

    address: str
    version: MinorVersion | None = None
    sealed: bool | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ApiServers:
    """All API servers of the cluster, by address. If their addresses are not known, `trouble` says why."""

    servers: tuple[ApiServer, ...] = ()
    trouble: str = "the operator has not asked the API servers yet"

    @property
    def versions(self) -> tuple[MinorVersion, ...]:
        """The versions of the API servers that tell, each once, the oldest first."""
        return tuple(sorted({server.version for server in self.servers if server.version is not None}))


@dataclass(frozen=True, slots=True)
class Guard:
    """An admission policy of ours: since when it is in place, as shipped and bound to deny, or why it is not in place.

    If the policy has expressions that we do not know, it may be half of an upgrade until `excused`: until then nothing
    new rests on it, and existing grants stay. `identity` is a digest of the uids and generations of the policy and its
    binding, so that any change leads to another identity, also a change that was reverted.
    """

    name: str
    since: datetime.datetime | None
    why_not: str = ""
    excused: datetime.datetime | None = None
    identity: str = ""

    @property
    def settled(self) -> datetime.datetime | None:
        """The moment from which the guard counts; None if it is not in place."""
        return None if self.since is None else self.since + SETTLE

    def counts(self, now: datetime.datetime) -> bool:
        """Return whether the guard has been in place long enough to be in force on every API server."""
        return self.settled is not None and now >= self.settled

    def missing(self, now: datetime.datetime) -> bool:
        """Return whether what already rests on the guard must end. Return False also for a guard that is in place and
        does not count yet.
        """
        return self.since is None and (self.excused is None or now >= self.excused)


@dataclass(frozen=True, slots=True)
class Living:
    """A template of a workload, or a pod, that exists in a namespace; `pod` is what the operator can read of either.

    `body` is a pod as it would be created again, without what differs between the pods of one template. `identity` is
    the uid of the workload, and `created` is the creation of the workload. A pod may belong to no workload that the
    operator reads, whatever owner the pod names: then `identity` is the same for all identical pods, and `created` is
    the creation of the pod.
    """

    kind: str
    name: str
    identity: str
    created: datetime.datetime
    pod: Pod | UnreadablePod
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """Whether a service account existed when the operator `asked` for it; None if that could not be told."""

    exists: bool | None = field(kw_only=True)
    asked: datetime.datetime


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What enforcement at `level` would refuse, as checked at `asked`. The answer is clean if it has no holders and did
    not fail.

    `holders` are what keeps the namespace Held, a sentence each. `failed` is why there is no answer, which keeps the
    namespace Held too. `excepted` are the exceptions that were counted. `answers` has the answer of Pod Security
    Admission to each question, so that the operator does not ask the same question again. `holding` are the holders as
    the ledger keeps them, and `basis` says what they were judged by; `basis` is '' if the holders are too many to keep.
    """

    level: names.Level
    asked: datetime.datetime
    holders: tuple[str, ...] = ()
    failed: str = ""
    excepted: frozenset[str] = frozenset()
    answers: Mapping[str, str] = field(default_factory=dict)
    holding: tuple[str, ...] = ()
    basis: str = ""

    @property
    def clean(self) -> bool:
        return not self.holders and not self.failed


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report of ours as it is stored, of either kind; `digest` covers everything that the operator writes in it."""

    kind: report.ReportKind
    name: str
    uid: str
    owner_kind: str
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """What this process has written on a namespace, and what became of that; kept in memory only.

    `wrote` has the last value written, by key of label or annotation; None if the key was removed. `uncounted` are the
    keys whose change by somebody else would be a revert that is not counted yet. `reverts` are the times of the last
    two reverts, and `written` is the time of the last write. `enforced`: whether enforcement was on when the namespace
    was last planned. `conflicts`: how many writes in a row were refused because the namespace had changed since it was
    judged.
    """

    wrote: Mapping[str, str | None] = field(default_factory=dict)
    uncounted: frozenset[str] = frozenset()
    reverts: tuple[datetime.datetime, ...] = ()
    written: datetime.datetime | None = None
    enforced: bool = field(default=False, kw_only=True)
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class LastWrite:
    """What this process wrote last about an exception or a report, without its numbers, and when; kept in memory only
    (decide/gathering).
    """

    at: datetime.datetime
    gist: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the ledger says about one namespace and, by uid, about its exceptions.

    `trouble` is why records cannot be written at this time, or ''. Without a record nothing new is granted. `coming`
    are the records of the namespace that are being stored, in the order of storing.
    """

    state: ledger.State = ledger.State.INTACT
    trouble: str = ""
    namespace: ledger.NamespaceRecord | None = None
    coming: tuple[ledger.NamespaceRecord | None, ...] = ()
    exceptions: Mapping[str, ledger.ExceptionRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """The state of the whole ledger. `trouble` is why the ledger cannot be read or written at this time, or ''."""

    state: ledger.State
    trouble: str
    counts: policy.LedgerCounts

    @property
    def intact(self) -> bool:
        """Whether nothing is lost or unreadable, everything can be recorded, and no grant stays without proof."""
        fine = {ledger.State.INTACT, ledger.State.SEEDING}
        return self.state in fine and not self.trouble and not self.counts.unproven


@dataclass(frozen=True, slots=True)
class Shortage:
    """A workload that had fewer pods than it wants when it was read, and whose controller reports refusals.

    `top` is the controller of the workload, or the workload itself. `pod` is a pod as the template defines it.
    `covered` is since when an exception is known to cover such pods. `emitted` says when each Event about the workload
    was emitted, by the key of the Event.
    """

    workload: Reference
    top: Reference
    pod: Pod
    present: int
    wanted: int
    read: datetime.datetime
    covered: datetime.datetime | None = None
    emitted: Mapping[str, datetime.datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NamespaceSnapshot:
    """Everything that the plan for one namespace depends on, besides the time."""

    namespace: Namespace
    pods: PodSet
    exceptions: tuple[exception.HostNetworkException, ...]
    policy: PolicyState
    guards: Mapping[str, Guard]
    unreadable_pods: tuple[UnreadablePod, ...] = ()
    unreadable_exceptions: tuple[UnreadableException, ...] = ()
    # False: the API server has not served this kind for a while, so only the ledger has the exceptions.
    exceptions_served: bool = field(default=True, kw_only=True)
    gate: GateAnswer | None = None
    every_pod_listed: datetime.datetime | None = (
        None  # when all pods were last listed, also those that no watch reports
    )
    # False: the operator has just started, and has not listed the pods yet that no watch reports.
    pods_complete: bool = field(default=True, kw_only=True)
    # Whether the last list of all pods had ordinary pods; None: not listed yet.
    ordinary_pods: bool | None = field(default=None, kw_only=True)
    # The `release` of each ordinary pod, without repetition; empty if there are too many to keep.
    ordinary_releases: frozenset[frozenset[str]] = frozenset()
    # The pods without host namespaces that need an exception, of the service accounts in `plain_accounts`, as of the
    # last list of all pods.
    plain_pods: PodSet = NO_PODS
    plain_accounts: frozenset[str] = frozenset()
    accounts: Mapping[str, Account] = field(default_factory=dict)  # by name: those that the operator asked for
    clock_trusted: bool = field(default=True, kw_only=True)
    record: Record = field(default_factory=Record)
    ledger: LedgerView = field(default_factory=LedgerView)
    kubernetes: MinorVersion | None = None  # the version of the cluster; None before the operator has asked for it
    oldest_kubernetes: MinorVersion | None = None  # the version of the oldest API server, which differs in an upgrade
    report_kind: report.ReportKind | None = (
        None  # the kind to write; None if none is served, or if that could not be told
    )
    reports: tuple[StoredReport, ...] = ()
    written: Mapping[str, LastWrite] = field(default_factory=dict)  # by uid of the exception or name of the report
    # By the ReplicaSet or Job that a pod names as its owner: the controller of that object, the object itself if it has
    # no controller, None if the object does not exist.
    tops: Mapping[Reference, Reference | None] = field(default_factory=dict)
    shortages: tuple[Shortage, ...] | None = ()  # None: not known yet, because the operator has just started
    shortages_complete: bool = True  # False: more workloads may lack pods, because not all Events were listed
    # How long a controller may take to create pods after an exception covers them.
    patience: datetime.timedelta = PATIENCE
