"""The memory belongs to one incarnation of a namespace, and the number of its Events is limited."""

from dataclasses import replace

from hostnetwork_operator.act import outbox
from hostnetwork_operator.control import memory
from hostnetwork_operator.decide import effects, snapshot
from hostnetwork_operator.observe import cluster
from tests.unit.builders import NAMESPACE, NOW, namespace


def event(number: int) -> effects.EmitEvent:
    regarding = snapshot.Reference("Pod", NAMESPACE, f"pod-{number}", f"uid-{number}")
    return effects.EmitEvent(regarding, "Warning", "HostNamespacesUncovered", "message", "key")


def test_of_a_namespace_that_is_created_again_nothing_is_remembered() -> None:
    """Neither the gate's answer about the previous incarnation, nor its owners, writes and Events."""
    replaced: list[str] = []
    memories = memory.Memories(replaced.append)
    namespace_state = namespace()
    old_memory = memories.of(namespace_state)
    old_memory.answers.gate = snapshot.GateAnswer("baseline", NOW, holders=("Deployment old-thing",))  # type: ignore[arg-type]
    old_memory.answers.record = snapshot.Record(wrote={"a": "b"})
    old_memory.events.add([event(1)])
    assert memories.of(namespace_state) is old_memory
    new_memory = memories.of(replace(namespace_state, uid="another"))
    assert (new_memory.uid, new_memory.answers, len(new_memory.events)) == ("another", cluster.Answers(), 0)
    assert replaced == [NAMESPACE]


def test_events_of_all_namespaces_together_are_bounded() -> None:
    """The namespaces with the most Events lose their oldest ones."""
    memories = memory.Memories(lambda _: None)
    namespace_memories = [memories.of(namespace(name=f"home-{number}", uid=str(number))) for number in range(40)]
    for number, namespace_memory in enumerate(namespace_memories):
        namespace_memory.events.add(event(event_number) for event_number in range(outbox.MOST if number else 10))
    memories.bound()
    assert sum(len(namespace_memory.events) for namespace_memory in namespace_memories) == memory.MOST_EVENTS
    assert len(namespace_memories[0].events) == 10
