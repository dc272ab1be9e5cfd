"""kopf watches through a session that passes on only what kopf can decode, and that sends only GETs."""

import asyncio
import contextlib
import dataclasses
import datetime
import json
import ssl
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import aiohttp
import kopf
import pytest
from aiohttp import web
from kubernetes.aio import client

from hostnetwork_operator import bodies, clock, metrics
from hostnetwork_operator.control import handlers, operator, session
from hostnetwork_operator.observe import live, store
from tests.unit import serving
from tests.unit.test_bodies import NEST

NESTED = b'{"type":"ADDED","object":{"spec":' + NEST + b"}}"
NAMESPACES = "/api/v1/namespaces"


def namespace(name: str, version: int, **metadata: Any) -> dict[str, Any]:
    defaults = {"name": name, "uid": f"uid-of-{name}", "resourceVersion": str(version)}
    return {"metadata": {**defaults, "creationTimestamp": "2026-11-22T12:00:00Z", **metadata}}


def line(name: str, version: int, **metadata: Any) -> bytes:
    return json.dumps({"type": "MODIFIED", "object": namespace(name, version, **metadata)}).encode()


class Server:
    """As much of an API server as kopf needs to watch namespaces.

    `listed` is the answer to a list, `metadata` the answer to a list of metadata alone, and `lines` are what a watch
    sends. The bytes are sent as they are.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.listed: bytes = json.dumps({"metadata": {"resourceVersion": "1"}, "items": []}).encode()
        self.metadata: bytes = self.listed
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.unauthorized = 0  # this many requests are answered with 401
        self.no_pods = asyncio.Event()  # once set, pods are not served
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        async with serving.url_of(self._answer) as self.url:
            yield self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        self.queries.append(dict(request.query))
        if self.unauthorized:
            self.unauthorized -= 1
            return web.json_response({"kind": "Status", "message": "Unauthorized"}, status=401)
        if request.path == NAMESPACES and "watch" in request.query:
            return await self._watch(request)
        if request.path == NAMESPACES:
            only_metadata = request.headers.get("Accept") == live.METADATA_LIST
            return web.Response(body=self.metadata if only_metadata else self.listed)
        if request.path == "/api/v1/pods" and "watch" in request.query:
            await self.no_pods.wait()
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        if request.path == "/broken":
            return web.Response(status=502, body=b"<html>")
        verbs = ["get", "list", "watch", "patch"]
        kinds = [("namespaces", "Namespace"), ("pods", "Pod")]
        answers: dict[str, Any] = {
            "/api": {"versions": ["v1"]},
            "/apis": {"groups": []},
            "/api/v1": {
                "resources": [
                    {"name": name, "singularName": "", "kind": kind, "namespaced": False, "verbs": verbs}
                    for name, kind in kinds
                ]
            },
            "/api/v1/pods": {"metadata": {"resourceVersion": "1"}, "items": []},
        }
        return web.json_response(answers.get(request.path, {}), status=200 if request.path in answers else 404)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while piece := await self.lines.get():
            await response.write(piece)
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server().running() as started:
        yield started


class Missed(list[tuple[store.Kind, str]]):
    def __call__(self, kind: store.Kind, why: str) -> None:
        self.append((kind, why))


@pytest.fixture
def missed() -> Missed:
    return Missed()


@pytest.fixture
async def http_session(missed: Missed) -> AsyncIterator[aiohttp.ClientSession]:
    async with session.open_http(
        {}, ssl.create_default_context(), missed, lambda kind: missed(kind, "listed")
    ) as http_session:
        yield http_session


async def kopf_lines(http_session: aiohttp.ClientSession, server: Server, *pieces: bytes) -> list[bytes]:
    """Return the lines that kopf would decode, of a watch that sends these pieces."""
    for data_piece in (*pieces, b""):
        server.lines.put_nowait(data_piece)
    async with http_session.get(f"{server.url}{NAMESPACES}?watch=true") as response:
        return b"".join([data async for data in response.content.iter_chunked(2**20)]).splitlines()


# -- the session ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 10_000, 2**20])
async def test_lines_are_whole_and_without_managed_fields(
    http_session: aiohttp.ClientSession, server: Server, missed: Missed, size: int
) -> None:
    """However the bytes arrive. A line that cannot be decoded is left out and counted."""
    nest = b'{"type":"ADDED","object":{"metadata":{"managedFields":[{"fieldsV1":' + NEST + b'}],"name":"b"}}}'
    sent = b"\n".join([line("a", 1), nest, b"", NESTED[: 2000 if size == 1 else None], line("c", 2), b""])
    sent = sent if size > 1 else sent.replace(NEST, b'{"f:a":{}}')
    lines = await kopf_lines(http_session, server, *(sent[start : start + size] for start in range(0, len(sent), size)))
    empty = b'{"type":"ADDED","object":{"metadata":{"managedFields":[],"name":"b"}}}'
    assert lines == [line("a", 1), empty, line("c", 2)]
    assert [kind for kind, _ in missed] == [store.Kind.NAMESPACE]


async def test_a_line_that_breaks_off_is_nothing(
    http_session: aiohttp.ClientSession, server: Server, missed: Missed
) -> None:
    """The connection has ended, and kopf sends the request again."""
    assert await kopf_lines(http_session, server, line("a", 1) + b"\n" + line("b", 2)[:20]) == [line("a", 1)]
    assert missed == []


async def test_a_line_beyond_the_bound_is_left_out(
    http_session: aiohttp.ClientSession, server: Server, missed: Missed
) -> None:
    """The session does not keep the line in memory either. The lines after it pass."""
    long_line = b'{"a":"' + b"x" * bodies.BYTES + b'"}\n'
    assert await kopf_lines(http_session, server, long_line, line("a", 1) + b"\n") == [line("a", 1)]
    assert missed == [(store.Kind.NAMESPACE, f"longer than {bodies.BYTES} bytes")]


async def test_of_a_list_kopf_gets_the_version_alone(
    http_session: aiohttp.ClientSession, server: Server, missed: Missed
) -> None:
    """The request asks for one object, without its spec.

    The session reports immediately that the operator must list the kind.
    """
    server.listed = b'{"items":[' + NESTED + b"]}"
    meta = {"resourceVersion": "7", "continue": "next"}
    server.metadata = json.dumps({"metadata": meta, "items": [namespace("a", 5)]}).encode()
    kopf_session = session.Session(http_session, asyncio.Event())
    async with await kopf_session.request("get", f"{server.url}{NAMESPACES}?labelSelector=a") as response:
        assert await response.json() == {"metadata": {"resourceVersion": "7"}, "items": []}
    assert missed == [(store.Kind.NAMESPACE, "listed")]
    assert server.queries[-1] == {"labelSelector": "a", "limit": "1"}


class _Stream:
    """Content that yields these bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        yield self._data


def about(kind: str, namespace: str, uid: str) -> dict[str, Any]:
    """Return a line of a watch about an Event."""
    return {"type": kind, "object": {"metadata": {"namespace": namespace, "uid": uid}}}


async def test_events_beyond_the_budget_of_their_namespace_are_left_out(missed: Missed) -> None:
    """kopf gets no line about these Events, and none of them counts as missed. A line about no namespace passes."""
    events = [about("ADDED", name, "uid") for name in ("noisy", "quiet", "noisy")]
    encoded = [json.dumps(body).encode() for body in (*events, {"type": "ERROR", "object": {"code": 410}})]
    namespaces: list[str] = []

    def hears(namespace: str) -> bool:
        namespaces.append(namespace)
        return namespace != "noisy"

    stream: Any = _Stream(b"".join(body + b"\n" for body in encoded))
    lines = session.Lines(stream, lambda why: missed(store.Kind.POD, why), session.Budgeted(hears).passes)
    assert [line async for line in lines.iter_chunked(1)] == [encoded[1] + b"\n", encoded[3] + b"\n"]
    assert namespaces == ["noisy", "quiet", "noisy", ""]
    assert missed == []


async def test_the_deletion_of_an_event_costs_no_budget() -> None:
    """The deletion passes only if kopf has that Event.

    So the deletions of a flood do not pass, and kopf forgets the Events that it has.
    """
    namespaces: list[str] = []

    def hears(namespace: str) -> bool:
        namespaces.append(namespace)
        return namespace == "quiet"

    budgeted = session.Budgeted(hears)
    changes = [("ADDED", "noisy", "1"), ("ADDED", "quiet", "2"), ("MODIFIED", "quiet", "2")]
    deletions = [
        ("DELETED", "noisy", "1"),
        ("DELETED", "quiet", "2"),
        ("DELETED", "quiet", "2"),
        ("DELETED", "gone", "3"),
    ]
    passes = [budgeted.passes(about(*change)) for change in (*changes, *deletions)]
    assert passes == [False, True, True, False, True, False, False]
    assert namespaces == ["noisy", "quiet", "quiet"]


ODD = {
    "a list": b"[]",
    "broken UTF-8": b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}',
    "half a line": b'{"type":"ADDED","obj',
    "a carriage return": b"\r",
    "no type": b'{"object":{"metadata":{}}}',
    "another type": b'{"type":"SYNC","object":{"metadata":{}}}',
    "a type that is no text": b'{"type":[],"object":{"metadata":{}}}',
    "no object": b'{"type":"ADDED"}',
    "an object that is none": b'{"type":"ADDED","object":"x"}',
    "no metadata": b'{"type":"ADDED","object":{}}',
    "metadata that is none": b'{"type":"ADDED","object":{"metadata":"x"}}',
    "metadata that is null": b'{"type":"DELETED","object":{"metadata":null}}',
    "a uid that is none": b'{"type":"ADDED","object":{"metadata":{"uid":["x"]}}}',
    "a name that is none": b'{"type":"ADDED","object":{"metadata":{"name":7}}}',
    "a kind that is none": b'{"type":"ADDED","object":{"kind":{},"metadata":{}}}',
    "an error without a code": b'{"type":"ERROR","object":{"message":"x"}}',
    "an error with odd metadata": b'{"type":"ERROR","object":{"code":410,"metadata":[]}}',
}


@pytest.mark.parametrize("odd", ODD)
async def test_a_line_that_no_api_server_sends_is_missed(missed: Missed, odd: str) -> None:
    """The line is counted, kopf never sees it, and the lines after it pass.

    That applies to Events and to any other kind.
    """
    valid_line = json.dumps(about("ADDED", "quiet", "2")).encode()
    for passes in (None, session.Budgeted(lambda _: True).passes):
        stream: Any = _Stream(ODD[odd] + b"\n" + valid_line + b"\n")
        lines = session.Lines(stream, lambda why: missed(store.Kind.NAMESPACE, why), passes)
        assert [line async for line in lines.iter_chunked(1)] == [valid_line + b"\n"]
    assert len(missed) == 2


async def test_kopf_watches_on_after_a_line_of_another_form(server: Server) -> None:
    """None of these lines ends the watch: the operator had to list the kind only once."""
    async with Watch(server) as watch:
        for odd in ODD.values():
            server.lines.put_nowait(odd + b"\n")
        server.lines.put_nowait(line("a", 2) + b"\n")
        await until(lambda: watch.core.store.namespaces() == ["a"])
    assert watch.core.store.unread.lines("namespaces") == len(ODD)
    assert watch.listed.count(store.Kind.NAMESPACE) == 1


class _Pieces:
    """Content that repeats a piece until `most` bytes are taken, followed by `end`."""

    def __init__(self, piece: bytes, most: int, end: bytes = b"") -> None:
        self._piece, self._most, self._end = piece, most, end
        self.taken = 0

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        while self.taken < self._most:
            self.taken += len(self._piece)
            yield self._piece
        yield self._end

    def iter_any(self) -> AsyncIterator[bytes]:
        return self.iter_chunked(0)


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["breaks off", "ends"])
async def test_a_line_beyond_the_bound_counts_once_and_takes_no_memory(
    missed: Missed, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    """Also if the line arrives byte by byte, and if the connection ends before the line does."""
    monkeypatch.setattr(bodies, "BYTES", 2**15)
    stream: Any = _Pieces(b"x", 2**16, end)
    lines = session.Lines(stream, lambda why: missed(store.Kind.NAMESPACE, why))
    tracemalloc.start()
    assert [line async for line in lines.iter_chunked(1)] == []
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * bodies.BYTES
    assert missed == [(store.Kind.NAMESPACE, f"longer than {bodies.BYTES} bytes")]


async def test_an_answer_beyond_the_bound_is_not_read(missed: Missed) -> None:
    """A proxy can answer anything. The rest of the answer is not read."""
    stream: Any = _Pieces(b"x" * 2**20, 2 * bodies.BYTES)
    with pytest.raises(bodies.DecodeError, match="longer than"):
        await session.Lines(stream, lambda why: missed(store.Kind.NAMESPACE, why)).read()
    assert stream.taken <= bodies.BYTES + 2**20


async def test_an_error_that_cannot_be_decoded_is_none(http_session: aiohttp.ClientSession, server: Server) -> None:
    """For instance the page of a proxy. kopf then uses the status."""
    async with http_session.get(f"{server.url}/broken") as response:
        assert await response.json() is None


@pytest.mark.parametrize("method", ["post", "PATCH", "put", "DELETE"])
async def test_a_write_is_refused_before_it_is_sent(
    http_session: aiohttp.ClientSession, server: Server, method: str
) -> None:
    """No byte of the write leaves the process."""
    with pytest.raises(session.WriteRefusedError, match=f"{method} http://.*/api/v1/namespaces"):
        await session.Session(http_session, asyncio.Event()).request(method, f"{server.url}{NAMESPACES}", json={})
    assert server.asked == []


async def test_the_session_of_a_login_is_closed_by_the_next_one(server: Server, missed: Missed) -> None:
    """The end closes the last session, even if kopf has used none of them."""
    logins = session.Logins(client.Configuration(host=server.url), missed, lambda _: None, asyncio.Event())
    first, second = (await logins.log_in()).aiohttp_session, (await logins.log_in()).aiohttp_session
    assert (first.closed, second.closed) == (True, False)
    await logins.close()
    assert second.closed


# -- kopf with it ---------------------------------------------------------------------------------------------------


class Watch:
    """kopf in a thread of its own, which feeds `core` from the server. At its end kopf cancels all younger tasks."""

    def __init__(self, server: Server, finalizer: str = "nobody.example.com/guesses", seconds: float = 600) -> None:
        self.core = operator.Operator(cast("Any", None), clock.ServerClock(), metrics.Metrics())
        self._server = server
        self._finalizer = finalizer
        self._seconds = seconds  # until a login expires
        self.logins: list[kopf.AiohttpSession] = []
        self.listed: list[store.Kind] = []
        self._stop = threading.Event()
        self.running = asyncio.ensure_future(asyncio.to_thread(asyncio.run, self._run()))

    async def __aenter__(self) -> "Watch":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.lines.put_nowait(b"")
        self._stop.set()
        await self.running
        self._server.no_pods.set()

    async def _run(self) -> None:
        ending = asyncio.Event()
        configuration = client.Configuration(host=self._server.url)
        logins = session.Logins(configuration, self.core.intake.missed, self.listed.append, ending)
        registry, settings = handlers.registry(self.core.intake), handlers.settings()

        @kopf.on.login(registry=registry, id="login")
        async def log_in(**_: object) -> kopf.AiohttpSession:
            login = await logins.log_in()
            assert login.expiration is not None
            expiration = login.expiration - datetime.timedelta(seconds=600 - self._seconds)
            self.logins.append(dataclasses.replace(login, expiration=expiration))
            return self.logins[-1]

        @kopf.on.cleanup(registry=registry, id="end")
        async def end(**_: object) -> None:
            ending.set()
            self._stop.set()  # otherwise the thread in which kopf waits for the flag outlives the test

        settings.persistence.finalizer = self._finalizer
        identity: Any = "test"
        try:
            await kopf.operator(
                registry=registry,
                settings=settings,
                clusterwide=True,
                standalone=True,
                identity=identity,
                stop_flag=self._stop,
            )
        finally:
            await logins.close()


async def until(probe: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not probe():
            await asyncio.sleep(0.01)


async def test_kopf_watches_on_after_a_line_that_it_could_not_decode(server: Server) -> None:
    """The events after that line arrive, and the line counts as unread.

    Of the list before, only the version was requested.
    """
    server.listed = NESTED
    async with Watch(server) as watch:
        for data in (line("a", 2), NESTED, line("b", 3, managedFields=[{"time": "0000-01-01T00:00:00Z"}])):
            server.lines.put_nowait(data + b"\n")
        await until(lambda: watch.core.store.namespaces() == ["a", "b"])
    assert watch.core.store.unread.lines("namespaces") == 1
    assert sorted(watch.listed, key=lambda kind: kind.value) == [store.Kind.NAMESPACE, store.Kind.POD]


async def test_no_event_waits_behind_a_write_that_kopf_wants(server: Server) -> None:
    """Even if a tenant knew the name of kopf's finalizer, each event arrives immediately, and nothing is sent."""
    async with Watch(server, "known.example.com/finalizer") as watch:
        for version in range(2, 12):
            server.lines.put_nowait(line("a", version, finalizers=["known.example.com/finalizer"]) + b"\n")
            await until(lambda version=version: _version(watch.core) == str(version), 2 if version > 2 else 20)
    assert {request.split()[0] for request in server.asked} == {"GET"}


async def test_a_401_costs_a_login_and_no_more(server: Server) -> None:
    """Even if the token is the same. An API server that has just started may give one such answer."""
    server.unauthorized = 1
    async with Watch(server) as watch:
        server.lines.put_nowait(line("a", 2) + b"\n")
        await until(lambda: watch.core.store.namespaces() == ["a"])
    assert len(watch.logins) == 2
    assert [login.aiohttp_session.closed for login in watch.logins] == [True, True]


async def test_a_kind_that_is_no_longer_served_ends_kopf(server: Server) -> None:
    """Although the watch of another kind continues, and the server is slow to answer that watch.

    The operator then starts kopf again.
    """
    watch = Watch(server)
    server.lines.put_nowait(line("a", 2) + b"\n")
    await until(lambda: watch.core.store.namespaces() == ["a"])
    await until(lambda: server.asked.count("GET /api/v1/pods") == 2)  # listed and watched
    server.no_pods.set()
    with pytest.raises(Exception, match="404"):
        await asyncio.wait_for(watch.running, 40)
    assert [login.aiohttp_session.closed for login in watch.logins] == [True]


async def test_a_login_that_expires_costs_a_watch_and_no_more(server: Server) -> None:
    """kopf logs in again, with the token of that moment, and continues to watch."""
    async with Watch(server, seconds=0.5) as watch:
        server.lines.put_nowait(line("a", 2) + b"\n")
        await until(lambda: watch.core.store.namespaces() == ["a"])
        async with asyncio.timeout(20):
            while len(watch.logins) == 1:
                server.lines.put_nowait(b"")  # the watch ends, and kopf begins another
                await asyncio.sleep(0.1)
        server.lines.put_nowait(line("b", 3) + b"\n")
        await until(lambda: watch.core.store.namespaces() == ["a", "b"])
    assert len(watch.logins) > 1
    assert all(login.aiohttp_session.closed for login in watch.logins)


def _version(core: operator.Operator) -> str:
    state = core.store.snapshot("a")
    return state.namespace.resource_version if state is not None else ""


def test_the_finalizer_of_kopf_is_another_one_in_each_process() -> None:
    """Knowing the code is not enough to know the name of the finalizer."""
    first, second = (handlers.settings().persistence.finalizer for _ in range(2))
    assert first != second
    assert len(first.rpartition("/")[2]) == 32
