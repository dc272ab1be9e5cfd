"""What is to be done, as data. `act` carries these out; nothing in here does anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hostnetwork_operator.api import exception, labels, ledger, report
from hostnetwork_operator.decide import snapshot


class Action:
    """What one write of a namespace is for: the `action` label of hostnetwork_namespace_writes_total."""

    REVOKE = "revoke"
    RESTORE = "restore"
    GRANT = "grant"
    RELAX = "relax"
    ENFORCE = "enforce"
    HOLD = "hold"
    AUDIT = "audit"
    REPAIR = "repair"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """An Event. Two with the same `key` and message are one: the second is never stored, whoever asks, also after a
    restart.
    """

    regarding: snapshot.Reference
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    key: str


@dataclass(frozen=True, slots=True)
class RecordException:
    """Have the ledger keep this record of an exception.

    `guard` is the identity of exception-writers that the record rests on: the policy is read again first, and the
    record is dropped where it is another one by now. With `reread` the exception is read again too, and must have this
    generation. With `young` the namespace is, and must be the record's.
    """

    subject: snapshot.Reference
    record: ledger.ExceptionRecord
    guard: str = ""
    reread: bool = False
    young: bool = False


@dataclass(frozen=True, slots=True)
class RecordNamespace:
    """Have the ledger keep this record of a namespace; None: none. `guard` is as above, of namespace-labels."""

    namespace: snapshot.Namespace
    record: ledger.NamespaceRecord | None
    guard: str = ""


@dataclass(frozen=True, slots=True)
class WriteNamespace:
    """One merge patch of a Namespace's metadata; None removes a key.

    `versioned`: valid only for the version that was judged. A write that only takes away or tightens is valid for
    every version of this namespace: a tenant who patches without pause must not hold it up.

    `claims` are labels that stand already and that the operator relies on. A patch that changes nothing owns nothing,
    so they are applied first: whoever applies a manifest without labels takes none that somebody else owns.
    """

    namespace: snapshot.Namespace
    action: str
    labels: Mapping[str, str | None]
    annotations: Mapping[str, str | None]
    told: tuple[EmitEvent, ...] = ()  # once it is done
    versioned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteVerdict:
    """The verdict label of a pod, through pods/status; None removes it."""

    pod: snapshot.Reference
    verdict: labels.Verdict | None
    told: tuple[EmitEvent, ...] = ()  # before it, so that a crash between loses nothing


@dataclass(frozen=True, slots=True)
class WriteExceptionStatus:
    """The status of an exception, whatever version it has by now: observedGeneration says what was judged."""

    subject: snapshot.Reference
    status: exception.ExceptionStatus
    told: tuple[EmitEvent, ...] = ()  # before it, so that a crash between loses nothing


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete an expired diagnostic pod, after both were read again and judged again; and the Job that it claims as its
    own, if that would make such pods again.
    """

    pod: snapshot.Reference
    grace_seconds: int
    told: tuple[EmitEvent, ...] = ()  # once it is done
    job: snapshot.Reference | None = None
    told_of_job: tuple[EmitEvent, ...] = ()  # once the Job has gone with it
    told_of_owner: tuple[EmitEvent, ...] = ()  # once it is done, and whatever owns it has stayed


@dataclass(frozen=True, slots=True)
class WriteReport:
    """A report of this kind, over the one that has this uid or, where it is '', as a new object."""

    kind: report.Kind
    report: report.Report
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """A report of ours, of either kind."""

    kind: report.Kind
    subject: snapshot.Reference


Effect = (
    RecordException
    | RecordNamespace
    | WriteNamespace
    | WriteVerdict
    | WriteExceptionStatus
    | EmitEvent
    | DeletePod
    | WriteReport
    | DeleteReport
)
