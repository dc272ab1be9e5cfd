"""Whether the admission policies that everything rests on are in place."""

from typing import Any

import pytest

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import guards, snapshot
from tests.unit import builders
from tests.unit.builders import NOW, at

NAME = labels.POLICY_HOST_NAMESPACES


def rule(**fields: Any) -> guards.AdmissionPolicy:
    return guards.AdmissionPolicy(**{"name": NAME, "created": at(hours=-2), "fails_closed": True, **fields})


def binding(**fields: Any) -> guards.Binding:
    return guards.Binding(**{"name": "b", "policy": NAME, "created": at(hours=-1), "denies": True, **fields})


def judged(*things: guards.AdmissionPolicy | guards.Binding) -> snapshot.Guard:
    return guards.judge(
        (t for t in things if isinstance(t, guards.AdmissionPolicy)),
        (t for t in things if isinstance(t, guards.Binding)),
    )[NAME]


def test_a_policy_that_fails_closed_and_denies_is_in_place_since_the_younger_of_both() -> None:
    """A binding made later counts from then; so does a policy."""
    assert at(hours=-1) == judged(rule(), binding()).since
    assert judged(rule(created=NOW), binding()).since == NOW


def test_the_oldest_denying_binding_counts() -> None:
    """A second binding makes nothing younger."""
    assert at(hours=-1) == judged(rule(), binding(), binding(name="a", created=NOW)).since


@pytest.mark.parametrize(
    ("things", "why"),
    [
        ((), "is missing"),
        ((binding(),), "is missing"),
        ((rule(deleting=True), binding()), "is missing"),
        ((rule(fails_closed=False), binding()), "has not failurePolicy: Fail"),
        ((rule(),), "has no binding with Deny"),
        ((rule(), binding(denies=False)), "has no binding with Deny"),
        ((rule(), binding(deleting=True)), "has no binding with Deny"),
        ((rule(), binding(policy="another")), "has no binding with Deny"),
    ],
)
def test_anything_weaker_is_not_in_place(things: tuple[Any, ...], why: str) -> None:
    """And the guard says what is missing."""
    guard = judged(*things)
    assert None is guard.since
    assert f"ValidatingAdmissionPolicy {NAME!r} {why}" == guard.why_not
    assert not guard.counts(NOW)


def test_every_policy_of_ours_has_a_guard() -> None:
    """Also with nothing there at all."""
    assert set(labels.POLICIES) == set(guards.judge((), ()))


@pytest.mark.parametrize(("age", "counts"), [(4, False), (5, True), (6, True)])
def test_a_policy_counts_after_five_seconds(age: int, counts: bool) -> None:
    """The API server needs about one to take it up."""
    assert counts is snapshot.Guard(NAME, at(seconds=-age)).counts(NOW)


def test_the_first_that_is_missing_is_named() -> None:
    """In the order that was asked for; nothing missing is None."""
    gone = builders.guards(missing=[labels.POLICY_RELAXED_NAMESPACE, labels.POLICY_HOST_NAMESPACES])
    found = guards.first_missing(gone.values(), labels.POLICIES, NOW)
    assert found is not None
    assert found.name == labels.POLICY_HOST_NAMESPACES
    assert None is guards.first_missing(builders.guards().values(), labels.POLICIES, NOW)


def test_a_guard_that_was_never_read_is_missing() -> None:
    """Not looked at is not in place."""
    found = guards.first_missing([], labels.POLICIES, NOW)
    assert found is not None
    assert found.why_not == "admission policies were not read yet"
