"""An expired pod is deleted even if its Job cannot be deleted, or if reading the cluster takes long."""

from dataclasses import replace
from typing import Any, cast

import pytest

from hostnetwork_operator import bodies
from hostnetwork_operator.act import gateway, pods
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.decide import effects, snapshot
from tests.unit.builders import IMAGE, NAMESPACE, NOW, hne, pod, seen

JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "capture", "uid": "j", "controller": True}
POD = f"/api/v1/namespaces/{NAMESPACE}/pods/capture"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Any:
        return NOW

    def monotonic(self) -> float:
        return self.seconds


class Server:
    """A server with one pod and its expired exception.

    Every request about the Job fails with `status`. A list takes `slow` seconds, and the server deletes nothing after
    the deadline of the request.
    """

    def __init__(self, status: int, slow: float = 0) -> None:
        self.status = status
        self.slow = slow
        self.clock = Clock()
        self.deleted: list[str] = []
        self.served = True

    async def get(self, path: str, **_: str) -> bodies.Answer:
        if "/jobs/" in path:
            raise gateway.ApiError("GET", path, self.status, "", "")
        created = "2026-11-22T11:30:00Z"
        meta = {"namespace": NAMESPACE, "name": "capture", "uid": "p", "resourceVersion": "7"}
        if path == POD:
            spec = {
                "hostNetwork": True,
                "serviceAccountName": "netdebug",
                "containers": [{"name": "c", "image": IMAGE}],
            }
            metadata = {**meta, "creationTimestamp": created, "ownerReferences": [JOB]}
            return bodies.Answer({"metadata": metadata, "spec": spec})
        if not self.served:
            raise gateway.ApiError("GET", path, 404, "", "404 page not found")
        self.clock.seconds += self.slow
        subject = hne(expiry=NOW)
        body = {
            "metadata": subject.metadata.model_dump(mode="json", by_alias=True, exclude_none=True),
            "spec": subject.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        return bodies.Answer({"metadata": {"resourceVersion": "9"}, "items": [body]})

    async def delete(self, path: str, body: Any, deadline: float, *, repeat: bool) -> bodies.Answer:
        if self.clock.seconds > deadline:
            raise gateway.ApiError("DELETE", path, 0, "Stale", "")
        self.deleted.append(path)
        return bodies.Answer({})


@pytest.mark.parametrize("status", [404, 500, 0])
async def test_a_job_that_cannot_be_deleted_keeps_no_pod(status: int) -> None:
    """The Job stays, and its Event says so. The pod gets the grace period of the exception."""
    server = Server(status)
    state = seen(pod(name="capture", uid="p"), hne(expiry=NOW))
    effect = effects.DeletePod(snapshot.Reference("Pod", NAMESPACE, "capture", "p"), 30)
    result = await pods.delete(cast("Any", server), effect, state, server.clock)
    assert (result.outcome, result.job, server.deleted) == (Outcome.DELETED, False, [POD])


@pytest.mark.parametrize(("slow", "late"), [(1, False), (29, False), (31, True)])
async def test_what_is_slow_to_read_keeps_no_pod(slow: float, late: bool) -> None:
    """A tenant can make the read slow with many exceptions.

    The operator starts over only if its process was stopped meanwhile.
    """
    server = Server(404, slow)
    state = seen(pod(name="capture", uid="p"), hne(expiry=NOW))
    deletion = pods.delete(
        cast("Any", server),
        effects.DeletePod(snapshot.Reference("Pod", NAMESPACE, "capture", "p"), 30),
        state,
        server.clock,
    )
    if late:
        with pytest.raises(gateway.ApiError, match="Stale"):
            await deletion
    else:
        assert (await deletion).outcome is Outcome.DELETED
    assert server.deleted == ([] if late else [POD])


@pytest.mark.parametrize(("status", "outcome"), [(404, Outcome.DELETED), (None, Outcome.SPARED)])
async def test_without_their_kind_the_ledger_counts_until_it_is_back(status: int | None, outcome: Outcome) -> None:
    """The ledger has the expired exception. As soon as the API server serves the kind again, the objects count."""
    server = Server(404)
    server.served = status is None
    subject = hne(expiry=NOW)
    state = replace(seen(pod(name="capture", uid="p"), subject), exceptions=(), exceptions_served=False)
    effect = effects.DeletePod(snapshot.Reference("Pod", NAMESPACE, "capture", "p"), 30)
    result = await pods.delete(cast("Any", server), effect, state, server.clock)
    assert (result.outcome, server.deleted) == (outcome, [POD] if outcome is Outcome.DELETED else [])


async def test_a_kind_that_is_not_served_is_no_pod_that_is_gone() -> None:
    """An API server that starts may not serve a kind for some seconds.

    The operator tries the delete again and does not count it as done.
    """
    server = Server(404)
    server.served = False
    state = seen(pod(name="capture", uid="p"), hne(expiry=NOW))
    effect = effects.DeletePod(snapshot.Reference("Pod", NAMESPACE, "capture", "p"), 30)
    with pytest.raises(gateway.ApiError, match="page not found"):
        await pods.delete(cast("Any", server), effect, state, server.clock)
    assert server.deleted == []
