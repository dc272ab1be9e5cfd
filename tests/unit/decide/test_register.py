"""The register lists every exception once, in the order in which people must act."""

import datetime

from hostnetwork_operator.api.conditions import Ready
from hostnetwork_operator.decide import register, snapshot
from tests.unit.builders import NOW, at, denied, governed, hne, planned, pod, seen

WEEK = datetime.timedelta(days=7)


def entries(*subjects: object, **fields: object) -> dict[str, register.Registered]:
    """Return the entries by name, in their order. Each pod fits the exceptions of its service account."""
    state = seen(*subjects, **{"policy": governed(), **fields})  # type: ignore[arg-type]
    return {entry.name: entry for entry in register.register([(state, planned(state))])}


def test_the_order_is_that_of_attention() -> None:
    """Not in force, then expired with pods, then what a finding presses for, then what is fine, then what has ended."""
    refused = hne("refused", metadata={"deletion_timestamp": NOW}, service_account_name="refused")
    left = hne("left", expiry=at(minutes=-1), service_account_name="left")
    fine = hne("fine", type="Infrastructure", images=None, service_account_name="fine", contact="#sre")
    unused = hne(
        "unused", type="Infrastructure", service_account_name="unused", metadata={"creation_timestamp": at(days=-90)}
    )
    ended = hne("ended", expiry=at(minutes=-30), service_account_name="ended")
    pods = (pod("a", service_account="left"), pod("b", service_account="fine"))
    found = entries(ended, fine, left, refused, unused, pods=pods, namespace=denied())
    assert list(found)[:2] == ["refused", "left"]
    assert list(found)[-1] == "ended"
    assert (found["left"].remaining, found["left"].covered, found["left"].state) == (1, 0, Ready.EXPIRED)
    assert (found["fine"].covered, found["fine"].in_force) == (1, True)


def test_what_cannot_be_read_comes_first_and_says_why() -> None:
    unreadable = snapshot.UnreadableException("payments", "odd", "uid-of-odd", "spec.type: wrong", 1)
    found = entries(hne("fine"), unreadable_exceptions=(unreadable,))
    assert next(iter(found)) == "odd"
    assert found["odd"].why == "the exception cannot be read: spec.type: wrong"
    assert (found["odd"].unused, found["odd"].review_due, found["odd"].ends_within(WEEK, NOW)) == (False,) * 3


def test_an_exception_ends_within_a_period_until_it_has_ended() -> None:
    soon = entries(hne("soon", expiry=at(hours=1)))["soon"]
    assert soon.ends_within(datetime.timedelta(hours=1), NOW)
    assert not soon.ends_within(datetime.timedelta(minutes=59), NOW)
    assert not entries(hne("over", expiry=NOW))["over"].ends_within(WEEK, NOW)
    endless = entries(hne("endless", type="Infrastructure"))["endless"]
    assert not endless.ends_within(datetime.timedelta(days=100_000), NOW)


def test_an_exception_in_force_without_a_pod_is_unused() -> None:
    assert entries(hne("net"))["net"].unused
    assert not entries(hne("net"), pods=(pod(),))["net"].unused
    assert not entries(hne("net", expiry=NOW))["net"].unused
