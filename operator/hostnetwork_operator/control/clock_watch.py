"""Watches whether the API server's time is known well enough to delete by, and says when it is not."""

import contextlib
import logging
from typing import Final

from hostnetwork_operator import clock, logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import loops, schedule

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 2.0


class ClockWatch:
    """The clock, and whether anything was judged while the clock was not trusted."""

    def __init__(self, api: gateway.Gateway, server_clock: clock.ServerClock, when: schedule.Schedule) -> None:
        self._api = api
        self._clock = server_clock
        self._schedule = when
        self._judged_unsure = False

    def trusted(self) -> bool:
        """Return whether the time is sure enough to delete by. What is judged without is judged again later."""
        trusted = self._clock.trusted()
        self._judged_unsure |= not trusted
        return trusted

    async def keep(self) -> None:
        """Have every namespace judged again when the time has become sure, until cancelled."""
        shown = self._clock.state()
        while True:
            await loops.sleep(_LOOK_SECONDS)
            if not self._clock.trusted() and not self._clock.asked_within(_LOOK_SECONDS):
                with contextlib.suppress(gateway.ApiError):  # or the answers that contradict it never grow old
                    await self._api.get("/version")
            before, shown = shown, self._clock.state()
            if before is not shown:
                level = logging.INFO if self._clock.trusted() else logging.ERROR
                skew, spread = round(self._clock.skew_seconds(), 1), round(self._clock.spread_seconds(), 1)
                logs.log(_log, level, "clock", state=shown.value, skew_seconds=skew, spread_seconds=spread)
                self._schedule.policy_changed.set()
            if before is not shown or (self._judged_unsure and self._clock.trusted()):
                self._judged_unsure = False
                self._schedule.wake_all()
