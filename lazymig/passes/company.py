"""Whether others read the collections of a pass: what the server counts, beside what the pass itself has asked.

A pass that has the collections to itself goes at its full width from the start. Beside others it goes in small steps,
because what it has on the way is what their slowest reads wait for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import frozen

from lazymig.loop.clock import Clock
from lazymig.stores.soundings import Traffic

#: Seconds between two looks, and between the counts of the first one, of which there are a few where it is not clear.
_LOOK_EVERY_S, _FIRST_S, _FIRST_COUNTS = 1.0, 0.05, 5
#: Where other processes of the pass are at work already, the first look is taken so many seconds after the start.
_AMONG_SIBLINGS_S = 0.5
#: Where the server does not say it, it is asked once more after this time.
_UNKNOWN_S = 60.0
#: From how many reads on, of a second and at a time, others are there; each other process of the pass may ask so many
#: times as much as this one. It takes more to begin than to go on.
_PER_S, _AT_ONCE, _SIBLING = {False: 50.0, True: 25.0}, {False: 5, True: 2}, {False: 3.0, True: 1.5}


@frozen
class _Count:
    """What was read up to a moment: by all, and by this process for the pass."""

    at_s: float
    reads: int
    own: int


class Company:
    """Looks about once a second whether others are there.

    `count_own` returns what this process has asked for the pass so far, `count_siblings` how many other processes
    take part in the pass.
    """

    def __init__(
        self, clock: Clock, traffic: Traffic, count_own: Callable[[], int], count_siblings: Callable[[], Awaitable[int]]
    ) -> None:
        self._clock = clock
        self._traffic = traffic
        self._count_own = count_own
        self._count_siblings = count_siblings
        #: Whether others are there; None where that is unknown.
        self.present: bool | None = None
        self._before: _Count | None = None
        self._own_counts = 0
        self._due_s = float("-inf")

    async def look(self) -> None:
        """Look, if that is due. The first look takes two counts, a moment apart, and more where these are not clear.

        Where other processes of the pass are at work, the pass begins without knowing.
        """
        if self._clock.monotonic() < self._due_s:
            return
        before = self._before
        if before is not None:
            await self._compare(before)
        elif (first := await self._count()) is not None:
            if await self._count_siblings():
                # Their reads would look like company until this process reads as much as they.
                self._due_s = first.at_s + _AMONG_SIBLINGS_S
                return
            await self._look_first(first)

    async def _look_first(self, first: _Count) -> None:
        for _ in range(_FIRST_COUNTS):
            await self._clock.sleep(_FIRST_S)
            if await self._compare(first):
                return

    async def _count(self) -> _Count | None:
        """Count the reads so far, and note when to look again. None: the server does not say how many they are."""
        reads = await self._traffic.count()
        now_s = self._clock.monotonic()
        self._before, self._due_s = None, now_s + _UNKNOWN_S
        if reads is None:
            self.present = None
            return None
        self._own_counts += self._traffic.reads_of_a_count
        self._before = _Count(now_s, reads, self._count_own() + self._own_counts)
        self._due_s = now_s + _LOOK_EVERY_S
        return self._before

    async def _compare(self, before: _Count) -> bool:
        """Decide from what others have read since a count. False: they read too little for certainty so soon."""
        now = await self._count()
        if now is None:
            return True
        was, asked, elapsed_s = bool(self.present), now.own - before.own, now.at_s - before.at_s
        others = now.reads - before.reads - asked
        few = elapsed_s * _PER_S[was] + _AT_ONCE[was]
        if others > few:
            # Other processes of the pass are no company.
            few += await self._count_siblings() * asked * _SIBLING[was]
        self.present = others > few
        return self.present or others <= elapsed_s * _PER_S[True]
