"""The workloads that lack pods, and the claims that lead to them: what is to be read when. Kept in memory only.

Whoever may create Events in a namespace makes as many claims as he likes. So a namespace has few places and a budget
of reads, namespaces take turns, and a claim that no read has confirmed has no right to its place. After a restart the
Events that are there are read again, and until then it is not known what lacks pods.
"""

import datetime
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from hostnetwork_operator.control import budget, workqueue
from hostnetwork_operator.decide import effects, plan, snapshot

MOST_IN_NAMESPACE: Final = 32
MOST: Final = 1024
_READS: Final = budget.Budget(burst=10, refill_seconds=0.5)  # of one namespace
_EVENTS: Final = budget.Budget(burst=50, refill_seconds=0.5)  # of one namespace
# A controller emits its Event before it writes the status that says how many pods there are.
_FIRST_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
_PAUSE_SECONDS: Final = 1.0  # of a workload that lacks pods, doubled after each read that says the same
_LONGEST_PAUSE_SECONDS: Final = 300.0
_KEPT_EVENTS: Final = 4  # of one workload: which Events were emitted when


@dataclass(slots=True)
class _Place:
    """One claim. `due` is when its workload is read next, `shortage` what the last read said of it."""

    due: float
    reads: int = 0
    last: float = -math.inf
    pause: float = _PAUSE_SECONDS
    shortage: snapshot.Shortage | None = None
    shown: object = None  # what the plan last made of it


@dataclass(slots=True)
class _Namespace:
    places: dict[snapshot.Reference, _Place] = field(default_factory=dict)
    unread: dict[snapshot.Reference, None] = field(default_factory=dict)  # places without a shortage, the oldest first
    full: float = -math.inf  # when its budget of reads is full again
    heard: float = -math.inf  # the same of its budget of Events


class Shortages:
    """Claims and shortages of all namespaces. `queue` has the namespaces in which something is to be read."""

    def __init__(self, monotonic: Callable[[], float], patience: datetime.timedelta) -> None:
        self.queue = workqueue.WorkQueue()
        self.patience = patience
        self.dropped = 0  # Events for which there was no budget, and claims for which there was no place
        self._monotonic = monotonic
        self._kept: dict[str, _Namespace] = {}
        self._places = 0
        # Namespaces whose first claims are to be read; None before the first list of Events is through.
        self._awaited: set[str] | None = None

    @property
    def namespaces(self) -> int:
        """How many namespaces take memory."""
        return len(self._kept)

    @property
    def known(self) -> bool:
        """Whether the shortages of every namespace are known."""
        return self._awaited is not None and not self._awaited

    def listed(self) -> bool:
        """Note that every Event that exists is a claim now, so that a namespace is known when its claims are read.
        Return whether that is news.
        """
        if self._awaited is not None:
            return False
        self._awaited = {name for name, home in self._kept.items() if home.unread}
        return True

    def waited(self) -> None:
        """Take every namespace for known, whatever could not be listed or read."""
        self._awaited = set()

    def hears(self, namespace: str) -> bool:
        """Return whether one more Event of a namespace is passed on, and count the Event."""
        if not namespace:
            return True
        home = self._kept.setdefault(namespace, _Namespace())
        early, home.heard = _EVENTS.spend(home.heard, self._monotonic())
        self.dropped += early > 0
        return early <= 0

    def claim(self, claim: snapshot.Reference) -> bool:
        """Have the workload of a claim read soon; False where there is no place for one more."""
        home = self._kept.setdefault(claim.namespace, _Namespace())
        if claim in home.places:
            return True  # the claim waits, or its workload is read on a schedule
        if len(home.places) >= MOST_IN_NAMESPACE or (self._places >= MOST and not self._displace(len(home.places))):
            self.dropped += 1
            return False
        self._places += 1
        home.places[claim] = _Place(self._monotonic())
        home.unread[claim] = None
        self.queue.add(claim.namespace)
        return True

    def _displace(self, places: int) -> bool:
        """Drop the newest unread claim of the namespace with the most, for a namespace that has so many places; False
        where the two namespaces would only change roles.
        """
        home = max(self._kept.values(), key=lambda one: len(one.unread))
        if len(home.unread) <= places + 1:
            return False
        self.dropped += 1
        self.drop(next(reversed(home.unread)))  # the oldest is the next to be read
        return True

    def of(self, namespace: str) -> tuple[snapshot.Shortage, ...] | None:
        """Return the shortages of a namespace as they were last read; None where that is not known yet."""
        if self._awaited is None or namespace in self._awaited:
            return None
        home = self._kept.get(namespace)
        return tuple(one.shortage for one in home.places.values() if one.shortage is not None) if home else ()

    def next(self, namespace: str) -> tuple[snapshot.Reference | None, float]:
        """Return the claim to be read now, and a read of the budget is spent; or None and the seconds until then."""
        home = self._kept.get(namespace)
        if home is None or not home.places:
            return None, math.inf
        now = self._monotonic()
        claim, place = min(home.places.items(), key=lambda pair: pair[1].due)
        if place.due > now:
            return None, place.due - now
        early, home.full = _READS.spend(home.full, now)
        return (None, early) if early > 0 else (claim, 0.0)

    def keep(self, found: snapshot.Shortage) -> None:
        """Keep what a workload lacks, and read that again later: soon after a change, seldom where nothing changes."""
        place = self._place(found.workload)
        if place is None:
            return
        before, now = place.shortage, self._monotonic()
        if before is not None:
            found = replace(found, covered=before.covered, emitted=before.emitted)
        place.pause = _PAUSE_SECONDS if before is None else min(2 * place.pause, _LONGEST_PAUSE_SECONDS)
        place.shortage, place.last, place.due = found, now, now + place.pause
        self._settle(found.workload)
        if found.covered is not None:
            left = (found.covered + self.patience - found.read).total_seconds()
            if left > 0:
                place.due = min(place.due, now + left)

    def enough(self, claim: snapshot.Reference) -> None:
        """The workload has its pods; one that was never short is read some more times, its status may be behind."""
        place = self._place(claim)
        if place is None:
            return
        if place.shortage is not None or place.reads >= len(_FIRST_PAUSES):
            self.drop(claim)
            return
        place.due = self._monotonic() + _FIRST_PAUSES[place.reads]
        place.reads += 1

    def later(self, claim: snapshot.Reference) -> None:
        """The workload could not be read."""
        place = self._place(claim)
        if place is not None:
            place.pause = min(2 * place.pause, _LONGEST_PAUSE_SECONDS)
            place.due = self._monotonic() + place.pause

    def drop(self, claim: snapshot.Reference) -> None:
        """Forget a claim, and what its workload lacked."""
        home = self._kept.get(claim.namespace)
        if home is not None and home.places.pop(claim, None) is not None:
            self._places -= 1
            self._settle(claim)

    def _settle(self, claim: snapshot.Reference) -> None:
        """Note that a claim is read, or no longer exists."""
        home = self._kept[claim.namespace]
        home.unread.pop(claim, None)
        if not home.unread and self._awaited is not None:
            self._awaited.discard(claim.namespace)

    def forget(self, namespace: str) -> None:
        """Forget a namespace that no longer exists."""
        self.queue.drop(namespace)
        home = self._kept.pop(namespace, None)
        self._places -= len(home.places) if home is not None else 0
        if self._awaited is not None:
            self._awaited.discard(namespace)

    def sweep(self) -> None:
        """Forget the namespaces of which nothing is kept but full budgets."""
        now = self._monotonic()
        for name, home in list(self._kept.items()):
            if not home.places and max(home.full, home.heard) <= now:
                del self._kept[name]

    def heed(self, made: plan.NamespacePlan, emitted: Iterable[effects.EmitEvent], now: datetime.datetime) -> None:
        """Note what a plan has made of the shortages, and read those again about which that has changed."""
        done = {(event.regarding.uid, event.key) for event in emitted}
        for one in made.refused or ():
            place = self._place(one.shortage.workload)
            if place is None or place.shortage is None:
                continue
            if not one.refused and place.shown is None:
                self.drop(one.shortage.workload)  # covered all the time: something else refuses its pods
                continue
            covered = None if one.refused else place.shortage.covered or now
            keys = [key for uid, key in done if uid == one.shortage.top.uid]
            events = {**place.shortage.emitted, **dict.fromkeys(sorted(keys), now)}
            kept = dict(sorted(events.items(), key=lambda pair: pair[1])[-_KEPT_EVENTS:])
            place.shortage = replace(place.shortage, covered=covered, emitted=kept)
            pods = sum(v.pod.owner is not None and v.pod.owner.uid == one.shortage.workload.uid for v in made.verdicts)
            shown = (one.refused, pods)
            if place.shown is not None and place.shown != shown:
                place.pause = _PAUSE_SECONDS / 2
                place.due = min(place.due, max(self._monotonic(), place.last + _PAUSE_SECONDS))
                self.queue.add(made.namespace.name)
            place.shown = shown

    def _place(self, claim: snapshot.Reference) -> _Place | None:
        home = self._kept.get(claim.namespace)
        return home.places.get(claim) if home is not None else None
