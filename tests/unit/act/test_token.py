"""The operator reads a replaced token again at the first refusal, not a minute later."""

import asyncio
import pathlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio.config import incluster_config

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway, identity
from hostnetwork_operator.control import session
from tests.unit import serving
from tests.unit.act.test_identity import kubeconfig

LIST = {"metadata": {"resourceVersion": "1"}, "items": []}


class Server:
    """A server that accepts one token and remembers the tokens that it was shown."""

    def __init__(self) -> None:
        self.token = "first"
        self.shown: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        _, _, token = request.headers.get("Authorization", "").partition(" ")
        self.shown.append(token)
        if token != self.token:
            return web.json_response({"kind": "Status", "message": "Unauthorized"}, status=401)
        return web.json_response(LIST)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    async with serving.url_of(server.answer) as server_url:
        yield server_url


@pytest.fixture
def config(tmp_path: pathlib.Path, url: str, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Write the current kubeconfig, with the token `first`, and return its path."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = write(tmp_path, url, "first")
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def write(directory: pathlib.Path, url: str, token: str) -> pathlib.Path:
    return kubeconfig(directory, f'server: "{url}"', f"token: {token}")


@pytest.fixture
async def api(config: pathlib.Path) -> AsyncIterator[gateway.Gateway]:
    gateway_client = gateway.Gateway(await identity.configure(), clock.ServerClock(), lambda _method, _code: None)
    yield gateway_client
    await gateway_client.close()


async def test_a_refused_token_is_read_again_and_the_request_repeated_at_once(
    api: gateway.Gateway, server: Server, config: pathlib.Path, url: str
) -> None:
    """All refused requests share one read of the token. The operator uses the new token from then on."""
    assert (await api.get("/api/v1/pods")).body == LIST
    server.token = "second"
    write(config.parent, url, "second")
    answers = await asyncio.gather(*(api.get("/api/v1/pods") for _ in range(3)))
    assert [answer.body for answer in answers] == [LIST] * 3
    assert server.shown.count("second") == 3
    count = len(server.shown)
    await api.get("/api/v1/pods")
    assert server.shown[count:] == ["second"]


async def test_a_token_that_is_the_same_is_not_shown_again(api: gateway.Gateway, server: Server) -> None:
    """The refusal is an error as before."""
    server.token = "revoked"
    with pytest.raises(gateway.ApiError) as raised:
        await api.get("/api/v1/pods")
    assert (raised.value.status, server.shown) == (401, ["first"])


async def test_a_token_of_another_server_is_not_shown_to_this_one(
    api: gateway.Gateway, server: Server, config: pathlib.Path
) -> None:
    """Somebody has pointed the kubeconfig to another cluster meanwhile."""
    server.token = "second"
    write(config.parent, "http://127.0.0.1:1", "second")
    with pytest.raises(gateway.ApiError):
        await api.get("/api/v1/pods")
    assert server.shown == ["first"]


async def test_a_kubeconfig_that_cannot_be_read_leaves_the_token_as_it_is(
    api: gateway.Gateway, server: Server, config: pathlib.Path
) -> None:
    """Somebody may be writing the file at this moment."""
    server.token = "second"
    config.write_text("")
    with pytest.raises(gateway.ApiError):
        await api.get("/api/v1/pods")
    server.token = "first"
    assert (await api.get("/api/v1/pods")).body == LIST


async def test_kopf_logs_in_with_the_token_as_it_is_now(
    api: gateway.Gateway, server: Server, config: pathlib.Path, url: str
) -> None:
    """kopf logs in again after a refusal."""
    server.token = "second"
    write(config.parent, url, "second")
    logins = session.Logins(api.configuration, lambda *_: None, lambda _: None, asyncio.Event())
    http: aiohttp.ClientSession = (await logins.log_in()).aiohttp_session
    response = await http.request("GET", f"{url}/version")
    assert response.status == 200
    await logins.close()


@pytest.fixture
def account(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Set up the token of a service account in a pod, and return the path of the token."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("-")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    return token


async def test_the_token_of_a_service_account_is_read_again(account: pathlib.Path) -> None:
    """The library would wait for a minute before it reads the token again; the operator does not wait."""
    configuration = await identity.configure()
    assert identity.token(configuration) == "bearer first"
    account.write_text("second")
    await configuration.auth_settings()
    assert identity.token(configuration) == "bearer first"
    await identity.refresh(configuration)
    await configuration.auth_settings()
    assert identity.token(configuration) == "bearer second"


async def test_a_token_file_that_is_missing_for_a_moment_is_an_error_of_the_api(
    api: gateway.Gateway, server: Server
) -> None:
    """The request is repeated, like a request without an answer."""
    reads = iter([FileNotFoundError("token"), None])

    def read(_: object) -> None:
        if error := next(reads, None):
            raise error

    api.configuration.refresh_api_key_hook = read
    assert (await api.get("/api/v1/pods")).body == LIST
    assert server.shown == ["first"]
