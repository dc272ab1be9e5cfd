"""How often the operator writes an object that others may write too.

A tenant may undo a verdict label or a report as often as he likes, and each undoing asks for a write. So each object
has a budget: ten writes at once, and one more every five seconds. What is left out then is written later, as things
stand by then. Grants, levels and deletes have no budget here: decide/contest is about namespaces.
"""

from collections.abc import Callable
from typing import Final

from hostnetwork_operator.control import budget
from hostnetwork_operator.decide import effects

_BUDGET: Final = budget.Budget(burst=10, refill_seconds=5.0)
_MOST_KEPT: Final = 10_000  # before those are dropped whose budget is full again

Key = tuple[str, str]


class Pace:
    """The budgets of all objects, as the moment at which each is full again."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._full: dict[Key, float] = {}

    def wait(self, effect: effects.Effect) -> float:
        """Seconds until this may be done; 0: now, and it is counted as done."""
        key = _key(effect)
        if key is None:
            return 0.0
        now = self._monotonic()
        if len(self._full) >= _MOST_KEPT:
            self._full = {key: moment for key, moment in self._full.items() if moment > now}
        early, self._full[key] = _BUDGET.spend(self._full.get(key, now), now)
        return early


def _key(effect: effects.Effect) -> Key | None:
    """What is written, and who may write it too; None for what has no budget."""
    match effect:
        case effects.WriteVerdict():
            return "verdict", effect.pod.uid
        case effects.WriteExceptionStatus():
            return "status", effect.subject.uid
        case effects.WriteReport():
            return "report", f"{effect.report.namespace}/{effect.report.name}"
        case effects.DeleteReport():
            return "report", f"{effect.subject.namespace}/{effect.subject.name}"
    return None
