"""Steps that follow an answer: V2 bodies, stored before the caller goes on or (write-behind) from a bounded queue.

Only steps whose loss is safe go here: a V2 body that is never stored leaves V2 absent or dirty, which means "ask V1".
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pymongo.errors import NetworkTimeout

from lazymig.deadline import Deadline

R = TypeVar("R")


class Behind:
    """Runs steps at once, or (with `limit` > 0) behind the caller, at most `limit` at a time.

    A step may take `timeout_s` seconds; then `late` is called, and it has not happened as far as anyone knows.
    """

    def __init__(self, limit: int = 0, timeout_s: float | None = None, late: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._late = late
        self._running: set[asyncio.Task[Any]] = set()

    async def do(self, step: Callable[[], Coroutine[Any, Any, R]], assumed: R) -> R:
        """The step's result, or `assumed` when it was put behind or took too long.

        A full queue makes the caller do the step itself.
        """
        if len(self._running) >= self._limit:
            return await self._bounded(step, assumed)
        # A context of its own: the caller's deadline and trace end with the caller.
        work = self._bounded(step, assumed)
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return assumed

    async def _bounded(self, step: Callable[[], Coroutine[Any, Any, R]], assumed: R) -> R:
        try:
            async with Deadline(self._timeout_s):
                return await step()
        except NetworkTimeout:
            self._late()
            return assumed

    async def drain(self) -> None:
        """Wait for every step that is still behind."""
        while self._running:
            await asyncio.gather(*self._running)
