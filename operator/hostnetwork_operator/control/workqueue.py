"""A queue of namespace names: each at most once, at most one worker on each, later ones in time, failed ones after a
growing pause, those with nothing pressing left after all others, those that take long after a rest.

The shape of client-go's workqueue. A name that is added while it is being worked on is worked on again afterwards.
"""

import asyncio
import collections
import heapq
import random
from typing import Final

_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SPARE_MOMENTS: Final = 64  # moments that no longer count and take memory all the same, beside as many as count


class WorkQueue:
    """Moments are in seconds of the running event loop's clock, which is never set."""

    def __init__(self) -> None:
        self._ready: collections.deque[str] = collections.deque()
        self._deferred: dict[str, None] = {}  # in the order in which they came
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._defer: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._when: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._hurries = 0
        self._failed_at: dict[str, int] = {}  # how many hurries there had been at the last failure
        self._hasty: dict[str, None] = {}  # those that failed since the last hurry, not for a reason of their own
        self._rests: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def add(self, name: str) -> None:
        """As soon as a worker is free."""
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
        """Whether names wait that were not deferred."""
        self._promote()
        return bool(self._ready) and not self._closed

    def defer(self, name: str) -> None:
        """The name that is being worked on, again when nothing is pressing."""
        self._defer.add(name)

    def rest(self, name: str, seconds: float) -> None:
        """The name that is being worked on, not again before so many seconds, whatever asks for it.

        A name that rests has been worked on, so the queue is idle without it: two that rest by turns would keep the
        queue busy for ever.
        """
        self._rests[name] = _loop_time() + seconds

    def add_after(self, name: str, seconds: float) -> None:
        """Once, after so many seconds; the earliest of several such wishes counts."""
        moment = _loop_time() + max(0.0, seconds)
        if moment < self._when.get(name, float("inf")):
            self._when[name] = moment
            heapq.heappush(self._later, (moment, name))
            self._tidy()
            self._changed.set()

    def retry(self, name: str) -> float:
        """After a failure: a pause that doubles each time, with jitter. Gives the pause in seconds."""
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
        """After a success: the next failure is the first again."""
        self._failures.pop(name, None)
        self._failed_at.pop(name, None)
        self._hasty.pop(name, None)

    def hurry(self) -> None:
        """An outage is over: what failed in it is due now, and not after its pause.

        A name that fails on both sides of a hurry fails for a reason of its own, and has its pauses.
        """
        self._hurries += 1
        hasty, self._hasty = self._hasty, {}
        for name in hasty:
            self.add_after(name, 0)

    def drop(self, name: str) -> None:
        """The name no longer exists: nothing of it is due later. Whatever has asked for it since still counts."""
        self._when.pop(name, None)
        self._rests.pop(name, None)
        self.forget(name)
        self._tidy()

    async def take(self) -> str:
        """The next name; it is this worker's until `done`."""
        while True:
            if self._closed:
                await asyncio.Event().wait()  # until cancelled
            pause = self._promote()
            name = self._ready.popleft() if self._ready else self._first_deferred()
            if name is not None:
                self._queued.discard(name)
                self._working.add(name)
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
        """Gives a taken name back."""
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
        if not self._working and all(self._rest_of(left) > 0 for left in self._queued):
            self._idle.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is ready and nobody works; what is due later does not count."""
        return self._idle.is_set()

    def close(self) -> None:
        """From now on nothing is taken, and nothing is pressing."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

    @property
    def free(self) -> bool:
        """Whether nobody works."""
        return not self._working

    async def until_idle(self) -> None:
        """Until it is."""
        await self._idle.wait()

    def _tidy(self) -> None:
        if len(self._later) > 2 * len(self._when) + _SPARE_MOMENTS:
            self._later = [(moment, name) for name, moment in self._when.items()]
            heapq.heapify(self._later)

    def _rest_of(self, name: str) -> float:
        """The seconds until a name may be taken; 0 for now."""
        remaining = self._rests.get(name, 0.0) - _loop_time()
        if remaining <= 0:
            self._rests.pop(name, None)
        return max(0.0, remaining)

    def _first_deferred(self) -> str | None:
        """The first that does not rest; what is ready never does."""
        name = next((name for name in self._deferred if self._rest_of(name) <= 0), None)
        if name is not None:
            del self._deferred[name]
        return name

    def _promote(self) -> float | None:
        """Moves what is due to the ready ones; gives the seconds until the next is due, None if none is."""
        while self._later:
            moment, name = self._later[0]
            remaining = moment - _loop_time()
            if self._when.get(name) != moment:  # an earlier wish took its place
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
