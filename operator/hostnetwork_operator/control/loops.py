"""Loops that run concurrently and depend on each other.

If a loop ends for any reason, all other loops end too: a process that does only a part of its work looks healthy and is
not. The process logs which loop ended and why, and exits with status 1, so that its Deployment restarts it.

A loop may also hang. So each loop has a pulse: a loop that is not idle must have a request answered, or end a turn of
the loop, every few minutes. Otherwise /healthz fails (`Loops.stale`).
"""

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

_log = logging.getLogger(__name__)
# The gateway gives up a request after less than three minutes, all attempts together.
_STALE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Loop:
    """A coroutine function with a name for log messages. `ends` says that the function returns when its task is done,
    and that this ends no other loop.
    """

    name: str
    body: Callable[[], Coroutine[object, object, None]]
    ends: bool = field(default=False, kw_only=True)


class LoopError(Exception):
    """A loop ended that must never end. The message says which loop ended, and why."""


@dataclass(slots=True)
class _Pulse:
    name: str
    idle: bool = False
    last: float = field(default_factory=time.monotonic)


_current: contextvars.ContextVar[_Pulse | None] = contextvars.ContextVar("pulse", default=None)


def beat() -> None:
    """Note that the calling loop makes progress. Outside a loop, nothing is noted."""
    if (pulse := _current.get()) is not None:
        pulse.last = time.monotonic()


@contextlib.contextmanager
def idle() -> Iterator[None]:
    """Mark the calling loop as idle: it waits for something to do, however long that takes."""
    pulse = _current.get() or _Pulse("")
    pulse.idle = True
    try:
        yield
    finally:
        pulse.idle, pulse.last = False, time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait for `seconds`, and mark the calling loop as idle meanwhile."""
    with idle():
        await asyncio.sleep(seconds)


class Loops:
    """Loops that run together."""

    def __init__(self) -> None:
        self._pulses: list[_Pulse] = []

    async def run(self, every: Sequence[Loop]) -> None:
        """Run loops until cancelled. Raise LoopError if a loop ends that must never end."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in every:
                    group.create_task(self._run(loop), name=loop.name)
        except* LoopError as errors:
            raise LoopError("; ".join(str(error) for error in errors.exceptions)) from errors.exceptions[0]

    def stale(self) -> str:
        """Return a sentence about a loop that hangs, '' if no loop hangs."""
        now = time.monotonic()
        for pulse in self._pulses:
            if not pulse.idle and now - pulse.last > _STALE_SECONDS:
                return f"loop {pulse.name} has made no progress for {now - pulse.last:.0f} s"
        return ""

    async def _run(self, loop: Loop) -> None:
        pulse = _Pulse(loop.name)
        _current.set(pulse)  # applies to this task, and to the tasks that it creates
        self._pulses.append(pulse)
        try:
            await loop.body()
        except LoopError:  # a loop may run loops, and the one that ended first has the reason
            raise
        except Exception as error:
            _log.exception("loop-ended", extra={"hno_fields": {"loop": loop.name}})
            raise LoopError(f"loop {loop.name} ended: {type(error).__name__}: {error}") from error
        if not loop.ends:
            raise LoopError(f"loop {loop.name} ended unexpectedly")
        self._pulses.remove(pulse)
