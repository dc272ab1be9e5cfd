"""The HTTP sessions that kopf watches through: they read and never write, and what they read can be decoded.

kopf decodes watch lines by itself, and ends where one cannot be decoded. So each is checked first, and without
managedFields (bodies.py). Of a list kopf gets no objects, however many there are and however large: the operator lists
them itself, page by page (control/resync). kopf also wants to write where an object has a finalizer that it takes for
its own. The sessions send no request but GET (docs/adr/0042).
"""

import asyncio
import datetime
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiohttp
import kopf
from kubernetes.aio import client

from hostnetwork_operator import bodies, logs
from hostnetwork_operator.act import identity
from hostnetwork_operator.control import heard
from hostnetwork_operator.observe import live, refused, store

_log = logging.getLogger(__name__)
_LOGIN_AGAIN: Final = datetime.timedelta(minutes=10)  # tokens are rotated; a fresh login forgives a transient 401
Kind = store.Kind | refused.Watched
_LISTED: Final[Mapping[str, Kind]] = {kind.value: kind for kind in (*store.Kind, *refused.Watched)}
Missed = Callable[[Kind, str], None]  # what could not be decoded was of this kind, and why
Hears = Callable[[str], bool]  # whether one more Event of a namespace is passed on
Passes = Callable[[bytes], bool]  # whether a line is passed on
Listed = Callable[[Kind], None]  # a watch of this kind goes on from now, and what came before is to be listed


class WriteRefusedError(Exception):
    """kopf wanted to write, and the request was not sent. kopf repeats no request for an exception of ours."""


class Logins:
    """The logins of one run of kopf. Each has a session, and only the last session is open.

    `ending` is set when that run ends.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        missed: Missed,
        listed: Listed,
        ending: asyncio.Event,
        hears: Hears = lambda _: True,
        noted: heard.Heard | None = None,
    ) -> None:
        self._configuration = configuration
        self._missed = missed
        self._listed = listed
        self._ending = ending
        self._passes = Budgeted(hears).passes
        self._heard = noted or heard.Heard(())
        self._http: aiohttp.ClientSession | None = None

    async def log_in(self, **_: object) -> kopf.AiohttpSession:
        """With the token as it is now. kopf logs in again at the expiration, and after a 401: then at once."""
        await self.close()
        settings = self._configuration
        await identity.refresh(settings)
        # "Bearer …" from a kubeconfig, "bearer …" from a service account's volume.
        value = identity.token(settings).partition(" ")[2]
        info = kopf.ConnectionInfo(
            server=settings.host,
            ca_path=settings.ssl_ca_cert,
            insecure=not settings.verify_ssl,
            scheme="Bearer" if value else None,
            token=value or None,
            certificate_path=settings.cert_file,
            private_key_path=settings.key_file,
        )
        headers = {**info.as_http_headers(), "Accept-Encoding": "identity"}
        self._http = open_http(headers, info.as_ssl_context(), self._missed, self._listed, self._passes, self._heard)
        session: Any = Session(self._http, self._ending, self._heard)  # for kopf's types a ClientSession
        return kopf.AiohttpSession(
            server=settings.host,
            aiohttp_session=session,
            expiration=datetime.datetime.now(datetime.UTC) + _LOGIN_AGAIN,  # noqa: TID251 - kopf compares with its own
        )

    async def close(self) -> None:
        """Closes the last session, after kopf has ended."""
        if self._http is not None:
            await self._http.close()


class Session:
    """What kopf uses of an aiohttp.ClientSession. It sends nothing but GETs, and nothing once kopf ends.

    kopf closes its session before its watches have ended. A watch that meets a closed session waits for a login that
    never comes, and a watch that is cancelled while it connects begins anew: kopf would not end.
    """

    def __init__(self, http: aiohttp.ClientSession, ending: asyncio.Event, noted: heard.Heard | None = None) -> None:
        self._http = http
        self._ending = ending
        self._heard = noted or heard.Heard(())
        self.headers = http.headers

    @property
    def closed(self) -> bool:
        return self._http.closed

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        """Raises WriteRefusedError if it is not a GET, before anything is sent."""
        if method.upper() != "GET":
            logs.log(_log, logging.WARNING, "kopf-write-refused", method=method, url=url)
            raise WriteRefusedError(f"{method} {url}")
        if self._ending.is_set():
            raise asyncio.CancelledError("kopf ends")  # which ends the watch that asks, and is no failure of it
        path, _, query = url.partition("?")
        kind = _LISTED.get(path.rsplit("/", 1)[-1])
        if kind is not None and "watch=true" not in query:
            # The version to watch from is all that is wanted.
            options |= {"params": {"limit": "1"}, "headers": {"Accept": live.METADATA_LIST}}
        try:
            response = await self._http.request(method, url, **options)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._heard.failed(kind, f"{type(error).__name__}: {error}")
            raise
        if response.status < 400:
            self._heard.heard(kind)
        else:
            self._heard.failed(kind, f"the API server answers {response.status}")
        if response.status == 429:
            response.release()
            # kopf would wait for as long as the answer asks for, and that may be for minutes.
            raise aiohttp.ClientConnectionError("the API server answers 429")
        return response

    async def close(self) -> None:
        """Leaves it to Logins."""


def open_http(
    headers: Mapping[str, str],
    context: ssl.SSLContext,
    missed: Missed,
    listed: Listed,
    passes: Passes = lambda _: True,
    noted: heard.Heard | None = None,
) -> aiohttp.ClientSession:
    """Return a session whose responses give only what can be decoded. The caller closes it.

    Of the lines about Events only those reach kopf that `passes` lets pass.
    """

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            budget = passes if self.url.name == refused.Watched.EVENTS.value else None
            # For aiohttp a stream.
            kind = _LISTED.get(self.url.name)
            lines: Any = Lines(
                self.content,
                lambda why: missed(_LISTED[self.url.name], why),
                budget,
                (lambda: noted.heard(kind)) if noted is not None else (lambda: None),
            )
            self.content = lines
            return self

        async def json(self, **_: Any) -> Any:
            try:
                body = bodies.decode(await self.read())
            except bodies.DecodeError:
                if self.status >= 400:
                    return None  # for kopf an error without a Status object
                raise
            if self.status >= 400 or self.url.name not in _LISTED:
                return body
            metadata = body.get("metadata")
            if not isinstance(metadata, Mapping) or not isinstance(metadata.get("resourceVersion"), str):
                raise bodies.NoJsonError("no list")
            listed(_LISTED[self.url.name])
            return {**body, "metadata": {"resourceVersion": metadata["resourceVersion"]}, "items": []}

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=context), headers=headers, response_class=Response, trust_env=False
    )


class Lines:
    """The content of an answer: `iter_chunked` gives whole lines that can be decoded, all else is the stream's own.

    At most one line is held at once, and no line that is longer than bodies.BYTES.
    """

    def __init__(
        self,
        stream: aiohttp.StreamReader,
        missed: Callable[[str], None],
        passes: Passes | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._stream = stream
        self._missed = missed
        self._passes = passes
        self._alive = alive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        held: list[bytes] = []
        length = 0
        async for data in self._stream.iter_chunked(size):
            self._alive()
            *ends, rest = data.split(b"\n")
            for end in ends:
                if line := self._checked([*held, end], length + len(end)):
                    yield line + b"\n"
                held, length = [], 0
            length += len(rest)
            held = [*held, rest] if length <= bodies.BYTES else []
        # What is left has no end: the connection broke, and kopf asks for that line again.

    def _checked(self, pieces: list[bytes], length: int) -> bytes:
        """The line without managedFields; b'' for an empty one and for one that cannot be decoded."""
        if length > bodies.BYTES:
            self._missed(f"longer than {bodies.BYTES} bytes")
        elif length:
            try:
                line = bodies.checked(b"".join(pieces))
                return line if self._passes is None or self._passes(line) else b""
            except bodies.DecodeError as error:
                self._missed(error.why)
        return b""


class Budgeted:
    """Which lines about Events reach kopf: whoever may create Events makes as many as he likes, and kopf has a task and
    a queue for each.

    kopf also remembers each until it is deleted. So the deletion of an Event that kopf has is always passed on, that of
    another never, and no deletion costs a budget: the namespace may no longer exist.
    """

    def __init__(self, hears: Hears) -> None:
        self._hears = hears
        self._passed: set[str] = set()  # uids

    def passes(self, line: bytes) -> bool:
        body = bodies.decode(line)
        metadata = (body.get("object") or {}).get("metadata") or {}
        uid = str(metadata.get("uid") or "")
        if body.get("type") == "DELETED":
            had = uid in self._passed
            self._passed.discard(uid)
            return had
        heard = self._hears(str(metadata.get("namespace") or ""))
        if heard and uid:
            self._passed.add(uid)
        return heard
