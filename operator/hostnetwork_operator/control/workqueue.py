"""A queue of namespace names.

Each name is in the queue at most once, and at most one worker works on it. A name can be added for a later moment. A
name that failed comes again after a growing pause. A deferred name, which has no pressing work left, comes after all
others. A name whose work takes long rests afterwards.

The design follows client-go's workqueue. A name that is added while a worker works on it is worked on again afterwards.
"""

import asyncio
import collections
import heapq
import random
from typing import Final

_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SPARE_MOMENTS: Final = 64  # outdated moments that may stay in memory, in addition to as many as are valid


class WorkQueue:
    """The queue. Moments are in seconds of the running event loop's clock, which nobody sets."""

    def __init__(self) -> None:
        self._ready: collections.deque[str] = collections.deque()
        self._deferred: dict[str, None] = {}  # in the order in which they were deferred
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._defer: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._when: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._hurries = 0
        self._failed_at: dict[str, int] = {}  # the value of _hurries at the last failure
        # The names that have failed since the last hurry, except those that fail for a reason of their own.
        self._hasty: dict[str, None] = {}
        self._rests: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def add(self, name: str) -> None:
        """Have a name worked on as soon as a worker is free."""
        if name in self._working:
            self._again.add(name)
        elif (rest := self._rest_of(name)) > 0:
            self.add_after(name, rest)
        elif name not in self._queued or name in self._deferred:
            self._deferred.pop(name, None)
            self._queued.add(name)
            self._idle.clear()
            self._ready.append(name)
            self._changed.set()

    @property
    def pressing(self) -> bool:
        """Return whether names wait that are not deferred."""
        self._promote()
        return bool(self._ready) and not self._closed

    def defer(self, name: str) -> None:
        """Put the name that a worker works on back into the queue, to be taken when nothing is pressing."""
        self._defer.add(name)

    def rest(self, name: str, seconds: float) -> None:
        """Keep the name that a worker works on from being taken again within `seconds`, whatever adds it.

        A name that rests has been worked on, so it does not keep the queue from being idle. Otherwise two names that
        rest by turns would keep the queue busy for ever.
        """
        self._rests[name] = _loop_time() + seconds

    def add_after(self, name: str, seconds: float) -> None:
        """Have a name worked on once, after `seconds`. If this is called several times, the earliest moment counts."""
        moment = _loop_time() + max(0.0, seconds)
        if moment < self._when.get(name, float("inf")):
            self._when[name] = moment
            heapq.heappush(self._later, (moment, name))
            self._tidy()
            self._changed.set()

    def retry(self, name: str) -> float:
        """Add a name whose work has failed again, after a pause with jitter that doubles with each failure. Return the
        pause in seconds.
        """
        if self._failed_at.get(name, self._hurries) == self._hurries:
            self._hasty[name] = None
        else:
            self._hasty.pop(name, None)
        self._failed_at[name] = self._hurries
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self.add_after(name, pause)
        return pause

    def forget(self, name: str) -> None:
        """Forget the failures of a name that has succeeded: its next failure counts as the first."""
        self._failures.pop(name, None)
        self._failed_at.pop(name, None)
        self._hasty.pop(name, None)

    def hurry(self) -> None:
        """Make the names that failed in an outage due now and not after their pause, because the outage is over.

        A name that fails both before and after a hurry fails for a reason of its own, and keeps its pauses.
        """
        self._hurries += 1
        hasty, self._hasty = self._hasty, {}
        for name in hasty:
            self.add_after(name, 0)

    def drop(self, name: str) -> None:
        """Forget what is due later for a name that no longer exists. If the name was added since, that still counts."""
        self._when.pop(name, None)
        self._rests.pop(name, None)
        self.forget(name)
        self._tidy()

    async def take(self) -> str:
        """Return the next name. It belongs to the calling worker until `done` is called."""
        while True:
            if self._closed:
                await asyncio.Event().wait()  # until cancelled
            pause = self._promote()
            name = self._ready.popleft() if self._ready else self._first_deferred()
            if name is not None:
                self._queued.discard(name)
                self._working.add(name)
                self._idle.clear()  # the queue may have been idle while the name rested
                return name
            if self._deferred:
                rests = min(map(self._rest_of, self._deferred))
                pause = rests if pause is None else min(pause, rests)
            self._changed.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, name: str) -> None:
        """Give a taken name back."""
        self._working.discard(name)
        deferred = name in self._defer
        self._defer.discard(name)
        if name in self._again:
            self._again.discard(name)
            self.add(name)
        elif deferred and name not in self._queued:
            self._queued.add(name)
            self._deferred[name] = None
            self._changed.set()
        if not self._working and all(self._rest_of(queued_name) > 0 for queued_name in self._queued):
            self._idle.set()

    @property
    def idle(self) -> bool:
        """Return whether no name is ready and no worker works. Names that are due later do not count."""
        return self._idle.is_set()

    def close(self) -> None:
        """Stop giving names to workers. From now on, nothing is pressing."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Return whether the queue gives no more names to workers."""
        return self._closed

    @property
    def free(self) -> bool:
        """Return whether no worker works."""
        return not self._working

    async def until_idle(self) -> None:
        """Wait until the queue is idle."""
        await self._idle.wait()

    def _tidy(self) -> None:
        if len(self._later) > 2 * len(self._when) + _SPARE_MOMENTS:
            self._later = [(moment, name) for name, moment in self._when.items()]
            heapq.heapify(self._later)

    def _rest_of(self, name: str) -> float:
        """Return the seconds until a name may be taken, 0 if it may be taken now."""
        remaining = self._rests.get(name, 0.0) - _loop_time()
        if remaining <= 0:
            self._rests.pop(name, None)
        return max(0.0, remaining)

    def _first_deferred(self) -> str | None:
        """Take out and return the first deferred name that does not rest. Names that are ready never rest."""
        name = next((name for name in self._deferred if self._rest_of(name) <= 0), None)
        if name is not None:
            del self._deferred[name]
        return name

    def _promote(self) -> float | None:
        """Move the names that are due to the ready ones. Return the seconds until the next name is due, None if no name
        is.
        """
        while self._later:
            moment, name = self._later[0]
            remaining = moment - _loop_time()
            if self._when.get(name) != moment:  # replaced by an earlier moment
                heapq.heappop(self._later)
            elif remaining <= 0:
                heapq.heappop(self._later)
                del self._when[name]
                self.add(name)
            else:
                return remaining
        return None


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
