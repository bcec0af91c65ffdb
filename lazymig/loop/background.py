"""Work that nobody waits for: a bounded amount at a time, and what is above the bound is refused, never queued."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine

from lazymig.loop.turns import let_others_run


class Allowance:
    """So many per second at most, and a tenth of that at once; None for no bound."""

    def __init__(self, per_s: float | None) -> None:
        self._per_s = per_s
        # Two at least: a bound of one would cut off the fraction that each grant leaves.
        self._most = self._left = 0.0 if per_s is None else max(per_s / 10, 2.0)
        self._at_s: float | None = None

    def take(self, wanted: int, now_s: float) -> int:
        """Return how many of the wanted ones are allowed now. `now_s` never goes back."""
        if self._per_s is None:
            return wanted
        if self._at_s is not None:
            self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        allowed = min(wanted, int(self._left))
        self._left -= allowed
        return allowed


class Background:
    """Runs work in tasks of their own. Their errors must be handled by the work itself.

    Args:
        limit: The sum of the sizes of the work that runs at a time, at most.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._running: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Lock()

    @property
    def free(self) -> int:
        """How much may start now."""
        return self._free

    @property
    def running(self) -> frozenset[asyncio.Task[None]]:
        """The work that is not over."""
        return frozenset(self._running)

    def start(self, work: Coroutine[object, None, None], size: int = 1) -> None:
        """Start work of this size, which must be free."""
        self._free -= size
        # In a new context: the caller's deadline and trace end with the caller.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._running.add(task)
        # A callback and no `finally` in the work: a task that is cancelled before its first step runs none of it.
        task.add_done_callback(lambda done: self._forget(done, size))

    def _forget(self, done: asyncio.Task[None], size: int) -> None:
        self._running.discard(done)
        self._free += size

    async def wait_for_turn(self) -> None:
        """Wait until no other work computes in this turn of the event loop.

        Results often arrive together. Callers wait for one computation at most then, not for all of them.
        """
        async with self._gate:
            await let_others_run()

    async def drain(self, within_s: float) -> None:
        """Wait for running work, at most this many seconds, and cancel the rest."""
        running = set(self._running)
        if running:
            _, rest = await asyncio.wait(running, timeout=within_s)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
