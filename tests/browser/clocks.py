"""A clock that runs faster than the machine's: what lazymig does every ten seconds is seen within one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from lazymig.loop.clock import SYSTEM_CLOCK, SystemClock

#: Seconds of the machine from one question whether the server answers to the next, and for which time passes after one.
_APART_S, _STEP_S = 0.05, 0.1


class FastClock(SystemClock):
    """A clock whose time passes so many times as fast as the machine's.

    It stands while the machine or the server stalls: leases would end otherwise, since a second of the machine is half
    a minute.
    """

    def __init__(self, haste: float) -> None:
        self._haste = haste
        self._began = super().now()
        #: What had passed when the server answered last, and when that was by the machine's clock.
        self._passed_s, self._answered_s = 0.0, super().monotonic()

    def now(self) -> datetime:
        """Return the time of day, which was the machine's when this clock was made."""
        moment = self._began + timedelta(seconds=self.monotonic())
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Return seconds since this clock was made."""
        return self._passed_s + min(super().monotonic() - self._answered_s, _STEP_S) * self._haste

    async def sleep(self, delay_s: float) -> None:
        """Sleep for a part of it."""
        until_s = self.monotonic() + delay_s
        await SYSTEM_CLOCK.sleep(delay_s / self._haste)
        while self.monotonic() < until_s:
            await SYSTEM_CLOCK.sleep(_APART_S)

    @asynccontextmanager
    async def passing(self, database: Any) -> AsyncIterator[None]:
        """Let time pass within the block, while the server of this database answers."""
        over = asyncio.Event()
        passes = asyncio.get_running_loop().create_task(self._pass(database, over))
        try:
            yield
        finally:
            over.set()
            await passes

    async def _pass(self, database: Any, over: asyncio.Event) -> None:
        while not over.is_set():
            await SYSTEM_CLOCK.sleep(_APART_S)
            await database.command("ping")
            self._passed_s, self._answered_s = self.monotonic(), super().monotonic()
