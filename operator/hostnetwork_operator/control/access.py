"""Decides who may read /metrics if a bearer token is required: TokenReview, then SubjectAccessReview (docs/adr/0045).

Any client of the port can send any token as often as it likes. So answers are kept for a while, only a few reviews run
at a time, and all tokens that were never accepted share one budget. Tokens are neither logged nor kept: an answer is
kept under the SHA-256 of its token.
"""

import asyncio
import hashlib
import json
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import budget

_log = logging.getLogger(__name__)
READER: Final = "hostnetwork-operator-metrics-reader"  # the ClusterRole in manifests/components/metrics-auth
LONGEST_TOKEN: Final = 2**14  # characters; a token of a service account has about 1,000
_BEARER: Final = re.compile(rf"bearer +([!-~]{{1,{LONGEST_TOKEN}}})", re.IGNORECASE)  # RFC 6750, and opaque tokens
_TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_ALLOWED_SECONDS: Final = 60.0  # a token may still be accepted this long after it was revoked
_REFUSED_SECONDS: Final = 10.0
_MOST_KEPT: Final = 256  # accepted tokens, and the same number of refused tokens
_REVIEW_SECONDS: Final = 4.0  # less than Prometheus' default scrape_timeout, 10 s
_MOST_UNDER_WAY: Final = 4  # of the 32 connections to the API server, which the other work needs too
_UNKNOWN: Final = budget.Budget(burst=10, refill_seconds=1.0)  # for all tokens that were never accepted

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """Why a request does not get the page: an HTTP status, one line with the remedy, headers."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


Review = Callable[[str], Awaitable[ErrorResponse | None]]  # reviews a token; None means that its user may read the page
_NO_TOKEN: Final = ErrorResponse(
    401,
    f"the request must have a bearer token of at most {LONGEST_TOKEN} characters, got none; send the header"
    f" Authorization: Bearer <token> with the token of a ServiceAccount that is bound to the ClusterRole {READER}",
    {"WWW-Authenticate": "Bearer"},
)
_INVALID: Final = ErrorResponse(
    401,
    "the API server must accept the bearer token, and does not; send a token that has not expired",
    {"WWW-Authenticate": "Bearer"},
)
_UNANSWERED: Final = ErrorResponse(
    503, "the API server did not review the bearer token; see metrics-review-failed in the log of the operator"
)


class _RefusedToken(NamedTuple):
    """The answer to a token that was refused, and until when it counts."""

    until: float
    response: ErrorResponse


class Access:
    """The decisions for one port, and the answers that are kept. Used in the event loop of that port."""

    def __init__(self, review: Review, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._review = review
        self._monotonic = monotonic
        self._allowed: dict[bytes, float] = {}  # until when a token is accepted; later it still counts as known
        self._refused: dict[bytes, _RefusedToken] = {}
        self._asking: dict[bytes, asyncio.Task[ErrorResponse | None]] = {}
        self._full = -math.inf  # when the budget for unknown tokens is full again

    async def refusal(self, authorization: str) -> ErrorResponse | None:
        """Return why a request with this Authorization header does not get the page, None if it gets the page."""
        match = _BEARER.fullmatch(authorization)
        if match is None:
            return _NO_TOKEN
        digest = hashlib.sha256(match[1].encode()).digest()
        now = self._monotonic()
        if self._allowed.get(digest, now) > now:
            return None
        refused = self._refused.get(digest)
        if refused is not None and refused.until > now:
            return refused.response
        if digest not in self._asking:
            # A known token needs no budget, so a client that sends forged tokens cannot keep a known reader out.
            if digest not in self._allowed and (wait := self._wait(now)) > 0:
                seconds = math.ceil(wait)
                text = f"too many bearer tokens wait for a review; send the token again in {seconds} s"
                return ErrorResponse(429, text, {"Retry-After": str(seconds)})
            self._asking[digest] = asyncio.create_task(self._ask(match[1], digest))
        return await asyncio.shield(self._asking[digest])

    def _wait(self, now: float) -> float:
        """Return the seconds until an unknown token may be reviewed. 0 means now, and then the review is counted."""
        if len(self._asking) >= _MOST_UNDER_WAY:
            return _UNKNOWN.refill_seconds
        spent = _UNKNOWN.spend(self._full, now)
        self._full = spent.full
        return spent.wait_seconds

    async def _ask(self, token: str, digest: bytes) -> ErrorResponse | None:
        try:
            refusal = await self._review(token)
        finally:
            del self._asking[digest]
        now = self._monotonic()
        if refusal is None:
            _keep(self._allowed, digest, now + _ALLOWED_SECONDS)
            return None
        if refusal is not _UNANSWERED:
            self._allowed.pop(digest, None)
        _keep(self._refused, digest, _RefusedToken(now + _REFUSED_SECONDS, refusal))
        return refusal


def _keep(answers: dict[bytes, Kept], digest: bytes, answer: Kept) -> None:
    """Keep an answer as the newest. If there are too many answers, drop the oldest."""
    answers.pop(digest, None)
    answers[digest] = answer
    if len(answers) > _MOST_KEPT:
        del answers[next(iter(answers))]


def reviewer(api: gateway.Gateway) -> Review:
    """Return a Review for any thread. It asks the API server in the event loop in which `reviewer` is called."""
    loop = asyncio.get_running_loop()

    async def review(token: str) -> ErrorResponse | None:
        future = asyncio.run_coroutine_threadsafe(_review(api, token), loop)
        try:
            async with asyncio.timeout(_REVIEW_SECONDS):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            reason = f"no answer within {_REVIEW_SECONDS:.0f} s"
        except Exception as error:  # for example an answer without a status: the client does not get the page
            reason = str(error) if isinstance(error, gateway.ApiError) else f"{type(error).__name__}: {error}"
        # A proxy in front of the API server may quote the request in its error.
        logs.log(_log, logging.WARNING, "metrics-review-failed", error=reason.replace(token, "<token>"))
        return _UNANSWERED

    return review


async def _review(api: gateway.Gateway, token: str) -> ErrorResponse | None:
    """Return why the user of the token may not read the page, None if the user may. Raise gateway.ApiError."""
    version = "authentication.k8s.io/v1"
    review_request: dict[str, Any] = {"apiVersion": version, "kind": "TokenReview", "spec": {"token": token}}
    answer = (await api.create(_TOKEN_REVIEWS, review_request)).body["status"]
    if not answer.get("authenticated"):
        return _INVALID
    user = answer["user"]
    spec = {"user": user["username"], **{key: user[key] for key in ("uid", "groups", "extra") if key in user}}
    spec["nonResourceAttributes"] = {"path": "/metrics", "verb": "get"}
    review_request = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    if (await api.create(_ACCESS_REVIEWS, review_request)).body["status"].get("allowed"):
        return None
    user_name = json.dumps(user["username"])
    return ErrorResponse(
        403, f"user {user_name} must be allowed to get /metrics, and is not; bind ClusterRole {READER} to this user"
    )
