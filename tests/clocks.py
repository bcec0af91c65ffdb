"""A clock that only the test moves, for what is done at intervals."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from lazymig.loop.clock import Clock, SystemClock


class StandingClock(SystemClock):
    """It stands until it is moved, and sleeps end when it is. It begins at the machine's time."""

    def __init__(self) -> None:
        self.time_s = 100.0
        self._began_at = super().now()
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The time of day."""
        return self._began_at + timedelta(seconds=self.time_s - 100.0)

    def monotonic(self) -> float:
        """The time."""
        return self.time_s

    async def sleep(self, delay_s: float) -> None:
        """Wait until the clock is moved so far."""
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self.time_s + delay_s, wake))
        await wake

    @property
    def sleepers(self) -> int:
        """How many tasks sleep."""
        return sum(not wake.done() for _, wake in self._sleeping)

    def move(self, by_s: float) -> None:
        """Move it, and wake those whose time has come."""
        self.time_s += by_s
        for at_s, wake in self._sleeping:
            if at_s <= self.time_s and not wake.done():
                wake.set_result(None)


async def settle() -> None:
    """Let all tasks run as far as they can without an answer from elsewhere."""
    for _ in range(20):
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


class GivenTime:
    """The time of a server that goes by a clock that the test passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def now(self) -> datetime:
        """The time of day."""
        return self._clock.now()

    def reckon(self) -> datetime:
        """The same, without asking."""
        return self._clock.now()
