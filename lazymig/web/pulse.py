"""The looks at one migration: one per interval while somebody watches, and none while nobody does."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable

from attrs import evolve
from pymongo.errors import PyMongoError

from lazymig.errors import LazymigError
from lazymig.repository import calls_of
from lazymig.status.looking import AnyRepository
from lazymig.web.snapshot import Snapshot

#: Looks a migration up, given what was found before.
Look = Callable[[Snapshot | None], Awaitable[Snapshot]]


class Pulse:
    """Looks a migration up once per interval for all who watch, and hands each of them the newest snapshot.

    A look that fails leaves the last snapshot, with the reason why it is not newer.
    """

    def __init__(self, repository: AnyRepository, look: Look, interval_s: float) -> None:
        self._repository = repository
        self._look = look
        self._interval_s = interval_s
        self._clock = calls_of(repository).options.clock
        self._snapshot: Snapshot | None = None
        self._watchers = 0
        self._turn = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")

    def is_of(self, repository: AnyRepository) -> bool:
        """Whether it looks at this repository, or at one with the same calls."""
        return calls_of(self._repository) is calls_of(repository)

    async def now(self) -> Snapshot:
        """Return a snapshot that is at most one interval old. Raises what the first look raises."""
        async with self._looking:
            if self._snapshot is None or self._clock.monotonic() - self._looked_at >= self._interval_s:
                self._snapshot = await self._refresh(self._snapshot)
            return self._snapshot

    async def watch(self) -> AsyncGenerator[Snapshot]:
        """Yield the present snapshot, and each later one. A watcher that is slow misses some, and never waits."""
        self._watchers += 1
        try:
            seen = await self.now()
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            while True:
                yield seen
                seen = await self._next(seen)
        finally:
            self._watchers -= 1
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _next(self, seen: Snapshot) -> Snapshot:
        async with self._turn:
            await self._turn.wait_for(lambda: self._snapshot is not seen)
        assert self._snapshot is not None
        return self._snapshot

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._interval_s)
            await self.now()
            async with self._turn:
                self._turn.notify_all()

    async def _refresh(self, before: Snapshot | None) -> Snapshot:
        self._looked_at = self._clock.monotonic()
        try:
            return await self._look(before)
        except (PyMongoError, LazymigError) as error:
            if before is None:
                raise
            return evolve(before, trouble=type(error).__name__)
