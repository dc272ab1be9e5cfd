"""The API server's clock, as the operator knows it. The only place that asks what time it is.

Expiry is decided by the API server, so the operator must never be ahead of it. A Date header says the second in which
an answer was made: the server's time was at least that when the answer came, and less than a second more when the
request went out. Many answers narrow that to about one round trip. `now` is the lower end: late by a moment rather
than early.
"""

import collections
import datetime
import email.utils
import time
from typing import Final

from hostnetwork_operator.api import conditions

_SAMPLES: Final = 64
_AGE_SECONDS: Final = 60.0  # older samples are dropped: clocks drift, and are set
TOLERANCE_SECONDS: Final = 5.0  # more stops deletes (docs/explanation/architecture.md#expiry)


class ServerClock:
    """Time of day of the API server from Date headers, monotonic between them."""

    def __init__(self) -> None:
        # (monotonic moment, earliest, latest) where the bounds are server time minus monotonic time, in seconds
        self._samples: collections.deque[tuple[float, float, float]] = collections.deque(maxlen=_SAMPLES)

    @staticmethod
    def monotonic() -> float:
        """Seconds on a clock that is never set."""
        return time.monotonic()

    def observe(self, date: str, sent: float, received: float) -> None:
        """One answer's Date header, with the monotonic moments at which the request went and the answer came."""
        try:
            second = email.utils.parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return
        while self._samples and self._samples[0][0] < received - _AGE_SECONDS:
            self._samples.popleft()
        self._samples.append((received, second - received, second + 1 - sent))

    def now(self) -> datetime.datetime:
        """The API server's time, never ahead of it. Before the first answer: the epoch, when nothing had expired."""
        if not self._samples:
            return datetime.datetime.fromtimestamp(0, datetime.UTC)
        return datetime.datetime.fromtimestamp(time.monotonic() + self._offset(), datetime.UTC)

    def may_be_past(self, moment: datetime.datetime) -> bool:
        """Whether the API server's time may have reached `moment` already, although `now` has not."""
        if not self._samples:
            return False
        latest = min(sample[2] for sample in self._samples)
        return moment.timestamp() <= time.monotonic() + latest

    def asked_within(self, seconds: float) -> bool:
        """Whether an answer came in the last so many seconds."""
        return bool(self._samples) and self._samples[-1][0] >= time.monotonic() - seconds

    def skew_seconds(self) -> float:
        """How far this machine's clock is ahead of the API server's."""
        if not self._samples:
            return 0.0
        return time.time() - (time.monotonic() + self._offset())

    def spread_seconds(self) -> float:
        """By how much answers contradict each other: API servers that do not agree, or a clock that was set."""
        if not self._samples:
            return 0.0
        earliest = max(sample[1] for sample in self._samples)
        latest = min(sample[2] for sample in self._samples)
        return max(0.0, earliest - latest)

    def state(self) -> conditions.Clock:
        """How sure the time is. Where API servers contradict each other, the skew from either says nothing."""
        if self.spread_seconds() > TOLERANCE_SECONDS:
            return conditions.Clock.SPREAD
        if abs(self.skew_seconds()) > TOLERANCE_SECONDS:
            return conditions.Clock.SKEWED
        return conditions.Clock.AGREES

    def trusted(self) -> bool:
        """Whether the time is sure enough to delete by."""
        return bool(self._samples) and self.state() is conditions.Clock.AGREES

    def _offset(self) -> float:
        """The most that every sample allows; where they contradict each other, the newest."""
        earliest = max(sample[1] for sample in self._samples)
        if self.spread_seconds() > 0:
            return self._samples[-1][1]
        return earliest
