"""Loops that run together end together, and the error names a loop that hangs."""

import asyncio
from collections.abc import Callable

import pytest

from hostnetwork_operator.control import loops


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _dies() -> None:
    raise ValueError("an answer that nobody expected")


async def _ends() -> None:
    await asyncio.sleep(0)


async def test_a_loop_that_dies_ends_all_and_is_named() -> None:
    """Otherwise the process could not tell that it does only a part of its work."""
    other_loop = loops.Loop("other", _for_ever)
    with pytest.raises(loops.LoopError) as raised:
        await asyncio.wait_for(loops.Loops().run([other_loop, loops.Loop("clock", _dies)]), 10)
    assert str(raised.value) == "loop clock ended: ValueError: an answer that nobody expected"


async def test_a_loop_may_run_loops() -> None:
    """The error is that of the loop that ended first."""
    group = loops.Loops()

    async def runs() -> None:
        await group.run([loops.Loop("clock", _dies), loops.Loop("other", _for_ever)])

    with pytest.raises(loops.LoopError) as raised:
        await asyncio.wait_for(group.run([loops.Loop("outer", runs), loops.Loop("lease", _for_ever)]), 10)
    assert str(raised.value) == "loop clock ended: ValueError: an answer that nobody expected"


async def test_a_loop_that_ends_by_itself_ends_all() -> None:
    """A loop that should never end has not done its work when it ends."""
    with pytest.raises(loops.LoopError, match="loop clock ended unexpectedly"):
        await asyncio.wait_for(loops.Loops().run([loops.Loop("clock", _ends)]), 10)


async def test_a_loop_that_has_done_its_work_ends_alone() -> None:
    """For instance the loop that reports that everything is ready."""
    group = loops.Loops()
    task = asyncio.create_task(group.run([loops.Loop("ready", _ends, ends=True), loops.Loop("c", _for_ever)]))
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_loop_that_hangs_is_named_and_one_that_waits_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answered request is progress, even in a task that the loop has started."""
    monkeypatch.setattr(loops, "_STALE_SECONDS", 0.2)
    released = asyncio.Event()

    async def waits() -> None:
        await loops.sleep(600)

    async def works() -> None:
        while not released.is_set():
            await asyncio.gather(_beating())
        await _for_ever()

    async def _beating() -> None:
        await asyncio.sleep(0.02)
        loops.beat()

    group = loops.Loops()
    all_loops = [loops.Loop("waits", waits), loops.Loop("works", works)]
    task = asyncio.create_task(group.run(all_loops))
    await asyncio.sleep(0.4)
    await _until(lambda: group.stale() == "")
    released.set()
    await _until(lambda: group.stale().startswith("loop works has made no progress for "))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _until(probe: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not probe():
            await asyncio.sleep(0.01)


def test_outside_of_loops_there_is_no_pulse() -> None:
    """A probe sends requests too, and the start waits. Neither fails outside a loop, and neither counts as a loop."""
    loops.beat()
    with loops.idle():
        loops.beat()
    assert loops._current.get() is None
