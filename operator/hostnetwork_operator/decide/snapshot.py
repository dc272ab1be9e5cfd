"""What a decision sees: one namespace, its pods and exceptions, the policy and the guards, frozen at one moment.

Host-namespace pods are in here, and pods that an exception for pods without host namespaces may cover; of ordinary
pods, whether there are any. Nothing in this module decides anything.
"""

import datetime
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hostnetwork_operator.api import exception, grant, ledger, policy, report
from hostnetwork_operator.api import labels as names

# A new policy takes about a second to be in force (measured: 0.95 to 1.0 s); five are on the safe side.
SETTLE: Final = datetime.timedelta(seconds=5)
FOREVER: Final = datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC)  # no moment that ever comes
PATIENCE: Final = datetime.timedelta(seconds=60)  # with a controller that may create its pods now
_MINOR_VERSION: Final = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")


@dataclass(frozen=True, slots=True)
class Reference:
    """An object, as an Event or a precondition names it."""

    kind: str
    namespace: str
    name: str
    uid: str
    api_version: str = "v1"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, reduced to what cannot change after its creation and what its handling needs.

    `host_paths` are the hostPath volumes; `read_only` where every mount of the volume is, and its type writes nothing.
    `images` are those of init, regular and ephemeral containers. `capabilities` are those that containers which are not
    privileged add. `host_ports`: whether a container takes a port of the node. `release` are the labels that say what
    the pod was installed with: a claim.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    created: datetime.datetime
    service_account: str
    host_namespaces: frozenset[names.HostNamespace]
    images: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    privileged: bool = False
    host_paths: frozenset[grant.HostPath] = frozenset()
    host_ports: bool = False
    mirror: bool = False
    deleting: bool = False
    to_be_gone: datetime.datetime | None = None  # the end of its grace
    node: str = ""
    owner: Reference | None = None
    verdict_label: str | None = None
    release: frozenset[str] = frozenset()

    @property
    def reference(self) -> Reference:
        return Reference("Pod", self.namespace, self.name, self.uid)

    @property
    def watched(self) -> bool:
        """Whether a watch tells of it. There is a field selector for hostNetwork, and none for hostPID and hostIPC."""
        return names.HostNamespace.NETWORK in self.host_namespaces


@dataclass(frozen=True, slots=True)
class UnreadablePod:
    """A pod that could not be understood: its verdict is Unknown, and nothing is done to it."""

    namespace: str
    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class UnreadableException:
    """An exception object that cannot be understood. `generation` is 0 where not even that is known."""

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
    terminating: bool = False

    @property
    def reference(self) -> Reference:
        # With its own name as namespace, so that the Event is found among the namespace's events.
        return Reference("Namespace", self.name, self.name, self.uid)

    @property
    def enforcement(self) -> names.Enforcement | None:
        value = self.labels.get(names.ENFORCEMENT)
        return names.Enforcement(value) if value in set(names.Enforcement) else None

    @property
    def grants(self) -> dict[str, str]:
        """Exception name to grant line, as they stand on the namespace."""
        prefix = names.GRANT_PREFIX
        return {key.removeprefix(prefix): line for key, line in self.annotations.items() if key.startswith(prefix)}

    def room(self, *keys: str) -> int:
        """Bytes that the annotations named may take, beside all others, before the API server refuses the write."""
        taken = sum(len(k.encode()) + len(v.encode()) for k, v in self.annotations.items() if k not in keys)
        return names.ANNOTATION_BYTES - taken


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """The policy named `default` as it is stored: its spec, or what is wrong with it."""

    uid: str
    created: datetime.datetime
    resource_version: str
    generation: int
    status: policy.PolicyStatus
    spec: policy.PolicySpec | None
    mistake: str = ""


class Known(enum.Enum):
    """How the operator knows a policy, or why it has none."""

    PRESENT = enum.auto()
    ABSENT = enum.auto()  # listed, and there is none named `default`
    UNKNOWN = enum.auto()  # could not be listed, or never read as a valid one


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy that is acted on: the last good one where the present object is broken.

    `created` is the creationTimestamp of the object that `spec` was read from.
    """

    known: Known
    spec: policy.PolicySpec | None = None
    created: datetime.datetime | None = None

    def trusts(self, created: datetime.datetime) -> bool:
        """Whether spec.exceptions.trustAtInstall vouches for an object that was created then."""
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
        """Return that of a text such as `1.36`, `v1.36.2` or `1.36+`. Raise ValueError for any other text.

        What a vendor puts behind the minor version is left out.
        """
        found = _MINOR_VERSION.match(text)
        if found is None:
            raise ValueError("a version must begin with a major and a minor version, such as 1.36")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Guard:
    """An admission policy of ours: as we ship it and bound to deny since when, or why it is not in place.

    `excused` is until when one that says what we do not know may be half of an upgrade: nothing new rests on it, what
    stands stays. `identity` is of the policy and its binding as they are now: their uids and generations, so that it is
    another one after any change, also one that was taken back.
    """

    name: str
    since: datetime.datetime | None
    why_not: str = ""
    excused: datetime.datetime | None = None
    identity: str = ""

    @property
    def settled(self) -> datetime.datetime | None:
        """From when it counts."""
        return None if self.since is None else self.since + SETTLE

    def counts(self, now: datetime.datetime) -> bool:
        """Whether it is in place and old enough to be in force on every API server."""
        return self.settled is not None and now >= self.settled

    def missing(self, now: datetime.datetime) -> bool:
        """Whether what rests on it already is to end; False also for one that is there and does not count yet."""
        return self.since is None and (self.excused is None or now >= self.excused)


@dataclass(frozen=True, slots=True)
class Living:
    """What lives in a namespace: a workload's template, or a pod; `pod` is what can be read of it.

    `body` is a pod as it would be made anew, without what differs from one pod of a template to the next. `identity`
    is the uid of the workload, and `created` since when that is there. Of a pod of no workload that is read, whatever
    it names as its owner, `identity` is the same for all that are just like it, and `created` is its own.
    """

    kind: str
    name: str
    identity: str
    created: datetime.datetime
    pod: Pod | UnreadablePod
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """Whether there was a service account of that name when it was `asked` for; None: nobody can tell."""

    exists: bool | None
    asked: datetime.datetime


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What would be refused if enforcement at `level` were on, looked at `asked`; no holders and not failed is clean.

    `failed` holds why there is no answer: that holds too. `excepted` are the exceptions that were counted, and `known`
    what Pod Security Admission said to each question, so that the same is not asked again. `holding` are the holders as
    the ledger keeps them, and `basis` says what they were judged by; '' where they are too many to be kept.
    """

    level: names.Level
    asked: datetime.datetime
    holders: tuple[str, ...] = ()
    failed: str = ""
    excepted: frozenset[str] = frozenset()
    known: Mapping[str, str] = field(default_factory=dict)
    holding: tuple[str, ...] = ()
    basis: str = ""

    @property
    def clean(self) -> bool:
        return not self.holders and not self.failed


@dataclass(frozen=True, slots=True)
class Report:
    """A report of ours as it stands, of either kind; `digest` is of all that we write in it."""

    kind: report.Kind
    name: str
    uid: str
    owner_kind: str
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """What this process has written on a namespace, and what became of it; it is kept in memory only.

    `wrote`: the last value by key of label or annotation, None where it was removed. `uncounted`: the keys of which
    another value now is a revert that was not counted yet. `reverts`: when the last two were. `written`: when last.
    `enforced`: whether enforcement was on when the namespace was last looked at. `conflicts`: how many writes in a row
    were refused because the namespace had changed since it was judged.
    """

    wrote: Mapping[str, str | None] = field(default_factory=dict)
    uncounted: frozenset[str] = frozenset()
    reverts: tuple[datetime.datetime, ...] = ()
    written: datetime.datetime | None = None
    enforced: bool = False
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says about one namespace and, by uid, its exceptions.

    `trouble` is why records cannot be written at this time, or ''. Without a record nothing new is granted. `coming`
    are the records of the namespace that are being stored, in this order.
    """

    state: ledger.State = ledger.State.INTACT
    trouble: str = ""
    namespace: ledger.NamespaceRecord | None = None
    coming: tuple[ledger.NamespaceRecord | None, ...] = ()
    exceptions: Mapping[str, ledger.ExceptionRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """How the whole ledger stands. `trouble` is why it cannot be read or written at this time, or ''."""

    state: ledger.State
    trouble: str
    counts: policy.LedgerCounts

    @property
    def intact(self) -> bool:
        """Nothing is lost or unreadable, everything can be recorded, and no grant stays without proof."""
        fine = {ledger.State.INTACT, ledger.State.SEEDING}
        return self.state in fine and not self.trouble and not self.counts.unproven


@dataclass(frozen=True, slots=True)
class Shortage:
    """A workload that had fewer pods than it wants when it was read, and whose controller is said to be refused.

    `top` is the controller of the workload, or the workload. `pod` is what the template makes. `covered` is since when
    an exception is known to cover such pods, `emitted` when which Event about it was emitted, by its key.
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
    pods: tuple[Pod, ...]
    exceptions: tuple[exception.HostNetworkException, ...]
    policy: PolicyState
    guards: Mapping[str, Guard]
    unreadable_pods: tuple[UnreadablePod, ...] = ()
    unreadable_exceptions: tuple[UnreadableException, ...] = ()
    exceptions_served: bool = True  # False: the API server has not had this kind for a while, so only the ledger tells
    gate: GateAnswer | None = None
    every_pod_listed: datetime.datetime | None = None  # when those that no watch tells of were last looked for
    ordinary_pods: bool | None = None  # whether some lived there when all were last listed; None: not listed yet
    # The `release` of those, each once; none where they are too many to be kept.
    ordinary_releases: frozenset[frozenset[str]] = frozenset()
    # The pods without host namespaces of these service accounts that need an exception, when all were last listed.
    plain_pods: tuple[Pod, ...] = ()
    plain_accounts: frozenset[str] = frozenset()
    accounts: Mapping[str, Account] = field(default_factory=dict)  # by name, of those that were asked for
    clock_trusted: bool = True
    record: Record = field(default_factory=Record)
    ledger: Ledger = field(default_factory=Ledger)
    kubernetes: MinorVersion | None = None  # the cluster's, None while it was not asked
    report_kind: report.Kind | None = None  # which is written; None: none is served, or that could not be told
    reports: tuple[Report, ...] = ()
    # Of a ReplicaSet or Job that a pod names as its owner: whose that is, itself if nobody's, None if there is none.
    tops: Mapping[Reference, Reference | None] = field(default_factory=dict)
    shortages: tuple[Shortage, ...] | None = ()  # None: not known yet, since the operator has only started
    # How long a controller may take to create pods after an exception covers them.
    patience: datetime.timedelta = PATIENCE
