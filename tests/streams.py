"""What a browser keeps open: a stream of server-sent events, read from an ASGI application without a network."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from attrs import frozen


@frozen
class Event:
    """One event: its name, and what it carries. Comments have the name ":"."""

    name: str
    data: str


class Stream:
    """One open stream. Where it is `stuck`, the client takes nothing."""

    def __init__(self, app: Any, path: str, *, headers: dict[str, str] | None = None, root_path: str = "") -> None:
        self._app = app
        self._gone, self._go = asyncio.Event(), asyncio.Event()
        self._go.set()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._asked = False
        self.status = 0
        self.headers: dict[str, str] = {}
        given = {"host": "test", **(headers or {})}
        self._scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": root_path, "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1), "server": ("test", 80),
        }  # fmt: skip

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        self._task.add_done_callback(lambda _: self._events.put_nowait(None))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Close the connection, and wait until the application has noticed."""
        self._gone.set()
        self._go.set()
        await self._task

    def stick(self) -> None:
        """Take nothing from now on."""
        self._go.clear()

    async def next(self) -> Event:
        """Return the next event."""
        event = await asyncio.wait_for(self._events.get(), 30)
        assert event is not None, "the stream has ended"
        return event

    async def take(self, count: int) -> list[Event]:
        """Return so many events."""
        return [await self.next() for _ in range(count)]

    async def end(self) -> list[Event]:
        """Return what is left, once the application has ended the stream."""
        left = []
        while (event := await asyncio.wait_for(self._events.get(), 30)) is not None:
            left.append(event)
        return left

    @property
    def waiting(self) -> int:
        """How many events nobody has taken."""
        return self._events.qsize()

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self._go.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        for text in message["body"].decode().split("\n\n"):
            if text.strip():
                self._events.put_nowait(parse_event(text))


def parse_event(text: str) -> Event:
    """Return the event that these lines are."""
    name, data = ":" if text.startswith(":") else "", []
    for line in text.strip("\n").split("\n"):
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "retry":
            name, data = "retry", [value]
    return Event(name, "\n".join(data))
