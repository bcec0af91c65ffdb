"""Looking again at what did not agree, in generations, until each entity agrees, has stood, or moves all the time.

The age of a mismatch is taken from its row's `since`, which each change of a side sets to its own time: it survives
restarts, several processes see one age, and no memory is needed per mismatch. Clocks of machines differ, and may jump,
so this process also waits the whole minimum age by its own monotonic clock before it confirms anything new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import compress
from typing import Final, Generic, Protocol, TypeVar

from attrs import evolve, frozen

from lazymig.control.mismatches import Mismatches
from lazymig.loop.clock import Clock
from lazymig.passes.throttle import Throttle
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.verdicts import Mismatch, Verdict
from lazymig.verifying.examining import UNNAMED, Examiner
from lazymig.verifying.repairs import Repairs, is_repairable
from lazymig.verifying.sides import Sides

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Looks at an entity, the minimum age apart, before it counts as one that moves all the time.
GENERATIONS: Final = 6
#: Seconds that a stop waits for at most while nothing is done.
_STEP_S = 0.25
#: Dates have whole milliseconds.
_ROUNDING_S = 0.002
_MOVED = "one of its sides had changed each time that they were compared"
_LATE = "it had not stood for the minimum age when the last look was due"


class Scope(Protocol):
    """The mismatches that one run is about."""

    def pages(self, *, confirmed: bool | None = None) -> AsyncIterator[list[Mismatch]]:
        """Find them in pages, those found first at the front."""

    async def asks_for(self, ids: Sequence[RawId]) -> list[bool]:
        """Return for each entity whether the run may count and repair it."""

    def note(self, mismatches: Sequence[Mismatch]) -> None:
        """Note what counts, before it is repaired."""


@frozen(kw_only=True)
class Rules:
    """When a mismatch counts."""

    migration: str
    min_age_s: float
    #: When this run began, by the wall clock.
    began: datetime
    stopping: Callable[[], bool]


class Recheck(Generic[V1, V2]):
    """The generations of one run."""

    def __init__(
        self,
        sides: Sides,
        examiner: Examiner,
        table: Mismatches,
        repairs: Repairs[V1, V2] | None,
        throttle: Throttle,
        rules: Rules,
        clock: Clock,
        counts: Counter[str],
    ) -> None:
        self._sides = sides
        self._examiner = examiner
        self._table = table
        self._repairs = repairs
        self._throttle = throttle
        self._rules = rules
        self._clock = clock
        self._counts = counts

    async def run(self, scope: Scope) -> bool:
        """Look again until nothing is left that may still change its verdict. False: the run is to stop before."""
        began_s = self._clock.monotonic()
        for generation in range(GENERATIONS):
            waited = self._clock.monotonic() - began_s >= self._rules.min_age_s
            left = await self._look(scope, generation, waited=waited)
            if not left:
                return left is not None
            if generation < GENERATIONS - 1 and not await self._wait():
                return False
        return True

    async def _wait(self) -> bool:
        """Wait until what was recorded just now has the minimum age. False: the run is to stop."""
        until_s = self._clock.monotonic() + self._rules.min_age_s + _ROUNDING_S
        while not self._rules.stopping():
            left_s = until_s - self._clock.monotonic()
            if left_s <= 0:
                return True
            await self._clock.sleep(min(left_s, _STEP_S))
        return False

    async def _look(self, scope: Scope, generation: int, *, waited: bool) -> int | None:
        """Look at every mismatch once; return how many must be looked at again. None: the run is to stop."""
        left, last = 0, generation == GENERATIONS - 1
        # At first also at those which earlier runs confirmed: their entities may agree now.
        async for rows in scope.pages(confirmed=None if generation == 0 else False):
            rows = [row for row in rows if self._examiner.can_judge(row)]
            if not (await self._throttle.wait_for_page() and await self._throttle.wait_for_documents(len(rows))):
                return None
            if generation == 0:
                self._counts["rechecked"] += len(rows)
            left += await self._look_at(scope, rows, waited=waited, last=last)
        return left

    async def _look_at(self, scope: Scope, rows: Sequence[Mismatch], *, waited: bool, last: bool) -> int:
        now = dict(zip(*await self._examine(rows), strict=True))
        standing: list[tuple[Mismatch, Mismatch]] = []
        gone: list[RawId] = []
        for row, key in zip(rows, keys_of(row.id for row in rows), strict=True):
            found = self._keep_unnamed(row) if row.check == UNNAMED else now.get(key)
            if found is None:
                gone.append(row.id)
            else:
                standing.append((row, found))
        if gone:
            await self._table.remove(self._rules.migration, gone)
            if self._repairs is not None:
                self._counts["repaired"] += self._repairs.forget_settled(gone)
        asked = await scope.asks_for([row.id for row, _ in standing])
        return await self._judge(scope, list(compress(standing, asked)), waited=waited, last=last)

    async def _examine(
        self, rows: Sequence[Mismatch], *, repaired: bool = False
    ) -> tuple[list[object], list[Mismatch]]:
        """Compare the entities of these rows; return those that do not agree, and their keys."""
        found: list[Mismatch] = []
        async for both in self._sides.find([row.id for row in rows if row.check != UNNAMED], repaired=repaired):
            found += (await self._examiner.examine(both.looks())).mismatches
        return keys_of(one.id for one in found), found

    def _keep_unnamed(self, row: Mismatch) -> Mismatch | None:
        """Keep what this run found, because it cannot be looked at again; drop what earlier runs found."""
        return row if row.last_at is None or row.last_at >= self._rules.began else None

    async def _judge(
        self, scope: Scope, standing: Sequence[tuple[Mismatch, Mismatch]], *, waited: bool, last: bool
    ) -> int:
        """Confirm what has stood, and repair it if asked; return how many must be looked at again."""
        changed: list[Mismatch] = []
        confirmed: list[Mismatch] = []
        left = 0
        for row, found in standing:
            moved = row.signature != found.signature
            if not moved and (row.confirmed or self._has_stood(row, waited=waited)):
                found = self._repairs.explained(found) if self._repairs is not None else found
                confirmed.append(evolve(found, confirmed=True))
            elif last:
                reason = _MOVED if moved else _LATE
                # Without the signature: what was seen last has not stood, so the next run must let it stand.
                changed.append(
                    evolve(
                        found, verdict=Verdict.UNKNOWN, check="", differences=(), reason=reason, signature="",
                        confirmed=True,
                    )
                )  # fmt: skip
            else:
                left += 1
                if moved:
                    changed.append(found)
        await self._table.record(self._rules.migration, [*changed, *confirmed])
        scope.note([one for one in (*changed, *confirmed) if one.confirmed])
        return left + await self._repair([one for one in confirmed if is_repairable(one)])

    def _has_stood(self, row: Mismatch, *, waited: bool) -> bool:
        """Whether a row whose signature is as recorded is old enough."""
        if not waited or row.since is None:
            return False
        now = self._clock.now()
        # A date in the future comes from a clock that is fast, and says nothing. Two looks apart did see the signature.
        return row.since > now or now - row.since >= timedelta(seconds=self._rules.min_age_s)

    async def _repair(self, confirmed: Sequence[Mismatch]) -> int:
        """Repair, compare again and forget what agrees; return how many must be looked at again."""
        left = 0
        if self._repairs is not None and confirmed:
            async with aclosing(self._repairs.repair(confirmed)) as parts:
                async for tried in parts:
                    left += await self._settle(self._repairs, tried)
        return left

    async def _settle(self, repairs: Repairs[V1, V2], tried: Sequence[Mismatch]) -> int:
        keys, found = await self._examine(tried, repaired=True)
        still = set(keys)
        agree = [one.id for one, key in zip(tried, keys_of(one.id for one in tried), strict=True) if key not in still]
        if agree:
            await self._table.remove(self._rules.migration, agree)
            await repairs.remove_letters(agree)
            self._counts["repaired"] += len(agree)
        # If only checks beside `upgrade` fail now, the repair has done its part.
        repairs.note_unsettled(compress(keys, map(is_repairable, found)))
        # Clients may have moved them meanwhile: they are candidates again. One that stands, as where the server refuses
        # V2's part, is not looked at again, so it says now why it is left.
        await self._table.record(self._rules.migration, [repairs.explained(one) for one in found])
        return len(found)
