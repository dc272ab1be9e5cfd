"""The version that an API server reports is understood, or refused in one sentence and never with a traceback."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from hostnetwork_operator import clock, metrics
from hostnetwork_operator.act import gateway, versions
from hostnetwork_operator.control import api_servers, operator
from hostnetwork_operator.decide import snapshot
from tests.unit import serving

V136 = snapshot.MinorVersion(1, 36)


class Server:
    """A server that answers GET /version with one body after the other, then with the last one for ever."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.asked = 0

    def says(self, *bodies: Any) -> None:
        self.bodies = list(bodies)

    async def answer(self, request: web.Request) -> web.Response:
        if request.path != "/version":
            return web.json_response({}, status=404)
        self.asked += 1
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        return web.Response(body=body) if isinstance(body, bytes) else web.json_response(body)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    async with serving.url_of(server.answer) as server_url:
        yield server_url


@pytest.fixture
async def api(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[gateway.Gateway]:
    monkeypatch.setattr(gateway, "_FIRST_WAIT_SECONDS", 0.005)
    gateway_client = gateway.Gateway(client.Configuration(host=url), clock.ServerClock(), lambda _method, _code: None)
    yield gateway_client
    await gateway_client.close()


def version(major: Any = "1", minor: Any = "36", full: Any = "v1.36.2") -> dict[str, Any]:
    return {"major": major, "minor": minor, "gitVersion": full}


UNDERSTOOD = [("1", "36"), ("1", "36+"), ("1", "36.1"), ("1", "36-gke.100"), ("", ""), ("one", "thirty-six")]


@pytest.mark.parametrize(("major", "minor"), UNDERSTOOD)
async def test_what_vendors_put_behind_a_version_is_left_out(
    api: gateway.Gateway, server: Server, major: str, minor: str
) -> None:
    """If the two numbers are missing, gitVersion has them too."""
    server.says(version(major, minor, "v1.36.2+k3s1"))
    assert await versions.ask(api) == (V136, "v1.36.2+k3s1")


@pytest.mark.parametrize("body", [{}, [], {"major": "1", "minor": "36"}, version(1, 36), version("1", None), b"<html>"])
async def test_an_answer_that_names_no_version_is_an_error_of_the_api(
    api: gateway.Gateway, server: Server, body: Any
) -> None:
    """Something other than the API server may have answered, so the operator asks again."""
    server.says(body)
    with pytest.raises(gateway.ApiError):
        await versions.ask(api)


@pytest.mark.parametrize("text", ["", "next", "1", "v1", "1.", ".36", "1.4711"])
async def test_a_version_that_is_not_understood_is_refused_in_one_sentence(
    api: gateway.Gateway, server: Server, text: str
) -> None:
    """The message quotes what the operator got."""
    server.says(version("", text, text))
    with pytest.raises(versions.VersionError) as raised:
        await versions.ask(api)
    assert str(raised.value) == (
        "the version of Kubernetes must begin with a major and a minor version such as 1.36, got major '', minor"
        f" {text!r} and gitVersion {text!r}; run an API server whose GET /version has the version"
    )


async def test_while_running_an_odd_version_is_logged_and_the_last_one_stays(
    api: gateway.Gateway, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The next version that the operator understands counts."""
    core = operator.Operator(api, clock.ServerClock(), metrics.Metrics())
    core.store.saw_kubernetes(V136)
    server.says(version("", "", ""), {}, version("1", "37", "v1.37.0"))
    keep = api_servers.keep(core.api, core.store, core.schedule, 0.001)
    task = asyncio.create_task(keep)
    async with asyncio.timeout(30):
        while core.store._kubernetes != snapshot.MinorVersion(1, 37):
            assert not task.done()
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [record.message for record in caplog.records].count("version-unknown") == 2
