"""A queue of namespace names: each at most once, at most one worker on each, later ones in time, failed ones after a
growing pause.

The shape of client-go's workqueue. A name that is added while it is being worked on is worked on again afterwards.
"""

import asyncio
import heapq
import random
from typing import Final

_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 60.0


class WorkQueue:
    """Moments are in seconds of the running event loop's clock, which is never set."""

    def __init__(self) -> None:
        self._ready: list[str] = []
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._when: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()

    def add(self, name: str) -> None:
        """As soon as a worker is free."""
        if name in self._working:
            self._again.add(name)
        elif name not in self._queued:
            self._queued.add(name)
            self._idle.clear()
            self._ready.append(name)
            self._changed.set()

    def add_after(self, name: str, seconds: float) -> None:
        """Once, after so many seconds; the earliest of several such wishes counts."""
        moment = _loop_time() + max(0.0, seconds)
        if moment < self._when.get(name, float("inf")):
            self._when[name] = moment
            heapq.heappush(self._later, (moment, name))
            self._changed.set()

    def retry(self, name: str) -> float:
        """After a failure: a pause that doubles each time, with jitter. Gives the pause in seconds."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self.add_after(name, pause)
        return pause

    def forget(self, name: str) -> None:
        """After a success: the next failure is the first again."""
        self._failures.pop(name, None)

    async def take(self) -> str:
        """The next name; it is this worker's until `done`."""
        while True:
            pause = self._promote()
            if self._ready:
                name = self._ready.pop(0)
                self._queued.discard(name)
                self._working.add(name)
                return name
            self._changed.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, name: str) -> None:
        """Gives a taken name back."""
        self._working.discard(name)
        if name in self._again:
            self._again.discard(name)
            self.add(name)
        if not self._ready and not self._working:
            self._idle.set()

    async def until_idle(self) -> None:
        """Until nothing is ready and nobody works; what is due later does not count."""
        await self._idle.wait()

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
