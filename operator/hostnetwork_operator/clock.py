"""The API server's clock, as the operator knows it. The only module that asks what time it is.

The API server decides about expiry, so the operator must never be ahead of its time. A Date header says the second in
which the API server made an answer. When the answer came, the server's time was at least that second. When the request
was sent, the server's time was less than the end of that second. Many answers narrow these bounds to about one round
trip. `now` is the lower bound: rather late by a moment than early.
"""

import collections
import datetime
import email.utils
import time
from typing import Final, NamedTuple

from hostnetwork_operator.api import conditions

_SAMPLES: Final = 64
_AGE_SECONDS: Final = 60.0  # older samples are dropped, because clocks drift and can be set
TOLERANCE_SECONDS: Final = 5.0  # a greater difference stops deletes (docs/explanation/architecture.md#expiry)


class _Sample(NamedTuple):
    """What one answer says about the time. `received` is a monotonic moment. The bounds are server time minus monotonic
    time, in seconds.
    """

    received: float
    earliest: float
    latest: float


class ServerClock:
    """The API server's time: from the Date headers of its answers, and from a monotonic clock between answers."""

    def __init__(self) -> None:
        self._samples: collections.deque[_Sample] = collections.deque(maxlen=_SAMPLES)
        self._earliest = self._latest = 0.0  # the greatest lower bound of the samples, and their least upper bound

    @staticmethod
    def monotonic() -> float:
        """Return the seconds of a clock that nobody can set."""
        return time.monotonic()

    def observe(self, date: str, sent: float, received: float) -> None:
        """Add a sample: one answer's Date header, and the monotonic moments of the request and of the answer."""
        try:
            second = email.utils.parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return
        while self._samples and self._samples[0].received < received - _AGE_SECONDS:
            self._samples.popleft()
        self._samples.append(_Sample(received, second - received, second + 1 - sent))
        self._earliest = max(sample.earliest for sample in self._samples)
        self._latest = min(sample.latest for sample in self._samples)

    def now(self) -> datetime.datetime:
        """Return the API server's time, or an earlier moment, never a later one.

        Before the first answer, return the epoch, when nothing had expired.
        """
        if not self._samples:
            return datetime.datetime.fromtimestamp(0, datetime.UTC)
        return datetime.datetime.fromtimestamp(time.monotonic() + self._offset(), datetime.UTC)

    def may_be_past(self, moment: datetime.datetime) -> bool:
        """Return whether the API server's time may have reached `moment` already, even if `now` has not."""
        if not self._samples:
            return False
        return moment.timestamp() <= time.monotonic() + self._latest

    def asked_within(self, seconds: float) -> bool:
        """Return whether an answer came within the last `seconds`."""
        return bool(self._samples) and self._samples[-1].received >= time.monotonic() - seconds

    def skew_seconds(self) -> float:
        """Return by how many seconds this machine's clock is ahead of the API server's clock."""
        if not self._samples:
            return 0.0
        return time.time() - (time.monotonic() + self._offset())

    def spread_seconds(self) -> float:
        """Return by how many seconds answers contradict each other.

        They do if API servers disagree about the time, or if a clock was set.
        """
        if not self._samples:
            return 0.0
        return max(0.0, self._earliest - self._latest)

    def state(self) -> conditions.ClockSynchronized:
        """Return how certain the time is. If API servers contradict each other, the skew from either proves nothing."""
        if self.spread_seconds() > TOLERANCE_SECONDS:
            return conditions.ClockSynchronized.SPREAD
        if abs(self.skew_seconds()) > TOLERANCE_SECONDS:
            return conditions.ClockSynchronized.SKEWED
        return conditions.ClockSynchronized.AGREES

    def trusted(self) -> bool:
        """Return whether the time is certain enough to delete pods by."""
        return bool(self._samples) and self.state() is conditions.ClockSynchronized.AGREES

    def _offset(self) -> float:
        """Return the server time minus the monotonic time, in seconds: the greatest lower bound of the samples.

        If samples contradict each other, return the lower bound of the newest sample.
        """
        return self._samples[-1].earliest if self.spread_seconds() > 0 else self._earliest


def of_this_machine() -> datetime.datetime:
    """Return this machine's time, for a command that asks no cluster. Nothing is deleted or granted by it."""
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251 - there is no API server to ask
