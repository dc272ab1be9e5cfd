"""A terminal, or two pipes, attached to a container: the protocol v5.channel.k8s.io on a WebSocket.

Each message is a byte for the channel, and its data. The protocol is described in k8s.io/apimachinery,
pkg/util/remotecommand. What the container writes reaches the terminal as it is: that is what the person asked for.

stdin is read and stdout is written by threads that nothing waits for, because a terminal or a pipe may block for good,
and the session must end all the same.
"""

import asyncio
import contextlib
import enum
import json
import os
import queue
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import aiohttp

from hostnetwork_operator.act import gateway

PROTOCOL: Final = "v5.channel.k8s.io"
_LOG_PROTOCOL: Final = "binary.k8s.io"
_PIECE_BYTES: Final = 32 * 1024
# As kubectl: it pings every 5 s, and gives up after 60 s without any message. Load balancers forget a connection that
# is quiet for a minute.
_PING_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 60.0
Result = TypeVar("Result")


class _Channel(enum.IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255  # the data is the channel that ends


@dataclass(frozen=True, slots=True)
class Attachment:
    """How a stream ended. `status` is the exit status of the process if the API server told it, else None. `why` says
    what went wrong, and is empty if nothing did. `output`: the container has written something.
    """

    status: int | None = None
    why: str = ""
    output: bool = False


async def attach(
    api: gateway.Gateway, path: str, *, interactive: bool, terminal: bool, opened: Callable[[], None]
) -> Attachment:
    """Connect stdin, stdout and stderr of this process with a container until the container's end closes the stream.

    `path` is that of the subresource, without the query. With `interactive`, stdin goes to the container. With
    `terminal`, the terminal of this process is raw meanwhile, and tells the container its size. `opened` is called when
    the stream is open. Raise gateway.ApiError if the stream cannot be opened.
    """
    truth = {True: "true", False: "false"}
    query = f"stdin={truth[interactive]}&stdout=true&stderr={truth[not terminal]}&tty={truth[terminal]}"
    separator = "&" if "?" in path else "?"
    async with api.stream(f"{path}{separator}{query}", PROTOCOL) as socket:
        opened()
        with _raw_terminal() if terminal else contextlib.nullcontext():
            return await _carry(socket, interactive=interactive, terminal=terminal)


async def _carry(socket: aiohttp.ClientWebSocketResponse, *, interactive: bool, terminal: bool) -> Attachment:
    """Carry data in both directions until the stream ends."""
    tasks = [asyncio.create_task(_ping(socket))]
    if interactive:
        tasks.append(asyncio.create_task(_send_input(socket)))
    if terminal:
        tasks.append(asyncio.create_task(_send_sizes(socket)))
    try:
        return await _receive(socket)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> Attachment:
    files = {_Channel.STDOUT: 1, _Channel.STDERR: 2}
    writers = {channel: _CallThread() for channel in files}
    ended, output = None, False
    while True:
        try:
            message = await socket.receive(_SILENCE_SECONDS)
        except TimeoutError:
            ended = ended or Attachment(why=f"the API server has sent nothing for {_SILENCE_SECONDS:.0f} s")
            break
        if message.type is not aiohttp.WSMsgType.BINARY:
            break
        channel, data = message.data[0], message.data[1:]
        if channel in files and data:
            output = True
            await writers[_Channel(channel)].run(_write, files[_Channel(channel)], data)
        elif channel == _Channel.ERROR and data:
            ended = outcome(data)
    return replace(ended or Attachment(why="the connection was closed"), output=output)


def outcome(data: bytes) -> Attachment:
    """Return what the API server says about the end of a stream, in a Status (k8s.io/apimachinery, metav1.Status)."""
    try:
        status = json.loads(data)
        if status["status"] == "Success":
            return Attachment(0)
        if status.get("reason") == "NonZeroExitCode":
            causes = status["details"]["causes"]
            return Attachment(next(int(each["message"]) for each in causes if each["reason"] == "ExitCode"))
        return Attachment(why=str(status["message"]))
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return Attachment(why=data[:1000].decode(errors="replace"))


async def _ping(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await asyncio.sleep(_PING_SECONDS)
        await socket.ping()


async def _send_input(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Send what is read from stdin, and its end. One piece is read when the piece before has been sent."""
    reader = _CallThread()
    while data := await reader.run(_read):
        await socket.send_bytes(bytes([_Channel.STDIN]) + data)
    await socket.send_bytes(bytes([_Channel.CLOSE, _Channel.STDIN]))


async def _send_sizes(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Send the size of the terminal now, and when the size changes."""
    changed = asyncio.Event()
    changed.set()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            await changed.wait()
            changed.clear()
            size = os.get_terminal_size(0)
            await socket.send_bytes(bytes([_Channel.RESIZE]) + resize(size.columns, size.lines))
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


def resize(columns: int, lines: int) -> bytes:
    """Return the data of a message about the size of the terminal (k8s.io/client-go, remotecommand.TerminalSize)."""
    return json.dumps({"Width": columns, "Height": lines}).encode()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Have each key reach the container as it is typed, Ctrl-C too, and restore the terminal at the end."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(0, termios.TCSANOW, before)  # waits for nothing, unlike TCSADRAIN


class _CallThread:
    """A thread for blocking calls, one after another. The end of the process does not wait for it."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def run(self, call: Callable[..., Result], *arguments: object) -> Result:
        """Return what the call returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def ended(result: Result | None, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = call(*arguments)
            except Exception as caught:
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits for the result
                loop.call_soon_threadsafe(ended, result, error)

        self._calls.put(work)
        return await future

    def _work(self) -> None:
        while True:
            self._calls.get()()


def _read() -> bytes:
    """Return a piece of stdin, b'' at its end. A terminal that is gone is an end too."""
    try:
        return os.read(0, _PIECE_BYTES)
    except OSError:
        return b""


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


async def show_log(api: gateway.Gateway, path: str) -> None:
    """Write the log of a container to stdout. `path` is that of the subresource. Raise gateway.ApiError."""
    writer = _CallThread()
    async with api.stream(path, _LOG_PROTOCOL) as socket:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                await writer.run(_write, 1, message.data)
