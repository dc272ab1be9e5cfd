"""Flags pods, and deletes those whose diagnostic exceptions have ended."""

import dataclasses
import enum
import logging
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway, jobs
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import effects, plan, snapshot
from hostnetwork_operator.observe import live, store

_log = logging.getLogger(__name__)
# How long the second look may take. It begins after the expiry, so it sees every renewal that came in time. A tenant
# may fill the objects beside his, which makes it slow; that must not keep his pod.
_LOOK_SECONDS: Final = 30.0


class Deletion(enum.StrEnum):
    """Outcomes: the `outcome` label of hostnetwork_deleted_pods_total."""

    DELETED = "deleted"
    GONE = "gone"
    SPARED = "spared"  # the second look said otherwise


@dataclasses.dataclass(frozen=True, slots=True)
class Deleted:
    """What came of a delete, and whether the pod's Job went too."""

    word: Deletion
    job: bool = False


async def write_verdict(api: gateway.Gateway, effect: effects.WriteVerdict) -> Mapping[str, Any] | None:
    """The pod as it is then; None if it is gone. The operator has no right to patch pods, so through pods/status."""
    pod = effect.pod
    body = {"metadata": {"uid": pod.uid, "labels": {labels.VERDICT: effect.verdict.value if effect.verdict else None}}}
    try:
        answer: Mapping[str, Any] = (
            await api.patch(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/status", body)
        ).body
    except gateway.ApiError as error:
        if error.status == 404:  # gone, or another pod of that name
            return None
        raise
    return answer


@dataclasses.dataclass(slots=True)
class _Attempts:
    """What the attempts at one delete have come to so far. `lost`: one of them got no answer."""

    lost: bool = False
    job: bool = False
    job_lost: bool = False

    @property
    def ours(self) -> bool:
        """Whether a pod that is gone, or going, is so because of an attempt: the Job's deletion takes its pods too."""
        return self.lost or self.job or self.job_lost

    def ended(self, word: Deletion) -> Deleted:
        return Deleted(word, word is Deletion.DELETED and (self.job or self.job_lost))


async def delete(
    api: gateway.Gateway, effect: effects.DeletePod, seen: snapshot.NamespaceSnapshot, clock: live.Clock
) -> Deleted:
    """Read pod and exceptions again, judge again, take the pod's Job, and delete that pod; all of it at each attempt.

    The store may be old: an exception extended a moment ago, a pod made anew under the same name. The uid is the only
    precondition: what a pod is deleted for cannot change, and a tenant who patches his pod without pause must not keep
    it. The Job goes first: a process that dies in between leaves the pod to the garbage collector, the other way round
    it would leave the Job. The pod is then deleted all the same, because the collector gives it the grace that its
    maker has written, and also where the Job could not be deleted. A pod that is gone, or going, after an attempt
    without an answer was deleted by that attempt. Raise gateway.ApiError.
    """
    attempts = _Attempts()
    for attempt in range(1, gateway.ATTEMPTS + 1):
        last = attempt == gateway.ATTEMPTS
        try:
            return await _attempt(api, effect, seen, clock, attempts, last=last)
        except gateway.ApiError as error:
            # A read was repeated already. What is too late is looked at again where something was deleted.
            again = error.passing and error.method == "DELETE"
            again |= attempts.ours and (error.passing or error.reason == gateway.STALE)
            if last or not again:
                raise
        await gateway.pause(attempt)
    raise AssertionError("unreachable")


async def _attempt(
    api: gateway.Gateway,
    effect: effects.DeletePod,
    seen: snapshot.NamespaceSnapshot,
    clock: live.Clock,
    attempts: _Attempts,
    *,
    last: bool,
) -> Deleted:
    latest = clock.monotonic() + _LOOK_SECONDS
    found = await _look_again(api, effect.pod, seen, clock, ours=attempts.ours)
    if isinstance(found, Deletion):
        return attempts.ended(found)
    now_seen, again = found
    deadline = min(latest, clock.monotonic() + plan.FRESH_SECONDS)
    if again.job is not None and not attempts.job:
        try:
            attempts.job = await jobs.take(api, again.job, now_seen, clock, deadline, lost=attempts.job_lost)
        except gateway.ApiError as error:
            attempts.job_lost |= error.method == "DELETE" and error.unanswered
            if error.method == "DELETE" and error.passing and not last:
                raise
            left = f"{again.job.namespace}/{again.job.name}"
            logs.log(_log, logging.WARNING, "job-left", job=left, error=str(error))
    try:
        await _delete(api, again, deadline)
    except gateway.ApiError as error:
        attempts.lost |= error.unanswered
        if error.status not in {404, 409}:  # 409: another pod has its name
            raise
        return attempts.ended(Deletion.DELETED if attempts.ours else Deletion.GONE)
    return Deleted(Deletion.DELETED, attempts.job)


async def _look_again(
    api: gateway.Gateway,
    pod: snapshot.Reference,
    seen: snapshot.NamespaceSnapshot,
    clock: live.Clock,
    *,
    ours: bool,
) -> tuple[snapshot.NamespaceSnapshot, effects.DeletePod] | Deletion:
    """How things are at this moment and what is to be done then; or why nothing is."""
    gone = Deletion.DELETED if ours else Deletion.GONE
    if not seen.exceptions_served and await _exceptions_served(api):
        return Deletion.SPARED  # the kind is back; what there is of it will be listed, and judged
    try:
        now_seen = await live.again(api, seen, pod)
    except gateway.ApiError as error:
        if error.gone:
            return gone
        raise
    present = next((found for found in now_seen.pods if found.uid == pod.uid), None)
    if present is None:
        return gone
    planned = plan.plan_namespace(now_seen, clock.now()).effects
    again = next((e for e in planned if isinstance(e, effects.DeletePod)), None)
    if again is not None:
        return now_seen, again
    return Deletion.DELETED if ours and present.deleting else Deletion.SPARED


async def _exceptions_served(api: gateway.Gateway) -> bool:
    try:
        await api.get(f"{live.PATHS[store.Kind.EXCEPTION]}?limit=1")
    except gateway.ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


async def _delete(api: gateway.Gateway, effect: effects.DeletePod, deadline: float) -> None:
    pod = effect.pod
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": effect.grace_seconds,
        "preconditions": {"uid": pod.uid},
    }
    await api.delete(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", options, deadline, repeat=False)
