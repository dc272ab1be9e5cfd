"""Effects: what the operator is to do, as data. `act` carries them out; nothing in this module causes anything."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hostnetwork_operator.api import exception, labels, ledger, report
from hostnetwork_operator.decide import snapshot


class Action(enum.StrEnum):
    """The purpose of one write of a namespace: the label `action` of hostnetwork_namespace_writes_total."""

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
    """An Event. Two Events with the same `key` and message are the same Event: the operator never stores the second,
    not even after a restart.
    """

    regarding: snapshot.Reference
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    key: str


@dataclass(frozen=True, slots=True)
class RecordException:
    """A record of an exception that the ledger is to keep.

    `guard` is the identity of exception-writers that the record rests on. The operator reads that policy again first,
    and drops the record if the policy has another identity by now. With `reread` the operator reads the exception again
    too, which must have the generation of the record. With `young` the operator reads the namespace again, which must
    be the one of the record.
    """

    subject: snapshot.Reference
    record: ledger.ExceptionRecord
    guard: str = ""
    reread: bool = field(default=False, kw_only=True)
    young: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class RecordNamespace:
    """A record of a namespace that the ledger is to keep; None if it is to keep none.

    `guard` is the identity of namespace-labels that the record rests on, used as in RecordException.
    """

    namespace: snapshot.Namespace
    record: ledger.NamespaceRecord | None
    guard: str = ""


@dataclass(frozen=True, slots=True)
class WriteNamespace:
    """One merge patch of a Namespace's metadata; None removes a key.

    `versioned`: the write is valid only for the version of the namespace that was judged. A write that only revokes or
    tightens is valid for every version of this namespace: a tenant who patches without pause must not delay that write.

    `claims` are labels that are set already and that the operator relies on. The operator applies them first, because a
    patch that changes nothing owns nothing. After that a user who applies a manifest without labels removes none of
    them, since the operator owns them too.
    """

    namespace: snapshot.Namespace
    action: Action
    labels: Mapping[str, str | None]
    annotations: Mapping[str, str | None]
    events: tuple[EmitEvent, ...] = ()  # emitted after the write
    versioned: bool = field(default=True, kw_only=True)
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteVerdict:
    """The verdict label of a pod, through pods/status; None removes it."""

    pod: snapshot.Reference
    verdict: labels.Verdict | None
    events: tuple[EmitEvent, ...] = ()  # emitted before the write, so that a crash between the two loses nothing


@dataclass(frozen=True, slots=True)
class WriteExceptionStatus:
    """The status of an exception, written whatever version the exception has by now: observedGeneration says which
    generation was judged.
    """

    subject: snapshot.Reference
    status: exception.ExceptionStatus
    events: tuple[EmitEvent, ...] = ()  # emitted before the write, so that a crash between the two loses nothing


@dataclass(frozen=True, slots=True)
class DeletePod:
    """The deletion of an expired diagnostic pod.

    Before that, the operator reads the pod and its exceptions again and re-evaluates the pod. `job` is the Job that the
    pod names as its owner: the operator deletes it too, if it would create such pods again.
    """

    pod: snapshot.Reference
    grace_seconds: int
    events: tuple[EmitEvent, ...] = ()  # emitted after the deletion
    job: snapshot.Reference | None = None
    job_events: tuple[EmitEvent, ...] = ()  # emitted if the Job was deleted with the pod
    owner_events: tuple[EmitEvent, ...] = ()  # emitted after the deletion if the owner of the pod was not deleted


@dataclass(frozen=True, slots=True)
class WriteReport:
    """A report of this kind to write: over the report that has this uid or, if the uid is '', as a new object."""

    kind: report.ReportKind
    report: report.Report
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """A report of ours to delete, of either kind."""

    kind: report.ReportKind
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
