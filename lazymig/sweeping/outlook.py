"""The progress of a whole pass, beyond one process's counts: what is done, what remains, what is dirty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from lazymig.loop.clock import Clock
from lazymig.sweeping.report import Left, Progress, progress_of

#: Seconds between two counts, at least, and how many times longer than a count: counting must cost little.
_LOOK_EVERY_S, _LOOKS_APART = 1.0, 20.0


class Outlook:
    """Counts what is left from time to time. What it reports never goes back and never exceeds the total."""

    def __init__(
        self,
        clock: Clock,
        counts: Counter[str],
        swept: Callable[[], Awaitable[int]],
        count: Callable[[], Awaitable[int]],
        look: Callable[[], Awaitable[Left]],
    ) -> None:
        """`count` counts the ids that the run is about, `look` what is left, `swept` what all processes have done."""
        self._clock = clock
        self._counts = counts
        self._swept, self._count, self._look = swept, count, look
        self.total = 0
        self._started_s = self._look_at_s = 0.0
        self._others = self._before = 0
        self._remaining: int | None = None
        self._dirty = 0

    async def begin(self) -> None:
        """Begin a run."""
        self._started_s = self._look_at_s = self._clock.monotonic()
        self.total = await self._count()
        self._others, self._before, self._remaining, self._dirty = 0, 0, None, 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock.monotonic() - self._started_s

    async def look(self) -> Left:
        """Count what remains and what is dirty now, regardless of what was reported before."""
        began_s = self._clock.monotonic()
        left = await self._look()
        self._others = max(self._others, await self._swept() - self._counts["scanned"])
        if self._remaining is None:
            self._before = self._others
        # What remains can only decrease, because inserts are announced in V2 first. Where it seems to grow, the two
        # estimates were of different moments.
        self._remaining = left.remaining if self._remaining is None else min(self._remaining, left.remaining)
        self._dirty = left.dirty
        ended_s = self._clock.monotonic()
        self._look_at_s = ended_s + max(_LOOK_EVERY_S, (ended_s - began_s) * _LOOKS_APART)
        return left

    async def progress(self, *, waiting: bool = False) -> Progress:
        """Return the run's progress; count again if the last count is old."""
        if self._remaining is None or self._clock.monotonic() >= self._look_at_s:
            await self.look()
        left = Left(self._remaining or 0, self._dirty)
        done = self._counts["scanned"] + self._others
        return progress_of(self._counts, self.total, done, self._before, left, self.elapsed_s, waiting=waiting)
