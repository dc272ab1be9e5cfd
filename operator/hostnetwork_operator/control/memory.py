"""What the operator remembers of each namespace from one reconcile to the next, because no object says it.

All of it may be lost: after a restart each namespace is looked at as on the first day. It belongs to one incarnation
of a namespace, which has a uid: of a namespace that is created again under the same name nothing is remembered.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.act import outbox
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import cluster

MOST_EVENTS: Final = 5000  # of all namespaces together


@dataclass(slots=True)
class NamespaceMemory:
    """Of one incarnation of a namespace.

    `answers` is what was asked about the namespace. `stale` says that its pods are to be listed. `checking` says that
    the gate check that is going on counts when it ends. `events` are to be emitted.
    """

    uid: str
    answers: cluster.Answers = field(default_factory=cluster.Answers)
    stale: bool = False
    checking: bool = False
    events: outbox.Outbox = field(default_factory=outbox.Outbox)

    def forget_gate(self) -> None:
        """Forget the answer of the gate, and have the answer of the check that is going on dropped."""
        self.answers.gate, self.checking = None, False


class Memories:
    """What is remembered of all namespaces, by name; of each name the last incarnation.

    `replaced` is called with a name whose earlier incarnation is forgotten.
    """

    def __init__(self, replaced: Callable[[str], None]) -> None:
        self._kept: dict[str, NamespaceMemory] = {}
        self._replaced = replaced

    def of(self, namespace: snapshot.Namespace) -> NamespaceMemory:
        """Return the memory of this incarnation. What was remembered of another one is forgotten."""
        known = self._kept.get(namespace.name)
        if known is not None and known.uid == namespace.uid:
            return known
        if known is not None:
            self._replaced(namespace.name)
        fresh = self._kept[namespace.name] = NamespaceMemory(namespace.uid)
        return fresh

    def forget_tops(self) -> None:
        """Have owners looked up again: a ReplicaSet can be given to another Deployment."""
        for known in self._kept.values():
            known.answers.tops.clear()

    def bound(self) -> None:
        """Drop Events where those of all namespaces are too many, of the namespace that has the most."""
        boxes = [known.events for known in self._kept.values()]
        while (excess := sum(map(len, boxes)) - MOST_EVENTS) > 0:
            max(boxes, key=len).drop(excess)

    def forget(self, name: str) -> None:
        """Forget a namespace that no longer exists."""
        self._kept.pop(name, None)

    def __iter__(self) -> Iterator[NamespaceMemory]:
        return iter(list(self._kept.values()))
