"""When the operator has nothing to do now."""

import asyncio
from typing import Any, cast

from hostnetwork_operator import clock, metrics
from hostnetwork_operator.control import operator


async def test_it_is_not_idle_while_a_namespace_is_looked_at_or_judged_by_that() -> None:
    """Else it would be ready before a namespace is enforced."""
    core = operator.Operator(cast("Any", None), clock.ServerClock(), metrics.Metrics())
    core.queue.add("payments")
    idle = asyncio.ensure_future(core.until_idle())
    await core.queue.take()
    core.looks.add("payments")
    core.queue.done("payments")
    await _a_while()
    assert not idle.done()
    await core.looks.take()
    core.queue.add("payments")
    core.looks.done("payments")
    await _a_while()
    assert not idle.done()
    await core.queue.take()
    core.queue.done("payments")
    await asyncio.wait_for(idle, 10)


async def _a_while() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
