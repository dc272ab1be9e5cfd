"""The network between one process and the API server, which a test can cut and mend.

While the cable is cut, connections stay open and nothing passes, as when packets are dropped. Bytes that were under way
arrive when the cable is mended, even on connections that their sender has given up by then.
"""

import asyncio
import contextlib

from tests.faults import loop

_CHUNK = 1 << 16


class Cable(loop.InThread):
    """TCP from `port` to the API server's port, both on loopback."""

    def __init__(self, server_port: int) -> None:
        super().__init__()
        self._server_port = server_port
        self._whole = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        self._loop.call_soon_threadsafe(self._whole.set)

    async def _start(self) -> None:
        self._whole.set()
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
        with contextlib.suppress(asyncio.CancelledError):  # the end of the cable, which asyncio would report
            await self._join(reader, writer)
        self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._whole.wait()
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, to_server))
                group.create_task(self._pass(from_server, writer))
        except* OSError:
            pass
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(_CHUNK):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
            await self._whole.wait()
