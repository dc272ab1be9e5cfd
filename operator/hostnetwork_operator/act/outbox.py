"""The Events of one namespace, or about the policy, that must still be emitted, because no later plan contains them.

A user who can have Events refused, by a quota or by a limit of requests, must not hold up anything else with these
Events, nor multiply the operator's requests. So after a refusal no Event of the namespace is sent for a while. Each
Event is remembered, and the number of remembered Events is small.
"""

import logging
from collections.abc import Iterable
from typing import Final

from hostnetwork_operator import logs
from hostnetwork_operator.act import events, gateway
from hostnetwork_operator.decide import effects
from hostnetwork_operator.observe import live

_log = logging.getLogger(__name__)
MOST: Final = 200
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_NEVER_STORED: Final = frozenset({400, 404, 422})  # the Event is malformed, or its namespace no longer exists


class Outbox:
    """Events that wait. Moments are monotonic, in seconds."""

    def __init__(self) -> None:
        self._waiting: dict[effects.EmitEvent, None] = {}  # oldest first
        self._pause = 0.0
        self._opens = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> tuple[effects.EmitEvent, ...]:
        """Return the Events that must still be emitted, oldest first."""
        return tuple(self._waiting)

    @property
    def pause_seconds(self) -> float:
        """Return for how long no Event is sent after the last refusal, 0 if none was refused since one was stored."""
        return self._pause

    def add(self, more: Iterable[effects.EmitEvent]) -> None:
        """Remember Events, each once. If there are too many, the oldest are dropped."""
        self._waiting |= dict.fromkeys(more)
        self.drop(len(self._waiting) - MOST)

    def drop(self, count: int) -> None:
        """Drop the oldest `count` Events, and log that."""
        dropped = self.waiting[: max(0, count)]
        for event in dropped:
            del self._waiting[event]
        if dropped:
            namespace = dropped[0].regarding.namespace
            logs.log(_log, logging.WARNING, "events-dropped", namespace=namespace, count=len(dropped))

    def is_open(self, now: float) -> bool:
        """Return whether an Event may be sent."""
        return now >= self._opens

    def sendable(self, now: float) -> tuple[effects.EmitEvent, ...]:
        """Return the Events that wait, none during the pause after a refusal."""
        return self.waiting if self.is_open(now) else ()

    async def emit(self, api: gateway.Gateway, event: effects.EmitEvent, clock: live.Clock) -> bool:
        """Emit one Event, and return whether the Event was stored now and not earlier. Raise what the request raises.

        If the API server refuses the Event and may store the Event later, the Event waits behind all others: one Event
        that is always refused, for example by a webhook, must not keep the others back.
        """
        try:
            stored = await events.emit(api, event, clock.now())
        except Exception as error:
            self._waiting.pop(event, None)
            if not (isinstance(error, gateway.ApiError) and error.status in _NEVER_STORED):
                self.add([event])
                self._pause = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause))
                self._opens = clock.monotonic() + self._pause
            raise
        self._waiting.pop(event, None)
        self._pause = 0.0
        return stored

    async def emit_waiting(self, api: gateway.Gateway, clock: live.Clock, *, last: bool = False) -> Exception | None:
        """Emit the Events that wait, up to the first that is refused. Return the error of that Event.

        With `last` the pause after a refusal does not count, because there is no later attempt.
        """
        for event in self.waiting if last else self.sendable(clock.monotonic()):
            try:
                await self.emit(api, event, clock)
            except Exception as error:
                if event in self._waiting:
                    return error
        return None
