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

from attrs import evolve
from pymongo.errors import ExecutionTimeout

from lazymig.control import GroupFigures, Parts, Sample, Standing, read_cut_over, sum_up
from lazymig.control.samples import COARSE, FINE, LEVELS, MEDIUM, Level
from lazymig.loop.deadline import Deadline
from lazymig.measuring.held import Held, estimate_held, look_up_held
from lazymig.measuring.holdings import SMALL, Holdings, MovedBy, count_moved_by
from lazymig.phases import Phase
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import is_upcasting_only
from lazymig.stores.counts import Counts

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: A pass that is over sooner, in seconds, writes no samples: there are many short ones, and they show no course.
SHORT_S = 2.0
#: Seconds that a sample may take, and the last one of a pass, for which the pass waits.
_TIMEOUT_S, _LAST_S = 5.0, 2.0
#: Milliseconds after which the server ends a statement that counts; of the last sample of a pass, which is waited for.
_COUNT_MS, _LAST_COUNT_MS = 1000, 400
#: The kinds of passes whose pace is that of the migration.
_MOVING = frozenset({"sweep", "rewrite"})


class Sampler(Generic[V1, V2]):
    """Takes a sample per slot of its finest level and of each coarser one, unless another process does.

    What only documents show, and not the collections' numbers and sparse indexes, it counts less often: a pass once per
    middle slot, and a process that only serves clients once per coarse slot. What takes the server too long to count is
    estimated in a sample of documents, and counted again in the next middle slot. Where a sample fails, the next ones
    come later.

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
        #: From this level on, documents are looked at.
        self._looks_from = MEDIUM if finest is FINE else COARSE
        self._samples = parts.samples(migration)
        self._clock = parts.clock
        #: The slots of which this process knows that somebody counts.
        self._taken: dict[Level, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._began_s: float | None = None
        self._due_s = 0.0
        self._failed = 0
        #: The middle slot in which counting took too long.
        self._too_long_in: int | None = None

    def begin(self) -> None:
        """Begin to take samples: the first one soon, and where slots are long, at some moment of the first slot.

        The processes of a fleet often start together. Sends nothing.
        """
        every_s = self._levels[0].every_s
        self._began_s, self._failed = self._clock.monotonic(), 0
        self._due_s = self._began_s + (SHORT_S if every_s == FINE.every_s else every_s * self._clock.random())

    def start(self) -> None:
        """Start to take a sample in the background if one is due. Returns at once, and never raises."""
        if self._began_s is None or self._clock.monotonic() < self._due_s or self._is_busy():
            return
        # In a new context: the deadline and the session of a call that happens to be under way must not matter.
        self._task = asyncio.get_running_loop().create_task(self._attempt(_TIMEOUT_S), context=contextvars.Context())

    def _is_busy(self) -> bool:
        # A task of an event loop that has ended is never done, and must not keep this one from beginning another.
        task = self._task
        return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()

    def _put_off(self) -> None:
        """Have the next one taken in the next slot, at a random moment, so that not all processes ask at once."""
        every_s, now = self._levels[0].every_s, self._parts.time.reckon()
        into_s = (now - self._levels[0].begin(now)).total_seconds()
        # After failures it waits for more slots, up to the length of a coarse one.
        wait_s = min(every_s * 2 ** min(self._failed, 9), COARSE.every_s) - into_s
        self._due_s = self._clock.monotonic() + wait_s + self._clock.random() * every_s / 10

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
        self._failed += 1
        with suppress(Exception):
            async with Deadline(within_s):
                await self._take(last=last)
            self._failed = 0
        self._put_off()

    async def _take(self, *, last: bool) -> None:
        standing = await self._parts.phases(self._migration).find()
        unrecorded = self._find_phase() if standing is None and self._find_phase is not None else None
        phase = unrecorded if standing is None else standing.phase
        if phase is None or phase is Phase.V2_ONLY:
            return  # the record was removed, or nothing is left to migrate: no row may come back that was taken out
        levels = LEVELS if last else await self._claim()
        found = await self._count(phase, levels, _LAST_COUNT_MS if last else _COUNT_MS) if levels else None
        if found is not None:
            seen = await self._find_figures(standing)
            known = evolve(
                found, consistency=seen.consistency,
                v1_p99_s=seen.v1.latency.quantile(0.99), v2_p99_s=seen.v2.latency.quantile(0.99),
            )  # fmt: skip
            await self._samples.record(known, levels)

    async def _claim(self) -> Sequence[Level]:
        """Claim the present slots; return the levels for which this process is to count."""
        claimed: tuple[Level, ...] = ()
        for level in self._levels:
            slot = level.slot(await self._parts.time.now())
            if self._taken.get(level) == slot:
                continue
            won = await self._samples.claim(level)
            self._taken[level] = slot
            claimed += (level,) if won else ()
            if not claimed:
                break  # the process that has the finest one asks for the others
        return claimed

    async def _count(self, phase: Phase, levels: Sequence[Level], within_ms: int) -> Sample | None:
        parts, name, at = self._parts, self._migration, await self._parts.time.now()
        looks = any(level.every_s >= self._looks_from.every_s for level in levels)
        if not looks and await self._is_expensive():
            return None
        held = await self._look_up(MEDIUM.slot(at), within_ms)
        moved_by = await self._find_moved_by(held, within_ms) if looks or held.place is not None else None
        dead = await parts.letters.count_open(name)
        mismatches = await parts.mismatches.count(name, confirmed=True)
        passing = [one.per_s for one in await parts.runners(name).find_all() if one.kind in _MOVING]
        return Sample(
            at=at, by=f"{self._role} {socket.gethostname()}:{os.getpid()}",
            phase=str(phase), v1=held.v1, live=held.v2.live, left=held.v2.left, waiting=held.v2.waiting,
            dirty=held.v2.dirty, dead=dead, mismatches=mismatches,
            moved_read=None if moved_by is None else moved_by.read,
            moved_write=None if moved_by is None else moved_by.write,
            moved_sweep=None if moved_by is None else moved_by.sweep,
            per_s=sum(passing) if passing else None, estimated=held.estimated,
        )  # fmt: skip

    async def _look_up(self, slot: int, within_ms: int) -> Held:
        ground = self._ground
        if isinstance(ground, Place):
            return await look_up_held(ground, within_ms=within_ms)
        if is_upcasting_only(ground.conversions.migration):
            count = await Counts(ground.v1, within_ms).count_all()
            return Held(count, Holdings(count, 0, 0, 0))  # there is one collection only, and nothing is moved
        if self._too_long_in != slot:
            try:
                return await look_up_held(ground, within_ms=within_ms)
            except ExecutionTimeout:
                self._too_long_in = slot
        return await estimate_held(ground, within_ms=within_ms)

    async def _is_expensive(self) -> bool:
        """Whether only documents show what V2 holds, there are many, and no pass looks at them anyway."""
        if not isinstance(self._ground, Place) or self._levels[0] is FINE:
            return False
        return await Counts(self._ground.store, _COUNT_MS).count_all() > SMALL

    async def _find_moved_by(self, held: Held, within_ms: int) -> MovedBy | None:
        if held.place is not None or isinstance(self._ground, Place):
            assert held.place is not None  # counted by the same statement
            return held.place.moved_by
        with suppress(ExecutionTimeout):  # the rest of the sample is worth having
            return await count_moved_by(Counts(self._ground.bodies, within_ms), held.v2.live)
        return None

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
