"""The ports of metrics and probes: whatever clients do there, the event loop that works does not wait for them."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from hostnetwork_operator import metrics
from hostnetwork_operator.control import server


class Page(metrics.Metrics):
    """A page of metrics that says how often it was made, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 10
        self.gathered: list[str] = []
        self.made: list[str] = []

    def gather(self) -> None:
        self.gathered.append(threading.current_thread().name)

    def text(self) -> bytes:
        self.made.append(threading.current_thread().name)
        return b"m" * self.size


class Opened:
    """Both ports on loopback, with answers of the test."""

    def __init__(self) -> None:
        self.page = Page()
        self.healthy = self.ready = ""
        self.ports = server.Ports(self.page, lambda: self.healthy, lambda: self.ready)
        free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port, self.probe_port = (one.getsockname()[1] for one in free)
        for one in free:
            one.close()
        self.ports.open("127.0.0.1", self.port, self.probe_port)


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Those ports, closed afterwards."""
    made = Opened()
    yield made
    await asyncio.to_thread(made.ports.close)


def ask(port: int, path: str, more: str = "Connection: close\r\n", times: int = 1) -> tuple[int, bytes]:
    """Status and body of what one connection is answered until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode() * times)
        said = b"".join(iter(lambda: connection.recv(2**16), b""))
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def asked(port: int, path: str) -> tuple[int, bytes]:
    return await asyncio.to_thread(ask, port, path)


async def test_each_path_is_on_its_port(opened: Opened) -> None:
    """Probes say what is wrong, with 503."""
    assert await asked(opened.port, "/metrics") == (200, b"m" * 10)
    assert await asked(opened.probe_port, "/healthz") == (200, b"ok\n")
    opened.ready = "pods are not listed"
    assert await asked(opened.probe_port, "/readyz") == (503, b"pods are not listed\n")
    for port, path in ((opened.port, "/healthz"), (opened.probe_port, "/metrics"), (opened.port, "/")):
        assert (await asked(port, path))[0] == 404


async def test_a_page_is_made_once_for_all_who_ask(opened: Opened) -> None:
    """In its own thread, of what the loop that works has gathered; a second later it is made anew."""
    answers = await asyncio.gather(*(asked(opened.port, "/metrics") for _ in range(20)))
    assert set(answers) == {(200, b"m" * 10)}
    assert len(opened.page.made) == len(opened.page.gathered) == 1
    assert opened.page.gathered == [threading.current_thread().name] != opened.page.made
    opened.page.size = 11
    deadline = time.monotonic() + 30
    while await asked(opened.port, "/metrics") != (200, b"m" * 11):
        assert time.monotonic() < deadline
    assert len(opened.page.made) == 2


async def test_many_requests_at_once_have_one_answer(opened: Opened) -> None:
    """A connection on which they are pipelined is closed after the first."""
    status, said = await asyncio.to_thread(ask, opened.port, "/metrics", "", 50)
    assert (status, said) == (200, b"m" * 10)


@contextlib.contextmanager
def crowd(port: int, count: int, text: bytes) -> Iterator[list[socket.socket]]:
    """So many clients that send this and read nothing."""
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", port))
            with contextlib.suppress(ConnectionError):
                one.sendall(text)
            made.append(one)
        yield made
    finally:
        for one in made:
            one.close()


@pytest.mark.parametrize("text", [b"", b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"])
async def test_clients_that_do_not_read_keep_nobody_out(opened: Opened, text: bytes) -> None:
    """300 of them, with a large page; the 301st is answered, and probes too."""
    opened.page.size = 5_000_000
    held = await asyncio.to_thread(lambda: crowd(opened.port, 300, text).__enter__())
    try:
        assert (await asked(opened.port, "/metrics"))[0] == 200
        assert await asked(opened.probe_port, "/healthz") == (200, b"ok\n")
    finally:
        for one in held:
            one.close()


async def test_a_loop_that_does_not_answer_is_said(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes are answered by another thread, and say so."""
    monkeypatch.setattr(server, "_INSIDE_SECONDS", 0.2)
    found: list[tuple[int, bytes]] = []
    asking = threading.Thread(target=lambda: found.append(ask(opened.probe_port, "/healthz")))
    asking.start()
    asking.join(30)  # in the loop that works, which so does nothing
    assert found == [(503, b"the event loop does not answer\n")]
    assert await asked(opened.port, "/metrics") == (200, b"m" * 10)


async def test_a_port_in_use_is_named(opened: Opened) -> None:
    """Whichever of the two."""
    for ports in ((opened.port, 0), (0, opened.probe_port)):
        other = server.Ports(opened.page, str, str)
        with pytest.raises(OSError, match="in use") as error:
            other.open("127.0.0.1", *ports)
        assert error.value.filename == f"127.0.0.1:{max(ports)}"
        other.close()


async def test_ipv6_is_an_address_too(opened: Opened) -> None:
    """A cluster of one family may have that one only."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    other: Any = server.Ports(opened.page, lambda: "", lambda: "")
    other.open("::1", 0, 0)
    port = other._threads[0]._socket.getsockname()[1]
    assert await asyncio.to_thread(lambda: socket.create_connection(("::1", port), timeout=30).close()) is None
    await asyncio.to_thread(other.close)
