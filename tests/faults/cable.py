"""The network between one process and the API server, which a test can cut and mend.

While the cable is cut, connections stay open and nothing passes, as when packets are dropped. Bytes that were under way
arrive when the cable is mended, even on connections that their sender has given up by then.
"""

import asyncio
import contextlib

from tests.faults import relay


class Cable(relay.Relay):
    """TCP from `port` to the API server's port, both on loopback. `hold` cuts the cable, `release` mends it."""

    def __init__(self, server_port: int) -> None:
        super().__init__()
        self._server_port = server_port

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, to_server))
            group.create_task(self._pass(from_server, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(relay.CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            await self._flowing.wait()
