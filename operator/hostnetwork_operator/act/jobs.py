"""Deletes the Job of an expired diagnostic pod, so that the Job creates no other pod.

An owner reference is a claim of the pod's creator, and so is a label. So the operator evaluates the Job itself: it is
deleted only if the pods from its template would be deleted for the same ended exceptions.
"""

from typing import Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import plan, snapshot
from hostnetwork_operator.observe import live, parse

# The operator has no right to Jobs (rules of an older release), the Job no longer exists, or another Job has its name.
_NOT_OURS: Final = frozenset({403, 404, 409})


async def delete(
    api: gateway.Gateway,
    job: snapshot.Reference,
    state: snapshot.NamespaceSnapshot,
    clock: live.Clock,
    deadline: float,
    *,
    lost: bool = False,
) -> bool:
    """Return whether the Job was deleted; then the garbage collector deletes its pods. `state` is the current state.

    The uid is the only precondition: the part of the template for which a Job is deleted cannot change. The DELETE is
    sent once and not repeated. Raise gateway.ApiError.

    `lost` says that an earlier attempt got no answer. If the Job then no longer exists, that attempt has deleted it.
    """
    path = f"/apis/batch/v1/namespaces/{job.namespace}/jobs/{job.name}"
    try:
        body = (await api.get(path)).body
        if lost and (body["metadata"]["uid"] != job.uid or body["metadata"].get("deletionTimestamp")):
            return True
        if body["metadata"]["uid"] != job.uid or not plan.deletes_job(state, parse.job_as_pod(body), clock.now()):
            return False
        options = {"propagationPolicy": "Background", "preconditions": {"uid": job.uid}}
        await api.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", **options}, deadline, repeat=False)
    except gateway.UndecodableError:
        return False  # it is unknown which pods the Job creates
    except gateway.ApiError as error:
        if error.status in _NOT_OURS:
            return lost and error.status != 403
        raise
    return True
