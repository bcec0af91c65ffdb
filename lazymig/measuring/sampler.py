"""Taking samples of how far a migration is, beside what a process does anyway, for the charts of all who look.

Nothing waits for a sample but the end of a pass, for a short time. Where the control collection is slow or away, there
is no sample, and nothing else happens. Of all processes of a migration one counts per time slot.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from lazymig.control import GroupFigures, Parts, Sample, Standing, read_cut_over, sum_up
from lazymig.control.samples import FINE, LEVELS, Level
from lazymig.loop.deadline import Deadline
from lazymig.measuring.held import Held, look_up_held
from lazymig.measuring.holdings import MovedBy, count_moved_by
from lazymig.phases import Phase
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.stores.counts import Counts

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: A pass that is over sooner, in seconds, writes no samples: there are many short ones, and they show no course.
SHORT_S = 2.0
#: Seconds that a sample may take, and the last one of a pass, for which the pass waits.
_TIMEOUT_S, _LAST_S = 5.0, 2.0
#: The kinds of passes whose pace is that of the migration.
_MOVING = frozenset({"sweep", "rewrite"})


class Sampler(Generic[V1, V2]):
    """Takes a sample per slot of its finest level and of each coarser one, unless another process does.

    Args:
        parts: The control collection.
        migration: The migration's name.
        ground: What is counted, by statements that do not wait for a server that reports overload.
        role: What the process does, such as "sweep".
        find_phase: Returns the phase where none is recorded; None, and without a record there is no sample.
        finest: The finest level for which this process counts.
    """

    def __init__(
        self,
        parts: Parts,
        migration: str,
        ground: Pair[V1, V2] | Place[V1, V2],
        role: str,
        find_phase: Callable[[], Phase] | None = None,
        finest: Level = FINE,
    ) -> None:
        self._parts = parts
        self._migration = migration
        self._ground = ground
        self._role = role
        self._find_phase = find_phase
        self._levels = LEVELS[LEVELS.index(finest) :]
        self._samples = parts.samples(migration)
        self._clock = parts.clock
        #: The slots of which this process knows that somebody counts.
        self._taken: dict[Level, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._began_s: float | None = None
        self._due_s = 0.0

    def begin(self) -> None:
        """Begin to take samples: the first one soon, and where slots are long, at some moment of the first slot.

        The processes of a fleet often start together. Sends nothing.
        """
        every_s = self._levels[0].every_s
        self._began_s = self._clock.monotonic()
        self._due_s = self._began_s + (SHORT_S if every_s == FINE.every_s else every_s * self._clock.random())

    def start(self) -> None:
        """Start to take a sample in the background if one is due. Returns at once, and never raises."""
        if self._began_s is None or self._clock.monotonic() < self._due_s or self._is_busy():
            return
        self._put_off()
        # In a new context: the deadline and the session of a call that happens to be under way must not matter.
        self._task = asyncio.get_running_loop().create_task(self._attempt(_TIMEOUT_S), context=contextvars.Context())

    def _is_busy(self) -> bool:
        # What an event loop left behind that is gone says nothing.
        task = self._task
        return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()

    def _put_off(self) -> None:
        """Have the next one taken in the next slot. Not all processes shall ask at the same moment."""
        every_s, now = self._levels[0].every_s, self._clock.now()
        into_s = (now - self._levels[0].begin(now)).total_seconds()
        self._due_s = self._clock.monotonic() + every_s - into_s + self._clock.random() * every_s / 10

    async def finish(self) -> None:
        """Take a last sample, of what a pass has reached, unless the pass was short. Takes a bounded time."""
        began_s = self._began_s
        await self.end()
        if began_s is not None and self._clock.monotonic() - began_s >= SHORT_S:
            await self._attempt(_LAST_S, last=True)

    async def end(self) -> None:
        """End a sample that is under way, and take no more."""
        self._began_s = None
        task, mine = self._task, self._is_busy()
        self._task = None
        if task is not None and mine:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _attempt(self, within_s: float, *, last: bool = False) -> None:
        # A server that is away, a right that is missing, a row that this release cannot read: no sample then. What the
        # process does is more important than its samples, so nothing may pass.
        with suppress(Exception):
            async with Deadline(within_s):
                levels = LEVELS if last else await self._claim()
                found = await self._count(detailed=levels != (FINE,)) if levels else None
                if found is not None:
                    await self._samples.record(found, levels)

    async def _claim(self) -> Sequence[Level]:
        """Claim the present slots; return the levels for which this process is to count."""
        claimed: tuple[Level, ...] = ()
        for level in self._levels:
            slot = level.slot(self._clock.now())
            if self._taken.get(level) == slot:
                continue
            won = await self._samples.claim(level)
            self._taken[level] = slot
            claimed += (level,) if won else ()
            if not claimed:
                break  # who has the finest one asks for the others
        return claimed

    async def _count(self, *, detailed: bool) -> Sample | None:
        parts, name = self._parts, self._migration
        at, standing = self._clock.now(), await parts.phases(name).find()
        unrecorded = self._find_phase() if standing is None and self._find_phase is not None else None
        phase = unrecorded if standing is None else standing.phase
        if phase is None:
            return None
        held = await look_up_held(self._ground)
        moved_by = await self._find_moved_by(held) if detailed or held.place is not None else None
        dead = await parts.letters.count_open(name)
        mismatches = await parts.mismatches.count(name, confirmed=True)
        passing = [one.per_s for one in await parts.runners(name).find_all() if one.kind in _MOVING]
        seen = await self._find_figures(standing)
        return Sample(
            at=at, by=f"{self._role} {socket.gethostname()}:{os.getpid()}",
            phase=str(phase), v1=held.v1, live=held.v2.live, left=held.v2.left, waiting=held.v2.waiting,
            dirty=held.v2.dirty, dead=dead, mismatches=mismatches,
            moved_read=None if moved_by is None else moved_by.read,
            moved_write=None if moved_by is None else moved_by.write,
            moved_sweep=None if moved_by is None else moved_by.sweep,
            per_s=sum(passing) if passing else None,
            v1_p99_s=seen.v1.latency.quantile(0.99), v2_p99_s=seen.v2.latency.quantile(0.99),
            consistency=seen.consistency,
        )  # fmt: skip

    async def _find_moved_by(self, held: Held) -> MovedBy:
        if held.place is not None or isinstance(self._ground, Place):
            assert held.place is not None  # counted by the same statement
            return held.place.moved_by
        return await count_moved_by(Counts(self._ground.bodies), held.v2.live)

    async def _find_figures(self, standing: Standing | None) -> GroupFigures:
        """Find what live reads found of all groups together; nothing where the cut-over is not gradual."""
        summed = GroupFigures()
        if standing is None or standing.phase is not Phase.COEXIST:
            return summed
        cut_over = read_cut_over(standing.settings)
        if cut_over.whole and not cut_over.cohorts:
            return summed
        for group in sum_up(await self._parts.figures(self._migration).find(cut_over)).values():
            summed.add(group)
        return summed
