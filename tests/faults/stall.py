"""A link from an API server to etcd that can hold up the watch of one kind while everything else passes.

A kube-apiserver has separate connections for each kind, and etcd's keys appear on them in clear (gRPC without TLS on
loopback). The link recognizes the connections of a kind by the requests of the API server on them.
"""

import asyncio
import contextlib

from tests.faults import loop

_CHUNK = 1 << 16


class Link(loop.InThread):
    """TCP from `port` to etcd. After `hold`, no answer passes on connections on which `key` was requested."""

    def __init__(self, etcd_port: int, key: bytes) -> None:
        super().__init__()
        self._etcd_port = etcd_port
        self._key = key
        self._flowing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = 0
        self.marked = 0

    def hold(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.set)

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
        self.connections += 1
        marked = asyncio.Event()
        try:
            from_etcd, to_etcd = await asyncio.open_connection("127.0.0.1", self._etcd_port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(reader, to_etcd, marked))
                group.create_task(self._answer(from_etcd, writer, marked))
        except* OSError:
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, to_etcd: asyncio.StreamWriter, marked: asyncio.Event) -> None:
        with contextlib.closing(to_etcd):
            while data := await reader.read(_CHUNK):
                if self._key in data and not marked.is_set():
                    marked.set()
                    self.marked += 1
                to_etcd.write(data)
                await to_etcd.drain()

    async def _answer(
        self, from_etcd: asyncio.StreamReader, writer: asyncio.StreamWriter, marked: asyncio.Event
    ) -> None:
        while data := await from_etcd.read(_CHUNK):
            if marked.is_set():
                await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
