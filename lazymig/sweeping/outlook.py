"""The progress of a whole pass, beyond one process's counts: what is done, what remains, what is dirty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lazymig.loop.clock import Clock
from lazymig.passes.shedding import as_patient_as
from lazymig.protocol.pair import Pair
from lazymig.stores.counts import Counts
from lazymig.sweeping.holdings import look_up_holdings, show_holdings
from lazymig.sweeping.report import Left, Progress, progress_of

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds between two counts, at least, and how many times longer than a count: counting must cost little.
_LOOK_EVERY_S, _LOOKS_APART = 1.0, 20.0


class Outlook:
    """Counts both collections from time to time. What it reports never goes back and never exceeds the total."""

    def __init__(
        self,
        pair: Pair[V1, V2],
        clock: Clock,
        counts: Counter[str],
        swept: Callable[[], Awaitable[int]],
        count: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        v1, v2 = pair.v1, pair.bodies
        self._v1, self._v2 = as_patient_as(v1, Counts(v1)), as_patient_as(v2, Counts(v2))
        self._clock, self._tally = clock, pair.tally
        self._counts = counts
        self._swept = swept
        #: Counts the ids of V1 that the run is about, where these are not all.
        self._count = count or self._v1.count_all
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
        # V1 first: entities that are inserted in between are in V2 and do not count as remaining.
        v1, held = await self._v1.count_all(), await look_up_holdings(self._v2)
        left = Left(held.remaining(v1), held.dirty)
        show_holdings(self._tally, v1, held)
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
