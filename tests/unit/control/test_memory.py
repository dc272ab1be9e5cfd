"""The memory belongs to one incarnation of a namespace, and the number of its Events is limited."""

from dataclasses import replace

from hostnetwork_operator.act import outbox
from hostnetwork_operator.control import memory
from hostnetwork_operator.decide import effects, snapshot
from hostnetwork_operator.observe import cluster
from tests.unit.builders import NAMESPACE, NOW, namespace


def event(number: int) -> effects.EmitEvent:
    about = snapshot.Reference("Pod", NAMESPACE, f"pod-{number}", f"uid-{number}")
    return effects.EmitEvent(about, "Warning", "HostNamespacesUncovered", "message", "key")


def test_of_a_namespace_that_is_created_again_nothing_is_remembered() -> None:
    """Neither the gate's answer about the previous incarnation, nor its owners, writes and Events."""
    replaced: list[str] = []
    memories = memory.Memories(replaced.append)
    first = namespace()
    known = memories.of(first)
    known.answers.gate = snapshot.GateAnswer("baseline", NOW, holders=("Deployment old-thing",))  # type: ignore[arg-type]
    known.answers.record = snapshot.Record(wrote={"a": "b"})
    known.events.add([event(1)])
    assert memories.of(first) is known
    after = memories.of(replace(first, uid="another"))
    assert (after.uid, after.answers, len(after.events)) == ("another", cluster.Answers(), 0)
    assert replaced == [NAMESPACE]


def test_events_of_all_namespaces_together_are_bounded() -> None:
    """The namespaces with the most Events lose their oldest ones."""
    memories = memory.Memories(lambda _: None)
    homes = [memories.of(namespace(name=f"home-{number}", uid=str(number))) for number in range(40)]
    for number, home in enumerate(homes):
        home.events.add(event(one) for one in range(outbox.MOST if number else 10))
    memories.bound()
    assert sum(len(home.events) for home in homes) == memory.MOST_EVENTS
    assert len(homes[0].events) == 10
