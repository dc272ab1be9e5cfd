"""What the policy's status says: whether it is acted on, and how the cluster stands under it."""

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from hostnetwork_operator.api import conditions, labels, policy
from hostnetwork_operator.decide import effects, plan, snapshot

ACCEPTED = "Accepted"
BROKEN = "Broken"
INTACT = "Intact"
CHANGING = "Changing"
GUARD_MISSING = conditions.Ready.GUARD_MISSING.value


def policy_status(
    seen: snapshot.PolicyObject, plans: Sequence[plan.NamespacePlan], now: datetime.datetime
) -> policy.PolicyStatus:
    """The status that should stand; equal to the present one where nothing changed."""
    reason, message = _accepted(seen)
    condition = conditions.Condition(
        type=conditions.ConditionType.READY.value,
        status="True" if reason == ACCEPTED else "False",
        observed_generation=seen.generation,
        last_transition_time=now.replace(microsecond=0),
        reason=reason,
        message=message,
    )
    stands = Counter(one.enforcement for one in plans)
    verdicts = Counter(verdict.verdict for one in plans for verdict in one.verdicts)
    return policy.PolicyStatus(
        observed_generation=seen.generation,
        conditions=conditions.set_condition(seen.status.conditions, condition),
        namespaces=policy.NamespaceCounts(
            deny=stands[labels.Enforcement.DENY],
            held=stands[labels.Enforcement.HELD],
            audit=stands[labels.Enforcement.AUDIT],
            exempt=sum(one.exempt for one in plans),
            relaxed=sum(one.relaxed for one in plans),
        ),
        pods=policy.PodCounts(
            covered=verdicts[labels.Verdict.COVERED],
            uncovered=verdicts[labels.Verdict.UNCOVERED],
            expired=verdicts[labels.Verdict.EXPIRED],
            static=verdicts[labels.Verdict.STATIC],
        ),
    )


def policy_event(seen: snapshot.PolicyObject) -> effects.EmitEvent | None:
    """An Event when the reason of its Ready condition changes."""
    reason, message = _accepted(seen)
    before = conditions.find(seen.status.conditions, conditions.ConditionType.READY)
    if before is not None and before.reason == reason:
        return None
    subject = snapshot.Reference(policy.KIND, "", policy.NAME, seen.uid, labels.API_VERSION)
    return effects.EmitEvent(
        subject,
        "Normal" if reason == ACCEPTED else "Warning",
        f"Policy{reason}",
        message,
        f"{reason} {seen.generation}",
    )


def with_guards(
    status: policy.PolicyStatus, guards: Sequence[snapshot.Guard], now: datetime.datetime
) -> policy.PolicyStatus:
    """`status` with the condition that says whether the admission policies are in place."""
    reason, message = _guarded(guards, now)
    condition = conditions.Condition(
        type=conditions.ConditionType.GUARDED.value,
        status={INTACT: "True", CHANGING: "Unknown", GUARD_MISSING: "False"}[reason],
        observed_generation=status.observed_generation,
        last_transition_time=now.replace(microsecond=0),
        reason=reason,
        message=message,
    )
    return status.model_copy(update={"conditions": conditions.set_condition(status.conditions, condition)})


def guards_event(
    seen: snapshot.PolicyObject, guards: Sequence[snapshot.Guard], now: datetime.datetime
) -> effects.EmitEvent | None:
    """An Event when an admission policy is missing that was not, and when all are back. A change that may be half of
    an upgrade is none.
    """
    reason, message = _guarded(guards, now)
    before = conditions.find(seen.status.conditions, conditions.ConditionType.GUARDED)
    if reason == (before.reason if before else INTACT) or reason == CHANGING:
        return None
    subject = snapshot.Reference(policy.KIND, "", policy.NAME, seen.uid, labels.API_VERSION)
    since = before.last_transition_time.isoformat() if before else ""
    kind: Literal["Normal", "Warning"] = "Normal" if reason == INTACT else "Warning"
    return effects.EmitEvent(subject, kind, f"Policy{reason}", message, f"{reason} {since}")


def _guarded(guards: Sequence[snapshot.Guard], now: datetime.datetime) -> tuple[str, str]:
    without = sorted((guard for guard in guards if guard.since is None), key=lambda guard: guard.name)
    whys = "; ".join(guard.why_not for guard in without)
    if not without:
        return INTACT, "every admission policy that denies is in place"
    if any(guard.missing(now) for guard in without):
        return GUARD_MISSING, whys
    return CHANGING, f"{whys}; taken for an upgrade for 60 s after the change, nothing new is granted meanwhile"


def _accepted(seen: snapshot.PolicyObject) -> tuple[str, str]:
    if seen.spec is None:
        return BROKEN, f"not acted on, the last good one holds: {seen.mistake}; correct it"
    return ACCEPTED, f"acted on; mode {seen.spec.mode}"
