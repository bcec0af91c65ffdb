"""A loopback proxy that cuts connections at a chosen command: before the server got it, or after it was carried out.

It can also hang there, as a server does that is stopped or out of reach: connections stay, and nothing is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import bson
from attrs import define

_HEADER = 16
_OP_MSG = 2013


@define
class Cut:
    """Cut the next `times` connections that send this command to this collection, after `spared` of them.

    With `hangs` the first of them lets all connections hang until `Proxy.go_on`.
    """

    command: str
    collection: str
    when: Literal["before", "after"]
    times: int
    spared: int = 0
    hangs: bool = False

    def matches(self, message: bytes) -> bool:
        """Whether this message is the command; counts down when it is."""
        if self.times <= 0 or int.from_bytes(message[12:16], "little") != _OP_MSG or message[20] != 0:
            return False
        length = int.from_bytes(message[21:25], "little")
        body: dict[str, Any] = bson.decode(message[21 : 21 + length])
        name = next(iter(body))
        if (name, body[name]) != (self.command, self.collection):
            return False
        if self.spared:
            self.spared -= 1
            return False
        self.times -= 1
        return True


class Proxy:
    """Forwards to one server; `cut` says what happens next. Where it is `closed`, nobody gets through."""

    def __init__(self, port: int) -> None:
        self._target = port
        #: The open connections, each with the client's side of it.
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.port = 0
        self.cut: Cut | None = None
        self.cuts = 0
        self.closed = False
        self._going = asyncio.Event()
        self._going.set()

    @property
    def hangs(self) -> bool:
        """Whether nothing is answered."""
        return not self._going.is_set()

    def hang(self) -> None:
        """Keep all that is sent back, in both directions."""
        self._going.clear()

    def go_on(self) -> None:
        """Hand on what was kept back."""
        self._going.set()

    def close(self) -> None:
        """Cut all connections, and let nobody through until `closed` is False again."""
        self.closed = True
        for connection in self._connections:
            connection.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Listen within the block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            left = dict(self._connections)
            for connection in left:
                connection.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            # Also of those that had not begun.
            await _close(*left.values())

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.close()
            return
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
        carried_out = asyncio.Event()
        pumps = [
            asyncio.create_task(self._requests(reader, downstream, carried_out)),
            asyncio.create_task(self._replies(upstream, writer, carried_out)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Before anything is awaited, which may be cancelled.
            for side in (writer, downstream):
                side.close()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await _close(writer, downstream)

    async def _requests(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, carried_out: asyncio.Event
    ) -> None:
        while True:
            header = await reader.readexactly(_HEADER)
            message = header + await reader.readexactly(int.from_bytes(header[:4], "little") - _HEADER)
            await self._going.wait()
            if self.cut is not None and self.cut.matches(message):
                self.cuts += 1
                if self.cut.hangs:
                    self.hang()
                    if self.cut.when == "before":
                        await self._going.wait()
                elif self.cut.when == "before":
                    return
                else:
                    carried_out.set()
            server.write(message)
            await server.drain()

    async def _replies(
        self, server: asyncio.StreamReader, writer: asyncio.StreamWriter, carried_out: asyncio.Event
    ) -> None:
        while data := await server.read(2**16):
            await self._going.wait()
            if carried_out.is_set():
                return  # the server has answered, so it has done it; the client will never know
            writer.write(data)
            await writer.drain()


async def _close(*sides: asyncio.StreamWriter) -> None:
    for side in sides:
        side.close()
    for side in sides:
        with contextlib.suppress(OSError):
            await side.wait_closed()
