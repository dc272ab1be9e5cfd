"""TCP between two processes on loopback, through which a test can stop what passes."""

import asyncio
import contextlib

from tests.faults import loop

CHUNK = 1 << 16


class Relay(loop.InThread):
    """Listens on `port`. A subclass joins each connection to the server, and passes nothing while `_flowing` is not
    set.
    """

    def __init__(self) -> None:
        super().__init__()
        self._flowing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def hold(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.set)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes in one connection, until an end of it closes."""
        raise NotImplementedError

    async def _start(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the end of the relay, which asyncio would report
                await self._join(reader, writer)
        except* OSError:
            pass
        finally:
            writer.close()
            self._tasks.discard(task)
