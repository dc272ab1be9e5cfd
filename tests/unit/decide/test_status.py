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
    remaining: int = 0,
    enforcement: labels.Enforcement | None = labels.Enforcement.DENY,
    now: Any = NOW,
) -> exception.ExceptionStatus:
    subject = subject or hne()
    verdicts = [
        coverage.PodVerdict(pod(f"{word}-{n:02}"), verdict, "", (subject,))
        for word, count, verdict in (
            ("on", covered, labels.Verdict.COVERED),
            ("off", remaining, labels.Verdict.EXPIRED),
        )
        for n in range(count)
    ]
    verdicts.append(coverage.PodVerdict(pod("other"), labels.Verdict.COVERED, "", (hne("another"),)))
    return status.status_for(validity.Standing(subject, reason, "so it is"), namespace(), verdicts, enforcement, now)


def condition_of(exception_status: exception.ExceptionStatus, kind: str) -> tuple[str, str]:
    condition = conditions.find(exception_status.conditions, conditions.ConditionType(kind))
    assert condition is not None
    return condition.status, condition.reason


@pytest.mark.parametrize("reason", list(Ready))
def test_only_what_is_in_force_is_ready(reason: Ready) -> None:
    """Every other reason has status False, with the sentence that explains it."""
    exception_status = status_for(reason=reason)
    ready = reason in {Ready.ACTIVE, Ready.APPROVAL_UNPROVEN}
    assert ("True" if ready else "False", reason.value) == condition_of(exception_status, "Ready")
    assert next(c.message for c in exception_status.conditions if c.type == "Ready") == "so it is"


def test_the_generation_that_was_judged_is_said() -> None:
    """The status and each condition have the generation."""
    exception_status = status_for(hne(metadata={"generation": 4}))
    assert {4} == {exception_status.observed_generation, *(c.observed_generation for c in exception_status.conditions)}


def test_pods_are_counted_exactly_and_ten_are_named() -> None:
    """The names are in order, and only the pods of this exception count."""
    exception_status = status_for(covered=12)
    assert (12, tuple(f"on-{n:02}" for n in range(10))) == (exception_status.covered_pods, exception_status.sample_pods)
    assert condition_of(exception_status, "InUse") == ("True", "PodsCovered")
    assert (
        status_for().covered_pods,
        status_for().sample_pods,
        condition_of(status_for(), "InUse"),
    ) == (0, (), ("False", "NoPods"))


def test_last_used_is_when_the_last_pod_went() -> None:
    """The time is set at that moment, and does not move while pods exist."""
    status_with_pod = status_for(covered=1)
    assert None is status_with_pod.last_used_time
    status_without_pods = status_for(hne(status=status_with_pod), now=at(minutes=5))
    assert at(minutes=5) == status_without_pods.last_used_time
    assert at(minutes=5) == status_for(hne(status=status_without_pods), now=at(minutes=9)).last_used_time
    assert at(minutes=5) == status_for(hne(status=status_without_pods), covered=1, now=at(minutes=9)).last_used_time


def test_a_status_that_says_the_same_is_the_same() -> None:
    """The status is the same later, and its transition time does not move."""
    first_status = status_for(covered=2, now=at(microseconds=999))
    assert first_status == status_for(hne(status=first_status), covered=2, now=at(hours=5))


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
    ("remaining", "on_expiry", "enforcement", "expected"),
    [
        (0, None, "Deny", ("True", "NoPods")),
        (2, None, "Deny", ("False", "Deleting")),
        (2, None, "Held", ("False", "Deleting")),
        (2, None, "Audit", ("False", "NotEnforced")),
        (2, None, None, ("False", "NotEnforced")),
        (2, "Report", "Deny", ("False", "Reported")),
    ],
)
def test_cleaned_up_says_what_is_left(
    remaining: int, on_expiry: Any, enforcement: Any, expected: tuple[str, str]
) -> None:
    """After the expiry, the condition says whether pods remain, and whether anybody deletes them."""
    subject = hne(expiry=NOW, on_expiry=on_expiry)
    exception_status = status_for(
        subject, reason=Ready.EXPIRED, remaining=remaining, enforcement=enforcement and labels.Enforcement(enforcement)
    )
    assert expected == condition_of(exception_status, "CleanedUp")


def test_before_its_end_nothing_is_cleaned_up() -> None:
    """The condition appears at the expiry."""
    assert None is conditions.find(status_for().conditions, conditions.ConditionType.CLEANED_UP)
