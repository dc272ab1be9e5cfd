"""Takes the Job of an expired diagnostic pod, so that it makes no other.

An owner reference is a claim of whoever made the pod, and a label too. So the Job is taken for what it is itself: only
if the pods that its own template makes would be deleted for the same ended exceptions.
"""

from typing import Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import plan, snapshot
from hostnetwork_operator.observe import live, parse

# No right to Jobs (rules of an older release), it is gone, or another one has its name.
_NOT_OURS: Final = frozenset({403, 404, 409})


async def take(
    api: gateway.Gateway,
    job: snapshot.Reference,
    seen: snapshot.NamespaceSnapshot,
    clock: live.Clock,
    deadline: float,
    *,
    lost: bool = False,
) -> bool:
    """Whether the Job was deleted, its pods by the garbage collector with it. `seen` is how things are at this moment.

    The uid is the only precondition: what the Job is deleted for cannot change in its template. `lost`: an earlier
    attempt got no answer, so a Job that is gone was deleted by that one. One request, which is not repeated. Raise
    gateway.ApiError.
    """
    path = f"/apis/batch/v1/namespaces/{job.namespace}/jobs/{job.name}"
    try:
        body = (await api.get(path)).body
        if lost and (body["metadata"]["uid"] != job.uid or body["metadata"].get("deletionTimestamp")):
            return True
        if body["metadata"]["uid"] != job.uid or not plan.takes_job(seen, parse.job_as_pod(body), clock.now()):
            return False
        options = {"propagationPolicy": "Background", "preconditions": {"uid": job.uid}}
        await api.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", **options}, deadline, repeat=False)
    except gateway.UndecodableError:
        return False  # nobody can tell which pods it makes
    except gateway.ApiError as error:
        if error.status in _NOT_OURS:
            return lost and error.status != 403
        raise
    return True
