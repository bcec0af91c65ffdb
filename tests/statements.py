"""Statements of a store that are sent late or never."""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo.errors import AutoReconnect


class Held:
    """A store's statement that has not been sent yet."""

    def __init__(self, store: Any, statement: str) -> None:
        self.reached, self._go = asyncio.Event(), asyncio.Event()
        original = getattr(store, statement)

        async def late(*arguments: Any, **options: Any) -> Any:
            self.reached.set()
            await self._go.wait()
            return await original(*arguments, **options)

        setattr(store, statement, late)

    def go(self) -> None:
        """Send it."""
        self._go.set()

    async def until(self, call: Any) -> asyncio.Task[Any]:
        """Start a call, and return when it stands before the statement."""
        task = asyncio.create_task(call)
        await asyncio.wait_for(self.reached.wait(), 30)
        return task


def never_sent(store: Any, statement: str) -> None:
    """Let the store's statements of this kind never arrive."""

    async def lost(*_: Any, **__: Any) -> Any:
        raise AutoReconnect("gone")

    setattr(store, statement, lost)
