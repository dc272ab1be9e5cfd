"""A proxy between the operator and the API server that does harm at a chosen moment.

It speaks plain HTTP on loopback with the operator and TLS with the API server; the operator's token passes through.
"""

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import email.utils
import re
import ssl
from collections.abc import Callable

import aiohttp
from aiohttp import web

from tests.faults import loop

_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "content-encoding"}


@dataclasses.dataclass(frozen=True)
class Write:
    """A write that passed: method, path, and the API server's status (0: the write never reached the API server)."""

    method: str
    path: str
    status: int


class Proxy(loop.InThread):
    """A proxy that passes requests on and kills the operator at chosen writes.

    At each counted write the proxy calls `harm` with the number of the write, from 1, and how often the same write has
    come before. If the answer is "before", the proxy calls `kill` before it passes the write on; if "after", once the
    write is done and before its answer is returned.
    """

    def __init__(self, server: str, ca_file: str, counts: Callable[[str], bool] = lambda _: True) -> None:
        super().__init__()
        self._server = server
        self._ssl = ssl.create_default_context(cafile=ca_file)
        self._ssl.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._counts = counts
        self.writes: list[Write] = []
        self.harm: Callable[[int, int], str] = lambda _number, _repeated: ""
        self.times: collections.Counter[str] = collections.Counter()  # how often each write came, ignoring times
        self.kill: Callable[[], None] = lambda: None
        self.refused: Callable[[str, str], int] = lambda _method, _path: 0
        self.ahead_seconds: Callable[[], float] = lambda: 0.0  # added to the clock in each answer
        self.requests: collections.Counter[str] = collections.Counter()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        path = str(request.rel_url)
        self.requests[request.method] += 1
        status = self.refused(request.method, path)
        if status:
            body = {"kind": "Status", "status": "Failure", "message": "refused by the test", "code": status}
            return web.json_response(body, status=status)
        number, harm = 0, ""
        is_counted = request.method in _WRITES and "dryRun" not in path and self._counts(path)
        if is_counted:
            number = len(self.writes) + 1
            self.writes.append(Write(request.method, path, 0))
            key = _normalized(request.method, path, (await request.read()).decode())
            harm = self.harm(number, self.times[key])
            self.times[key] += 1
            if harm == "before":
                self.kill()
                raise web.HTTPServiceUnavailable
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        data = await request.read()
        async with self._session.request(
            request.method, self._server + path, headers=headers, data=data or None, ssl=self._ssl
        ) as answer:
            if is_counted:
                self.writes[number - 1] = Write(request.method, path, answer.status)
                await answer.read()
                if harm == "after":
                    self.kill()
            headers_passed_on = [(k, v) for k, v in answer.headers.items() if k.lower() not in {*_HOP_BY_HOP, "date"}]
            headers_passed_on.append(("Date", _moved_date(answer.headers["Date"], self.ahead_seconds())))
            if "Content-Encoding" in answer.headers:
                headers_passed_on.append(("Content-Encoding", answer.headers["Content-Encoding"]))
            response = web.StreamResponse(status=answer.status)
            for key, value in headers_passed_on:
                response.headers.add(key, value)
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):  # the client is dead: that is the test
                await response.prepare(request)
                if is_counted:
                    await response.write(await answer.read())
                else:
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
                await response.write_eof()
            return response


def _moved_date(date: str, seconds: float) -> str:
    moment = email.utils.parsedate_to_datetime(date) + datetime.timedelta(seconds=seconds)
    return email.utils.format_datetime(moment, usegmt=True)


def _normalized(method: str, path: str, body: str) -> str:
    """Return the write without the parts that differ when it is repeated: times and versions."""
    return " ".join([method, path, re.sub(r'"(resourceVersion)": ?"[0-9]+"|[0-9-]{10}T[0-9:]{8}Z', "", body)])
