"""The rule Expiring: the time from which an exception counts as ending soon."""

import datetime
from typing import Any

import pytest

from hostnetwork_operator.api import conditions
from hostnetwork_operator.decide import rules
from tests.unit.builders import IMAGE, NOW, at, governed, hne, planned, seen
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne(expiry=at(minutes=20)))


@pytest.mark.parametrize(
    ("kind", "warn_before", "expected"),
    [
        ("Diagnostic", {}, {"minutes": 30}),
        ("Diagnostic", {"Diagnostic": "5m"}, {"minutes": 5}),
        ("Application", {}, {"hours": 168}),
        ("Infrastructure", {"Application": "1h"}, {"hours": 1}),
    ],
)
def test_it_is_expiring_from_so_long_before_its_end(kind: str, warn_before: dict[str, str], expected: Any) -> None:
    """The result changes in exactly that second, and the next check is in that second."""
    end = at(hours=200) if kind != "Diagnostic" else at(hours=1)
    subject = hne(type=kind, images=(IMAGE,), expiry=end)
    policy_state = governed(exceptions={"warnBefore": warn_before})
    moment = end - datetime.timedelta(**expected)
    second = datetime.timedelta(seconds=1)
    assert judged.result_of(rules.EXPIRING, subject, policy_state=policy_state, now=moment - second) == "pass"
    assert judged.result_of(rules.EXPIRING, subject, policy_state=policy_state, now=moment) == "warn"
    assert moment == planned(seen(subject, policy=policy_state), moment - second).next_check


def test_what_has_no_expiry_or_has_ended_is_not_expiring() -> None:
    """The condition says Ended for an exception that has ended, and such an exception has no findings at all."""
    assert judged.result_of(rules.EXPIRING, hne(**judged.AGENT)) == "pass"
    plan = planned(seen(hne(expiry=NOW)))
    assert plan.findings == ()
    assert judged.condition(plan, conditions.ConditionType.EXPIRING) == ("False", "Ended")
