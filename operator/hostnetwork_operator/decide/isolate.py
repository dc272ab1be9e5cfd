"""Which objects keep the operator from planning for a namespace.

Nobody can foresee everything that an object may contain. An object on which a decision fails must not stop the
decisions about its namespace. The operator finds such an object by planning with each object alone, and from then on
treats it as an object that cannot be read.
"""

import datetime
from dataclasses import replace

from hostnetwork_operator.decide import plan, snapshot


def culprits(
    state: snapshot.NamespaceSnapshot, now: datetime.datetime
) -> tuple[snapshot.UnreadablePod | snapshot.UnreadableException, ...]:
    """Return the pods and exceptions with which the plan fails, as unreadable objects; () if it fails without them too.

    If the plan fails only with a pod and an exception together, the pod is returned: few users may write exceptions.
    """
    empty = replace(state, pods=snapshot.NO_PODS, exceptions=())
    if _failure(empty, now):
        return ()
    unreadable: list[snapshot.UnreadablePod | snapshot.UnreadableException] = []
    readable = []
    for subject in state.exceptions:
        if why := _failure(replace(empty, exceptions=(subject,)), now):
            meta = subject.metadata
            unreadable.append(snapshot.UnreadableException(meta.namespace, meta.name, meta.uid, why, meta.generation))
        else:
            readable.append(subject)
    base = replace(empty, exceptions=tuple(readable))
    pods = ((pod, _failure(replace(base, pods=snapshot.PodSet.of([pod])), now)) for pod in state.pods)
    return (*unreadable, *(snapshot.UnreadablePod(pod.namespace, pod.name, pod.uid, why) for pod, why in pods if why))


def _failure(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> str:
    """Return why planning fails, '' if it does not."""
    try:
        plan.plan_namespace(state, now)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
