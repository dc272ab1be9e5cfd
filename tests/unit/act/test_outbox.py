"""Events that wait: each once, not too many, and none is sent for a while after a refusal."""

from hostnetwork_operator.act import outbox
from hostnetwork_operator.decide import effects, snapshot
from tests.unit.builders import NAMESPACE


def event(number: int) -> effects.EmitEvent:
    about = snapshot.Reference("Pod", NAMESPACE, f"pod-{number}", f"uid-{number}")
    return effects.EmitEvent(about, "Warning", "HostNamespacesUncovered", "message", "key")


def test_each_waits_once_until_it_is_stored() -> None:
    """In the order in which they came."""
    box = outbox.Outbox()
    box.add([event(1), event(2)])
    box.add([event(1), event(3)])
    assert box.waiting == (event(1), event(2), event(3))
    box.stored(event(1))
    box.rejected(event(3))
    assert box.waiting == (event(2),)


def test_the_oldest_go_where_there_are_too_many() -> None:
    """A tenant's quota can refuse each Event."""
    box = outbox.Outbox()
    box.add(event(number) for number in range(outbox.MOST + 10))
    assert len(box) == outbox.MOST
    assert box.waiting[-1] == event(outbox.MOST + 9)


def test_each_refusal_closes_it_for_longer_and_a_success_opens_it() -> None:
    """One second, two, four, a minute at most."""
    box, now = outbox.Outbox(), 100.0
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        assert box.is_open(now)
        box.refused(event(1), now)
        assert box.pause_seconds == pause
        assert not box.is_open(now + pause - 0.1)
        now += pause
    box.stored(event(1))
    assert (box.pause_seconds, len(box)) == (0, 0)
