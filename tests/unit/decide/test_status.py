"""The status of an exception: its standing, its pods, and what is left after its end."""

from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.decide import coverage, status, validity
from tests.unit.builders import NOW, UID, at, hne, namespace, pod

Ready = conditions.Ready


def status_for(
    subject: exception.HostNetworkException | None = None,
    *,
    reason: Ready = Ready.ACTIVE,
    covered: int = 0,
    left: int = 0,
    enforcement: labels.Enforcement | None = labels.Enforcement.DENY,
    now: Any = NOW,
) -> exception.ExceptionStatus:
    subject = subject or hne()
    verdicts = [
        coverage.PodVerdict(pod(f"{word}-{n:02}"), verdict, "", (subject,))
        for word, count, verdict in (("on", covered, labels.Verdict.COVERED), ("off", left, labels.Verdict.EXPIRED))
        for n in range(count)
    ]
    verdicts.append(coverage.PodVerdict(pod("other"), labels.Verdict.COVERED, "", (hne("another"),)))
    return status.status_for(validity.Standing(subject, reason, "so it is"), namespace(), verdicts, enforcement, now)


def shown(made: exception.ExceptionStatus, kind: str) -> tuple[str, str]:
    found = conditions.find(made.conditions, conditions.ConditionType(kind))
    assert found is not None
    return found.status, found.reason


@pytest.mark.parametrize("reason", list(Ready))
def test_only_what_is_in_force_is_ready(reason: Ready) -> None:
    """Every other reason has status False, with the sentence that explains it."""
    made = status_for(reason=reason)
    ready = reason in {Ready.ACTIVE, Ready.APPROVAL_UNPROVEN}
    assert ("True" if ready else "False", reason.value) == shown(made, "Ready")
    assert next(c.message for c in made.conditions if c.type == "Ready") == "so it is"


def test_the_generation_that_was_judged_is_said() -> None:
    """The status and each condition have the generation."""
    made = status_for(hne(metadata={"generation": 4}))
    assert {4} == {made.observed_generation, *(c.observed_generation for c in made.conditions)}


def test_pods_are_counted_exactly_and_ten_are_named() -> None:
    """The names are in order, and only the pods of this exception count."""
    made = status_for(covered=12)
    assert (12, tuple(f"on-{n:02}" for n in range(10))) == (made.covered_pods, made.sample_pods)
    assert shown(made, "InUse") == ("True", "PodsCovered")
    assert (
        status_for().covered_pods,
        status_for().sample_pods,
        shown(status_for(), "InUse"),
    ) == (0, (), ("False", "NoPods"))


def test_last_used_is_when_the_last_pod_went() -> None:
    """The time is set at that moment, and does not move while pods exist."""
    one = status_for(covered=1)
    assert None is one.last_used_time
    none = status_for(hne(status=one), now=at(minutes=5))
    assert at(minutes=5) == none.last_used_time
    assert at(minutes=5) == status_for(hne(status=none), now=at(minutes=9)).last_used_time
    assert at(minutes=5) == status_for(hne(status=none), covered=1, now=at(minutes=9)).last_used_time


def test_a_status_that_says_the_same_is_the_same() -> None:
    """The status is the same later, and its transition time does not move."""
    first = status_for(covered=2, now=at(microseconds=999))
    assert first == status_for(hne(status=first), covered=2, now=at(hours=5))


@pytest.mark.parametrize(
    ("reason", "uid"),
    [
        (Ready.ACTIVE, UID),
        (Ready.EXPIRED, UID),
        (Ready.GUARD_MISSING, UID),
        (Ready.NO_POLICY, UID),
        (Ready.NOT_APPROVED, "before"),
        (Ready.INVALID, UID),
    ],
)
def test_the_namespace_uid_is_written_where_it_is_approved(reason: Ready, uid: str) -> None:
    """If nobody approved the exception, the status keeps the uid that it had."""
    subject = hne(status=exception.ExceptionStatus(namespace_uid="before"))
    assert uid == status_for(subject, reason=reason).namespace_uid


@pytest.mark.parametrize(
    ("left", "on_expiry", "enforcement", "shows"),
    [
        (0, None, "Deny", ("True", "NoPods")),
        (2, None, "Deny", ("False", "Deleting")),
        (2, None, "Held", ("False", "Deleting")),
        (2, None, "Audit", ("False", "NotEnforced")),
        (2, None, None, ("False", "NotEnforced")),
        (2, "Report", "Deny", ("False", "Reported")),
    ],
)
def test_cleaned_up_says_what_is_left(left: int, on_expiry: Any, enforcement: Any, shows: tuple[str, str]) -> None:
    """After the expiry, the condition says whether pods remain, and whether anybody deletes them."""
    subject = hne(expiry=NOW, on_expiry=on_expiry)
    made = status_for(
        subject, reason=Ready.EXPIRED, left=left, enforcement=enforcement and labels.Enforcement(enforcement)
    )
    assert shows == shown(made, "CleanedUp")


def test_before_its_end_nothing_is_cleaned_up() -> None:
    """The condition appears at the expiry."""
    assert None is conditions.find(status_for().conditions, conditions.ConditionType.CLEANED_UP)
