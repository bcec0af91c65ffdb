"""The only door to time, sleep and randomness, so that tests and the explorer can close it."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What lazymig needs of the world's time."""

    def now(self) -> datetime:
        """The time of day: naive UTC in whole milliseconds, as BSON stores it."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""

    def random(self) -> float:
        """A number in [0, 1), for jitter."""

    async def sleep(self, delay_s: float) -> None:
        """Let others run for about `delay_s` seconds."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        moment = datetime.now(UTC).replace(tzinfo=None)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        return time.monotonic()

    def random(self) -> float:
        return random.random()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


SYSTEM_CLOCK: Clock = SystemClock()


def unused_step(clock: Clock) -> int:
    """How far above what V2 knows an inserted entity's revisions begin: a number that nobody used before.

    V2 may not know which revision V1 had: where nothing has migrated the entity, and after a purge. Were a new entity
    to begin at one that a deleted one had, a writer who read the deleted one (an insert announces itself, an update
    reads V1, a delete removes it, the insert stores) would win its compare-and-set against the new one. Any higher
    integer is a valid revision, so no clock and no counter is needed.
    """
    return 1 + int(clock.random() * 2**40)
