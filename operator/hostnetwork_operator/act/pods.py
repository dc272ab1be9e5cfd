"""Labels pods with their verdict, and deletes pods whose diagnostic exceptions have ended."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway, jobs
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import effects, plan, snapshot
from hostnetwork_operator.observe import live, store

_log = logging.getLogger(__name__)
# How long the second check may take. It begins after the expiry, so it includes every renewal that was made in time. A
# tenant can create many large objects beside his pod, which makes the check slow. A slow check must not keep his pod.
_LOOK_SECONDS: Final = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Deleted:
    """The result of a delete: Deleted, Gone or Spared, and whether the pod's Job was deleted too."""

    outcome: Outcome
    job: bool = dataclasses.field(default=False, kw_only=True)


async def write_verdict(api: gateway.Gateway, effect: effects.WriteVerdict) -> Mapping[str, Any] | None:
    """Write the verdict label, and return the pod as it is after the write, None if the pod no longer exists.

    The operator has no right to patch pods, so it patches pods/status.
    """
    pod = effect.pod
    body = {"metadata": {"uid": pod.uid, "labels": {labels.VERDICT: effect.verdict.value if effect.verdict else None}}}
    try:
        answer: Mapping[str, Any] = (
            await api.patch(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/status", body)
        ).body
    except gateway.ApiError as error:
        if error.status == 404:  # the pod no longer exists, or another pod has its name
            return None
        raise
    return answer


@dataclasses.dataclass(slots=True)
class _Attempts:
    """The results of the attempts at one delete so far. `lost` says that one of the attempts got no answer."""

    lost: bool = False
    job: bool = False
    job_lost: bool = False

    @property
    def ours(self) -> bool:
        """Return whether an attempt explains that the pod no longer exists or is being deleted. When a Job is deleted,
        its pods are deleted too.
        """
        return self.lost or self.job or self.job_lost

    def ended(self, outcome: Outcome) -> Deleted:
        return Deleted(outcome, job=outcome is Outcome.DELETED and (self.job or self.job_lost))


async def delete(
    api: gateway.Gateway, effect: effects.DeletePod, state: snapshot.NamespaceSnapshot, clock: live.Clock
) -> Deleted:
    """Read the pod and the exceptions again, evaluate them again, delete the pod's Job, and delete the pod.

    Each attempt does all of that.

    The store may be out of date: an exception may have been extended a moment ago, or a new pod may have the same name.
    The uid is the only precondition: the reason for which a pod is deleted cannot change, and a tenant who patches his
    pod without pause must not keep it.

    The Job is deleted first. If the process dies in between, the garbage collector deletes the pod; in the other order,
    the Job would be left. The pod is then deleted all the same, because the collector allows the grace period that the
    creator of the pod has written. The pod is also deleted if the Job could not be deleted.

    If the pod no longer exists or is being deleted after an attempt without an answer, that attempt counts as the
    delete. Raise gateway.ApiError.
    """
    attempts = _Attempts()
    for attempt in range(1, gateway.ATTEMPTS + 1):
        last = attempt == gateway.ATTEMPTS
        try:
            return await _attempt(api, effect, state, clock, attempts, last=last)
        except gateway.ApiError as error:
            # The gateway has already repeated a failed read. An attempt that was too late is also repeated if the
            # operator may have deleted something.
            retry = error.passing and error.method == "DELETE"
            retry |= attempts.ours and (error.passing or error.reason == gateway.STALE)
            if last or not retry:
                raise
        await gateway.pause(attempt)
    raise AssertionError("unreachable")


async def _attempt(
    api: gateway.Gateway,
    effect: effects.DeletePod,
    state: snapshot.NamespaceSnapshot,
    clock: live.Clock,
    attempts: _Attempts,
    *,
    last: bool,
) -> Deleted:
    latest_moment = clock.monotonic() + _LOOK_SECONDS
    check_result = await _look_again(api, effect.pod, state, clock, ours=attempts.ours)
    if isinstance(check_result, Outcome):
        return attempts.ended(check_result)
    deletion = check_result.deletion
    deadline = min(latest_moment, clock.monotonic() + plan.FRESH_SECONDS)
    if deletion.job is not None and not attempts.job:
        try:
            current_snapshot, lost = check_result.snapshot, attempts.job_lost
            attempts.job = await jobs.delete(api, deletion.job, current_snapshot, clock, deadline, lost=lost)
        except gateway.ApiError as error:
            attempts.job_lost |= error.method == "DELETE" and error.unanswered
            if error.method == "DELETE" and error.passing and not last:
                raise
            job_name = f"{deletion.job.namespace}/{deletion.job.name}"
            logs.log(_log, logging.WARNING, "job-left", job=job_name, error=str(error))
    try:
        await _delete(api, deletion, deadline)
    except gateway.ApiError as error:
        attempts.lost |= error.unanswered
        if error.status not in {404, 409}:  # 409: another pod has the name
            raise
        return attempts.ended(Outcome.DELETED if attempts.ours else Outcome.GONE)
    return Deleted(Outcome.DELETED, job=attempts.job)


class _Confirmed(NamedTuple):
    """The current state of a namespace, and the deletion that is planned for that state."""

    snapshot: snapshot.NamespaceSnapshot
    deletion: effects.DeletePod


async def _look_again(
    api: gateway.Gateway,
    pod: snapshot.Reference,
    state: snapshot.NamespaceSnapshot,
    clock: live.Clock,
    *,
    ours: bool,
) -> _Confirmed | Outcome:
    """Return the current state of the namespace and the deletion that is planned for it, or why nothing is deleted."""
    gone = Outcome.DELETED if ours else Outcome.GONE
    if not state.exceptions_served and await _exceptions_served(api):
        return Outcome.SPARED  # the kind is served again: its exceptions will be listed, and evaluated
    try:
        current_snapshot = await live.again(api, state, pod)
    except gateway.ApiError as error:
        if error.gone:
            return gone
        raise
    current_pod = next((pod_now for pod_now in current_snapshot.pods if pod_now.uid == pod.uid), None)
    if current_pod is None:
        return gone
    planned_effects = plan.plan_namespace(current_snapshot, clock.now()).effects
    deletion = next((effect for effect in planned_effects if isinstance(effect, effects.DeletePod)), None)
    if deletion is not None:
        return _Confirmed(current_snapshot, deletion)
    return Outcome.DELETED if ours and current_pod.deleting else Outcome.SPARED


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
