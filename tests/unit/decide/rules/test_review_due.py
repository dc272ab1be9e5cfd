"""The rule ReviewDue: when somebody has to review an Infrastructure exception again."""

import datetime
from typing import Any

import pytest

from hostnetwork_operator.api import conditions
from hostnetwork_operator.decide import rules
from tests.unit.builders import NOW, at, governed, hne, planned, seen
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne(**judged.AGENT, review={"kubernetes_version": "1.35"}))


@pytest.mark.parametrize(
    ("review", "created", "now", "result"),
    [
        (None, -4320, NOW, "warn"),
        (None, -4319, NOW, "pass"),
        ({"time": at(hours=-1)}, -9000, NOW, "pass"),
        ({"time": at(hours=-4320)}, -9000, NOW, "warn"),
        ({"time": at(hours=1)}, -9000, NOW, "warn"),
        ({"time": at(hours=1)}, -9000, at(hours=1), "pass"),
    ],
)
def test_a_review_is_due_so_long_after_the_last(review: Any, created: int, now: datetime.datetime, result: str) -> None:
    """The time counts from the later of creation and review.time. A review in the future does not count."""
    subject = hne(**judged.AGENT, review=review, metadata={"creation_timestamp": at(hours=created)})
    policy_state = governed(exceptions={"reviewOnUpgrade": False})
    assert result == judged.result_of(rules.REVIEW_DUE, subject, policy_state=policy_state, now=now)
    assert None is judged.result_of(rules.REVIEW_DUE, hne())


@pytest.mark.parametrize(
    ("reviewed", "version", "on_upgrade", "result"),
    [
        ("1.35", judged.V136, True, "warn"),
        ("1.9", judged.V136, True, "warn"),
        ("1.36", judged.V136, True, "pass"),
        ("1.37", judged.V136, True, "pass"),
        ("1.35", judged.V136, False, "pass"),
        ("1.35", None, True, "pass"),
        (None, judged.V136, True, "skip"),
        (None, judged.V136, False, "pass"),
    ],
)
def test_a_review_is_due_after_an_upgrade(reviewed: Any, version: Any, on_upgrade: bool, result: str) -> None:
    """A review is due if the cluster's minor version is newer than that of the review.

    Without a version in the review, nobody can tell.
    """
    subject = hne(**judged.AGENT, review={"kubernetes_version": reviewed})
    policy_state = governed(exceptions={"reviewOnUpgrade": on_upgrade})
    assert result == judged.result_of(rules.REVIEW_DUE, subject, policy_state=policy_state, kubernetes=version)


def test_without_a_version_the_condition_is_unknown() -> None:
    """Unknown is an answer of its own, and leads to no Event."""
    plan = planned(seen(hne(**judged.AGENT), kubernetes=judged.V136))
    assert judged.condition(plan, conditions.ConditionType.REVIEW_DUE) == ("Unknown", "VersionNotSaid")
    assert "ReviewDue" not in judged.events(plan)
