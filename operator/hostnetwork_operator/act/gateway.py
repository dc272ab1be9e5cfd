"""The one door to the API server: dicts in and out, an explicit timeout, retries where a repetition does no harm.

Every answer's Date header goes to the clock. kubernetes.aio is used for configuration, authentication and
connections; its generated models cost 0.25 ms and 67 KB a pod and are not.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from kubernetes.aio import client

from hostnetwork_operator import bodies, clock
from hostnetwork_operator.act import forms, identity, rights
from hostnetwork_operator.api import labels

Body = Mapping[str, Any]
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"  # of which JSON is a part
_JSON: Final = "application/json"
TIMEOUT_SECONDS: Final = 15.0
# The API server gives a patch up after 34 s. A tenant can make his Namespace so large that a patch takes long on a busy
# machine; given up earlier, it would be given up each time.
PATCH_SECONDS: Final = 40.0
ATTEMPTS: Final = 4
_FIRST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 5.0
_RETRIED: Final = frozenset({429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({400, 403, 404, 422})
STALE: Final = "Stale"  # reason of an ApiError: a process that was stopped, or an API server that was slow


class ApiError(Exception):
    """The API server refused, or could not be reached (status 0). The message is the server's own.

    `sent`: whether the API server may have had the request. `lost`: whether an earlier attempt at the same request got
    no answer, so that what this one found may be the work of that one.
    """

    def __init__(self, method: str, path: str, status: int, reason: str, message: str, *, sent: bool = True) -> None:
        super().__init__(f"{method} {path}: {status or 'no answer'} {reason}: {message}")
        self.method = method
        self.status = status
        self.reason = reason
        self.message = message
        self.sent = sent
        self.lost = False

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed in a moment."""
        return self.status in _RETRIED or (self.status == 0 and self.reason != STALE)

    @property
    def unanswered(self) -> bool:
        """Whether the API server may have done what was asked and its answer was lost, also by a proxy before it."""
        return self.sent and (self.status == 0 or self.status >= 500)

    @property
    def gone(self) -> bool:
        """Whether there is no such object. A kind that is not served is a 404 too, without a Status."""
        return self.status == 404 and self.reason == "NotFound"

    @property
    def outcome(self) -> str:
        """A bounded word for metrics."""
        if self.reason == STALE:
            return "stale"
        if isinstance(self, UnexpectedError):
            return "unexpected"
        if isinstance(self, UndecodableError):
            return "undecodable"
        known = {
            0: "unreachable",
            401: "unauthorized",
            403: "forbidden",
            404: "not_found",
            409: "conflict",
            422: "invalid",
        }
        return known.get(self.status, "throttled" if self.status == 429 else "error")


class UndecodableError(ApiError, bodies.DecodeError):
    """The API server did what was asked, and its answer cannot be decoded. To ask again would give the same."""

    def __init__(self, method: str, path: str, status: int, why: str) -> None:
        super().__init__(method, path, status, "Undecodable", why)
        self.why = why


class UnexpectedError(ApiError):
    """What answered with a success is no answer to the request: that of a proxy, say. So it counts as none (status 0),
    and the request is repeated as after a lost answer.
    """

    def __init__(self, method: str, path: str, status: int, why: str) -> None:
        super().__init__(method, path, 0, "Unexpected", f"status {status} with {why}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded body and the texts of the Warning headers; `refused` is why there is no body (`preview` only)."""

    body: Any
    warnings: tuple[str, ...]
    refused: str = ""


class Gateway:
    """Requests as one identity. Raises identity.IdentityError where its certificates cannot be used."""

    def __init__(
        self, configuration: client.Configuration, server_clock: clock.ServerClock, count: Callable[[str, int], None]
    ) -> None:
        self.configuration = configuration
        self._clock = server_clock
        self._count = count  # called with method and status of every request
        self._client = identity.client_of(configuration)
        self._refreshing = asyncio.Lock()
        self._rights = rights.Rights(server_clock.monotonic)
        self._failing = False  # whether the last request failed in a way that passes
        self._recovered: list[Callable[[], None]] = []

    def on_recovery(self, call: Callable[[], None]) -> None:
        """Have this called with the first request that the API server answers after one that it did not answer."""
        self._recovered.append(call)

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, *, accept: str = _JSON, most: int = bodies.BYTES) -> Answer:
        """GET. `accept` may ask for another form of the object, as JSON. An answer of more than `most` bytes is dropped
        before it is read to its end: UndecodableError.
        """
        return await self._request("GET", path, None, repeat=True, accept=accept, most=most)

    async def create(self, path: str, body: Body) -> Answer:
        """POST. Repeated only for objects with a name of our own: a second one is a 409, never a second object."""
        named = bool(body.get("metadata", {}).get("name"))
        return await self._request("POST", _managed(path), body, repeat=named)

    async def preview(self, path: str, body: Body) -> Answer:
        """POST as a dry run: stores nothing, so it is repeated like a read. A refusal is an answer."""
        try:
            return await self._request("POST", _managed(path) + "&dryRun=All", body, repeat=True)
        except ApiError as error:
            if error.status not in _REFUSED:
                raise
            return Answer(None, (), error.message or error.reason)

    async def patch(self, path: str, body: Body, deadline: float = math.inf) -> Answer:
        """JSON merge patch: says the same however often it is said. Nothing is sent after `deadline`, monotonic.

        The answer is waited for as long as the API server works at it.
        """
        return await self._request(
            "PATCH", _managed(path), body, content_type=MERGE, repeat=True, deadline=deadline, seconds=PATCH_SECONDS
        )

    async def apply(self, path: str, body: Body, deadline: float = math.inf) -> Answer:
        """Server-side apply, once and not forced: 409 where somebody owns another value."""
        return await self._request("PATCH", _managed(path), body, content_type=APPLY, repeat=False, deadline=deadline)

    async def delete(self, path: str, body: Body, deadline: float = math.inf, *, repeat: bool = True) -> Answer:
        """DELETE with a uid precondition in `body`: a repetition meets 404 or 409, never another object.

        What must be looked at again before each attempt is deleted without `repeat`.
        """
        try:
            return await self._request("DELETE", path, body, repeat=repeat, deadline=deadline)
        except UndecodableError:
            return Answer(None, ())  # nobody reads what was deleted

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
        seconds: float = TIMEOUT_SECONDS,
    ) -> Answer:
        headers = {"Accept": accept, "Content-Type": content_type, "Accept-Encoding": "identity"}
        lost = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._check(method, path, deadline)
                return await self._as_oneself(method, path, body, headers, most, seconds)
            except ApiError as error:
                error.lost = lost
                lost |= error.unanswered
                if attempt == ATTEMPTS or not repeat or not error.passing:
                    raise
            await pause(attempt)
        raise AssertionError("unreachable")

    def _check(self, method: str, path: str, deadline: float) -> None:
        """Raise ApiError where nothing is to be sent any more."""
        if self._clock.monotonic() > deadline:
            raise ApiError(method, path, 0, STALE, "what this was decided by is too old by now", sent=False)

    async def _as_oneself(
        self, method: str, path: str, sending: Body | None, headers: dict[str, str], most: int, seconds: float
    ) -> Answer:
        """One request with the token; at once another one where that token is refused and another one is there."""
        used = await self._token(method, path)
        try:
            return await self._once(method, path, sending, _authorized(headers, used), most, seconds)
        except ApiError as error:
            if error.status != 401:
                raise
            async with self._refreshing:  # the others that were refused find the token that the first has read
                if identity.token(self.configuration) == used:
                    await identity.refresh(self.configuration)
            fresh = identity.token(self.configuration)
            if fresh == used:
                raise
        return await self._once(method, path, sending, _authorized(headers, fresh), most, seconds)

    async def _token(self, method: str, path: str) -> str:
        try:
            await self.configuration.auth_settings()  # reads it again, once a minute
        except Exception as error:  # a token file that is just being replaced, say: the library fails in many ways
            why = f"the token cannot be read: {type(error).__name__}: {error}"
            raise ApiError(method, path, 0, "NoToken", why, sent=False) from error
        return identity.token(self.configuration)

    async def _once(
        self, method: str, path: str, sending: Body | None, headers: dict[str, str], most: int, seconds: float
    ) -> Answer:
        sent = self._clock.monotonic()
        try:
            response = await self._client.rest_client.request(
                method, self.configuration.host + path, headers=headers, body=sending, _request_timeout=seconds
            )
            data = await _read(response.response, most)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._count(method, 0)
            self._failing = True
            reached = not isinstance(error, aiohttp.ClientConnectorError)
            raise ApiError(method, path, 0, type(error).__name__, str(error), sent=reached) from error
        received = self._clock.monotonic()
        decoded = _decoded(method, path, response.status, data, most)
        # Whoever answers something else may have another clock than the API server.
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
        return Answer(decoded, tuple(_warning(text) for text in response.headers.getall("Warning", ())))

    def _note(self, *, failing: bool) -> None:
        recovered, self._failing = self._failing and not failing, failing
        for call in self._recovered if recovered else ():
            call()


def _authorized(headers: dict[str, str], token: str) -> dict[str, str]:
    return {**headers, "Authorization": token} if token else headers


def _decoded(method: str, path: str, status: int, data: bytes | None, most: int) -> dict[str, Any] | ApiError:
    """Return the body of an answer to the request, or what is wrong with it."""
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
    why = forms.trouble(method, path, body)
    return UnexpectedError(method, path, status, why) if why else body


async def pause(attempt: int) -> None:
    """Wait after an attempt that failed; full jitter, so that many that failed together do not come back together."""
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body; None for a longer one, whose rest is not read. It came uncompressed: what is small on the wire would
    not be in memory.
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


def _managed(path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}fieldManager={labels.MANAGER}"


def _error(method: str, path: str, status: int, data: bytes) -> ApiError:
    try:
        body = bodies.decode(data)
    except bodies.DecodeError:
        return ApiError(method, path, status, "", data[:200].decode(errors="replace"))
    reason, message = (text if isinstance(text := body.get(key), str) else "" for key in ("reason", "message"))
    if status == 422 and _of_another(body):
        status, reason = 404, "NotFound"
    return ApiError(method, path, status, reason, message)


def _of_another(body: Body) -> bool:
    """Whether a patch that names a uid has met another object of that name."""
    details = body.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    named = [cause.get("field") for cause in causes or () if isinstance(cause, Mapping)]
    return "metadata.uid" in named


def _warning(header: str) -> str:
    """The text of `299 - "text"` (RFC 7234, section 5.5)."""
    text = header.split('"', 1)[-1].rsplit('"', 1)[0]
    return text.replace('\\"', '"').replace("\\\\", "\\")
