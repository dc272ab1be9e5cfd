"""Which objects keep a namespace from being planned.

Nobody foresees everything that an object may say. An object on which a decision fails must not take its namespace
along: it is found by planning without the others, and is from then on one that cannot be read.
"""

import datetime
from dataclasses import replace

from hostnetwork_operator.decide import plan, snapshot


def culprits(
    seen: snapshot.NamespaceSnapshot, now: datetime.datetime
) -> tuple[snapshot.UnreadablePod | snapshot.UnreadableException, ...]:
    """Return, as unreadable ones, the pods and exceptions with which the plan fails; () if it fails without them.

    A pod that fails beside an exception alone is the pod's fault: few may write exceptions.
    """
    alone = replace(seen, pods=(), exceptions=())
    if _failure(alone, now):
        return ()
    found: list[snapshot.UnreadablePod | snapshot.UnreadableException] = []
    good = []
    for one in seen.exceptions:
        if why := _failure(replace(alone, exceptions=(one,)), now):
            meta = one.metadata
            found.append(snapshot.UnreadableException(meta.namespace, meta.name, meta.uid, why, meta.generation))
        else:
            good.append(one)
    beside = replace(alone, exceptions=tuple(good))
    pods = ((pod, _failure(replace(beside, pods=(pod,)), now)) for pod in seen.pods)
    return (*found, *(snapshot.UnreadablePod(pod.namespace, pod.name, pod.uid, why) for pod, why in pods if why))


def _failure(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> str:
    """Return why no plan can be made, or ''."""
    try:
        plan.plan_namespace(seen, now)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
