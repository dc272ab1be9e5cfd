"""Each request at the end of a grant fails once, in four ways, on a scripted server."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from tests.unit.shell import world
from tests.unit.shell.apiserver import ApiServer, Request, refusal
from tests.unit.shell.test_failures import relaxed, run_to_the_end, state

__all__ = ["relaxed"]


def forbidden(_: Request) -> web.Response:
    """Refuse the request, as for a missing right, or as a quota or a webhook does."""
    return refusal(403)


def conflicting(_: Request) -> web.Response:
    """Answer as if somebody had changed the object meanwhile."""
    return refusal(409, "Conflict")


def unreadable(_: Request) -> web.Response:
    """Answer with the login page of a proxy."""
    return web.Response(text="<html>who are you?</html>", content_type="text/html")


class Failing:
    """Fails the request of this number, once. Without `how` the request is carried out, and its answer is lost."""

    def __init__(self, number: int, how: Callable[[Request], web.Response] | None = None) -> None:
        self.number, self.how = number, how
        self.failed: Request | None = None

    def disturb(self, server: ApiServer) -> None:
        server.fails, server.loses = self.fails, self.loses

    def fails(self, request: Request) -> web.Response | None:
        if request.number != self.number:
            return None
        self.failed = request
        return self.how(request) if self.how is not None else None

    def loses(self, request: Request) -> bool:
        return request.number == self.number and self.how is None


@pytest.mark.parametrize("how", [forbidden, conflicting, unreadable, None])
async def test_after_any_failed_request_the_end_is_the_same(
    relaxed: ApiServer, how: Callable[[Request], web.Response] | None
) -> None:
    """Each request at the end of a grant fails once, or is carried out without an answer.

    Level, grant, status, pod and Events are as without a failure.
    """
    undisturbed, _ = await run_to_the_end(relaxed)
    assert "ExpiredPodDeleted" in world.emitted(undisturbed)
    failings = [Failing(number, how) for number in range(len(undisturbed.requests))]
    outcomes = await asyncio.gather(*(run_to_the_end(relaxed, failing.disturb) for failing in failings))
    for failing, (server, _) in zip(failings, outcomes, strict=True):
        assert failing.failed is not None
        assert state(server) == state(undisturbed), f"after {failing.failed}"
