"""Write-behind: V2 bodies stored behind the caller, from a bounded queue.

Only steps whose loss is safe go here: a V2 body that is never stored leaves V2 absent or dirty, which means "ask V1".
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pymongo

R = TypeVar("R")


class Behind:
    """Runs steps at once, or (with `limit` > 0) behind the caller, at most `limit` at a time."""

    def __init__(self, limit: int = 0, timeout_s: float | None = None) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[Any]] = set()

    async def do(self, step: Callable[[], Coroutine[Any, Any, R]], assumed: R) -> R:
        """The step's result, or `assumed` when it was put behind. A full queue makes the caller do the step itself."""
        if len(self._running) >= self._limit:
            return await step()
        # A context of its own: the caller's deadline and trace end with the caller.
        task = asyncio.get_running_loop().create_task(self._bounded(step), context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return assumed

    async def _bounded(self, step: Callable[[], Coroutine[Any, Any, R]]) -> R:
        with pymongo.timeout(self._timeout_s):
            return await step()

    async def drain(self) -> None:
        """Wait for every step that is still behind."""
        while self._running:
            await asyncio.gather(*self._running)
