"""The workloads that lack pods, and the claims that lead to these workloads: what is to be read when. Kept in memory
only.

A user who may create Events in a namespace can make as many claims as he likes. So a namespace has few places and a
budget of reads, namespaces take turns, and a claim that no read has confirmed has no right to its place. After a
restart, the Events that exist are read again. Until then the operator does not know which workloads lack pods.
"""

import datetime
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from hostnetwork_operator.control import budget, workqueue
from hostnetwork_operator.decide import effects, plan, snapshot

MOST_IN_NAMESPACE: Final = 32
MOST: Final = 1024
_READS: Final = budget.Budget(burst=10, refill_seconds=0.5)  # per namespace
_EVENTS: Final = budget.Budget(burst=50, refill_seconds=0.5)  # per namespace
# A controller emits its Event before it writes the status that says how many pods there are.
_FIRST_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
# The first pause before a workload that lacks pods is read again. It doubles after each read that finds the same, until
# a plan decides otherwise about the shortage: a shortage that ends soon is noticed soon, and 1,024 shortages that last
# cost 3.4 reads per second. A read that fails has pauses of its own, which double with each failure in a row.
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 300.0
_KEPT_EVENTS: Final = 4  # per workload: which Events were emitted when


class _Shown(NamedTuple):
    """What a plan has decided about a shortage: whether pods are refused, and how many pods exist."""

    refused: bool
    pods: int


@dataclass(slots=True)
class _Place:
    """One claim. `due` is when its workload is read next, `shortage` is what the last read found."""

    due: float
    reads: int = 0
    last: float = -math.inf
    pause: float = _PAUSE_SECONDS  # after a read that succeeded
    failures: int = 0  # of reads, in a row
    shortage: snapshot.Shortage | None = None
    shown: _Shown | None = None  # what the last plan decided about the shortage


@dataclass(slots=True)
class _NamespaceShortages:
    places: dict[snapshot.Reference, _Place] = field(default_factory=dict)
    unread: dict[snapshot.Reference, None] = field(default_factory=dict)  # places without a shortage, oldest first
    full: float = -math.inf  # when the namespace's budget of reads is full again
    heard: float = -math.inf  # when the namespace's budget of Events is full again


class NextRead(NamedTuple):
    """The claim to be read now or, if no claim can be read now, None and the seconds until a claim can."""

    claim: snapshot.Reference | None
    wait_seconds: float


class Shortages:
    """The claims and shortages of all namespaces. `queue` has the namespaces in which something is to be read."""

    def __init__(self, monotonic: Callable[[], float], patience: datetime.timedelta) -> None:
        self.queue = workqueue.WorkQueue()
        self.patience = patience
        self.dropped = 0  # Events without budget, and claims without a place
        self._monotonic = monotonic
        self._by_namespace: dict[str, _NamespaceShortages] = {}
        self._places = 0
        # The namespaces whose first claims must still be read. None until the Events have been listed once.
        self._awaited: set[str] | None = None
        # The last list had the Events of every namespace before this one. None if the list had all Events.
        self._listed_before: str | None = ""

    @property
    def namespaces(self) -> int:
        """The number of namespaces that take memory."""
        return len(self._by_namespace)

    @property
    def complete(self) -> bool:
        """Return whether the shortages of every namespace are known."""
        return self._awaited is not None and not self._awaited

    def listed(self, last_namespace: str | None = None) -> bool:
        """Note that every Event that exists is now a claim; with `last_namespace`, every Event of the namespaces that
        the API server lists before that one. From now on, the shortages of a namespace are known when its claims have
        been read. Return whether that changes what is known.
        """
        changed = self._awaited is None or last_namespace != self._listed_before
        self._listed_before = last_namespace
        if self._awaited is None:
            self._awaited = {name for name, namespace_state in self._by_namespace.items() if namespace_state.unread}
        return changed

    def listed_in_full(self, namespace: str) -> bool:
        """Return whether every Event of a namespace was listed, so that no more of its workloads lack pods."""
        # The API server lists by the keys of etcd, in which a slash follows the namespace.
        return self._listed_before is None or f"{namespace}/" < f"{self._listed_before}/"

    def waited(self) -> None:
        """Treat the shortages of every namespace as known, even if something could not be listed or read."""
        self._awaited = set()

    def hears(self, namespace: str) -> bool:
        """Count an Event of a namespace, and return whether the Event is passed on."""
        if not namespace:
            return True
        namespace_state = self._by_namespace.setdefault(namespace, _NamespaceShortages())
        wait_seconds, namespace_state.heard = _EVENTS.spend(namespace_state.heard, self._monotonic())
        self.dropped += wait_seconds > 0
        return wait_seconds <= 0

    def claim(self, claim: snapshot.Reference) -> bool:
        """Have the workload of a claim read soon. Return False if there is no place for another claim."""
        namespace_state = self._by_namespace.setdefault(claim.namespace, _NamespaceShortages())
        if claim in namespace_state.places:
            return True  # the claim waits, or its workload is read at intervals
        if len(namespace_state.places) >= MOST_IN_NAMESPACE or (
            self._places >= MOST and not self._displace(len(namespace_state.places))
        ):
            self.dropped += 1
            return False
        self._places += 1
        namespace_state.places[claim] = _Place(self._monotonic())
        namespace_state.unread[claim] = None
        self.queue.add(claim.namespace)
        return True

    def _displace(self, places: int) -> bool:
        """Make room for a namespace that has `places` places: drop the newest unread claim of the namespace that has
        most of them. Return False if that would only swap the roles of the two namespaces.
        """
        fullest = max(self._by_namespace.values(), key=lambda namespace_state: len(namespace_state.unread))
        if len(fullest.unread) <= places + 1:
            return False
        self.dropped += 1
        self.drop(next(reversed(fullest.unread)))  # the newest, because the oldest unread claim is read next
        return True

    def of(self, namespace: str) -> tuple[snapshot.Shortage, ...] | None:
        """Return the shortages of a namespace as they were last read, None if they are not known yet."""
        if self._awaited is None or namespace in self._awaited:
            return None
        namespace_state = self._by_namespace.get(namespace)
        return (
            tuple(place.shortage for place in namespace_state.places.values() if place.shortage is not None)
            if namespace_state
            else ()
        )

    def next(self, namespace: str) -> NextRead:
        """Return the claim to be read now, and spend one read of the namespace's budget."""
        namespace_state = self._by_namespace.get(namespace)
        if namespace_state is None or not namespace_state.places:
            return NextRead(None, math.inf)
        now = self._monotonic()
        claim, place = min(namespace_state.places.items(), key=lambda pair: pair[1].due)
        if place.due > now:
            return NextRead(None, place.due - now)
        wait_seconds, namespace_state.full = _READS.spend(namespace_state.full, now)
        return NextRead(None, wait_seconds) if wait_seconds > 0 else NextRead(claim, 0.0)

    def keep(self, shortage: snapshot.Shortage) -> None:
        """Keep what a workload lacks, and have the workload read again: soon after a change, rarely without one."""
        place = self._place(shortage.workload)
        if place is None:
            return
        previous, now = place.shortage, self._monotonic()
        if previous is not None:
            shortage = replace(shortage, covered=previous.covered, emitted=previous.emitted)
        same = previous is not None and _lacks(previous) == _lacks(shortage)
        place.pause = min(2 * place.pause, _LONGEST_PAUSE_SECONDS) if same else _PAUSE_SECONDS
        place.failures = 0
        place.shortage, place.last, place.due = shortage, now, now + place.pause
        self._settle(shortage.workload)
        if shortage.covered is not None:
            seconds_left = (shortage.covered + self.patience - shortage.read).total_seconds()
            if seconds_left > 0:
                place.due = min(place.due, now + seconds_left)

    def enough(self, claim: snapshot.Reference) -> None:
        """Handle a workload that has its pods. If no shortage was found so far, the workload is read a few more times,
        because its status may be behind.
        """
        place = self._place(claim)
        if place is None:
            return
        if place.shortage is not None or place.reads >= len(_FIRST_PAUSES):
            self.drop(claim)
            return
        place.failures = 0
        place.due = self._monotonic() + _FIRST_PAUSES[place.reads]
        place.reads += 1

    def later(self, claim: snapshot.Reference) -> None:
        """Try again, after a pause that doubles with each failure in a row, to read a workload that could not be
        read.
        """
        place = self._place(claim)
        if place is not None:
            place.failures += 1
            place.due = self._monotonic() + min(_PAUSE_SECONDS * 2.0 ** min(place.failures, 20), _LONGEST_PAUSE_SECONDS)

    def drop(self, claim: snapshot.Reference) -> None:
        """Forget a claim, and what its workload lacked."""
        namespace_state = self._by_namespace.get(claim.namespace)
        if namespace_state is not None and namespace_state.places.pop(claim, None) is not None:
            self._places -= 1
            self._settle(claim)

    def _settle(self, claim: snapshot.Reference) -> None:
        """Note that a claim has been read, or no longer exists."""
        namespace_state = self._by_namespace[claim.namespace]
        namespace_state.unread.pop(claim, None)
        if not namespace_state.unread and self._awaited is not None:
            self._awaited.discard(claim.namespace)

    def forget(self, namespace: str) -> None:
        """Forget a namespace that no longer exists."""
        self.queue.drop(namespace)
        namespace_state = self._by_namespace.pop(namespace, None)
        self._places -= len(namespace_state.places) if namespace_state is not None else 0
        if self._awaited is not None:
            self._awaited.discard(namespace)

    def sweep(self) -> None:
        """Forget the namespaces for which nothing is kept but full budgets."""
        now = self._monotonic()
        for name, namespace_state in list(self._by_namespace.items()):
            if not namespace_state.places and max(namespace_state.full, namespace_state.heard) <= now:
                del self._by_namespace[name]

    def heed(
        self, namespace_plan: plan.NamespacePlan, emitted: Iterable[effects.EmitEvent], now: datetime.datetime
    ) -> None:
        """Note what a plan has decided about the shortages. Have a workload read again if that decision has changed."""
        emitted_keys = {(event.regarding.uid, event.key) for event in emitted}
        for refusal in namespace_plan.refused or ():
            place = self._place(refusal.shortage.workload)
            if place is None or place.shortage is None:
                continue
            if not refusal.refused and place.shown is None:
                self.drop(refusal.shortage.workload)  # it was covered all the time: something else refuses its pods
                continue
            covered = None if refusal.refused else place.shortage.covered or now
            keys = [key for uid, key in emitted_keys if uid == refusal.shortage.top.uid]
            events = {**place.shortage.emitted, **dict.fromkeys(sorted(keys), now)}
            latest_events = dict(sorted(events.items(), key=lambda pair: pair[1])[-_KEPT_EVENTS:])
            place.shortage = replace(place.shortage, covered=covered, emitted=latest_events)
            pods = sum(
                verdict.count
                for verdict in namespace_plan.judged
                if verdict.pod.owner is not None and verdict.pod.owner.uid == refusal.shortage.workload.uid
            )
            decision = _Shown(refusal.refused, pods)
            if place.shown is not None and place.shown != decision:
                place.pause = _PAUSE_SECONDS / 2
                place.due = min(place.due, max(self._monotonic(), place.last + _PAUSE_SECONDS))
                self.queue.add(namespace_plan.namespace.name)
            place.shown = decision

    def _place(self, claim: snapshot.Reference) -> _Place | None:
        namespace_state = self._by_namespace.get(claim.namespace)
        return namespace_state.places.get(claim) if namespace_state is not None else None


def _lacks(shortage: snapshot.Shortage) -> tuple[int, int, snapshot.Pod]:
    """Return what a change of the workload must differ in to be a reason to read the workload again soon."""
    return shortage.present, shortage.wanted, shortage.pod
