"""A debug session against a scripted API server: each step that fails, and what is revoked and said then."""

import asyncio
import contextlib
import datetime
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import grant
from hostnetwork_operator.cli import attach, connect, debug_end, debug_session, errors
from hostnetwork_operator.decide import debugging
from tests.unit import serving
from tests.unit.shell import apiserver
from tests.unit.shell.apiserver import ApiServer, Body, Request, refusal

NAME = "debug-node-1-x7k2f"
EXCEPTIONS = "/apis/hostnetwork-operator.github.io/v1alpha1/namespaces/debug/hostnetworkexceptions"
PODS = "/api/v1/namespaces/debug/pods"
ENDED = {"terminated": {"exitCode": 4}}


class Server(ApiServer):
    """An API server with an operator and a kubelet.

    `ready` is the condition that the operator sets, and `state` the state of the container. The container writes `hi`,
    and ends. With `operating`, the operator deletes the pod of an exception that has ended. `holds` keeps the stream
    open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ready: dict[str, str] = {"status": "True", "reason": "Active", "message": ""}
        self.state: dict[str, Any] = {"running": {}}
        self.operating, self.holds = True, False
        self.attached = asyncio.Event()
        self.notify = self._react

    def _react(self, kind: str, event: str, body: Body) -> None:
        if kind == "hostnetworkexceptions" and event == "ADDED":
            body["status"] = {"conditions": [{"type": "Ready", "observedGeneration": 1, **self.ready}]}
        if kind == "hostnetworkexceptions" and event == "MODIFIED" and self.operating:
            for path in [path for path in self.objects if path.startswith(PODS)]:
                self.objects[path]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if kind == "pods" and event == "ADDED":
            body["status"] = {"containerStatuses": [{"state": self.state}]}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/attach"):
            return await super().answer(request)
        socket = web.WebSocketResponse(protocols=[attach.PROTOCOL])
        await socket.prepare(request)
        await socket.send_bytes(b"\x01hi\n")
        self.attached.set()
        if self.holds:
            await socket.receive()
        else:
            self.objects[f"{PODS}/{NAME}"]["status"] = {"containerStatuses": [{"state": ENDED}]}
            await socket.send_bytes(b'\x03{"status": "Success"}')
        await socket.close()
        return socket

    @property
    def expiry(self) -> datetime.datetime:
        return grant.parse_time(self.objects[f"{EXCEPTIONS}/{NAME}"]["spec"]["expiry"])

    @property
    def revoked(self) -> bool:
        return self.expiry <= clock.of_this_machine() + datetime.timedelta(seconds=1)


def session() -> debugging.DebugSession:
    return debugging.DebugSession(
        name=NAME,
        namespace="debug",
        node="node-1",
        image="registry.example.com/netshoot:1",
        owner="jane",
        reason="Debug node node-1, ticket INC-1",
        ticket="INC-1",
        expiry=debugging.expiry(clock.of_this_machine(), 3600),
        profile=debugging.PROFILES[debugging.NETWORK],
    )


@contextlib.asynccontextmanager
async def connected(server: ApiServer) -> AsyncIterator[connect.Connection]:
    server_clock = clock.ServerClock()
    async with serving.gateway_to(server.answer, server_clock) as api:
        yield connect.Connection(api, server_clock, "debug")


async def run(server: Server) -> int:
    """Run a session, and return its exit status."""
    async with asyncio.timeout(60), connected(server) as connection:
        wanted = session()
        return await debug_session.run(connection, wanted, debugging.exception(wanted))


def failing(method: str, ending: str, status: int = 403) -> Callable[[Request], web.Response | None]:
    """Return what refuses each request with this method to a path that ends so."""
    return lambda request: (
        refusal(status) if request.method == method and request.path.endswith(ending) else None
    )  # fmt: skip


def first(method: str, path: str) -> Callable[[Request], bool]:
    """Return what is true for the first request with this method to this path."""
    met = iter((True,))
    return lambda request: request.method == method and request.path == path and next(met, False)


async def test_a_session_ends_with_the_status_of_its_process(capfd: pytest.CaptureFixture[str]) -> None:
    """The stream says Success, whatever the process said. The status is that of the pod."""
    server = Server()
    assert await run(server) == 4
    assert server.revoked
    said = capfd.readouterr()
    assert said.out == "hi\n"
    assert said.err.splitlines()[-1] == f"exception {NAME} is revoked, and the operator deletes the pod"


async def test_a_revocation_that_fails_is_said_with_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    server = Server()
    server.fails = failing("PATCH", NAME)
    assert await run(server) == 4
    assert not server.revoked
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert line.startswith(
        f"error: exception {NAME} is not revoked: scripted: Forbidden. It ends at {server.expiry:%Y}"
    )
    assert f'kubectl patch hne {NAME} -n debug --type=merge -p \'{{"spec":{{"expiry":"' in line


async def test_an_exception_whose_answer_was_lost_is_revoked() -> None:
    """The repeated request says that the name exists. The exception has what this session has sent."""
    server = Server()
    server.loses = first("POST", EXCEPTIONS)
    with pytest.raises(gateway.ApiError, match="AlreadyExists"):
        await run(server)
    assert server.revoked


async def test_the_exception_of_another_session_stays() -> None:
    """--name may name an exception that exists: no request of this session has created it."""
    server = Server()
    others = debugging.exception(session())
    server.put(f"{EXCEPTIONS}/{NAME}", {**others, "spec": {**others["spec"], "ticket": "INC-2"}})
    with pytest.raises(gateway.ApiError, match="AlreadyExists"):
        await run(server)
    assert not server.revoked
    server.loses = first("POST", EXCEPTIONS)
    with pytest.raises(gateway.ApiError, match="AlreadyExists"):
        await run(server)
    assert not server.revoked


async def test_an_exception_that_is_not_in_force_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug_session, "_REASON_SECONDS", 0.0)
    server = Server()
    server.ready = {"status": "False", "reason": "GuardMissing", "message": "a policy is missing"}
    with pytest.raises(errors.CommandError, match="GuardMissing: a policy is missing"):
        await run(server)
    assert server.revoked
    assert f"{PODS}/{NAME}" not in server.objects


async def test_an_operator_that_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug_session, "_FORCE_SECONDS", 0.2)
    server = Server()
    server.notify = lambda kind, event, body: None
    with pytest.raises(errors.CommandError, match="the operator has not put the exception into force"):
        await run(server)
    assert server.revoked


async def test_a_refusal_of_the_pod_is_asked_again_while_the_level_is_lifted() -> None:
    """The first answers are those of an API server that does not know yet."""
    server = Server()
    refusals = iter((refusal(403), refusal(403)))
    server.fails = lambda request: next(refusals, None) if request.method == "POST" and request.path == PODS else None
    assert await run(server) == 4


async def test_an_image_that_cannot_be_pulled_ends_the_session() -> None:
    server = Server()
    server.state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    with pytest.raises(errors.CommandError, match="does not start: ImagePullBackOff: no such image; correct --image"):
        await run(server)
    assert server.revoked
    assert "deletionTimestamp" in server.objects[f"{PODS}/{NAME}"]["metadata"]


async def test_a_signal_while_the_container_starts_revokes() -> None:
    server = Server()
    server.state = {"waiting": {"reason": "ContainerCreating"}}
    running = asyncio.create_task(run(server))
    await apiserver.until(lambda: f"{PODS}/{NAME}" in server.objects, "the pod is created")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 128 + signal.SIGTERM
    assert server.revoked


async def test_a_second_signal_ends_the_wait_for_the_deletion(capfd: pytest.CaptureFixture[str]) -> None:
    """No operator deletes the pod. The exception is revoked all the same, and the command that deletes is said."""
    server = Server()
    server.holds, server.operating = True, False
    running = asyncio.create_task(run(server))
    await server.attached.wait()
    os.kill(os.getpid(), signal.SIGINT)
    await apiserver.until(lambda: server.revoked, "the exception is revoked")
    os.kill(os.getpid(), signal.SIGINT)
    assert await running == 128 + signal.SIGINT
    assert f"To delete it: kubectl delete pod {NAME} -n debug" in capfd.readouterr().err


async def test_one_signal_after_the_session_keeps_nothing_from_being_revoked() -> None:
    """The process has ended, and the person presses Ctrl-C before the exception is revoked."""
    server = Server()

    def interrupt(request: Request) -> None:
        if server.attached.is_set() and (request.method, request.path) == ("GET", f"{EXCEPTIONS}/{NAME}"):
            os.kill(os.getpid(), signal.SIGINT)

    server.fails = interrupt
    assert await run(server) == 4
    assert server.revoked


async def test_a_pod_that_no_operator_deletes_is_deleted_by_its_uid(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(debug_end, "_DELETION_SECONDS", 0.3)
    server = Server()
    server.operating = False
    assert await run(server) == 4
    assert f"{PODS}/{NAME}" not in server.objects
    assert "so this command has" in capfd.readouterr().err


async def test_an_exception_that_has_ended_is_not_changed(capfd: pytest.CaptureFixture[str]) -> None:
    """The API server would refuse it: an expiry that has passed cannot change."""
    server = Server()
    server.holds = True
    running = asyncio.create_task(run(server))
    await server.attached.wait()
    before = clock.of_this_machine() - datetime.timedelta(seconds=30)
    server.objects[f"{EXCEPTIONS}/{NAME}"]["spec"]["expiry"] = grant.format_time(before)
    server.remove(f"{PODS}/{NAME}")
    os.kill(os.getpid(), signal.SIGINT)
    assert await running == 128 + signal.SIGINT
    assert not [request for request in server.requests if request.method == "PATCH"]
    assert f"exception {NAME} has ended, and its pod no longer exists" in capfd.readouterr().err


async def test_a_stream_is_opened_as_who_is_impersonated() -> None:
    """The WebSocket has the token, and the headers of --as and --as-group."""
    seen: list[list[tuple[str, str]]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append([(key.lower(), value) for key, value in request.headers.items()])
        socket = web.WebSocketResponse(protocols=[attach.PROTOCOL])
        await socket.prepare(request)
        await socket.close()
        return socket

    headers = (("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"))
    async with serving.url_of(answer) as url:
        configuration = client.Configuration(host=url)
        configuration.api_key["BearerToken"] = "Bearer t"
        options = gateway.RequestOptions(headers=headers)
        api = gateway.Gateway(configuration, clock.ServerClock(), lambda _method, _status: None, options)
        async with api.stream("/attach", attach.PROTOCOL):
            pass
        await api.close()
    assert {(key.lower(), value) for key, value in headers} <= set(seen[0])
    assert ("authorization", "Bearer t") in seen[0]
