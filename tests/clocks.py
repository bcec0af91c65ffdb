"""Clocks that only the test moves, for what is done at intervals and for what is bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from lazymig.loop.clock import SYSTEM_CLOCK, Clock, SystemClock


class CountingClock(SystemClock):
    """The machine's clock, whose random numbers are the lowest: what rises by a random step rises by one."""

    def random(self) -> float:
        """The lowest number."""
        return 0.0


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


class RestlessClock(StandingClock):
    """It stands until it is moved, and sleeps end soon all the same: what looks again and again goes on doing so."""

    async def sleep(self, delay_s: float) -> None:
        """Sleep for a moment of the machine's time."""
        await SYSTEM_CLOCK.sleep(min(delay_s, 0.02))


class LoopTime:
    """The time of the event loop, by which deadlines end. It stands until it is moved, however slow the machine is."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s

    def __call__(self) -> float:
        return self._now_s

    def move(self, by_s: float) -> None:
        """Let this much time pass."""
        self._now_s += by_s


@contextmanager
def standing_loop() -> Iterator[LoopTime]:
    """Within the with statement, only the test moves the time of the running event loop."""
    loop: Any = asyncio.get_running_loop()
    passes = loop.time
    loop.time = time = LoopTime(passes())
    try:
        yield time
    finally:
        loop.time = passes


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
