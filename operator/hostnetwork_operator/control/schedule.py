"""When each namespace is reconciled: at once, after some seconds, or at a moment of the API server's clock."""

import asyncio
import datetime
from typing import Final

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import workqueue
from hostnetwork_operator.observe import store

# After a moment that was waited for: the clock is a lower bound, so it may not have come quite yet.
_EARLY_SECONDS: Final = 0.01
_ASK_AGAIN_SECONDS: Final = 0.1
_UNANSWERED_SECONDS: Final = 1.0  # after the API server could not be asked for the time


class Schedule:
    """The queue of namespaces. `policy_changed` is set when the status of the policy may say something new."""

    def __init__(self, api: gateway.Gateway, kept: store.Store, server_clock: clock.ServerClock) -> None:
        self.queue = workqueue.WorkQueue()
        self.policy_changed = asyncio.Event()
        self._api = api
        self._store = kept
        self._clock = server_clock

    def wake(self, name: str) -> None:
        """Have a namespace reconciled as soon as a worker is free."""
        self.queue.add(name)

    def wake_all(self) -> None:
        """Have every namespace reconciled, and the status of the policy written if it says something new."""
        for name in self._store.namespaces():
            self.queue.add(name)
        self.policy_changed.set()

    def after(self, name: str, seconds: float) -> None:
        """Have a namespace reconciled after so many seconds."""
        self.queue.add_after(name, seconds + _EARLY_SECONDS)

    def seconds_until(self, moment: datetime.datetime) -> float:
        """Return how long to wait for a moment of the API server's clock."""
        return (moment - self._clock.now()).total_seconds()

    async def at(self, name: str, moment: datetime.datetime) -> None:
        """Have a namespace reconciled at `moment`.

        Where the moment may be past already, the API server is asked for the time first: the clock is a lower bound,
        and in a quiet cluster the clock is up to a second behind.
        """
        if not self._clock.may_be_past(moment):
            self.after(name, self.seconds_until(moment))
            return
        pause = _ASK_AGAIN_SECONDS
        if not self._clock.asked_within(_ASK_AGAIN_SECONDS):
            try:
                await self._api.get("/version")
            except gateway.ApiError:  # the moment comes all the same, and nothing else waits for the answer
                pause = _UNANSWERED_SECONDS
        self.queue.add_after(name, pause)
