"""What is remembered belongs to one incarnation of a namespace, and is bounded."""

from dataclasses import replace

from hostnetwork_operator.control import memory
from hostnetwork_operator.decide import effects, snapshot
from tests.unit.builders import NAMESPACE, NOW, namespace


def event(number: int) -> effects.EmitEvent:
    about = snapshot.Reference("Pod", NAMESPACE, f"pod-{number}", f"uid-{number}")
    return effects.EmitEvent(about, "Warning", "HostNamespacesUncovered", "message", "key")


def test_of_a_namespace_that_is_created_again_nothing_is_remembered() -> None:
    """Neither the gate's answer about its predecessor, nor the predecessor's owners, writes and Events."""
    replaced: list[str] = []
    memories = memory.Memories(replaced.append)
    first = namespace()
    known = memories.of(first)
    known.answers.gate = snapshot.GateAnswer("baseline", NOW, holders=("Deployment old-thing",))  # type: ignore[arg-type]
    known.answers.record = snapshot.Record(wrote={"a": "b"})
    known.postpone([event(1)])
    assert memories.of(first) is known
    after = memories.of(replace(first, uid="another"))
    assert after == memory.NamespaceMemory("another")
    assert replaced == [NAMESPACE]


def test_events_are_remembered_once_and_not_without_end() -> None:
    """A tenant's quota can refuse each Event. The newest stay."""
    known = memory.NamespaceMemory("u")
    known.postpone([event(1)])
    known.postpone([event(1), event(2)])
    assert known.take_postponed() == (event(1), event(2))
    assert known.postponed == ()
    known.postpone(event(number) for number in range(memory.MOST_POSTPONED + 10))
    assert len(known.postponed) == memory.MOST_POSTPONED
    assert known.postponed[-1] == event(memory.MOST_POSTPONED + 9)
