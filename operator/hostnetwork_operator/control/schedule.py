"""When each namespace is reconciled: immediately, after some seconds, or at a moment of the API server's clock."""

import asyncio
import datetime
from typing import Final

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import workqueue
from hostnetwork_operator.observe import store

# Added to each wait for a moment: the operator's clock gives a lower bound of the API server's time, so without this
# the moment might not have come yet.
_EARLY_SECONDS: Final = 0.01
_ASK_AGAIN_SECONDS: Final = 0.1
_UNANSWERED_SECONDS: Final = 1.0  # the pause after the API server did not answer what time it is


class Schedule:
    """The queue of namespaces. `policy_changed` is set when the policy's status may have to be written."""

    def __init__(self, api: gateway.Gateway, cache: store.Store, server_clock: clock.ServerClock) -> None:
        self.queue = workqueue.WorkQueue()
        self.policy_changed = asyncio.Event()
        self._api = api
        self._store = cache
        self._clock = server_clock

    def wake(self, name: str) -> None:
        """Have a namespace reconciled as soon as a worker is free."""
        self.queue.add(name)

    def wake_all(self) -> None:
        """Have every namespace reconciled, and the policy's status written if it has changed."""
        for name in self._store.namespaces():
            self.queue.add(name)
        self.policy_changed.set()

    def after(self, name: str, seconds: float) -> None:
        """Have a namespace reconciled after `seconds`."""
        self.queue.add_after(name, seconds + _EARLY_SECONDS)

    def seconds_until(self, moment: datetime.datetime) -> float:
        """Return the seconds until a moment of the API server's clock."""
        return (moment - self._clock.now()).total_seconds()

    async def at(self, name: str, moment: datetime.datetime) -> None:
        """Have a namespace reconciled at `moment`.

        If the moment may already be past, the API server is first asked for the time: the operator's clock is a lower
        bound of the API server's time, and in a quiet cluster it is up to a second behind.
        """
        if not self._clock.may_be_past(moment):
            self.after(name, self.seconds_until(moment))
            return
        pause = _ASK_AGAIN_SECONDS
        if not self._clock.asked_within(_ASK_AGAIN_SECONDS):
            try:
                await self._api.get("/version")
            except gateway.ApiError:  # `moment` comes without the answer too, and nothing else waits for the answer
                pause = _UNANSWERED_SECONDS
        self.queue.add_after(name, pause)
