"""Each API server is asked at its own address. Only a server with the certificate of an API server gets the token."""

import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils, web
from kubernetes.aio import client

from hostnetwork_operator import clock, metrics
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import api_servers, operator
from hostnetwork_operator.decide import snapshot
from tests.controlplane import pki

V136, V137 = snapshot.MinorVersion(1, 36), snapshot.MinorVersion(1, 37)
SEALED = (
    f'validatingadmissionpolicies.admissionregistration.k8s.io "{labels.SEAL_PROBE}" is forbidden:'
    f" ValidatingAdmissionPolicy '{labels.SEAL}' with binding '{labels.SEAL}' denied request: seal: no"
)
FORBIDDEN = (
    f'validatingadmissionpolicies.admissionregistration.k8s.io "{labels.SEAL_PROBE}" is forbidden: User "x" cannot'
    ' patch resource "validatingadmissionpolicies"'
)
# A policy with a name that the API reserves cannot be created; this one has another name.
IMPOSTOR = SEALED.replace(labels.SEAL, "seal.hostnetwork-operator.example.com")


class Server:
    """One API server over TLS. `minor` is its version; `refusal` is its answer to the dry run, '' for success."""

    def __init__(self, minor: int, refusal: str = "") -> None:
        self.minor, self.refusal, self.status = minor, refusal, 403
        self.slice: dict[str, Any] = {}
        self.tokens: list[str] = []
        self.patches: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        if request.path == "/version":
            version = {"major": "1", "minor": str(self.minor), "gitVersion": f"v1.{self.minor}.0"}
            return web.json_response(version)
        metadata = {"name": "kubernetes", "uid": "u", "resourceVersion": "1"}
        if request.path.endswith("/endpointslices/kubernetes"):
            return web.json_response({"metadata": metadata, **self.slice})
        self.patches.append((request.path, request.query_string))
        if self.refusal:
            body = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": self.refusal}
            return web.json_response(body, status=self.status)
        return web.json_response({"metadata": metadata})

    @contextlib.asynccontextmanager
    async def running(self, certificate: pathlib.Path, key: pathlib.Path) -> AsyncIterator[int]:
        """Yield the port."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        server = test_utils.TestServer(application, scheme="https")
        await server.start_server(ssl=context)
        try:
            assert server.port is not None
            yield server.port
        finally:
            await server.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pki.Authority:
    return pki.Authority(tmp_path_factory.mktemp("pki"))


def endpoint_slice(*ports: int, address: str = "127.0.0.1") -> dict[str, Any]:
    """Return a slice whose addresses differ in the port, which a real slice cannot have."""
    return {
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"} for port in ports],
    }


@contextlib.asynccontextmanager
async def gateway_to(port: int, authority: pki.Authority, **fields: Any) -> AsyncIterator[gateway.Gateway]:
    configuration = client.Configuration(host=f"https://127.0.0.1:{port}", api_key={"BearerToken": "Bearer secret"})
    configuration.ssl_ca_cert = str(authority.certificate_path)
    for name, value in fields.items():
        setattr(configuration, name, value)
    api = gateway.Gateway(configuration, clock.ServerClock(), lambda _method, _code: None)
    try:
        yield api
    finally:
        await api.close()


async def test_each_api_server_is_asked(authority: pki.Authority) -> None:
    """Their versions and their seals may differ. The dry run is about the decoy alone."""
    one, two = Server(37, SEALED), Server(36)
    pair = authority.issue("apiserver", "kube-apiserver")
    async with one.running(*pair) as first, two.running(*pair) as second, gateway_to(first, authority) as api:
        one.slice = endpoint_slice(first, second)
        answer = await api_servers.ask(api)
    assert set(answer.servers) == {
        snapshot.ApiServer(f"127.0.0.1:{first}", V137, sealed=True),
        snapshot.ApiServer(f"127.0.0.1:{second}", V136, sealed=False),
    }
    assert answer.versions == (V136, V137)
    for server in (one, two):
        ((path, query),) = server.patches
        assert path.endswith(f"/validatingadmissionpolicies/{labels.SEAL_PROBE}")
        assert "dryRun=All" in query


@pytest.mark.parametrize(
    ("refusal", "status"), [(FORBIDDEN, 403), (IMPOSTOR, 403), ("the decoy was not found", 404), ("no", 422)]
)
async def test_another_refusal_is_no_seal(authority: pki.Authority, refusal: str, status: int) -> None:
    """The operator cannot tell, and says why."""
    server = Server(37, refusal)
    server.status = status
    async with server.running(*authority.issue("apiserver", "x")) as port, gateway_to(port, authority) as api:
        server.slice = endpoint_slice(port)
        (found,) = (await api_servers.ask(api)).servers
    assert (found.version, found.sealed, found.trouble) == (V137, None, refusal[:200])


async def test_a_server_with_another_certificate_gets_no_token(
    authority: pki.Authority, tmp_path: pathlib.Path
) -> None:
    """Whoever writes the address of another server into the slice gets no request: the certificate must be one of the
    cluster, and for the name of the API server.
    """
    real, thief = Server(37), Server(37)
    strangers = pki.Authority(tmp_path / "strangers").issue("apiserver", "x")
    async with (
        real.running(*authority.issue("apiserver", "x")) as port,
        thief.running(*strangers) as other,
        gateway_to(port, authority) as api,
    ):
        real.slice = endpoint_slice(other)
        (found,) = (await api_servers.ask(api)).servers
    assert (found.version, found.sealed, thief.tokens) == (None, None, [])
    assert "CERTIFICATE_VERIFY_FAILED" in found.trouble


async def test_without_verification_no_address_is_asked(authority: pki.Authority) -> None:
    """A kubeconfig that skips the verification would send the token to whoever is in the slice."""
    server = Server(37)
    async with (
        server.running(*authority.issue("apiserver", "x")) as port,
        gateway_to(port, authority, verify_ssl=False) as api,
    ):
        server.slice = endpoint_slice(port)
        (found,) = (await api_servers.ask(api)).servers
    assert (found.version, server.patches) == (None, [])
    assert "verified" in found.trouble


@pytest.mark.parametrize(
    "slice_body",
    [
        {},
        {"endpoints": None, "ports": None},
        {"endpoints": [{"addresses": ["evil.example.com"]}], "ports": [{"name": "https", "port": 1}]},
        {"endpoints": [{"addresses": [7]}], "ports": [{"name": "https", "port": 1}]},
        {"endpoints": ["a"], "ports": ["b"]},
        {
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": False}}],
            "ports": [{"name": "https", "port": 1}],
        },
    ],
)
async def test_an_odd_slice_is_trouble(authority: pki.Authority, slice_body: dict[str, Any]) -> None:
    """Not an error: the operator works on by the version that the address of the cluster reports."""
    server = Server(37)
    async with server.running(*authority.issue("apiserver", "x")) as port, gateway_to(port, authority) as api:
        server.slice = slice_body
        answer = await api_servers.ask(api)
    assert (answer.servers, answer.trouble.startswith("EndpointSlice default/kubernetes")) == ((), True)


async def test_the_oldest_counts_for_the_guard_until_all_have_answered(authority: pki.Authority) -> None:
    """An API server that does not answer may be an old one."""
    one, two = Server(37), Server(36)
    pair = authority.issue("apiserver", "kube-apiserver")
    async with one.running(*pair) as first, gateway_to(first, authority) as api:
        core = operator.Operator(api, clock.ServerClock(), metrics.Metrics())
        async with two.running(*pair) as second:
            one.slice = endpoint_slice(first, second)
            await api_servers.look(api, core.store, core.schedule)
            assert (core.store.kubernetes(), core.store.oldest_kubernetes()) == (V137, V136)
        await api_servers.look(api, core.store, core.schedule)  # the second does not answer
        assert (core.store.oldest_kubernetes(), core.store.kubernetes_versions()) == (V136, (V136, V137))
        one.slice = endpoint_slice(first)
        await api_servers.look(api, core.store, core.schedule)
        assert (core.store.oldest_kubernetes(), core.store.kubernetes_versions()) == (V137, (V137,))
