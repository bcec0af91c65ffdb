"""The feed: events as they come, in batches. The stream is read ahead while a batch is handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from lazymig.loop.clock import Clock
from lazymig.stores.events import Changes, Event, Token


class Batch(NamedTuple):
    """Events in their order, none where nothing happened for a moment; `token` is the position after them."""

    events: Sequence[Event]
    token: Token | None


class Feed:
    """Reads a change stream into batches.

    Args:
        changes: The stream.
        size: Events per batch, at most.
        wait_s: Seconds that a batch waits for more events after its first one.
        clock: The source of time.
    """

    def __init__(self, changes: Changes, *, size: int, wait_s: float, clock: Clock) -> None:
        self._changes = changes
        self._size = size
        self._wait_s = wait_s
        self._clock = clock
        self._read: asyncio.Queue[Event | Token | None] = asyncio.Queue(2 * size)
        self._failure: Exception | None = None

    async def now(self) -> datetime:
        """Return the time of the server that reports the changes, naive UTC."""
        return await self._changes.now()

    async def take_position(self) -> Token:
        """Return the stream's present position: every later change comes after it."""
        return await self._changes.take_position()

    @asynccontextmanager
    async def opened(self, token: Token) -> AsyncIterator[None]:
        """Read from a position on, within the with statement. Raises `PositionLost`."""
        self._read, self._failure = asyncio.Queue(2 * self._size), None
        await self._changes.open(token)
        task = asyncio.create_task(self._read_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._changes.close()

    async def _read_on(self) -> None:
        try:
            while True:
                await self._read.put(await self._changes.next())
        except Exception as error:
            self._failure = error
            await self._read.put(None)  # wakes who waits

    async def take(self) -> Batch:
        """Take the next batch, waiting for its first event. Raises what the stream raised, once all before is taken."""
        found: list[Event] = []
        token: Token | None = None
        while not found:
            if self._failure is not None and self._read.empty():
                raise self._failure
            token = _add(await self._read.get(), found, token)
            if not found and self._read.empty() and self._failure is None:
                return Batch([], token)
        if self._wait_s and self._read.empty():
            await self._clock.sleep(self._wait_s)
        while len(found) < self._size and not self._read.empty():
            token = _add(self._read.get_nowait(), found, token)
        return Batch(found, token)


def _add(one: Event | Token | None, found: list[Event], token: Token | None) -> Token | None:
    if isinstance(one, Event):
        found.append(one)
        return one.token
    return token if one is None else one
