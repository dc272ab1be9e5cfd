"""What the operator remembers of each namespace from one reconcile to the next, because no object says it.

All of it may be lost: after a restart each namespace is looked at as on the first day. It belongs to one incarnation
of a namespace, which has a uid: of a namespace that is created again under the same name nothing is remembered.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator import logs
from hostnetwork_operator.decide import effects, snapshot
from hostnetwork_operator.observe import cluster

_log = logging.getLogger(__name__)
# A tenant who has his Events refused, by a quota, must not fill the memory with them.
MOST_POSTPONED: Final = 500


@dataclass(slots=True)
class NamespaceMemory:
    """Of one incarnation of a namespace.

    `answers` is what was asked about the namespace. `stale` says that its pods are to be listed. `checking` says that
    the gate check that is going on counts when it ends. `postponed` are Events that are to be emitted and that no later
    plan has again.
    """

    uid: str
    answers: cluster.Answers = field(default_factory=cluster.Answers)
    stale: bool = False
    checking: bool = False
    postponed: tuple[effects.EmitEvent, ...] = ()

    def forget_gate(self) -> None:
        """Forget the answer of the gate, and have the answer of the check that is going on dropped."""
        self.answers.gate, self.checking = None, False

    def postpone(self, events: Iterable[effects.EmitEvent]) -> None:
        """Remember Events, each once. The oldest are dropped where there are too many."""
        every = tuple(dict.fromkeys((*self.postponed, *events)))
        if (dropped := len(every) - MOST_POSTPONED) > 0:
            logs.log(_log, logging.WARNING, "events-dropped", namespace=every[0].regarding.namespace, count=dropped)
        self.postponed = every[-MOST_POSTPONED:]

    def take_postponed(self) -> tuple[effects.EmitEvent, ...]:
        """Return what is to be emitted, and forget it."""
        taken, self.postponed = self.postponed, ()
        return taken


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

    def forget(self, name: str) -> None:
        """Forget a namespace that no longer exists."""
        self._kept.pop(name, None)

    def __iter__(self) -> Iterator[NamespaceMemory]:
        return iter(list(self._kept.values()))
