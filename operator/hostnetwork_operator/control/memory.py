"""What the operator remembers of each namespace from one reconcile to the next, because no object records it.

All of it may be lost: after a restart the operator evaluates each namespace as if for the first time. A memory belongs
to one incarnation of a namespace, identified by its uid. When a namespace is created again under the same name, nothing
is remembered of the earlier incarnation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.act import outbox
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import cluster

MOST_EVENTS: Final = 5000  # for all namespaces together


@dataclass(slots=True)
class NamespaceMemory:
    """The memory of one incarnation of a namespace.

    `answers` has the answers to the needs of the namespace's plans. `stale` says that the pods of the namespace must be
    listed. `checking` says that the result of the running gate check counts. `events` must still be emitted.
    """

    uid: str
    answers: cluster.Answers = field(default_factory=cluster.Answers)
    stale: bool = False
    checking: bool = False
    events: outbox.Outbox = field(default_factory=outbox.Outbox)

    def forget_gate(self) -> None:
        """Forget the gate's answer, and have the result of the running gate check dropped."""
        self.answers.gate, self.checking = None, False


class Memories:
    """The memories of all namespaces, by name. For each name only the last incarnation is remembered.

    `replaced` is called with the name of a namespace when its earlier incarnation is forgotten.
    """

    def __init__(self, replaced: Callable[[str], None]) -> None:
        self._by_name: dict[str, NamespaceMemory] = {}
        self._replaced = replaced

    def of(self, namespace: snapshot.Namespace) -> NamespaceMemory:
        """Return the memory of this incarnation. The memory of another incarnation of the same name is forgotten."""
        remembered = self._by_name.get(namespace.name)
        if remembered is not None and remembered.uid == namespace.uid:
            return remembered
        if remembered is not None:
            self._replaced(namespace.name)
        new_memory = self._by_name[namespace.name] = NamespaceMemory(namespace.uid)
        return new_memory

    def forget_tops(self) -> None:
        """Have the top owners of pods looked up again: another Deployment can become the controller of a ReplicaSet."""
        for remembered in self._by_name.values():
            remembered.answers.tops.clear()

    def bound(self) -> None:
        """If there are too many Events in all namespaces together, drop Events of the namespace that has the most."""
        boxes = [remembered.events for remembered in self._by_name.values()]
        while (excess := sum(map(len, boxes)) - MOST_EVENTS) > 0:
            max(boxes, key=len).drop(excess)

    def forget(self, name: str) -> None:
        """Forget a namespace that no longer exists."""
        self._by_name.pop(name, None)

    def __iter__(self) -> Iterator[NamespaceMemory]:
        return iter(list(self._by_name.values()))
