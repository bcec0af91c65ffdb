"""Time, sleep and randomness. All of lazymig uses them from here, so that tests and the explorer can replace them."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time and randomness. Tests pass their own to control both."""

    def now(self) -> datetime:
        """Return the time of day: naive UTC in whole milliseconds, as BSON stores it."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start. They never go back, and pass while the machine is suspended."""

    def random(self) -> float:
        """Return a number in [0, 1), for jitter."""

    async def sleep(self, delay_s: float) -> None:
        """Sleep for about `delay_s` seconds."""


#: Linux's `time.monotonic` stands while the machine is suspended, and a lease must not.
_THROUGH_SLEEP: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        moment = datetime.now(UTC).replace(tzinfo=None)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        return time.monotonic() if _THROUGH_SLEEP is None else time.clock_gettime(_THROUGH_SLEEP)

    def random(self) -> float:
        return random.random()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


SYSTEM_CLOCK: Clock = SystemClock()


def pick_step(clock: Clock) -> int:
    """Return how far a write raises a revision where nobody announces it: to a number that was hardly ever used.

    A document may get an earlier revision back: other programs put it back as they read it, and a fail-over takes back
    what the majority does not have. If the next write then took the next number, it could be that of a write that is
    gone, and a slow writer that saw that one would win. An Int64 has room for 2**43 steps.
    """
    return 1 + int(clock.random() * 2**20)


def pick_unused_step(clock: Clock) -> int:
    """Return how far above V2's intent the revisions of a new entity start: a number that was never used before.

    V2 may not know V1's last revision: it never held the entity, or it was purged. If a new entity started at a
    revision that a deleted one had, a writer that read the deleted one would win its compare-and-set against the new
    one: an insert announces, an update reads V1, a delete removes the entity, the insert stores. Any higher integer is
    a valid revision, so neither a clock nor a counter is needed.
    """
    return 1 + int(clock.random() * 2**40)
