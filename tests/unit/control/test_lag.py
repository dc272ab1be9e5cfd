"""The lag of the event loop: what holds the loop is seen, and nothing is seen of a loop that is free."""

import asyncio
import contextlib
import time

import pytest

from hostnetwork_operator import metrics
from hostnetwork_operator.control import lag


async def most(held_seconds: float) -> float:
    """Return the upper bound of the bucket with the largest lag, after something held the loop for so long."""
    measures = metrics.Metrics()
    watching = asyncio.create_task(lag.keep(measures))
    await asyncio.sleep(0.15)
    time.sleep(held_seconds)
    await asyncio.sleep(0.15)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    (family,) = measures.lag.collect()
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    total = max(sample.value for sample in buckets)
    assert total > 0
    return min(float(sample.labels["le"]) for sample in buckets if sample.value == total)


@pytest.mark.parametrize("held_seconds", [0.25, 0.6])
async def test_what_holds_the_loop_is_seen(held_seconds: float) -> None:
    """The lag is at least the time without the pause between two looks."""
    assert await most(held_seconds) >= held_seconds - 0.1
