"""A gateway that may not write sends no request that could change something, however late the request is sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from hostnetwork_operator.act import gateway
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.bodies import Answer
from tests.unit import serving

NAME = {"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}}
PATH = "/api/v1/namespaces/n"
Request = Callable[[gateway.Gateway], Awaitable[Answer]]
WRITES: dict[str, Request] = {
    "create": lambda api: api.create("/api/v1/namespaces/n/events", NAME),
    "patch": lambda api: api.patch(PATH, {}),
    "apply": lambda api: api.apply(PATH, {}),
    "delete": lambda api: api.delete(PATH, {}),
}
OTHERS: dict[str, Request] = {
    "get": lambda api: api.get(PATH),
    "preview": lambda api: api.preview("/api/v1/namespaces/n/pods", NAME),
    "preview_patch": lambda api: api.preview_patch(PATH, {}),
}


class Server:
    def __init__(self) -> None:
        self.requests: list[str] = []
        self.until = asyncio.Event()
        self.until.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.method)
        await self.until.wait()
        return web.json_response(NAME)


class Permission:
    """Whether a process may write, as a test says. It counts how often it was asked."""

    def __init__(self) -> None:
        self.given = False
        self.asked = 0

    def may_write(self) -> bool:
        self.asked += 1
        return self.given


@asynccontextmanager
async def asking(server: Server, permission: Permission, connections: int = 32) -> AsyncIterator[gateway.Gateway]:
    async with serving.gateway_to(server.answer) as first:
        first.configuration.connection_pool_maxsize = connections
        api = first.beside(may_write=permission.may_write)
        try:
            yield api
        finally:
            await api.close()


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_without_permission_is_not_sent(name: str) -> None:
    """The error says so, and the gateway does not repeat the request. Reconcile plans again, as after any old plan."""
    server, permission = Server(), Permission()
    async with asking(server, permission) as api:
        with pytest.raises(gateway.ApiError) as raised:
            await WRITES[name](api)
        error = raised.value
        assert (error.status, error.reason, error.sent, error.passing) == (0, gateway.STALE, False, False)
        assert error.outcome is Outcome.STALE
        assert (server.requests, permission.asked) == ([], 1)
        permission.given = True
        await WRITES[name](api)
        assert (len(server.requests), permission.asked) == (1, 2)


@pytest.mark.parametrize("name", OTHERS)
async def test_what_stores_nothing_needs_no_permission(name: str) -> None:
    """A standby reads, and a leader that may not write still evaluates."""
    server, permission = Server(), Permission()
    async with asking(server, permission) as api:
        await OTHERS[name](api)
    assert len(server.requests) == 1


async def test_permission_is_asked_when_the_connection_is_there() -> None:
    """A request may wait for a connection for as long as a partition lasts. Then another process may lead."""
    server, permission = Server(), Permission()
    permission.given = True
    async with asking(server, permission, connections=1) as api:
        server.until.clear()
        first = asyncio.create_task(api.patch(PATH, {}))
        while not server.requests:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(api.patch(PATH, {}))
        await asyncio.sleep(0.05)
        permission.given = False
        server.until.set()
        await first
        with pytest.raises(gateway.ApiError) as raised:
            await second
    assert raised.value.reason == gateway.STALE
    assert server.requests == ["PATCH"]


async def test_gateways_beside_each_other_have_their_own_permission() -> None:
    """The gateway of the Lease, and that for reviews of tokens, send their requests on a standby too."""
    server, permission = Server(), Permission()
    async with asking(server, permission) as api:
        free = api.beside()
        try:
            await free.create("/api/v1/namespaces/n/events", NAME)
        finally:
            await free.close()
        with pytest.raises(gateway.ApiError):
            await api.create("/api/v1/namespaces/n/events", NAME)
    assert server.requests == ["POST"]
