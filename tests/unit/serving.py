"""Real HTTP on loopback, for tests that script the answers of the API server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import test_utils, web
from kubernetes.aio import client

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def url_of(answer: Answer) -> AsyncIterator[str]:
    """Yield the URL of a server that answers every request with `answer`."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with test_utils.TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


@asynccontextmanager
async def gateway_to(
    answer: Answer,
    server_clock: clock.ServerClock | None = None,
    count: Callable[[str, int], None] = lambda _method, _code: None,
) -> AsyncIterator[gateway.Gateway]:
    """Yield a gateway to a server that answers every request with `answer`."""
    async with url_of(answer) as url:
        configuration = client.Configuration(host=url)
        gateway_client = gateway.Gateway(configuration, server_clock or clock.ServerClock(), count)
        try:
            yield gateway_client
        finally:
            await gateway_client.close()
