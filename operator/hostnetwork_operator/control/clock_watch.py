"""Watches whether the API server's time is known well enough to delete by, and logs when it is not."""

import contextlib
import logging
from typing import Final

from hostnetwork_operator import clock, logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import loops, schedule

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 2.0


class ClockWatch:
    """Whether the clock is trusted, and whether anything was evaluated while it was not."""

    def __init__(self, api: gateway.Gateway, server_clock: clock.ServerClock, when: schedule.Schedule) -> None:
        self._api = api
        self._clock = server_clock
        self._schedule = when
        self._judged_unsure = False

    def trusted(self) -> bool:
        """Return whether the time is known well enough to delete by. If it is not, what is evaluated now is
        evaluated again later.
        """
        is_trusted = self._clock.trusted()
        self._judged_unsure |= not is_trusted
        return is_trusted

    async def keep(self) -> None:
        """Have every namespace re-evaluated when the time is known well enough again, until cancelled."""
        reported = self._clock.state()
        while True:
            await loops.sleep(_LOOK_SECONDS)
            if not self._clock.trusted() and not self._clock.asked_within(_LOOK_SECONDS):
                with contextlib.suppress(gateway.ApiError):  # a new answer lets the contradicting answers grow old
                    await self._api.get("/version")
            reported_before, reported = reported, self._clock.state()
            if reported_before is not reported:
                level = logging.INFO if self._clock.trusted() else logging.ERROR
                skew, spread = round(self._clock.skew_seconds(), 1), round(self._clock.spread_seconds(), 1)
                logs.log(_log, level, "clock", state=reported.value, skew_seconds=skew, spread_seconds=spread)
                self._schedule.policy_changed.set()
            if reported_before is not reported or (self._judged_unsure and self._clock.trusted()):
                self._judged_unsure = False
                self._schedule.wake_all()
