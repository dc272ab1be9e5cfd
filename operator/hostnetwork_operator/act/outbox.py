"""The Events of one namespace that must still be emitted, because no later plan contains them.

A user who can have Events refused, by a quota or by a limit of requests, must not hold up anything else with these
Events, nor multiply the operator's requests. So after a refusal no Event of the namespace is sent for a while. Each
Event is remembered, and the number of remembered Events is small.
"""

import logging
from collections.abc import Iterable
from typing import Final

from hostnetwork_operator import logs
from hostnetwork_operator.decide import effects

_log = logging.getLogger(__name__)
MOST: Final = 200
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0


class Outbox:
    """The Events of one namespace that wait. Moments are monotonic, in seconds."""

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

    def add(self, events: Iterable[effects.EmitEvent]) -> None:
        """Remember Events, each once. If there are too many, the oldest are dropped."""
        self._waiting |= dict.fromkeys(events)
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

    def stored(self, event: effects.EmitEvent) -> None:
        """Note that the API server has stored an Event."""
        self._waiting.pop(event, None)
        self._pause = 0.0

    def rejected(self, event: effects.EmitEvent) -> None:
        """Note that the API server will never store an Event."""
        self._waiting.pop(event, None)

    def refused(self, event: effects.EmitEvent, now: float) -> None:
        """Note that the API server has not stored an Event, and may store it later."""
        self.add([event])
        self._pause = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause))
        self._opens = now + self._pause
