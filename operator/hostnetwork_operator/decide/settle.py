"""The plan for one namespace, with every revert counted.

A revert is found by what the plan would write again, and a counted revert may change the plan (decide/contest). So the
two alternate until no revert is left to count.
"""

import datetime
from dataclasses import dataclass, replace

from hostnetwork_operator.decide import contest, effects, messages, plan, snapshot


@dataclass(frozen=True, slots=True)
class Settlement:
    """A plan, the snapshot that the plan was made from, and the keys that somebody has reverted.

    `events` are Events that no later plan has again: whoever carries the plan out remembers them until they are
    emitted.
    """

    seen: snapshot.NamespaceSnapshot
    plan: plan.NamespacePlan
    reverted: tuple[str, ...] = ()
    events: tuple[effects.EmitEvent, ...] = ()


def settle(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Settlement:
    """Count each revert once, and return the plan that is made after that."""
    reverted: list[str] = []
    events: list[effects.EmitEvent] = []
    made = plan.plan_namespace(seen, now)
    while keys := contest.undone(seen, made.writes):
        record = contest.counted(seen.record, keys, now)
        if made.contested is None and contest.ends(record, now) is not None:
            events.append(messages.contested_event(seen.namespace, record, keys))
        reverted += keys
        seen = replace(seen, record=record)
        made = plan.plan_namespace(seen, now)
    return Settlement(seen, made, tuple(reverted), tuple(events))
