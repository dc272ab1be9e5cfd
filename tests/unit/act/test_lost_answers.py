"""A write whose answer is lost is recognized as our own.

The operator repeats no delete without a new read of the cluster.
"""

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway, namespaces, pods
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import effects, plan, snapshot
from tests.unit import serving
from tests.unit.builders import IMAGE, NAMESPACE, NOW, hne, namespace, pod, seen

NAMESPACE_PATH = f"/api/v1/namespaces/{NAMESPACE}"
POD = f"{NAMESPACE_PATH}/pods/capture"
JOB = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/capture"
EXCEPTIONS = f"/apis/{labels.GROUP}/{labels.VERSION}/namespaces/{NAMESPACE}/hostnetworkexceptions"
CREATED = "2026-11-22T11:30:00Z"
EFFECT = effects.DeletePod(snapshot.Reference("Pod", NAMESPACE, "capture", "p"), 30)
SPEC = {"hostNetwork": True, "serviceAccountName": "netdebug", "containers": [{"name": "c", "image": IMAGE}]}


class Clock:
    def now(self) -> Any:
        return NOW

    def monotonic(self) -> float:
        return time.monotonic()


class Server:
    """Objects by path.

    After each write the server calls `after` with method and path. If `after` returns False, the connection breaks and
    the answer is lost. `before` returns the status with which the server refuses a write, 0 for none.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.before: Callable[[str, str], int] = lambda _method, _path: 0
        self.after: Callable[[str, str], bool] = lambda _method, _path: True
        self.terminating = False  # deleted objects stay for their grace period

    def put(self, path: str, uid: str, **body: Any) -> None:
        name = path.rsplit("/", 1)[1]
        metadata = {"namespace": NAMESPACE, "name": name, "uid": uid, "resourceVersion": "7"}
        metadata["creationTimestamp"] = CREATED
        self.objects[path] = {**body, "metadata": {**metadata, **body.get("metadata", {})}}

    def exception(self, **fields: Any) -> None:
        subject = hne(**fields)
        metadata = subject.metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
        spec = subject.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.objects[f"{EXCEPTIONS}/{subject.metadata.name}"] = {"metadata": metadata, "spec": spec}

    def writes(self) -> list[str]:
        return [request for request in self.requests if not request.startswith("GET")]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        method, path = request.method, request.path
        self.requests.append(f"{method} {path}")
        if path == EXCEPTIONS:
            items = [body for name, body in self.objects.items() if name.startswith(f"{EXCEPTIONS}/")]
            return web.json_response({"metadata": {"resourceVersion": "9"}, "items": items})
        refusal = self.before(method, path) if method != "GET" else 0
        status, body = (refusal, {}) if refusal else self._do(method, path, json.loads(await request.text() or "{}"))
        if method != "GET" and not self.after(method, path):
            assert request.transport is not None
            request.transport.abort()
        reason = {404: "NotFound", 409: "Conflict"}.get(status, "")
        return web.json_response(body or {"kind": "Status", "reason": reason, "message": reason}, status=status)

    def _do(self, method: str, path: str, request_body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        body = self.objects.get(path)
        if body is None:
            return 404, {}
        metadata, changes = body["metadata"], request_body.get("preconditions", request_body.get("metadata", {}))
        if any(changes.get(key, metadata[key]) != metadata[key] for key in ("uid", "resourceVersion")):
            return 409, {}
        if method == "DELETE" and self.terminating:
            metadata["deletionTimestamp"] = "2026-11-22T12:00:10Z"
        elif method == "DELETE":
            del self.objects[path]
        elif method == "PATCH":
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
            for field in ("labels", "annotations"):
                metadata[field] = {**metadata.get(field, {}), **changes.get(field, {})}
        return 200, body


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[gateway.Gateway]:
    monkeypatch.setattr(gateway, "_FIRST_WAIT_SECONDS", 0.005)
    async with serving.gateway_to(server.answer) as gateway_client:
        yield gateway_client


def once(path: str) -> Callable[[str, str], bool]:
    """Return an `after` that loses the first answer about `path`."""
    unanswered = [path]

    def lose_first_answer(_method: str, requested: str) -> bool:
        if requested in unanswered:
            unanswered.remove(requested)
            return False
        return True

    return lose_first_answer


async def delete(api: gateway.Gateway, server: Server, **owner: Any) -> pods.Deleted:
    server.exception(expiry=NOW)
    server.put(POD, "p", spec=SPEC, metadata=owner)
    state = seen(pod(name="capture", uid="p"), hne(expiry=NOW))
    return await pods.delete(api, EFFECT, state, Clock())


@pytest.mark.parametrize("terminating", [False, True])
async def test_a_pod_whose_deletion_was_not_answered_counts_as_deleted(
    api: gateway.Gateway, server: Server, terminating: bool
) -> None:
    """The pod no longer exists, or it is terminating: nobody else deleted it between the two attempts."""
    server.terminating, server.after = terminating, once(POD)
    assert await delete(api, server) == pods.Deleted(Outcome.DELETED)
    assert server.writes() == [f"DELETE {POD}"]


async def test_a_pod_that_another_one_has_replaced_since_counts_as_deleted(
    api: gateway.Gateway, server: Server
) -> None:
    """The new pod has another uid, and the operator leaves it alone."""

    def replace_pod(_method: str, path: str) -> bool:
        server.put(path, "other", spec=SPEC)
        server.after = lambda _method, _path: True
        return False

    server.after = replace_pod
    assert await delete(api, server) == pods.Deleted(Outcome.DELETED)
    assert server.objects[POD]["metadata"]["uid"] == "other"


async def test_a_pod_that_was_gone_before_the_first_attempt_is_gone(api: gateway.Gateway, server: Server) -> None:
    """Somebody else deleted the pod while the operator's first attempt was refused."""

    def remove_pod(_method: str, path: str) -> int:
        server.objects.pop(path, None)
        server.before = lambda _method, _path: 0
        return 429

    server.before = remove_pod
    assert await delete(api, server) == pods.Deleted(Outcome.GONE)


@pytest.mark.parametrize("terminating", [False, True])
async def test_a_job_whose_deletion_was_not_answered_counts_as_deleted(
    api: gateway.Gateway, server: Server, terminating: bool
) -> None:
    """So the Event says that the Job was deleted with its pod."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "capture", "uid": "j", "controller": True}
    server.put(JOB, "j", spec={"template": {"spec": SPEC}})
    server.terminating, server.after = terminating, once(JOB)
    assert await delete(api, server, ownerReferences=[owner]) == pods.Deleted(Outcome.DELETED, job=True)
    assert server.writes() == [f"DELETE {JOB}", f"DELETE {POD}"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_pod_that_is_covered_by_now_is_not_deleted_by_a_repetition(
    api: gateway.Gateway, server: Server, status: int
) -> None:
    """The operator reads the cluster again before each attempt."""

    def cover_pod(_method: str, _path: str) -> int:
        server.exception(name="new")
        return status

    server.before = cover_pod
    assert await delete(api, server) == pods.Deleted(Outcome.SPARED)
    assert (server.writes(), POD in server.objects) == ([f"DELETE {POD}"], True)


async def test_a_job_of_a_pod_that_is_covered_by_now_is_not_deleted_by_a_repetition(
    api: gateway.Gateway, server: Server
) -> None:
    """The operator reads the cluster again before each attempt to delete the Job, too."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "capture", "uid": "j", "controller": True}
    server.put(JOB, "j", spec={"template": {"spec": SPEC}})

    def cover_pod(_method: str, _path: str) -> int:
        server.exception(name="new")
        return 503

    server.before = cover_pod
    assert await delete(api, server, ownerReferences=[owner]) == pods.Deleted(Outcome.SPARED)
    assert (server.writes(), JOB in server.objects) == ([f"DELETE {JOB}"], True)


async def test_a_job_whose_deletion_took_long_leaves_a_pod_that_is_looked_at_again(
    api: gateway.Gateway, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then, the data that led to the delete is stale. The pod was deleted with its Job, and the Event says so."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "capture", "uid": "j", "controller": True}
    server.put(JOB, "j", spec={"template": {"spec": SPEC}})
    monkeypatch.setattr(plan, "FRESH_SECONDS", 0.5)

    def delete_slowly(_method: str, path: str) -> bool:
        if path == JOB:
            time.sleep(0.6)
            del server.objects[POD]  # by the garbage collector
        return True

    server.after = delete_slowly
    assert await delete(api, server, ownerReferences=[owner]) == pods.Deleted(Outcome.DELETED, job=True)
    assert server.writes() == [f"DELETE {JOB}"]


WRITE = effects.WriteNamespace(
    namespace(), effects.Action.ENFORCE, {labels.ENFORCEMENT: "Deny"}, {labels.LEVEL_BEFORE: None}, versioned=True
)


def put_namespace(server: Server) -> None:
    namespace_state = WRITE.namespace
    metadata = {
        "name": namespace_state.name,
        "uid": namespace_state.uid,
        "resourceVersion": namespace_state.resource_version,
    }
    server.put(NAMESPACE_PATH, namespace_state.uid, metadata={**metadata, "namespace": ""})


@pytest.mark.parametrize("seconds", [60.0, 0.0])
async def test_a_namespace_whose_write_was_not_answered_is_written(
    api: gateway.Gateway, server: Server, seconds: float
) -> None:
    """The namespace has another version by then, and is as the write leaves it.

    It also counts as written if it is too late for another attempt.
    """
    put_namespace(server)
    server.after = once(NAMESPACE_PATH)
    deadline = time.monotonic() + seconds
    if not seconds:
        server.before = lambda _method, _path: time.sleep(0.1) or 0
        deadline += 0.05
    body = await namespaces.write(api, WRITE, deadline)
    assert body["metadata"]["labels"] == {labels.ENFORCEMENT: "Deny"}
    assert len(server.writes()) == (2 if seconds else 1)


async def test_a_namespace_that_somebody_else_has_written_is_a_conflict(api: gateway.Gateway, server: Server) -> None:
    """Whether an answer was lost or not, the operator re-evaluates the namespace."""
    put_namespace(server)

    def change_namespace(_method: str, path: str) -> int:
        server.objects[path]["metadata"]["resourceVersion"] = "1000"
        server.before = lambda _method, _path: 0
        return 500

    server.before = change_namespace
    with pytest.raises(gateway.ApiError) as raised:
        await namespaces.write(api, WRITE, time.monotonic() + 60)
    assert (raised.value.status, raised.value.lost) == (409, True)


async def test_an_api_server_that_cannot_be_reached_has_done_nothing(server: Server) -> None:
    """Without a connection there was no request.

    So the operator did not delete a pod that no longer exists afterwards.
    """
    configuration = client.Configuration(host="http://127.0.0.1:1")
    gateway_client = gateway.Gateway(configuration, clock.ServerClock(), lambda _method, _code: None)
    with pytest.raises(gateway.ApiError) as raised:
        await gateway_client.delete("/api/v1/pods/a", {}, repeat=False)
    await gateway_client.close()
    assert (raised.value.passing, raised.value.unanswered) == (True, False)
