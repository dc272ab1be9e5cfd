"""The plan for one namespace, made after every revert is counted.

The operator recognizes a revert by what the plan would write again, and a counted revert may change the plan
(decide/contest). So planning and counting alternate until no revert is left to count.
"""

import datetime
from dataclasses import dataclass, replace

from hostnetwork_operator.decide import contest, effects, messages, plan, snapshot


@dataclass(frozen=True, slots=True)
class Settlement:
    """A plan, the snapshot that the plan was made from, and the keys that somebody has reverted.

    `events` are Events that no later plan has again: the caller who carries the plan out remembers them until they are
    emitted.
    """

    state: snapshot.NamespaceSnapshot
    plan: plan.NamespacePlan
    reverted: tuple[str, ...] = ()
    events: tuple[effects.EmitEvent, ...] = ()


def settle(
    state: snapshot.NamespaceSnapshot, now: datetime.datetime, previous: plan.NamespacePlan | None = None
) -> Settlement:
    """Count each revert once, and return the plan that is made after all reverts are counted. `previous` is an earlier
    plan for the same namespace, as for plan.plan_namespace.
    """
    reverted: list[str] = []
    events: list[effects.EmitEvent] = []
    final_plan = plan.plan_namespace(state, now, previous)
    while keys := contest.undone(state, final_plan.writes):
        record = contest.counted(state.record, keys, now)
        if final_plan.contested is None and contest.ends(record, now) is not None:
            events.append(messages.contested_event(state.namespace, record, keys))
        reverted += keys
        state = replace(state, record=record)
        final_plan = plan.plan_namespace(state, now, previous)
    return Settlement(state, final_plan, tuple(reverted), tuple(events))
