"""The API server's answer to one of very many requests, and whether the answer is a refusal."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True)
class Answer:
    """The outcome of one request. `status` 0 means that no answer came; `began` and `ended` are monotonic times."""

    began: float
    ended: float
    what: str
    where: str
    status: int
    message: str
    created: datetime.datetime | None = None  # the new object's creationTimestamp, if recorded

    @property
    def passed(self) -> bool:
        return 200 <= self.status < 300

    @property
    def gap(self) -> bool:
        """Whether the API server was away or reported that it is not ready, which does not depend on our files."""
        return self.status in (0, 429) or self.status >= 500 or "not yet ready to handle request" in self.message

    @property
    def refused(self) -> bool:
        return not self.passed and not self.gap

    def __str__(self) -> str:
        return f"{self.what} in {self.where}: {self.status} {self.message[:400]}"
