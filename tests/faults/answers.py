"""What the API server answered to one request among very many, and whether that was a refusal."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one request came to. `status` 0 is none at all; `began` and `ended` are monotonic."""

    began: float
    ended: float
    what: str
    where: str
    status: int
    message: str
    created: datetime.datetime | None = None  # the new object's creationTimestamp, where it was kept

    @property
    def passed(self) -> bool:
        return 200 <= self.status < 300

    @property
    def gap(self) -> bool:
        """The API server was away, or said that it is not ready: with or without our files."""
        return self.status in (0, 429) or self.status >= 500 or "not yet ready to handle request" in self.message

    @property
    def refused(self) -> bool:
        return not self.passed and not self.gap

    def __str__(self) -> str:
        return f"{self.what} in {self.where}: {self.status} {self.message[:400]}"
