"""A budget that allows a burst, and then one more per interval: the generic cell rate algorithm."""

from dataclasses import dataclass
from typing import NamedTuple


class Spent(NamedTuple):
    """The seconds until something may be done, 0 for now, and the moment when the budget is full again."""

    wait_seconds: float
    full: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Allows `burst` in a row, and one more every `refill_seconds`. The only state, which the caller keeps, is the
    moment when the budget is full again.
    """

    burst: int
    refill_seconds: float

    def spend(self, full: float, now: float) -> Spent:
        """Spend one if that is allowed now, otherwise nothing. All moments are monotonic.

        `full` is any moment in the past if nothing has been spent yet.
        """
        full = max(full, now)
        wait_seconds = full - now - (self.burst - 1) * self.refill_seconds
        return Spent(wait_seconds, full) if wait_seconds > 0 else Spent(0.0, full + self.refill_seconds)
