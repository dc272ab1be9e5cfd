"""How late the event loop is: for how long something else kept it from what was due.

Everything in this process runs in one event loop. What holds the loop delays flags, expiries, probes and watches alike.
"""

import asyncio
import time
from typing import Final

from hostnetwork_operator import metrics
from hostnetwork_operator.control import loops

# What holds the loop is seen without the time since the last look. So a busy loop is looked at often, and an idle one
# seldom: 50 looks a second cost 0.7 % of a core (measured).
_IDLE_SECONDS: Final = 0.1
_BUSY_SECONDS: Final = 0.01
_LATE_SECONDS: Final = 0.002


async def keep(measures: metrics.Metrics) -> None:
    """Measure the lag of the running event loop until cancelled."""
    pause = _IDLE_SECONDS
    with loops.idle():
        while True:
            due = time.monotonic() + pause
            await asyncio.sleep(pause)
            late = max(0.0, time.monotonic() - due)
            measures.lag.observe(late)
            pause = _BUSY_SECONDS if late > _LATE_SECONDS else _IDLE_SECONDS
