"""Status conditions by the Kubernetes API conventions: their types and reasons, and how a condition is set."""

import datetime
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from hostnetwork_operator.api import fields, plaintext


class ConditionType(enum.StrEnum):
    READY = "Ready"
    IN_USE = "InUse"
    CLEANED_UP = "CleanedUp"
    EXPIRING = "Expiring"
    REVIEW_DUE = "ReviewDue"
    CONTESTED = "Contested"  # of the policy: whether another client undoes what the operator writes on a namespace
    CLOCK_SYNCHRONIZED = "ClockSynchronized"  # of the policy: whether the operator is certain about the time
    GUARDED = "Guarded"  # of the policy: whether the admission policies are in place
    KUBERNETES_TESTED = "KubernetesTested"  # of the policy: whether the operator is tested with the API servers
    SEALED = "Sealed"  # of the policy: whether the API servers refuse changes of the admission policies
    LEDGER_INTACT = "LedgerIntact"  # of the policy: whether the ledger has every record, and can be written


class Ready(enum.StrEnum):
    """Reasons of an exception's condition Ready. Only Active and ApprovalUnproven come with status True."""

    ACTIVE = "Active"
    APPROVAL_UNPROVEN = "ApprovalUnproven"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    NOT_APPROVED = "NotApproved"
    GUARD_MISSING = "GuardMissing"
    GRANT_TOO_LARGE = "GrantTooLarge"
    TOO_MANY = "TooMany"
    LEVEL_OWNED_BY_OTHER = "LevelOwnedByOther"
    CONTESTED = "Contested"
    NO_POLICY = "NoPolicy"
    NOT_RECORDED = "NotRecorded"


class InUse(enum.StrEnum):
    """Reasons of an exception's condition InUse. Only PodsCovered and TooWide come with status True."""

    PODS_COVERED = "PodsCovered"
    TOO_WIDE = "TooWide"
    NO_PODS = "NoPods"
    UNUSED = "Unused"
    SERVICE_ACCOUNT_MISSING = "ServiceAccountMissing"
    NO_HOST_PODS = "NoHostPods"
    IMAGES_DIFFER = "ImagesDiffer"
    PODS_DIFFER = "PodsDiffer"
    COVERED_BY_ANOTHER = "CoveredByAnother"


class Expiring(enum.StrEnum):
    """Reasons of an exception's condition Expiring. Only EndsSoon comes with status True."""

    ENDS_SOON = "EndsSoon"
    NOT_SOON = "NotSoon"
    ENDED = "Ended"


class ReviewDue(enum.StrEnum):
    """Reasons of an exception's condition ReviewDue. Only Overdue comes with status True."""

    OVERDUE = "Overdue"
    REVIEWED = "Reviewed"
    VERSION_NOT_SAID = "VersionNotSaid"
    ENDED = "Ended"


class CleanedUp(enum.StrEnum):
    """Reasons of an exception's condition CleanedUp. Only NoPods comes with status True."""

    NO_PODS = "NoPods"
    DELETING = "Deleting"
    DELETION_PENDING = "DeletionPending"
    REPORTED = "Reported"
    CLOCK_UNSURE = "ClockUnsure"
    NOT_ENFORCED = "NotEnforced"


class PolicyReady(enum.StrEnum):
    """Reasons of the policy's condition Ready. Only Accepted comes with status True."""

    ACCEPTED = "Accepted"
    BROKEN = "Broken"


class Guarded(enum.StrEnum):
    """Reasons of the policy's condition Guarded. Intact comes with status True, Changing with Unknown."""

    INTACT = "Intact"
    CHANGING = "Changing"
    GUARD_MISSING = "GuardMissing"


class Contested(enum.StrEnum):
    """Reasons of the policy's condition Contested. Only LabelsReverted comes with status True."""

    UNCONTESTED = "Uncontested"
    LABELS_REVERTED = "LabelsReverted"


class ClockSynchronized(enum.StrEnum):
    """Reasons of the policy's condition ClockSynchronized. Only Agrees comes with status True."""

    AGREES = "Agrees"
    SKEWED = "Skewed"
    SPREAD = "Spread"


class KubernetesTested(enum.StrEnum):
    """Reasons of the policy's condition KubernetesTested. Only the first comes with status True."""

    TESTED = "KubernetesTested"
    NOT_TESTED = "KubernetesNotTested"
    VERSIONS_DIFFER = "KubernetesVersionsDiffer"


class Sealed(enum.StrEnum):
    """Reasons of the policy's condition Sealed. Sealed comes with status True, SealUnknown with Unknown."""

    SEALED = "Sealed"
    NOT_SEALED = "NotSealed"
    PARTLY_SEALED = "PartlySealed"
    UNKNOWN = "SealUnknown"


class LedgerIntact(enum.StrEnum):
    """Reasons of the policy's condition LedgerIntact. Only Recorded comes with status True."""

    RECORDED = "Recorded"
    LOST = "LedgerLost"
    UNREADABLE = "LedgerUnreadable"
    UNWRITABLE = "LedgerUnwritable"
    UNPROVEN = "GrantsUnproven"


Word = Literal["True", "False", "Unknown"]


class Condition(fields.Model):
    """Condition is one observation about an object, in the standard form of Kubernetes."""

    type: str = Field(max_length=316, description="type is the type of the condition in CamelCase.")
    status: Word = Field(description="status is the status of the condition: True, False or Unknown.")
    observed_generation: int = Field(
        0, ge=0, description="observedGeneration is the metadata.generation that the condition is based on."
    )
    last_transition_time: fields.Time = Field(
        description="lastTransitionTime is the time at which the status last changed."
    )
    reason: str = Field(max_length=1024, description="reason is the reason for the status, as one CamelCase word.")
    message: str = Field(max_length=32768, description="message is a sentence for people that explains the status.")


@dataclass(frozen=True, slots=True)
class Observation:
    """The content of a condition, without its transition time and the generation of the object."""

    type: ConditionType
    status: Word
    reason: str
    message: str


def word(true: bool) -> Word:  # noqa: FBT001 - what it converts
    """Return the status of a condition that is known to be true or false."""
    return "True" if true else "False"


def observe(
    conditions: tuple[Condition, ...], observed: Iterable[Observation], generation: int, now: datetime.datetime
) -> tuple[Condition, ...]:
    """Return `conditions` updated with what was observed at `now` about this generation of the object."""
    for observation in observed:
        new = Condition(
            type=observation.type.value,
            status=observation.status,
            observed_generation=generation,
            last_transition_time=now.replace(microsecond=0),
            reason=str(observation.reason),
            message=observation.message,
        )
        conditions = set_condition(conditions, new)
    return conditions


def set_condition(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """Return `conditions` with `new` in the place of the condition of its type.

    The transition time changes only if the status changes.
    """
    new = new.model_copy(update={"message": plaintext.of(new.message)})
    for old in conditions:
        if old.type == new.type and old.status == new.status:
            new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    other_conditions = [old for old in conditions if old.type != new.type]
    return tuple(sorted([*other_conditions, new], key=lambda condition: condition.type))


def find(conditions: tuple[Condition, ...], kind: ConditionType) -> Condition | None:
    """Return the condition of a type; None if it was never set."""
    return next((condition for condition in conditions if condition.type == kind), None)
