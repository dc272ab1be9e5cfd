"""The lists continue, whatever the operator had to start without."""

import asyncio
from typing import Any

import pytest

from hostnetwork_operator import clock, metrics
from hostnetwork_operator.control import loops, operator, resync
from hostnetwork_operator.observe import live, store
from tests.unit import serving
from tests.unit.builders import NAMESPACE
from tests.unit.shell import world
from tests.unit.shell.apiserver import refusal, until


class Minute:
    """A minute that is over at the second comparison with the clock."""

    def __init__(self) -> None:
        self.looks = 0

    def __le__(self, elapsed: float) -> bool:
        self.looks += 1
        return self.looks > 1


async def test_the_start_does_not_wait_for_the_list_of_every_pod() -> None:
    """That list comes next, and everything is evaluated again after it."""
    server = world.installed()
    server_clock = clock.ServerClock()
    async with serving.gateway_to(server.answer, server_clock) as api:
        core = operator.Operator(api, server_clock, metrics.Metrics())
        lists = world.listing(core)
        await lists.fill()
        state = core.cluster.snapshot(NAMESPACE)
        assert state is not None
        assert not state.pods_complete
        core.schedule.queue.done(await core.schedule.queue.take())
        assert core.schedule.queue.idle
        (full_resync,) = [loop for loop in lists.loops() if loop.name == "full-resync"]
        task = asyncio.create_task(loops.Loops().run([full_resync]))
        async with asyncio.timeout(10):
            await lists.every_pod.wait()
        state = core.cluster.snapshot(NAMESPACE)
        assert state is not None
        assert state.pods_complete
        assert not core.schedule.queue.idle
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("kind", [store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING, store.Kind.POLICY])
async def test_a_start_without_a_kind_does_not_end_the_lists(monkeypatch: pytest.MonkeyPatch, kind: store.Kind) -> None:
    """Also if the minute after which the operator starts without the kind ends between two readings of the clock."""
    minute: Any = Minute()
    monkeypatch.setattr(resync, "_FORBIDDEN_SECONDS", minute)
    monkeypatch.setattr(resync, "_PAUSE_SECONDS", 0.01)
    server, path = world.installed(), live.PATHS[kind]
    server.fails = lambda request: refusal(403) if request.path == path else None
    server_clock = clock.ServerClock()
    async with serving.gateway_to(server.answer, server_clock) as api:
        core = operator.Operator(api, server_clock, metrics.Metrics())
        lists = world.listing(core)
        await lists.fill()
        (resync_loop,) = [loop for loop in lists.loops() if loop.name == "resync"]
        task = asyncio.create_task(loops.Loops().run([resync_loop]))
        lists_before = sum(request.path == path for request in server.requests)
        await until(
            lambda: task.done() or sum(request.path == path for request in server.requests) > lists_before + 1,
            "the kind is listed again",
        )
        has_ended = task.done()
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert not has_ended, results
