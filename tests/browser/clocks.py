"""A clock that runs faster than the machine's: what lazymig does every ten seconds is seen within one."""

from __future__ import annotations

from datetime import datetime, timedelta

from lazymig.loop.clock import SYSTEM_CLOCK


class FastClock:
    """A clock whose time passes so many times as fast as the machine's."""

    def __init__(self, haste: float) -> None:
        self._haste = haste
        self._began = SYSTEM_CLOCK.now()
        self._began_s = SYSTEM_CLOCK.monotonic()

    def now(self) -> datetime:
        """Return the time of day, which was the machine's when this clock was made."""
        moment = self._began + timedelta(seconds=self.monotonic())
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Return seconds since this clock was made."""
        return (SYSTEM_CLOCK.monotonic() - self._began_s) * self._haste

    def random(self) -> float:
        """Return what the machine's clock does."""
        return SYSTEM_CLOCK.random()

    async def sleep(self, delay_s: float) -> None:
        """Sleep for a part of it."""
        await SYSTEM_CLOCK.sleep(delay_s / self._haste)
