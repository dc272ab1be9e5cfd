"""The HTTP sessions that kopf watches through: they read and never write, and kopf gets only what can be decoded.

kopf decodes watch lines itself, and a line that cannot be decoded ends kopf. So each line is first checked, and its
managedFields are removed (bodies.py). Of a list, kopf gets no objects, however many and however large they are: the
operator lists the objects itself, page by page (control/resync). kopf also wants to write when an object has a
finalizer that kopf takes for its own. The sessions send no request but GET (docs/adr/0042).
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
# Tokens are rotated, and a fresh login clears a 401 that was transient.
_LOGIN_AGAIN: Final = datetime.timedelta(minutes=10)
Kind = store.Kind | refused.Watched
_TYPES: Final = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"})
# What kopf expects to be text or absent, in an object and in its metadata.
_OBJECT_TEXTS: Final = ("apiVersion", "kind")
_METADATA_TEXTS: Final = ("uid", "name", "namespace", "resourceVersion", "creationTimestamp")
_LISTED: Final[Mapping[str, Kind]] = {kind.value: kind for kind in (*store.Kind, *refused.Watched)}
Missed = Callable[[Kind, str], None]  # called with the kind of a line that could not be decoded, and why
Hears = Callable[[str], bool]  # whether one more Event of this namespace is passed on to kopf
Line = Mapping[str, Any]  # a decoded line of a watch
Passes = Callable[[Line], bool]  # whether this line is passed on to kopf
Listed = Callable[[Kind], None]  # called when a watch of this kind starts; what happened before must be listed


class WriteRefusedError(Exception):
    """kopf wanted to write, and the request was not sent. kopf does not repeat a request after an exception of a class
    that it does not know.
    """


class Logins:
    """The logins of one run of kopf. Each login has a session, and only the last session is open.

    `ending` is set when that run of kopf ends.
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
        """Return a session with the current token. kopf logs in again when the session expires, and immediately after a
        401.
        """
        await self.close()
        settings = self._configuration
        await identity.refresh(settings)
        # The header begins with "Bearer" if it comes from a kubeconfig, with "bearer" for a service account.
        token = identity.token(settings).partition(" ")[2]
        info = kopf.ConnectionInfo(
            server=settings.host,
            ca_path=settings.ssl_ca_cert,
            insecure=not settings.verify_ssl,
            scheme="Bearer" if token else None,
            token=token or None,
            certificate_path=settings.cert_file,
            private_key_path=settings.key_file,
        )
        headers = {**info.as_http_headers(), "Accept-Encoding": "identity"}
        self._http = open_http(headers, info.as_ssl_context(), self._missed, self._listed, self._passes, self._heard)
        session: Any = Session(self._http, self._ending, self._heard)  # Any, because kopf expects a ClientSession
        return kopf.AiohttpSession(
            server=settings.host,
            aiohttp_session=session,
            expiration=datetime.datetime.now(datetime.UTC) + _LOGIN_AGAIN,  # noqa: TID251 - kopf compares with now()
        )

    async def close(self) -> None:
        """Close the last session. Called after kopf has ended."""
        if self._http is not None:
            await self._http.close()


class Session:
    """The part of an aiohttp.ClientSession that kopf uses. It sends only GETs, and no request once kopf ends.

    kopf closes its session before its watches have ended. A watch that finds the session closed would wait for a login
    that never comes, and a watch that is cancelled while it connects would begin again: kopf would not end.
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
        """Return the response. If the method is not GET, send nothing and raise WriteRefusedError."""
        if method.upper() != "GET":
            logs.log(_log, logging.WARNING, "kopf-write-refused", method=method, url=url)
            raise WriteRefusedError(f"{method} {url}")
        if self._ending.is_set():
            raise asyncio.CancelledError("kopf ends")  # ends the watch that sends the request, and is not an error
        path, _, query = url.partition("?")
        kind = _LISTED.get(path.rsplit("/", 1)[-1])
        if kind is not None and "watch=true" not in query:
            # kopf needs only the resourceVersion to watch from.
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
            # kopf would wait for as long as the answer demands, and that may be minutes.
            raise aiohttp.ClientConnectionError("the API server answers 429")
        return response

    async def close(self) -> None:
        """Do nothing: Logins closes the session."""


def open_http(
    headers: Mapping[str, str],
    context: ssl.SSLContext,
    missed: Missed,
    listed: Listed,
    passes: Passes = lambda _: True,
    noted: heard.Heard | None = None,
) -> aiohttp.ClientSession:
    """Return a session whose responses contain only what can be decoded. The caller closes the session.

    Of the lines about Events, only those reach kopf for which `passes` returns True.
    """

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            budget = passes if self.url.name == refused.Watched.EVENTS.value else None
            # Any, because aiohttp expects a StreamReader.
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
                    return None  # kopf reads this as an error without a Status object
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
    """The content of an answer. `iter_chunked` gives whole lines that kopf understands, `read` gives an answer that is
    not too long; all else is the stream's own.

    At most one line is in memory at a time, and no line or answer that is longer than bodies.BYTES.
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

    async def read(self, size: int = -1) -> bytes:
        """Return the whole answer, as aiohttp reads it. Raise bodies.DecodeError if it is too long."""
        if size >= 0:
            return await self._stream.read(size)
        answer = bytearray()
        async for data in self._stream.iter_any():
            answer += data
            if len(answer) > bodies.BYTES:
                raise bodies.DecodeError(f"longer than {bodies.BYTES} bytes")
        return bytes(answer)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        begun = bytearray()  # a bytearray, because a list of pieces of one byte takes fifty times the memory
        length = 0
        async for data in self._stream.iter_chunked(size):
            self._alive()
            *line_ends, rest = data.split(b"\n")
            for line_end in line_ends:
                if line := self._checked(bytes(begun) + line_end, length + len(line_end)):
                    yield line + b"\n"
                begun.clear()
                length = 0
            length += len(rest)
            if length <= bodies.BYTES:
                begun += rest
            else:
                begun.clear()
        # What remains has no line end: the connection broke, and kopf requests that line again.
        if length > bodies.BYTES:
            self._missed(f"longer than {bodies.BYTES} bytes")

    def _checked(self, data: bytes, length: int) -> bytes:
        """Return the line without managedFields. Return b'' for an empty line, for a line that cannot be decoded or is
        not of a watch, and for a line that `passes` rejects.
        """
        if length > bodies.BYTES:
            self._missed(f"longer than {bodies.BYTES} bytes")
        elif length:
            try:
                line, body = bodies.checked(data)
                _check_form(body)
                return line if self._passes is None or self._passes(body) else b""
            except bodies.DecodeError as error:
                self._missed(error.why)
        return b""


def _check_form(body: Line) -> None:
    """Raise bodies.DecodeError for a line that no API server sends: kopf would end with a KeyError or a TypeError."""
    kind, subject = body.get("type"), body.get("object")
    if not isinstance(kind, str) or kind not in _TYPES or not isinstance(subject, Mapping):
        raise bodies.DecodeError("the line is not an event of a watch")
    if kind == "ERROR" and not isinstance(subject.get("code"), int):
        raise bodies.DecodeError("the error has no code")
    metadata = subject.get("metadata", {} if kind == "ERROR" else None)
    if not isinstance(metadata, Mapping):
        raise bodies.DecodeError("the object has no metadata")
    texts = [subject.get(key) for key in _OBJECT_TEXTS] + [metadata.get(key) for key in _METADATA_TEXTS]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise bodies.DecodeError("a field of the object that must be text is not text")


class Budgeted:
    """Decides which lines about Events reach kopf. A user who may create Events can create as many as he likes, and
    kopf has a task and a queue for each.

    kopf also remembers each Event until it is deleted. So the deletion of an Event that kopf knows is always passed on,
    and the deletion of any other Event never is. A deletion costs no budget: the namespace may no longer exist.
    """

    def __init__(self, hears: Hears) -> None:
        self._hears = hears
        self._passed: set[str] = set()  # uids of the Events that kopf knows

    def passes(self, body: Line) -> bool:
        metadata = body["object"].get("metadata") or {}
        uid = str(metadata.get("uid") or "")
        if body.get("type") == "DELETED":
            was_passed = uid in self._passed
            self._passed.discard(uid)
            return was_passed
        passed_on = self._hears(str(metadata.get("namespace") or ""))
        if passed_on and uid:
            self._passed.add(uid)
        return passed_on
