"""What is to be done, as data. `act` carries these out; nothing in here does anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hostnetwork_operator.api import exception, labels, report
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
    """An Event. Two with the same `key` are one: the second is never stored, whoever asks, also after a restart."""

    regarding: snapshot.Reference
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    key: str


@dataclass(frozen=True, slots=True)
class WriteNamespace:
    """One merge patch of a Namespace's metadata; None removes a key. Valid only for the version that was judged."""

    namespace: snapshot.Namespace
    action: str
    labels: Mapping[str, str | None]
    annotations: Mapping[str, str | None]
    told: tuple[EmitEvent, ...] = ()  # once it is done


@dataclass(frozen=True, slots=True)
class WriteVerdict:
    """The verdict label of a pod, through pods/status; None removes it."""

    pod: snapshot.Reference
    verdict: labels.Verdict | None
    told: tuple[EmitEvent, ...] = ()  # before it, so that a crash between loses nothing


@dataclass(frozen=True, slots=True)
class WriteExceptionStatus:
    """The status of an exception, for the version that was judged."""

    subject: snapshot.Reference
    resource_version: str
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


Effect = WriteNamespace | WriteVerdict | WriteExceptionStatus | EmitEvent | DeletePod | WriteReport | DeleteReport
