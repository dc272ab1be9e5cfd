"""A terminal or pipes attached to a container, against a scripted server that speaks v5.channel.k8s.io.

tests/cli/test_debug.py attaches through the API server. The kubelet that is simulated there reads no input, ends no
stream and tells no exit status, so all of that is tested here.
"""

import asyncio
import contextlib
import json
import os
import pty
import signal
import termios
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import web

from hostnetwork_operator.act import gateway
from hostnetwork_operator.cli import attach
from tests.unit import serving

PATH = "/api/v1/namespaces/debug/pods/shell/attach?container=debugger"
SUCCESS = b'\x03{"kind": "Status", "status": "Success"}'
Script = Callable[[web.WebSocketResponse], Awaitable[None]]


@contextlib.contextmanager
def stdin(file: int) -> Iterator[None]:
    """Have the process read this file as its stdin."""
    before = os.dup(0)
    os.dup2(file, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def nothing() -> None:
    """Nothing is to be done when the stream is open."""


async def attached(
    script: Script, *, interactive: bool = False, terminal: bool = False, opened: Callable[[], None] = nothing
) -> tuple[attach.Attachment, dict[str, str]]:
    """Attach to a server with this script. Return how the stream ended, and the query of the request."""
    query: dict[str, str] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        query.update(request.query)
        socket = web.WebSocketResponse(protocols=[attach.PROTOCOL])
        await socket.prepare(request)
        await script(socket)
        await socket.close()
        return socket

    async with asyncio.timeout(60), serving.gateway_to(answer) as api:
        ended = await attach.attach(api, PATH, interactive=interactive, terminal=terminal, opened=opened)
    return ended, query


async def test_output_goes_to_stdout_and_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """As it is: a capture is not text. An empty message, which a server may send at the start, is nothing."""

    async def script(socket: web.WebSocketResponse) -> None:
        for data in (b"\x01", b"\x01out\r\n\x1b[1m", b"\x02err", b"\x01more", SUCCESS):
            await socket.send_bytes(data)

    ended, query = await attached(script)
    assert ended == attach.Attachment(0, "", output=True)
    assert capfd.readouterr() == ("out\r\n\x1b[1mmore", "err")
    assert query == {"container": "debugger", "stdin": "false", "stdout": "true", "stderr": "true", "tty": "false"}


async def test_input_is_sent_with_its_end() -> None:
    """Each byte of stdin, and then the message that closes stdin, so that `cat` ends."""
    got: list[bytes] = []

    async def script(socket: web.WebSocketResponse) -> None:
        while (data := await socket.receive_bytes()) != b"\xff\x00":
            got.append(data)
        await socket.send_bytes(SUCCESS)

    reading, writing = os.pipe()
    os.write(writing, b"ip route\n\x00\xff")
    os.close(writing)
    with stdin(reading):
        ended, query = await attached(script, interactive=True)
    os.close(reading)
    assert ended == attach.Attachment(0)
    assert b"".join(data.removeprefix(b"\x00") for data in got) == b"ip route\n\x00\xff"
    assert {data[:1] for data in got} == {b"\x00"}
    assert query["stdin"] == "true"


async def test_a_terminal_is_raw_meanwhile_and_tells_its_size() -> None:
    """Ctrl-C reaches the container, the size is sent now and when it changes, and the terminal is as before at last."""
    keyboard, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    before = termios.tcgetattr(terminal)
    got: list[bytes] = []

    async def script(socket: web.WebSocketResponse) -> None:
        got.append(await socket.receive_bytes())
        termios.tcsetwinsize(terminal, (50, 132))
        os.kill(os.getpid(), signal.SIGWINCH)
        got.append(await socket.receive_bytes())
        raw.append(termios.tcgetattr(terminal))
        os.write(keyboard, b"\x03")
        got.append(await socket.receive_bytes())
        await socket.send_bytes(SUCCESS)

    raw: list[object] = []
    with stdin(terminal):
        ended, query = await attached(script, interactive=True, terminal=True)
    assert ended == attach.Attachment(0)
    assert [json.loads(each[1:]) for each in got[:2]] == [{"Width": 80, "Height": 24}, {"Width": 132, "Height": 50}]
    assert {each[0] for each in got[:2]} == {4}
    assert got[2] == b"\x00\x03"
    assert raw[0] != before
    assert termios.tcgetattr(terminal) == before
    assert (query["tty"], query["stderr"]) == ("true", "false")  # a terminal has one stream for both
    os.close(keyboard)
    os.close(terminal)


async def test_the_terminal_is_restored_after_an_interruption() -> None:
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    opened = asyncio.Event()

    async def script(socket: web.WebSocketResponse) -> None:
        await socket.receive_bytes()
        opened.set()
        await socket.receive()

    with stdin(terminal):
        task = asyncio.create_task(attached(script, interactive=True, terminal=True))
        await opened.wait()
        assert termios.tcgetattr(terminal) != before
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert termios.tcgetattr(terminal) == before
    os.close(keyboard)
    os.close(terminal)


@pytest.mark.parametrize(
    ("data", "ended"),
    [
        ({"status": "Success"}, attach.Attachment(0)),
        (
            {
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "message": "command terminated with exit code 7",
                "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
            },
            attach.Attachment(7),
        ),
        (
            {"status": "Failure", "reason": "InternalError", "message": "container not running (c)"},
            attach.Attachment(why="container not running (c)"),
        ),
        ({"status": "Failure", "reason": "NonZeroExitCode", "details": None}, None),
        ("no status", None),
        ([], None),
    ],
)
def test_the_end_is_what_the_status_says(data: object, ended: attach.Attachment | None) -> None:
    """A Status that cannot be understood is shown, and is never taken for success."""
    text = json.dumps(data)
    assert attach.outcome(text.encode()) == (ended or attach.Attachment(why=text))


async def test_a_connection_that_breaks_is_no_success() -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01half")

    ended, _ = await attached(script)
    assert ended == attach.Attachment(None, "the connection was closed", output=True)


async def test_a_refusal_has_the_words_of_the_api_server() -> None:
    """The client of the library drops them: the API server is asked again, without an upgrade."""
    status = {"kind": "Status", "reason": "Forbidden", "message": "pods/attach is forbidden"}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(status, status=403)

    async with asyncio.timeout(60), serving.gateway_to(answer) as api:
        with pytest.raises(gateway.ApiError) as raised:
            await attach.attach(api, PATH, interactive=False, terminal=False, opened=nothing)
    assert (raised.value.status, raised.value.message) == (403, "pods/attach is forbidden")


async def test_a_server_with_other_protocols_is_refused() -> None:
    """Without v5 the end of the input could not be sent."""

    async def answer(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        await socket.receive()
        return socket

    async with asyncio.timeout(60), serving.gateway_to(answer) as api:
        with pytest.raises(gateway.ApiError, match=r"v5\.channel\.k8s\.io"):
            await attach.attach(api, PATH, interactive=False, terminal=False, opened=nothing)


async def test_a_reader_that_is_gone_ends_the_stream() -> None:
    """stdout is a pipe that nobody reads any more: the session ends, although the container goes on."""

    async def script(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01lost")
        await socket.receive()

    reading, writing = os.pipe()
    os.close(reading)
    before = os.dup(1)
    os.dup2(writing, 1)
    try:
        with pytest.raises(BrokenPipeError):
            await attached(script)
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(writing)
