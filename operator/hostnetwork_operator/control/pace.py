"""How often the operator writes an object that other clients may write too.

A tenant can undo a verdict label or a report as often as he likes, and each time the operator has to write it again. So
each object has a budget: ten writes in a row, and one more every five seconds. A write without budget is done later, in
the state that is right then. Grants, levels and deletes have no budget here; for namespaces see decide/contest.
"""

from collections.abc import Callable
from typing import Final

from hostnetwork_operator.control import budget
from hostnetwork_operator.decide import effects

_BUDGET: Final = budget.Budget(burst=10, refill_seconds=5.0)
_MOST_KEPT: Final = 10_000  # with more, the objects are dropped whose budget is full again

Key = tuple[str, str]


class Pace:
    """The budgets of all objects. Of each, only the moment is kept at which the budget is full again."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._full: dict[Key, float] = {}

    def wait(self, effect: effects.Effect) -> float:
        """Return the seconds until this effect may be carried out. 0 means now, and then the effect is counted."""
        key = _key(effect)
        if key is None:
            return 0.0
        now = self._monotonic()
        if len(self._full) >= _MOST_KEPT:
            self._full = {key: full_at for key, full_at in self._full.items() if full_at > now}
        seconds, self._full[key] = _BUDGET.spend(self._full.get(key, now), now)
        return seconds


def _key(effect: effects.Effect) -> Key | None:
    """Return what the effect writes that another client may write too, None if the effect has no budget."""
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
