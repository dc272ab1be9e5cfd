"""The ports for metrics and probes: whatever clients do there, the operator's event loop does not wait for them."""

import asyncio
import contextlib
import logging
import pathlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hostnetwork_operator import metrics
from hostnetwork_operator.control import access, certificate, server
from tests.controlplane import pki


class Page(metrics.Metrics):
    """A metrics page that records how often it was made, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 10
        self.seconds = 0.0  # the processor time that making the page takes
        self.gathered: list[str] = []
        self.made: list[str] = []

    def gather(self) -> None:
        self.gathered.append(threading.current_thread().name)

    def text(self) -> bytes:
        self.made.append(threading.current_thread().name)
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return b"m" * self.size


class OpenPorts:
    """Both ports on loopback, with answers that the test sets."""

    def __init__(
        self,
        pair: certificate.Pair | None = None,
        readers: access.Access | None = None,
        role: server.Role = str,
    ) -> None:
        self.page = Page()
        self.healthy = self.ready = ""
        self.ports = server.Ports(self.page, lambda: self.healthy, lambda: self.ready, pair, readers, role)
        free_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port, self.probe_port = (listening.getsockname()[1] for listening in free_ports)
        for listening in free_ports:
            listening.close()
        self.ports.open("127.0.0.1", self.port, self.probe_port)


@pytest.fixture
async def open_ports() -> AsyncIterator[OpenPorts]:
    """Yield open ports, and close them afterwards."""
    open_ports = OpenPorts()
    yield open_ports
    await asyncio.to_thread(open_ports.ports.close)


def ask(port: int, path: str, headers: str = "Connection: close\r\n", times: int = 1) -> tuple[int, bytes]:
    """Return status and body of the answer on one connection, read until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode() * times)
        data = b"".join(iter(lambda: connection.recv(2**16), b""))
    header, _, body = data.partition(b"\r\n\r\n")
    return int(header.split()[1]), body


async def ask_in_thread(port: int, path: str) -> tuple[int, bytes]:
    return await asyncio.to_thread(ask, port, path)


def open_connections(open_ports: OpenPorts) -> int:
    """Return the number of open sockets of the metrics port."""
    return sum(connection.fileno() != -1 for connection in list(open_ports.ports._threads[0]._connections))


async def test_each_path_is_on_its_port(open_ports: OpenPorts) -> None:
    """A probe that fails has status 503 and says what is wrong."""
    assert await ask_in_thread(open_ports.port, "/metrics") == (200, b"m" * 10)
    assert await ask_in_thread(open_ports.probe_port, "/healthz") == (200, b"ok\n")
    open_ports.ready = "pods are not listed"
    assert await ask_in_thread(open_ports.probe_port, "/readyz") == (503, b"pods are not listed\n")
    for port, path in ((open_ports.port, "/healthz"), (open_ports.probe_port, "/metrics"), (open_ports.port, "/")):
        assert (await ask_in_thread(port, path))[0] == 404


async def test_a_page_is_made_once_for_all_who_ask(open_ports: OpenPorts) -> None:
    """A thread of the port makes the page, from what the operator's event loop has gathered.

    The page is valid for four times the time that it took.
    """
    open_ports.page.seconds = 0.3
    answers = await asyncio.gather(*(ask_in_thread(open_ports.port, "/metrics") for _ in range(20)))
    assert set(answers) == {(200, b"m" * 10)}
    assert len(open_ports.page.made) == len(open_ports.page.gathered) == 1
    assert open_ports.page.gathered == [threading.current_thread().name] != open_ports.page.made
    open_ports.page.size, open_ports.page.seconds = 11, 0.0
    deadline = time.monotonic() + 30
    while await ask_in_thread(open_ports.port, "/metrics") != (200, b"m" * 11):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert len(open_ports.page.made) == 2


async def test_an_ok_says_what_the_process_is() -> None:
    """Only on /readyz: a standby is ready and healthy, and says that it is a standby."""
    subject = OpenPorts(role=lambda: "a standby")
    try:
        assert await ask_in_thread(subject.probe_port, "/readyz") == (200, b"ok, a standby\n")
        assert await ask_in_thread(subject.probe_port, "/healthz") == (200, b"ok\n")
    finally:
        await asyncio.to_thread(subject.ports.close)
    subject = OpenPorts(role=lambda: "a standby")
    try:
        subject.ready = "no Lease"
        assert await ask_in_thread(subject.probe_port, "/readyz") == (503, b"no Lease\n")
    finally:
        await asyncio.to_thread(subject.ports.close)


async def test_many_requests_at_once_have_one_answer(open_ports: OpenPorts) -> None:
    """A connection with pipelined requests is closed after the first answer."""
    status, body = await asyncio.to_thread(ask, open_ports.port, "/metrics", "", 50)
    assert (status, body) == (200, b"m" * 10)


@contextlib.contextmanager
def crowd(port: int, count: int, text: bytes) -> Iterator[list[socket.socket]]:
    """Yield `count` clients that send `text` and read nothing."""
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            with contextlib.suppress(ConnectionError):
                client.sendall(text)
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("text", [b"", b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"])
async def test_clients_that_do_not_read_keep_nobody_out(open_ports: OpenPorts, text: bytes) -> None:
    """300 clients ask for a large page. The 301st gets an answer, and so do the probes."""
    open_ports.page.size = 5_000_000
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, crowd(open_ports.port, 300, text))
        assert (await ask_in_thread(open_ports.port, "/metrics"))[0] == 200
        assert open_connections(open_ports) <= 32
        assert await ask_in_thread(open_ports.probe_port, "/healthz") == (200, b"ok\n")


async def test_a_loop_that_does_not_answer_is_said(open_ports: OpenPorts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread answers the probes and says so, until the loop answers again."""
    monkeypatch.setattr(server, "_INSIDE_SECONDS", 0.2)
    monkeypatch.setattr(server, "_REST", 1000.0)  # so that waiting for the loop would take 200 s
    answers: list[tuple[int, bytes]] = []
    thread = threading.Thread(target=lambda: answers.append(ask(open_ports.probe_port, "/healthz")))
    thread.start()
    thread.join(30)  # blocks the event loop, which does nothing meanwhile
    assert answers == [(503, b"the event loop does not answer\n")]
    assert await ask_in_thread(open_ports.port, "/metrics") == (200, b"m" * 10)
    deadline = time.monotonic() + 30
    while await ask_in_thread(open_ports.probe_port, "/healthz") != (200, b"ok\n"):
        assert time.monotonic() < deadline, "a kubelet would restart it"


async def test_a_port_in_use_is_named(open_ports: OpenPorts) -> None:
    """The error names either port."""
    for ports in ((open_ports.port, 0), (0, open_ports.probe_port)):
        second_ports = server.Ports(open_ports.page, str, str)
        with pytest.raises(OSError, match="in use") as error:
            second_ports.open("127.0.0.1", *ports)
        assert error.value.filename == f"127.0.0.1:{max(ports)}"
        second_ports.close()


async def test_ipv6_is_an_address_too(open_ports: OpenPorts) -> None:
    """A cluster with one IP family may have IPv6 only."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    ipv6_ports: Any = server.Ports(open_ports.page, lambda: "", lambda: "")
    ipv6_ports.open("::1", 0, 0)
    port = ipv6_ports._threads[0]._socket.getsockname()[1]
    assert await asyncio.to_thread(lambda: socket.create_connection(("::1", port), timeout=30).close()) is None
    await asyncio.to_thread(ipv6_ports.close)


# -- TLS and tokens ---------------------------------------------------------------------------------------------------


class Secure:
    """The metrics port over TLS, for readers whose token begins with `good`, with certificates of a CA of the test."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.authority = pki.Authority(directory / "pki")
        self.renew()
        self.reviewed: list[str] = []
        self.pair = certificate.Pair(directory)
        self.open_ports = OpenPorts(self.pair, access.Access(self._review))

    async def _review(self, token: str) -> access.ErrorResponse | None:
        self.reviewed.append(token)
        return None if token.startswith("good") else access.ErrorResponse(403, "denied")

    def renew(self) -> int:
        """Write another certificate into the directory, and return its serial number."""
        certificate_path, key_path = self.authority.issue("metrics", "metrics")
        certificate_path.rename(self.directory / "tls.crt")
        key_path.rename(self.directory / "tls.key")
        return x509.load_pem_x509_certificate((self.directory / "tls.crt").read_bytes()).serial_number

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate_path))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    async def ask(self, headers: str = "Authorization: Bearer good\r\n") -> tuple[int, str]:
        """Return the status and the whole answer of a GET /metrics with these headers."""
        return await asyncio.to_thread(self._ask, headers)

    def _ask(self, headers: str) -> tuple[int, str]:
        with (
            socket.create_connection(("127.0.0.1", self.open_ports.port), timeout=30) as plain,
            self.client().wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(2**16), b"")).decode()
        return int(answer.split()[1]), answer

    async def serial_number(self) -> int:
        """Return the serial number of the certificate that a new connection gets."""
        return await asyncio.to_thread(self._serial_number)

    def _serial_number(self) -> int:
        with (
            socket.create_connection(("127.0.0.1", self.open_ports.port), timeout=30) as plain,
            self.client().wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"").serial_number


@pytest.fixture
async def secure(tmp_path: pathlib.Path) -> AsyncIterator[Secure]:
    secure_ports = Secure(tmp_path)
    yield secure_ports
    await asyncio.to_thread(secure_ports.open_ports.ports.close)


async def test_the_page_is_for_who_has_a_token(secure: Secure) -> None:
    """A refusal has its status, its header and one line. The probes are plain HTTP, and open to everybody."""
    assert (await secure.ask())[0] == 200
    status, answer = await secure.ask("Authorization: Bearer bad\r\n")
    assert (status, answer.rpartition("\r\n")[2]) == (403, "denied\n")
    status, answer = await secure.ask("")
    assert status == 401
    assert "\r\nWWW-Authenticate: Bearer\r\n" in answer
    assert secure.reviewed == ["good", "bad"]
    assert len(secure.open_ports.page.made) == 1
    assert await ask_in_thread(secure.open_ports.probe_port, "/healthz") == (200, b"ok\n")
    assert await ask_in_thread(secure.open_ports.probe_port, "/readyz") == (200, b"ok\n")


async def test_the_longest_token_fits_into_a_request(secure: Secure) -> None:
    """A token of one character more is refused, and so is a header that is too long."""
    longest = "good".ljust(access.LONGEST_TOKEN, "x")
    assert (await secure.ask(f"Authorization: Bearer {longest}\r\n"))[0] == 200
    assert (await secure.ask(f"Authorization: Bearer {longest}x\r\n"))[0] == 401
    assert (await secure.ask(f"Authorization: Bearer {longest * 2}\r\n"))[0] == 400
    assert secure.reviewed == [longest]


@pytest.mark.parametrize(
    "header", ["Authorization : Bearer {}", "Authorization: Bearer {}\0", "Authorization Bearer {}"]
)
async def test_no_token_is_logged(secure: Secure, caplog: pytest.LogCaptureFixture, header: str) -> None:
    """Not even the token of a request that cannot be parsed, which aiohttp quotes in its error."""
    caplog.set_level(logging.DEBUG)
    assert (await secure.ask(header.format("secret") + "\r\n"))[0] == 400
    assert (await secure.ask("Authorization: Bearer secret\r\n"))[0] == 403
    assert (await secure.ask(f"Authorization: Bearer {'secret' * 10_000}\r\n"))[0] == 400
    assert "secret" not in str([(vars(record), record.exc_info) for record in caplog.records])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_nothing_is_served_without_tls(secure: Secure) -> None:
    """A request in plain text gets no answer, and TLS 1.1 gets no handshake."""
    with pytest.raises((IndexError, ConnectionError)):  # no status line
        await ask_in_thread(secure.open_ports.port, "/metrics")
    old_client = secure.client()
    old_client.set_ciphers("ALL:@SECLEVEL=0")
    old_client.minimum_version = old_client.maximum_version = ssl.TLSVersion.TLSv1_1

    def shake() -> None:
        with socket.create_connection(("127.0.0.1", secure.open_ports.port), timeout=30) as plain:
            old_client.wrap_socket(plain, server_hostname="localhost")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(shake)
    assert (await secure.ask())[0] == 200


async def test_a_renewed_certificate_is_served(secure: Secure, caplog: pytest.LogCaptureFixture) -> None:
    """The next connection gets the new certificate.

    If the new pair cannot be loaded, the last pair stays in use, and the log has one line about it.
    """
    first_serial = await secure.serial_number()
    second_serial = secure.renew()
    assert await secure.serial_number() == second_serial != first_serial
    (secure.directory / "tls.key").unlink()
    assert [await secure.serial_number() for _ in range(3)] == [second_serial] * 3
    records = [record for record in caplog.records if record.getMessage() == "certificate-unusable"]
    assert len(records) == 1
    third_serial = secure.renew()
    assert await secure.serial_number() == third_serial != second_serial


@pytest.mark.parametrize("text", [b"", b"\x16\x03\x01\x02\x00"])
async def test_unfinished_handshakes_keep_nobody_out_and_are_few(secure: Secure, text: bytes) -> None:
    """300 clients begin no handshake, or half of one. A reader gets an answer, and at most 32 connections are open."""
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, crowd(secure.open_ports.port, 300, text))
        assert (await secure.ask())[0] == 200
        assert open_connections(secure.open_ports) <= 32
        assert await ask_in_thread(secure.open_ports.probe_port, "/healthz") == (200, b"ok\n")


async def test_a_pair_that_cannot_be_loaded_is_an_error(tmp_path: pathlib.Path) -> None:
    """The file is missing, the key is that of another certificate, or the key has a passphrase.

    The operator asks nobody for a passphrase.
    """
    with pytest.raises(FileNotFoundError):
        certificate.Pair(tmp_path)
    authority = pki.Authority(tmp_path / "pki")
    (certificate_path, key), (_, other_key) = authority.issue("a", "a"), authority.issue("b", "b")
    (tmp_path / "tls.crt").write_bytes(certificate_path.read_bytes())
    (tmp_path / "tls.key").write_bytes(other_key.read_bytes())
    with pytest.raises(ssl.SSLError):
        certificate.Pair(tmp_path)
    private_key = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    pem = private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    (tmp_path / "tls.key").write_bytes(pem)
    with pytest.raises(ssl.SSLError):
        certificate.Pair(tmp_path)


class _Protocol(asyncio.Protocol):
    """Sends more than the client reads at first, and closes the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=2**30)
        transport.write(b"x" * 2**22)
        transport.close()


@pytest.mark.parametrize("ended", [True, False], ids=["after its end", "twice"])
async def test_a_connection_is_aborted_at_any_time(ended: bool) -> None:
    """asyncio raises an AttributeError for a transport that has sent its data and is closed."""
    loop = asyncio.get_running_loop()
    client, accepted = socket.socketpair()
    client.setblocking(False)  # noqa: FBT003 - the name of the parameter is not part of the API

    async def connect() -> asyncio.BaseTransport:
        transport, _ = await loop.connect_accepted_socket(_Protocol, accepted)
        return transport

    connecting: asyncio.Task[asyncio.BaseTransport | None] = asyncio.create_task(connect())
    await connecting
    if not ended:
        server._abort(accepted, connecting)
        server._abort(accepted, connecting)
    while await loop.sock_recv(client, 2**20):
        pass
    async with asyncio.timeout(10):
        while accepted.fileno() != -1:
            await asyncio.sleep(0)
    server._abort(accepted, connecting)
    client.close()


async def test_a_connection_without_a_transport_is_aborted() -> None:
    """Its task is cancelled, however often the abort is repeated."""
    client, accepted = socket.socketpair()
    connecting: asyncio.Task[asyncio.BaseTransport | None] = asyncio.create_task(asyncio.sleep(3600, None))
    for _ in range(3):
        server._abort(accepted, connecting)
        await asyncio.sleep(0)
    assert connecting.cancelled()
    client.close()
    accepted.close()
