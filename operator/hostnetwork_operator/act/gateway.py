"""The only access to the API server: dicts in and out, an explicit timeout, and retries where a repetition is harmless.

The Date header of every answer is passed to the clock. kubernetes.aio is used for configuration, authentication and
connections. Its generated models are not used: they cost 0.25 ms and 67 KB per pod.
"""

import asyncio
import contextlib
import copy
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import multidict
from kubernetes.aio import client

from hostnetwork_operator import bodies, clock
from hostnetwork_operator.act import forms, identity, rights
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.api import labels

Body = Mapping[str, Any]
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"  # JSON is valid YAML
_JSON: Final = "application/json"
TIMEOUT_SECONDS: Final = 15.0
# The API server gives up a patch after 34 s. A tenant can make his Namespace so large that a patch takes long on a busy
# machine. With a shorter timeout, the operator would give up every patch of that Namespace.
PATCH_SECONDS: Final = 40.0
ATTEMPTS: Final = 4
_FIRST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 5.0
_RETRIED: Final = frozenset({429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({400, 403, 404, 422})
_OUTCOMES: Final = {
    0: Outcome.UNREACHABLE,
    401: Outcome.UNAUTHORIZED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    409: Outcome.CONFLICT,
    422: Outcome.INVALID,
    429: Outcome.THROTTLED,
}
_NAMESPACE_TERMINATING: Final = "NamespaceTerminating"  # k8s.io/api/core/v1, NamespaceTerminatingCause
_SERVICE: Final = "kubernetes.default.svc"
# The reason of an ApiError after a deadline, or without the Lease: the process was stopped, or the API server slow.
STALE: Final = "Stale"


class ApiError(Exception):
    """The API server refused a request, or could not be reached (status 0). The message is the API server's own.

    `sent` says whether the API server may have received the request. `lost` says whether an earlier attempt at the same
    request got no answer. In that case, what this attempt found may be the work of the earlier attempt.
    """

    def __init__(self, method: str, path: str, status: int, reason: str, message: str, *, sent: bool = True) -> None:
        super().__init__(f"{method} {path}: {status or 'no answer'} {reason}: {message}")
        self.method = method
        self.status = status
        self.reason = reason
        self.message = message
        self.sent = sent
        self.lost = False
        self.causes: frozenset[str] = frozenset()  # the reasons of the causes that the API server names

    @property
    def passing(self) -> bool:
        """Return whether the same request may succeed in a moment."""
        return self.status in _RETRIED or (self.status == 0 and self.reason != STALE)

    @property
    def unanswered(self) -> bool:
        """Return whether the API server may have done what was requested although its answer was lost. A proxy in front
        of the API server can lose an answer too.
        """
        return self.sent and (self.status == 0 or self.status >= 500)

    @property
    def gone(self) -> bool:
        """Return whether there is no such object. A kind that is not served is also a 404, but without a Status."""
        return self.status == 404 and self.reason == "NotFound"

    @property
    def namespace_ends(self) -> bool:
        """Return whether the API server refuses to create anything in the namespace, because it is being deleted."""
        return self.status == 403 and _NAMESPACE_TERMINATING in self.causes

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of an effect that failed with this error."""
        if self.reason == STALE:
            return Outcome.STALE
        if isinstance(self, UnexpectedError):
            return Outcome.UNEXPECTED
        if isinstance(self, UndecodableError):
            return Outcome.UNDECODABLE
        return _OUTCOMES.get(self.status, Outcome.ERROR)


class UndecodableError(ApiError, bodies.DecodeError):
    """The API server did what was requested, and its answer cannot be decoded. A repeated request would get the same
    answer.
    """

    def __init__(self, method: str, path: str, status: int, why: str) -> None:
        super().__init__(method, path, status, "Undecodable", why)
        self.why = why


class UnexpectedError(ApiError):
    """An answer with a success status that does not answer the request, for example the answer of a proxy. So it counts
    as no answer (status 0), and the request is repeated as after a lost answer.
    """

    def __init__(self, method: str, path: str, status: int, why: str) -> None:
        super().__init__(method, path, 0, "Unexpected", f"status {status} with {why}")


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """How requests are sent: `headers` that each has, the timeout in `seconds`, and how often one is sent at most.

    `manager` is the field manager of writes, also of dry runs. `refresh`: whether the identity is read again if its
    token is refused. A command that was started with one context of a kubeconfig must not continue as the user of
    another.
    """

    headers: tuple[tuple[str, str], ...] = ()  # a name may be repeated
    seconds: float = TIMEOUT_SECONDS
    attempts: int = ATTEMPTS
    manager: str = labels.MANAGER
    refresh: bool = field(default=True, kw_only=True)


MayWrite = Callable[[], bool]


class Gateway:
    """Sends requests as one identity. Raise identity.IdentityError if the identity's certificates cannot be used.

    With `may_write`, a request that may change something is sent only while `may_write` returns True. Otherwise it
    fails with status 0 and reason STALE.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        server_clock: clock.ServerClock,
        count: Callable[[str, int], None],
        options: RequestOptions | None = None,
        may_write: MayWrite | None = None,
    ) -> None:
        self._options = options or RequestOptions()
        self.configuration = configuration
        self._may_write = may_write
        self._clock = server_clock
        self._count = count  # called with the method and status of every request
        self._client = identity.client_of(configuration, *([] if may_write is None else [_asking(may_write)]))
        self._refreshing = asyncio.Lock()
        self._rights = rights.Rights(server_clock.monotonic)
        self._failing = False  # whether the last request failed in a way that may soon pass
        self._recovered: list[Callable[[], None]] = []

    def to(self, address: str) -> "Gateway":
        """Return a gateway with the same identity to one API server, given as host:port. The caller closes it.

        The addresses of API servers come from an object, and a request has the operator's token. So the server must
        have a certificate for the name that every API server of a cluster has. Raise identity.IdentityError, also if
        certificates are not verified.
        """
        configuration = copy.copy(self.configuration)
        if not configuration.verify_ssl:
            raise identity.IdentityError("the kubeconfig does not have the certificates of API servers verified")
        configuration.host = f"https://{address}"
        configuration.tls_server_name = _SERVICE
        gateway = Gateway(configuration, clock.ServerClock(), self._count, may_write=self._may_write)
        gateway._rights = self._rights  # so that a missing right is logged once
        return gateway

    def beside(self, options: RequestOptions | None = None, may_write: MayWrite | None = None) -> "Gateway":
        """Return a gateway with the same identity and clock, and connections of its own: its requests never wait for
        those of this gateway. The caller closes it.
        """
        return Gateway(copy.copy(self.configuration), self._clock, self._count, options, may_write)

    def on_recovery(self, call: Callable[[], None]) -> None:
        """Have `call` called when the API server answers a request again after it has left one without an answer."""
        self._recovered.append(call)

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, *, accept: str = _JSON, most: int = bodies.BYTES) -> bodies.Answer:
        """Send a GET. `accept` may ask for another form of the object, as JSON. If an answer has more than `most`
        bytes, the rest is not read, and UndecodableError is raised.
        """
        return await self._request("GET", path, None, repeat=True, accept=accept, most=most)

    async def create(self, path: str, body: Body) -> bodies.Answer:
        """Send a POST. It is repeated only for an object whose name the operator has chosen: a second POST gets a 409,
        and never creates a second object.
        """
        has_name = bool(body.get("metadata", {}).get("name"))
        return await self._request("POST", self._managed(path), body, repeat=has_name)

    async def preview(self, path: str, body: Body) -> bodies.Answer:
        """Send a POST as a dry run. It stores nothing, so it is repeated like a read. A refusal is an answer."""
        return await self._dry_run("POST", path, body, _JSON)

    async def preview_patch(self, path: str, body: Body) -> bodies.Answer:
        """Send a JSON merge patch as a dry run, as `preview` does."""
        return await self._dry_run("PATCH", path, body, MERGE)

    async def _dry_run(self, method: str, path: str, body: Body, content_type: str) -> bodies.Answer:
        try:
            return await self._request(
                method, self._managed(path) + "&dryRun=All", body, content_type=content_type, repeat=True
            )
        except ApiError as error:
            if error.status not in _REFUSED:
                raise
            return bodies.Answer(None, (), error.message or error.reason)

    async def patch(self, path: str, body: Body, deadline: float = math.inf) -> bodies.Answer:
        """Send a JSON merge patch. A repetition has the same result. Nothing is sent after `deadline`, a monotonic
        moment.

        The timeout is longer than the time for which the API server works on a patch.
        """
        return await self._request(
            "PATCH",
            self._managed(path),
            body,
            content_type=MERGE,
            repeat=True,
            deadline=deadline,
            seconds=PATCH_SECONDS,
        )

    async def apply(self, path: str, body: Body, deadline: float = math.inf, *, force: bool = False) -> bodies.Answer:
        """Send a server-side apply, once. 409 if another manager owns a different value, unless it is forced."""
        managed = self._managed(f"{path}?force=true" if force else path)
        return await self._request("PATCH", managed, body, content_type=APPLY, repeat=False, deadline=deadline)

    async def delete(self, path: str, body: Body, deadline: float = math.inf, *, repeat: bool = True) -> bodies.Answer:
        """Send a DELETE with a uid precondition in `body`: a repetition gets 404 or 409, and never deletes another
        object.

        If the object must be evaluated again before each attempt, the caller passes `repeat=False`.
        """
        try:
            return await self._request("DELETE", path, body, repeat=repeat, deadline=deadline)
        except UndecodableError:
            return bodies.Answer(None)  # the operator does not use the deleted object

    @contextlib.asynccontextmanager
    async def stream(self, path: str, protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Yield a WebSocket with this subprotocol. Raise ApiError if the API server does not open it.

        Once the WebSocket is open, what fails is the caller's to handle.
        """
        token = await self._token("GET", path)
        configuration, session = self.configuration, self._client.rest_client.pool_manager
        if session is None:
            session = self._client.rest_client.pool_manager = self._client.rest_client._create_pool_manager()
        options: dict[str, Any] = {
            "server_hostname": configuration.tls_server_name,
            "proxy": configuration.proxy,
            "proxy_headers": configuration.proxy_headers,
        }
        headers = multidict.CIMultiDict([*_authorized({}, token).items(), *self._options.headers])
        url = configuration.host + path
        try:
            async with asyncio.timeout(self._options.seconds):
                socket = await session.ws_connect(
                    url,
                    protocols=(protocol,),
                    headers=headers,
                    **{key: value for key, value in options.items() if value},
                )
        except aiohttp.WSServerHandshakeError as error:
            # aiohttp drops the answer, which says why. Without an upgrade the API server checks the same rights first.
            await self.get(path)
            raise ApiError("GET", path, error.status, "", "the API server does not open a WebSocket") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError("GET", path, 0, type(error).__name__, str(error)) from error
        async with socket:
            if socket.protocol != protocol:
                message = f"the API server does not know the protocol {protocol}, which Kubernetes has since 1.30"
                raise ApiError("GET", path, 400, "BadRequest", message)
            yield socket

    async def _request(
        self,
        method: str,
        path: str,
        body: Body | None,
        *,
        repeat: bool,
        content_type: str = _JSON,
        accept: str = _JSON,
        deadline: float = math.inf,
        most: int = bodies.BYTES,
        seconds: float | None = None,
    ) -> bodies.Answer:
        headers = {"Accept": accept, "Content-Type": content_type, "Accept-Encoding": "identity"}
        lost = False
        for attempt in range(1, self._options.attempts + 1):
            try:
                self._check(method, path, deadline)
                return await self._as_oneself(method, path, body, headers, most, seconds or self._options.seconds)
            except ApiError as error:
                error.lost = lost
                lost |= error.unanswered
                if attempt == self._options.attempts or not repeat or not error.passing:
                    raise
            await pause(attempt)
        raise AssertionError("unreachable")

    def _managed(self, path: str) -> str:
        return f"{path}{'&' if '?' in path else '?'}fieldManager={self._options.manager}"

    def _check(self, method: str, path: str, deadline: float) -> None:
        """Raise ApiError if the deadline has passed."""
        if self._clock.monotonic() > deadline:
            raise ApiError(method, path, 0, STALE, "the data behind this write is too old", sent=False)

    async def _as_oneself(
        self, method: str, path: str, sending: Body | None, headers: dict[str, str], most: int, seconds: float
    ) -> bodies.Answer:
        """Send one request with the token. If the token is refused and a new token exists, send the request again
        immediately with the new token.
        """
        used_token = await self._token(method, path)
        try:
            return await self._once(method, path, sending, _authorized(headers, used_token), most, seconds)
        except ApiError as error:
            if error.status != 401 or not self._options.refresh:
                raise
            async with self._refreshing:  # if several requests were refused, only the first reads the token again
                if identity.token(self.configuration) == used_token:
                    await identity.refresh(self.configuration)
            fresh_token = identity.token(self.configuration)
            if fresh_token == used_token:
                raise
        return await self._once(method, path, sending, _authorized(headers, fresh_token), most, seconds)

    async def _token(self, method: str, path: str) -> str:
        try:
            await self.configuration.auth_settings()  # reads the token file again, once a minute
        except Exception as error:  # the library fails in many ways, for example while the token file is replaced
            reason = f"the token cannot be read: {type(error).__name__}: {error}"
            raise ApiError(method, path, 0, "NoToken", reason, sent=False) from error
        return identity.token(self.configuration)

    async def _once(
        self, method: str, path: str, sending: Body | None, headers: dict[str, str], most: int, seconds: float
    ) -> bodies.Answer:
        sent = self._clock.monotonic()
        all_headers = multidict.CIMultiDict([*headers.items(), *self._options.headers])
        try:
            response = await self._client.rest_client.request(
                method, self.configuration.host + path, headers=all_headers, body=sending, _request_timeout=seconds
            )
            data = await _read(response.response, most)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._count(method, 0)
            self._failing = True
            reached = not isinstance(error, aiohttp.ClientConnectorError)
            raise ApiError(method, path, 0, type(error).__name__, str(error), sent=reached) from error
        received = self._clock.monotonic()
        decoded = _decoded(method, path, response.status, data, most)
        # A server other than the API server may have another clock.
        unexpected = isinstance(decoded, UnexpectedError)
        self._count(method, 0 if unexpected else response.status)
        if (date := response.headers.get("Date")) and not unexpected:
            self._clock.observe(date, sent, received)
        self._note(failing=isinstance(decoded, ApiError) and decoded.passing)
        if isinstance(decoded, ApiError):
            if decoded.status == 403:
                self._rights.refused(method, path, decoded.message)
            raise decoded
        self._rights.granted(method, path)
        return bodies.Answer(decoded, tuple(_warning(text) for text in response.headers.getall("Warning", ())))

    def _note(self, *, failing: bool) -> None:
        recovered, self._failing = self._failing and not failing, failing
        for call in self._recovered if recovered else ():
            call()


def _asking(may_write: MayWrite) -> aiohttp.TraceConfig:
    """Return a trace that stops a request which may change something, unless it may be sent.

    It asks when the connection is open, right before the first byte is sent: until then, a request may wait for as long
    as a partition lasts. A dry run stores nothing, so it may always be sent.
    """

    async def ask(
        _session: aiohttp.ClientSession, _context: object, sending: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if sending.method != "GET" and "dryRun" not in sending.url.query and not may_write():
            message = "this process does not hold the Lease, or has not renewed it for too long"
            raise ApiError(sending.method, sending.url.path, 0, STALE, message, sent=False)

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(ask)
    return trace


def _authorized(headers: dict[str, str], token: str) -> dict[str, str]:
    return {**headers, "Authorization": token} if token else headers


def _decoded(method: str, path: str, status: int, data: bytes | None, most: int) -> dict[str, Any] | ApiError:
    """Return the body of an answer, or an error that says what is wrong with the answer."""
    if not 200 <= status <= 299:
        return _error(method, path, status, data or b"")
    if data is None:
        return UndecodableError(method, path, status, f"longer than {most} bytes")
    try:
        body = bodies.decode(data)
    except bodies.NoJsonError as error:
        return UnexpectedError(method, path, status, error.why)
    except bodies.DecodeError as error:
        return UndecodableError(method, path, status, error.why)
    reason = forms.trouble(method, path, body)
    return UnexpectedError(method, path, status, reason) if reason else body


async def pause(attempt: int) -> None:
    """Wait after an attempt that failed. The wait has full jitter, so that many requests that failed together are not
    repeated together.
    """
    longest_wait = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
    await asyncio.sleep(random.uniform(0, longest_wait))  # noqa: S311 - no secret


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """Return the body, or None for a body that is longer than `most`, whose rest is not read. The body is sent
    uncompressed: a body that is small on the wire could be large in memory.
    """
    pieces: list[bytes] = []
    length = 0
    async for piece in response.content.iter_any():
        length += len(piece)
        if length > most:
            response.close()
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _error(method: str, path: str, status: int, data: bytes) -> ApiError:
    try:
        body = bodies.decode(data)
    except bodies.DecodeError:
        return ApiError(method, path, status, "", data[:200].decode(errors="replace"))
    reason, message = (text if isinstance(text := body.get(key), str) else "" for key in ("reason", "message"))
    causes = _causes(body)
    # A patch that names a uid has met another object with the same name.
    if status == 422 and "metadata.uid" in [cause.get("field") for cause in causes]:
        status, reason = 404, "NotFound"
    error = ApiError(method, path, status, reason, message)
    error.causes = frozenset(str(cause.get("reason")) for cause in causes)
    return error


def _causes(body: Body) -> list[Body]:
    details = body.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return [cause for cause in causes if isinstance(cause, Mapping)] if isinstance(causes, list) else []


def _warning(header: str) -> str:
    """Return the text of `299 - "text"` (RFC 7234, section 5.5)."""
    text = header.split('"', 1)[-1].rsplit('"', 1)[0]
    return text.replace('\\"', '"').replace("\\\\", "\\")
