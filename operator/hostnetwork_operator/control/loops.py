"""Loops that run side by side and have one fate.

A loop that ends, of whatever, ends all others: a process that does only a part of its work looks healthy and is not.
The process says which loop ended and why, and ends with status 1, so that its Deployment restarts it.

A loop may also hang. So each has a pulse: a loop that is not idle must have a request answered, or its turn done, every
few minutes, or /healthz fails (`Loops.stale`).
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
# The gateway gives a request up after less than three minutes, all attempts together.
_STALE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Loop:
    """A coroutine function with a name for people. `ends`: it may end by itself, when it has done what it is for."""

    name: str
    body: Callable[[], Coroutine[object, object, None]]
    ends: bool = False


class LoopError(Exception):
    """A loop ended that never should; the message says which loop and why."""


@dataclass(slots=True)
class _Pulse:
    name: str
    idle: bool = False
    last: float = field(default_factory=time.monotonic)


_current: contextvars.ContextVar[_Pulse | None] = contextvars.ContextVar("pulse", default=None)


def beat() -> None:
    """Note that the loop which calls this goes on. Nothing is noted outside of loops."""
    if (pulse := _current.get()) is not None:
        pulse.last = time.monotonic()


@contextlib.contextmanager
def idle() -> Iterator[None]:
    """The loop that calls this waits for something to do, however long that takes."""
    pulse = _current.get() or _Pulse("")
    pulse.idle = True
    try:
        yield
    finally:
        pulse.idle, pulse.last = False, time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait so long, idle."""
    with idle():
        await asyncio.sleep(seconds)


class Loops:
    """Loops that are run together."""

    def __init__(self) -> None:
        self._pulses: list[_Pulse] = []

    async def run(self, every: Sequence[Loop]) -> None:
        """Run loops until cancelled. Raise LoopError where one ends that never should."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in every:
                    group.create_task(self._run(loop), name=loop.name)
        except* LoopError as errors:
            raise LoopError("; ".join(str(error) for error in errors.exceptions)) from errors.exceptions[0]

    def stale(self) -> str:
        """Return which loop hangs, or ''."""
        now = time.monotonic()
        for pulse in self._pulses:
            if not pulse.idle and now - pulse.last > _STALE_SECONDS:
                return f"loop {pulse.name} has made no progress for {now - pulse.last:.0f} s"
        return ""

    async def _run(self, loop: Loop) -> None:
        pulse = _Pulse(loop.name)
        _current.set(pulse)  # of this task alone, and of the tasks that it makes
        self._pulses.append(pulse)
        try:
            await loop.body()
        except Exception as error:
            _log.exception("loop-ended", extra={"hno_fields": {"loop": loop.name}})
            raise LoopError(f"loop {loop.name} ended: {type(error).__name__}: {error}") from error
        if not loop.ends:
            raise LoopError(f"loop {loop.name} ended by itself")
        self._pulses.remove(pulse)
