"""Callers that never stop while a test looks on, which waits for what they did and not for time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from attrs import frozen

from lazymig import AlreadyExists, Contention, NotFound

#: What clients of either door meet in others' company.
MET = (NotFound, AlreadyExists, Contention)


@frozen
class Kind:
    """One kind of callers: the call that they repeat, and the errors that are no reason to stop."""

    call: Callable[[], Awaitable[object]]
    passing: tuple[type[Exception], ...] = MET


class Crowd:
    """Callers of several kinds, by name, and how many calls each kind has made."""

    def __init__(self, **kinds: Kind) -> None:
        self._kinds = kinds
        self._going = False
        self._turn = asyncio.Event()
        self.done: Counter[str] = Counter()

    async def after(self, count: int) -> None:
        """Return when all together made so many more calls."""
        aim = self.done.total() + count
        while self.done.total() < aim:
            self._turn.clear()
            await self._turn.wait()

    async def each(self, count: int) -> None:
        """Return when each kind has made so many calls at least."""
        while min(self.done[name] for name in self._kinds) < count:
            await self.after(1)

    @asynccontextmanager
    async def at_work(self, **how_many: int) -> AsyncIterator[None]:
        """Let so many of each kind work within the with statement, which ends at once where one of them fails."""
        self._going = True
        async with asyncio.TaskGroup() as group:
            for name, count in how_many.items():
                for _ in range(count):
                    group.create_task(self._go_on(name))
            try:
                yield
            finally:
                self._going = False

    async def _go_on(self, name: str) -> None:
        kind = self._kinds[name]
        while self._going:
            with suppress(*kind.passing):
                await kind.call()
            self.done[name] += 1
            self._turn.set()
