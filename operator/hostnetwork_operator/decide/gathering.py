"""What a plan writes at intervals only: numbers that move with every pod.

A rollout changes the number of covered pods with each pod, and nobody reads five numbers a second. So as long as only
numbers and names differ from what was written last, a status or a report waits. What a person acts on is written at
once: a condition, a result, and the change between some pods and none.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from hostnetwork_operator.decide import effects, snapshot
from hostnetwork_operator.decide.effects import Effect

# How often numbers are written at most, and for how long a change of pods that moves only numbers waits for others.
# Numbers that have stopped moving are right after the sum of both.
INTERVAL: Final = datetime.timedelta(seconds=5)
GATHER_SECONDS: Final = 2.0


class Due(NamedTuple):
    """The effects that are due, and the moments at which the others are."""

    effects: tuple[Effect, ...]
    moments: tuple[datetime.datetime, ...]


def due(planned: Iterable[Effect], written: Mapping[str, snapshot.LastWrite], now: datetime.datetime) -> Due:
    """Return which effects are due at `now`. `written` is what the operator has written last."""
    now_due: list[Effect] = []
    moments: list[datetime.datetime] = []
    for effect in planned:
        about = subject(effect)
        last = written.get(about) if about else None
        new = isinstance(effect, effects.WriteReport) and not effect.uid
        if last is not None and not new and last.gist == gist(effect) and last.at <= now < last.at + INTERVAL:
            moments.append(last.at + INTERVAL)
        else:
            now_due.append(effect)
    return Due(tuple(now_due), tuple(moments))


def subject(effect: Effect) -> str:
    """Return what an effect writes, '' if the effect is not gathered."""
    match effect:
        case effects.WriteExceptionStatus():
            return effect.subject.uid
        case effects.WriteReport():
            return effect.report.name
    return ""


def gist(effect: Effect) -> tuple[object, ...]:
    """Return what must not wait of an effect that is gathered."""
    match effect:
        case effects.WriteExceptionStatus():
            status = effect.status
            conditions = ((each.type, each.status, each.reason) for each in status.conditions)
            return status.observed_generation, status.namespace_uid, bool(status.covered_pods), *conditions
        case effects.WriteReport():
            return (effect.report.owner, *((each.rule, each.result) for each in effect.report.entries))
    return ()
