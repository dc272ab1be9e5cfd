"""Who may read the metrics: what the operator asks the API server, how often, and what it keeps of the answers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from hostnetwork_operator.control import access
from tests.unit import serving

DENIED = access.ErrorResponse(403, "denied")


class Reviews:
    """The reviews that a test scripts, by token, and a clock that the test moves.

    A token without an entry is invalid.
    """

    def __init__(self) -> None:
        self.answers: dict[str, access.ErrorResponse | None] = {"good": None}
        self.asked: list[str] = []
        self.held = asyncio.Event()
        self.held.set()
        self.now = 1000.0
        self.access = access.Access(self._review, lambda: self.now)

    async def _review(self, token: str) -> access.ErrorResponse | None:
        self.asked.append(token)
        await self.held.wait()
        return self.answers.get(token, access._INVALID)

    async def status(self, token: str) -> int:
        """Return 200 for a token that gets the page, otherwise the status of the refusal."""
        refusal = await self.access.refusal(f"Bearer {token}")
        return 200 if refusal is None else refusal.status


@pytest.fixture
async def reviews() -> Reviews:
    return Reviews()


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", "good", "Basic good", "Bearer good good", "Bearer gööd", "Bearer \udcff"),
        "Bearer " + "a" * (access.LONGEST_TOKEN + 1),
    ],
)
async def test_a_header_without_a_token_is_refused_and_nobody_is_asked(reviews: Reviews, header: str) -> None:
    """Also a header that is too long for a token."""
    refusal = await reviews.access.refusal(header)
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (401, {"WWW-Authenticate": "Bearer"})
    assert "send the header Authorization: Bearer <token>" in refusal.text
    assert reviews.asked == []


@pytest.mark.parametrize("header", ["Bearer good", "bearer good", "BEARER  good"])
async def test_the_scheme_is_written_in_any_case(reviews: Reviews, header: str) -> None:
    """See RFC 9110, section 11.1."""
    assert await reviews.access.refusal(header) is None
    assert reviews.asked == ["good"]


async def test_the_longest_token_is_asked_about(reviews: Reviews) -> None:
    """A token whose length is exactly the limit."""
    assert await reviews.status("a" * access.LONGEST_TOKEN) == 401
    assert len(reviews.asked) == 1


async def test_an_answer_is_kept_for_a_minute_or_ten_seconds(reviews: Reviews) -> None:
    """The operator keeps a yes for 60 s and a no for 10 s.

    After that it asks the API server again, and the new answer counts.
    """
    reviews.answers["denied"] = DENIED
    for _ in range(3):
        assert [await reviews.status(token) for token in ("good", "denied", "forged")] == [200, 403, 401]
    assert reviews.asked == ["good", "denied", "forged"]
    reviews.answers |= {"good": access._INVALID, "denied": None}
    reviews.now += 9
    assert [await reviews.status(token) for token in ("good", "denied")] == [200, 403]
    reviews.now += 2
    assert [await reviews.status(token) for token in ("good", "denied")] == [200, 200]
    reviews.now += 48
    assert await reviews.status("good") == 200
    reviews.now += 2
    assert await reviews.status("good") == 401
    assert reviews.asked == ["good", "denied", "forged", "denied", "good"]


async def test_a_token_is_reviewed_once_for_all_who_send_it(reviews: Reviews) -> None:
    """Twenty requests arrive at the same time."""
    reviews.held.clear()
    tasks = [asyncio.create_task(reviews.status("good")) for _ in range(20)]
    await asyncio.sleep(0)
    reviews.held.set()
    assert await asyncio.gather(*tasks) == [200] * 20
    assert reviews.asked == ["good"]


async def test_forged_tokens_are_few_reviews_and_keep_no_reader_out(reviews: Reviews) -> None:
    """Unknown tokens get ten reviews immediately, then one per second.

    A reader whose answer has run out meanwhile is reviewed nevertheless.
    """
    assert await reviews.status("good") == 200
    reviews.now += 61
    statuses = [await reviews.status(f"forged-{number}") for number in range(1000)]
    assert statuses == [401] * 10 + [429] * 990
    refusal = await reviews.access.refusal("Bearer forged-again")
    assert refusal is not None
    assert refusal.headers == {"Retry-After": "1"}
    assert await reviews.status("good") == 200
    reviews.now += 1
    assert [await reviews.status(f"more-{number}") for number in range(3)] == [401, 429, 429]
    assert len(reviews.asked) == 13


async def test_a_reader_who_is_refused_has_no_privilege(reviews: Reviews) -> None:
    """The reader's next review is charged to the budget."""
    assert await reviews.status("good") == 200
    reviews.answers["good"] = access._INVALID
    reviews.now += 61
    assert await reviews.status("good") == 401
    reviews.now += 11
    for number in range(10):
        assert await reviews.status(f"forged-{number}") == 401
    assert await reviews.status("good") == 429


async def test_few_reviews_are_under_way(reviews: Reviews) -> None:
    """At most four, while the API server does not answer."""
    reviews.held.clear()
    tasks = [asyncio.create_task(reviews.status(f"forged-{number}")) for number in range(9)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [429] * 5
    reviews.held.set()
    assert sorted(await asyncio.gather(*tasks)) == [401] * 4 + [429] * 5
    assert len(reviews.asked) == 4


async def test_what_is_kept_is_little_and_no_token(reviews: Reviews) -> None:
    """The operator keeps the newest 256 answers of either kind, under digests of the tokens."""
    for number in range(1000):
        reviews.now += 1
        reviews.answers[f"good-{number}"] = None
        assert await reviews.status(f"good-{number}") == 200
        reviews.now += 1
        assert await reviews.status(f"forged-{number}") == 401
    caches = (reviews.access._allowed, reviews.access._refused)
    assert [len(answers) for answers in caches] == [256, 256]
    assert {len(digest) for answers in caches for digest in answers} == {32}
    assert "good-" not in str(vars(reviews.access))
    reviews.asked.clear()
    assert await reviews.status("good-999") == 200
    assert await reviews.status("good-0") == 200
    assert reviews.asked == ["good-0"]


async def test_without_an_answer_nobody_reads_and_readers_stay_known(reviews: Reviews) -> None:
    """The status is 503 for ten seconds, also for a token that was accepted before.

    After that, the token needs no budget.
    """
    assert await reviews.status("good") == 200
    reviews.now += 61
    reviews.answers["good"] = access._UNANSWERED
    assert await reviews.status("good") == 503
    reviews.answers["good"] = None
    assert await reviews.status("good") == 503
    reviews.now += 11
    for number in range(11):
        await reviews.status(f"forged-{number}")
    assert await reviews.status("good") == 200


class ApiServer:
    """An API server that answers both kinds of review as the test sets it up."""

    def __init__(self) -> None:
        self.user: dict[str, Any] | None = {
            "username": 'a "reader"',
            "uid": "u",
            "groups": ["system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"]},
        }
        self.allowed = True
        self.status = 201
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.path, body))
        await self.answering.wait()
        if self.status != 201:
            text = f"no {request.path} with {body}"
            return web.json_response({"kind": "Status", "reason": "Forbidden", "message": text}, status=self.status)
        if body["kind"] == "TokenReview":
            status = {} if self.user is None else {"authenticated": True, "user": self.user}
        else:
            status = {"allowed": self.allowed}
        return web.json_response({**body, "status": status}, status=201)


@pytest.fixture
def api_server() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def review(api_server: ApiServer) -> AsyncIterator[access.Review]:
    async with serving.gateway_to(api_server.answer) as api:
        yield access.reviewer(api)


async def from_a_thread(review: access.Review, token: str) -> access.ErrorResponse | None:
    """Review a token as the port does, in a thread with an event loop of its own."""
    return await asyncio.to_thread(lambda: asyncio.run(review(token)))  # type: ignore[arg-type]


async def test_the_user_of_the_token_is_asked_about(review: access.Review, api_server: ApiServer) -> None:
    """The SubjectAccessReview for GET /metrics has everything that the TokenReview says about the user."""
    assert await from_a_thread(review, "secret") is None
    (first, token_review), (second, access_review) = api_server.asked
    assert (first, token_review["spec"]) == ("/apis/authentication.k8s.io/v1/tokenreviews", {"token": "secret"})
    assert second == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    user = {**(api_server.user or {})}
    assert access_review["spec"] == {
        "user": user.pop("username"),
        **user,
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }


async def test_an_unknown_token_is_401_and_a_user_without_the_right_403(
    review: access.Review, api_server: ApiServer
) -> None:
    """The 403 names the user and the ClusterRole."""
    api_server.allowed = False
    refusal = await from_a_thread(review, "secret")
    assert refusal == access.ErrorResponse(
        403,
        'user "a \\"reader\\"" must be allowed to get /metrics, and is not; bind ClusterRole'
        " hostnetwork-operator-metrics-reader to this user",
    )
    api_server.user = None
    api_server.asked.clear()
    refusal = await from_a_thread(review, "secret")
    assert refusal is not None
    assert (refusal.status, len(api_server.asked)) == (401, 1)


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_an_api_server_that_refuses_to_review_is_503(
    review: access.Review, api_server: ApiServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The log has the reason without the token, although this API server quotes the token. The operator asks once."""
    api_server.status = status
    refusal = await from_a_thread(review, "secret")
    assert refusal is not None
    assert refusal.status == 503
    (record,) = [record for record in caplog.records if record.getMessage() == "metrics-review-failed"]
    assert f"{status} Forbidden: no /apis/authentication.k8s.io/v1/tokenreviews" in str(vars(record))
    assert "<token>" in str(vars(record))
    assert "secret" not in str([vars(record) for record in caplog.records])
    assert len(api_server.asked) == 1


async def test_an_api_server_that_does_not_answer_is_503(
    review: access.Review, api_server: ApiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator gives up after a while, and nothing waits for the answer any more."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(access, "_REVIEW_SECONDS", 0.2)
    api_server.answering.clear()
    refusal = await from_a_thread(review, "secret")
    assert refusal is not None
    assert refusal.status == 503
    assert "no answer within" in str(vars(caplog.records[-1]))
    api_server.answering.set()
