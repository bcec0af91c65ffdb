"""Callers that never stop while a test looks on, which waits for what they did and not for time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from attrs import frozen

from lazymig import AlreadyExists, Contention, NotFound
from lazymig.control import BEAT_S
from tests.clocks import StandingClock

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
        #: How many calls each caller has made.
        self._made: list[int] = []

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

    async def turn(self) -> None:
        """Return when no call is under way any more that was when this began."""
        before = list(self._made)
        while self._going and any(now == then for now, then in zip(self._made, before, strict=False)):
            await self.after(1)

    @asynccontextmanager
    async def at_work(self, **how_many: int) -> AsyncIterator[None]:
        """Let so many of each kind work within the with statement, which ends at once where one of them fails."""
        self._going, self._made = True, []
        async with asyncio.TaskGroup() as group:
            for name, count in how_many.items():
                for _ in range(count):
                    group.create_task(self._go_on(name, len(self._made)))
                    self._made.append(0)
            try:
                yield
            finally:
                self._going = False

    async def _go_on(self, name: str, number: int) -> None:
        kind = self._kinds[name]
        while self._going:
            with suppress(*kind.passing):
                await kind.call()
            self._made[number] += 1
            self.done[name] += 1
            self._turn.set()


class CrowdClock(StandingClock):
    """Time passes only while somebody sleeps, and no call of a crowd takes longer than a sleep.

    So a call that a slow machine holds up is no older than the minimum age of a mismatch.
    """

    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self._crowd = crowd

    async def sleep(self, delay_s: float) -> None:
        """Wait until the calls that are under way have ended; a heartbeat waits for the end of its work."""
        if delay_s >= BEAT_S:
            await asyncio.get_running_loop().create_future()
        await self._crowd.turn()
        self.move(delay_s)
