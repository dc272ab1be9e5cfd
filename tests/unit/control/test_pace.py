"""Writes of objects that others may write too: ten immediately, then one every five seconds, per object."""

import pytest

from hostnetwork_operator.api import exception, labels, report
from hostnetwork_operator.control import pace
from hostnetwork_operator.decide import effects, snapshot


class Clock:
    """A clock that stands still until a test moves it."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def reference(kind: str = "Pod", name: str = "p", uid: str = "u") -> snapshot.Reference:
    return snapshot.Reference(kind, "payments", name, uid, "v1")


def verdict(uid: str = "u") -> effects.WriteVerdict:
    return effects.WriteVerdict(reference(uid=uid), labels.Verdict.UNCOVERED)


def test_ten_at_once_then_one_every_five_seconds() -> None:
    """A write that is too early gets the seconds that it must wait, and takes nothing from the budget."""
    clock = Clock()
    limiter = pace.Pace(clock.monotonic)
    assert [limiter.wait(verdict()) for _ in range(10)] == [0.0] * 10
    assert [limiter.wait(verdict()) for _ in range(3)] == [5.0] * 3
    clock.now += 2
    assert limiter.wait(verdict()) == 3.0
    clock.now += 3
    assert [limiter.wait(verdict()) for _ in range(2)] == [0.0, 5.0]


def test_a_budget_is_full_again_after_a_while() -> None:
    """The budget is then no fuller than at first."""
    clock = Clock()
    limiter = pace.Pace(clock.monotonic)
    for _ in range(10):
        limiter.wait(verdict())
    clock.now += 3600
    assert [limiter.wait(verdict()) for _ in range(11)] == [0.0] * 10 + [5.0]


def test_each_object_has_its_own() -> None:
    """A pod whose label several clients fight over delays no other pod."""
    limiter = pace.Pace(Clock().monotonic)
    for _ in range(11):
        limiter.wait(verdict())
    assert limiter.wait(verdict()) > 0
    assert limiter.wait(verdict("other")) == 0.0


@pytest.mark.parametrize(
    "effect",
    [
        verdict(),
        effects.WriteExceptionStatus(reference("HostNetworkException"), exception.ExceptionStatus()),
        effects.DeleteReport(report.OPEN_REPORT, reference("Report", "hostnetwork-u")),
    ],
    ids=lambda effect: type(effect).__name__,
)
def test_what_others_may_write_has_one(effect: effects.Effect) -> None:
    """Verdict labels, statuses and reports have a budget."""
    limiter = pace.Pace(Clock().monotonic)
    assert [bool(limiter.wait(effect)) for _ in range(11)] == [False] * 10 + [True]


def test_a_delete_has_none() -> None:
    """Nothing that a tenant does makes a delete late."""
    limiter = pace.Pace(Clock().monotonic)
    assert [limiter.wait(effects.DeletePod(reference(), 0)) for _ in range(20)] == [0.0] * 20


def test_what_is_full_again_is_forgotten() -> None:
    """Memory does not grow with the number of pods that ever existed."""
    clock = Clock()
    limiter = pace.Pace(clock.monotonic)
    for number in range(30_000):
        clock.now += 1
        limiter.wait(verdict(str(number)))
    assert len(limiter._full) <= 10_000
