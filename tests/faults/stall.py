"""A link from an API server to etcd that can hold up the watch of one kind while everything else passes.

A kube-apiserver has separate connections for each kind, and etcd's keys appear on them in clear (gRPC without TLS on
loopback). The link recognizes the connections of a kind by the requests of the API server on them.
"""

import asyncio
import contextlib

from tests.faults import relay


class Link(relay.Relay):
    """TCP from `port` to etcd. After `hold`, no answer passes on connections on which `key` was requested."""

    def __init__(self, etcd_port: int, key: bytes) -> None:
        super().__init__()
        self._etcd_port = etcd_port
        self._key = key
        self.connections = 0
        self.marked = 0

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        marked = asyncio.Event()
        from_etcd, to_etcd = await asyncio.open_connection("127.0.0.1", self._etcd_port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask(reader, to_etcd, marked))
            group.create_task(self._answer(from_etcd, writer, marked))

    async def _ask(self, reader: asyncio.StreamReader, to_etcd: asyncio.StreamWriter, marked: asyncio.Event) -> None:
        with contextlib.closing(to_etcd):
            while data := await reader.read(relay.CHUNK):
                if self._key in data and not marked.is_set():
                    marked.set()
                    self.marked += 1
                to_etcd.write(data)
                await to_etcd.drain()

    async def _answer(
        self, from_etcd: asyncio.StreamReader, writer: asyncio.StreamWriter, marked: asyncio.Event
    ) -> None:
        while data := await from_etcd.read(relay.CHUNK):
            if marked.is_set():
                await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
