"""An expired pod is deleted also where its Job cannot be."""

from typing import Any, cast

import pytest

from hostnetwork_operator.act import gateway, pods
from hostnetwork_operator.decide import effects, snapshot
from tests.unit.builders import IMAGE, NAMESPACE, NOW, hne, pod, seen

JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "capture", "uid": "j", "controller": True}
POD = f"/api/v1/namespaces/{NAMESPACE}/pods/capture"


class Clock:
    def now(self) -> Any:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Server:
    """Has one pod and its expired exception; every request about the Job fails with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.deleted: list[str] = []

    async def get(self, path: str, **_: str) -> gateway.Answer:
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
            return gateway.Answer({"metadata": metadata, "spec": spec}, ())
        subject = hne(expiry=NOW)
        body = {
            "metadata": subject.metadata.model_dump(mode="json", by_alias=True, exclude_none=True),
            "spec": subject.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        return gateway.Answer({"metadata": {"resourceVersion": "9"}, "items": [body]}, ())

    async def delete(self, path: str, body: Any, deadline: float) -> gateway.Answer:
        self.deleted.append(path)
        return gateway.Answer({}, ())


@pytest.mark.parametrize("status", [404, 500, 0])
async def test_a_job_that_cannot_be_deleted_keeps_no_pod(status: int) -> None:
    """It is left, which its Event says; the pod has the grace of the exception."""
    server = Server(status)
    made = seen(pod(name="capture", uid="p"), hne(expiry=NOW))
    effect = effects.DeletePod(snapshot.Reference("Pod", NAMESPACE, "capture", "p"), 30)
    found = await pods.delete(cast("Any", server), effect, made, Clock())
    assert (found.word, found.job, server.deleted) == (pods.Deletion.DELETED, False, [POD])
