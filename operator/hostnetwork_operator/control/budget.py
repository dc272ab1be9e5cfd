"""A budget of so many at once, and one more each so many seconds: the generic cell rate algorithm."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """`burst` at once, and one more every `refill_seconds`. All that is kept is the moment when it is full again."""

    burst: int
    refill_seconds: float

    def spend(self, full: float, now: float) -> tuple[float, float]:
        """Return in how many seconds one more is due, 0 for now, and when the budget is full then; nothing is spent
        that is not due. `full` is a moment of the past where nothing has been spent. All moments are monotonic.
        """
        full = max(full, now)
        early = full - now - (self.burst - 1) * self.refill_seconds
        return (early, full) if early > 0 else (0.0, full + self.refill_seconds)
