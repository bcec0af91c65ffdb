"""Whether others read the collections of a pass: what the server counts, beside what the pass itself has asked.

A pass that has the collections to itself goes at its full width from the start. Beside others it goes in small steps,
because what it has on the way is what their slowest reads wait for.
"""

from __future__ import annotations

from collections.abc import Callable

from lazymig.loop.clock import Clock
from lazymig.stores.soundings import Traffic

#: Seconds between two looks, and between the first two.
_LOOK_EVERY_S, _FIRST_S = 1.0, 0.05
#: Where the server does not say it, it is asked once more after this time.
_UNKNOWN_S = 60.0
#: From how many reads on, of a second and at a time, others are there; other processes of the pass may ask so many
#: times as much as this one. It takes more to begin than to go on.
_PER_S, _AT_ONCE, _SIBLINGS = {False: 50.0, True: 25.0}, {False: 5, True: 2}, {False: 3.0, True: 1.5}


class Company:
    """Looks about once a second whether others are there. `count_own` returns what the pass has asked so far."""

    def __init__(self, clock: Clock, traffic: Traffic, count_own: Callable[[], int]) -> None:
        self._clock = clock
        self._traffic = traffic
        self._count_own = count_own
        #: Whether others are there; None where that is unknown.
        self.present: bool | None = None
        self._before: tuple[float, int, int] | None = None
        self._due_s = float("-inf")

    async def look(self) -> None:
        """Look, if that is due. The first look takes two counts, a moment apart."""
        if self._clock.monotonic() < self._due_s:
            return
        if self._before is None:
            if not await self._compare():
                return
            await self._clock.sleep(_FIRST_S)
        await self._compare()

    async def _compare(self) -> bool:
        """Compare the server's count with the last one. False: it does not say."""
        reads = await self._traffic.count()
        now_s = self._clock.monotonic()
        if reads is None:
            self.present, self._before, self._due_s = None, None, now_s + _UNKNOWN_S
            return False
        own = self._count_own()
        if self._before is not None:
            before_s, before, own_before = self._before
            was, asked = bool(self.present), own - own_before
            few = asked * _SIBLINGS[was] + (now_s - before_s) * _PER_S[was] + _AT_ONCE[was]
            self.present = reads - before - asked - self._traffic.reads_of_a_count > few
        self._before, self._due_s = (now_s, reads, own), now_s + _LOOK_EVERY_S
        return True
