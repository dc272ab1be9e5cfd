"""How late the event loop is: for how long something else kept it from what was due.

Everything in this process runs in one event loop. What holds the loop delays flags, expiries, probes and watches alike.
"""

import asyncio
import time
from typing import Final

from hostnetwork_operator import metrics
from hostnetwork_operator.control import loops

# Whatever holds the loop for 50 ms, the goal, is seen with at least 30 of them; 50 wakes a second cost 0.2 % of a core.
_LOOK_SECONDS: Final = 0.02


async def keep(measures: metrics.Metrics) -> None:
    """Measure the lag of the running event loop until cancelled."""
    with loops.idle():
        while True:
            due = time.monotonic() + _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            measures.lag.observe(max(0.0, time.monotonic() - due))
