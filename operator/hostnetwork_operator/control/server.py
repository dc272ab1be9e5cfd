"""/metrics on one port; /healthz and /readyz on another. Each port has a thread and an event loop of its own.

A client that reaches a port can ask as often as it likes, send whatever it likes and read nothing. The event loop that
ends grants and deletes pods must never wait for such a client. So a thread asks that loop only for the current state,
and does the rest alone, in no more than a fifth of the time. A port has few connections. If there are too many, a new
connection replaces the oldest. Each connection gets one answer. A connection counts from accept on, even before its TLS
handshake is done.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import http_exceptions, web

from hostnetwork_operator import metrics
from hostnetwork_operator.control import access, certificate

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# An answer is reused for this long, or for four times the processor time that making it took: a page of 1,200
# namespaces takes 0.3 s.
_AGE_SECONDS: Final = 0.05
_REST: Final = 4.0
_MOST_CONNECTIONS: Final = 32
_INSIDE_SECONDS: Final = 4.0  # an event loop that does not answer within this time does no other work either
_HANDSHAKE_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 10.0  # within which the client must read the answer
_AGAIN_SECONDS: Final = 1.0  # the pause after an accept that failed: there may be no file descriptor left
_STOP_SECONDS: Final = 5.0

Check = Callable[[], str]  # returns '' if all is well, else what is wrong
Role = Callable[[], str]  # returns '', or what the process is


class HttpResponse(NamedTuple):
    """What a client of a port gets."""

    status: int
    body: bytes
    content_type: str = "text/plain"


Handler = Callable[[], Awaitable[HttpResponse]]


class Ports:
    """Both ports, until `close`. `healthy` says whether the process should be restarted, `ready` whether it does all of
    its work. Both are called in the event loop in which this object is created, and so is `role`, which is shown beside
    an `ok` of /readyz. `pair` and `readers` apply to /metrics only: the kubelet, which sends the probes, has no token.
    """

    def __init__(
        self,
        measures: metrics.Metrics,
        healthy: Check,
        ready: Check,
        pair: certificate.Pair | None = None,
        readers: access.Access | None = None,
        role: Role = str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._measures = measures
        self._checks: dict[str, tuple[Check, Role]] = {"/healthz": (healthy, str), "/readyz": (ready, role)}
        self._pair = pair
        self._readers = readers
        self._threads: list[_Thread] = []

    def open(self, address: str, port: int, probe_port: int) -> None:
        """Listen on both ports. Raise OSError, with the address and port that cannot be used as its `filename`."""
        page = {"/metrics": _Cached(self._metrics).answer}
        probes = {path: _Cached(self._probe(*check)).answer for path, check in self._checks.items()}
        self._threads.append(_Thread(_listening(address, port), page, self._pair, self._readers))
        self._threads.append(_Thread(_listening(address, probe_port), probes))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End both threads, whatever their clients do. May also be called after `open` has failed."""
        for thread in self._threads:
            thread.stop()

    async def _metrics(self) -> HttpResponse:
        if not await self._inside(self._measures.gather):
            return HttpResponse(503, b"the event loop does not answer\n")
        return HttpResponse(200, self._measures.text(), _CONTENT_TYPE)

    def _probe(self, check: Check, role: Role) -> Handler:
        async def answer() -> HttpResponse:
            results: list[str] = []
            if not await self._inside(lambda: results.extend((check(), role()))):
                results = ["the event loop does not answer", ""]
            trouble, addition = results
            if trouble:
                return HttpResponse(503, f"{trouble}\n".encode())
            return HttpResponse(200, f"ok, {addition}\n".encode() if addition else b"ok\n")

        return answer

    async def _inside(self, call: Callable[[], None]) -> bool:
        """Run `call` in the event loop of the operator, from a thread. Return whether that happened in time."""

        async def called() -> None:
            call()

        future = asyncio.run_coroutine_threadsafe(called(), self._loop)
        try:
            async with asyncio.timeout(_INSIDE_SECONDS):
                await asyncio.wrap_future(future)
        except TimeoutError:
            return False
        return True


class _Cached:
    """An answer that is kept, and made again when a client asks and the answer is too old."""

    def __init__(self, make: Handler) -> None:
        self._make = make
        self._good_until = float("-inf")
        self._answer = HttpResponse(503, b"")
        self._making = asyncio.Lock()

    async def answer(self) -> HttpResponse:
        async with self._making:
            if time.monotonic() >= self._good_until:
                # Processor time, not elapsed time: otherwise, an answer that a slow loop made late would be reused long
                # after the loop has recovered.
                cpu_start = time.thread_time()
                self._answer = await self._make()
                cpu_seconds = time.thread_time() - cpu_start
                self._good_until = time.monotonic() + max(_AGE_SECONDS, _REST * cpu_seconds)
            return self._answer


class _Thread:
    """One listening socket, served by a thread with an event loop of its own."""

    def __init__(
        self,
        listening: socket.socket,
        handlers: Mapping[str, Handler],
        pair: certificate.Pair | None = None,
        readers: access.Access | None = None,
    ) -> None:
        self._socket = listening
        self._handlers = handlers
        self._pair = pair
        self._readers = readers
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._connections: dict[socket.socket, asyncio.Task[asyncio.BaseTransport | None]] = {}  # oldest first
        self._thread = threading.Thread(target=self._run, name=f"port-{listening.getsockname()[1]}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.ident is None:  # never started, because the other port could not be used
            self._socket.close()
            self._loop.close()
            return
        with contextlib.suppress(RuntimeError):  # the thread has already ended
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        application = web.Application()
        for path, handler in self._handlers.items():
            application.router.add_get(path, _serving(handler, self._readers))
        # A request has one line and a few headers. One header may be a token.
        longest = 2**12 if self._readers is None else access.LONGEST_TOKEN + 2**7
        limits: dict[str, Any] = {"max_line_size": 2**12, "max_field_size": longest, "max_headers": 32}
        runner = web.AppRunner(application, access_log=None, logger=_quiet(), **limits)
        await runner.setup()
        self._socket.setblocking(False)  # noqa: FBT003 - it takes no keyword
        accepting = asyncio.create_task(self._accept(runner.server))
        await self._stopping.wait()
        accepting.cancel()
        await asyncio.wait({accepting})
        self._socket.close()
        for connection, connecting in self._connections.items():
            _abort(connection, connecting)
        await runner.cleanup()

    async def _accept(self, server: Any) -> None:
        """Accept connections until cancelled. If there are too many connections, the oldest is closed."""
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._socket)
            except OSError:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            self._connections = {
                connection: task for connection, task in self._connections.items() if connection.fileno() != -1
            }
            for connection, connecting in list(self._connections.items())[: 1 - _MOST_CONNECTIONS]:
                _abort(connection, connecting)
            self._connections[accepted] = asyncio.create_task(self._connect(server, accepted))
            # A task must have begun before its connection is the oldest: only then does cancelling it close the socket.
            await asyncio.sleep(0)

    async def _connect(self, server: Any, accepted: socket.socket) -> asyncio.BaseTransport | None:
        """Return the transport after the handshake, None if the client failed the handshake or took too long."""
        secure: dict[str, Any] = {}
        if self._pair is not None:
            secure = {"ssl": self._pair.context(), "ssl_handshake_timeout": _HANDSHAKE_SECONDS}
            secure["ssl_shutdown_timeout"] = _HANDSHAKE_SECONDS
        try:
            transport, _ = await self._loop.connect_accepted_socket(server, accepted, **secure)
        except OSError:
            return None
        return transport


def _serving(handler: Handler, readers: access.Access | None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        refusal = await readers.refusal(request.headers.get("Authorization", "")) if readers is not None else None
        if refusal is None:
            status, body, content_type = await handler()
            headers = {"Content-Type": content_type}
        else:
            status, body = refusal.status, f"{refusal.text}\n".encode()
            headers = {"Content-Type": "text/plain", **refusal.headers}
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        response.force_close()  # one answer per connection, however many requests the client has sent
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await response.prepare(request)
                await response.write(body)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response

    return serve


def _quiet() -> logging.Logger:
    """Return a logger for aiohttp that drops requests which cannot be parsed: aiohttp would quote them, with tokens."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], http_exceptions.HttpProcessingError))


def _abort(connection: socket.socket, connecting: asyncio.Task[asyncio.BaseTransport | None]) -> None:
    """Abort a connection immediately: `close` would wait for a client that does not read.

    A connection that has ended is left alone: asyncio's transport has no event loop any more, and its `abort` may fail.
    """
    if connection.fileno() == -1:
        return
    if not connecting.done():
        connecting.cancel()
    elif not connecting.cancelled() and not connecting.exception():
        transport = connecting.result()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


def _listening(address: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET  # a name
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{address}:{port}") from error
