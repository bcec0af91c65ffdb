"""Comparing both sides of many entities, and naming what does not agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Generic, TypeVar

from attrs import evolve, frozen

from lazymig.comparing.checks import DOWNGRADE, EXPECTED, UPGRADE, Checks, Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.errors import ForeignDocument
from lazymig.loop.clock import Clock
from lazymig.shapes.conversions import Conversions
from lazymig.stores.decoding import Unreadable
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1, StoredV2
from lazymig.stores.verdicts import AGREEING, Mismatch, Verdict
from lazymig.verifying.ranges import Seen

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Comparisons between two turns of the event loop.
_TURN = 20
_FOREIGN = Comparison(
    Verdict.UNKNOWN,
    reason="lazymig did not store V2's document; lazymig sweep --adopt replaces it",
    signature="foreign",
)
#: The check of an entity whose id no statement can name. It cannot be looked at again.
UNNAMED = "id"
_UNNAMED_REASON = "its id is text that is not UTF-8, which no statement can name"


@frozen
class Examined:
    """What a look at some entities found."""

    #: How many entities one of the two sides holds.
    entities: int
    mismatches: list[Mismatch]


class Examiner(Generic[V1, V2]):
    """Compares entities, a few at a time, so that other tasks of the event loop get their turn."""

    def __init__(self, conversions: Conversions[V1, V2], checks: Checks, clock: Clock, counts: Counter[str]) -> None:
        self._comparer = Comparer(conversions, checks)
        self._own = {"", UPGRADE, UNNAMED, *checks.invariants}
        if checks.round_trip:
            self._own.add(DOWNGRADE)
        if checks.expected is not None:
            self._own.add(EXPECTED)
        self._clock = clock
        self._counts = counts
        self._comparing = asyncio.Lock()
        #: How many entities agree because of an equivalence, by its name.
        self.accepted: Counter[str] = Counter()

    def can_judge(self, mismatch: Mismatch) -> bool:
        """Whether this run makes the check that found the mismatch. Another run's invariant says nothing here."""
        return mismatch.check in self._own

    async def examine(self, pairs: Iterable[tuple[StoredV1 | None, Seen]], *, first: bool = False) -> Examined:
        """Compare both sides of each entity. `first`: count the differences that equivalences accept."""
        entities, mismatches = 0, []
        # One page is compared while others are read. If two alternated, both would be done at the same time.
        async with self._comparing:
            for number, (truth, seen) in enumerate(pairs):
                if number % _TURN == _TURN - 1:
                    await self._clock.sleep(0)
                entities += truth is not None or not (isinstance(seen, StoredV2) and seen.gone)
                mismatch = await self._compare(truth, seen, first=first)
                if mismatch is not None:
                    mismatches.append(mismatch)
        return Examined(entities, mismatches)

    async def _compare(self, truth: StoredV1 | None, seen: Seen, *, first: bool) -> Mismatch | None:
        if isinstance(seen, ForeignDocument):
            comparison, revision = _FOREIGN, None
            id = seen.id if truth is None else truth.id
        else:
            comparison = await self._comparer.compare(truth, seen)
            revision = None if seen is None else seen.revision
            id = truth.id if truth is not None else None if seen is None else seen.id
        if comparison.verdict in AGREEING:
            if first:
                self.accepted.update(comparison.accepted)
                self._counts[comparison.verdict] += 1
            return None
        found = Mismatch(
            id, comparison.verdict, comparison.check, comparison.differences, comparison.reason,
            None if truth is None else truth.revision, revision, comparison.signature,
        )  # fmt: skip
        return _nameable(found)


def _nameable(found: Mismatch) -> Mismatch:
    """Return the mismatch with an id that a row can hold."""
    id: RawId = found.id
    if not isinstance(id, Unreadable):
        return found
    return evolve(found, id=id.shown, verdict=Verdict.UNKNOWN, check=UNNAMED, reason=_UNNAMED_REASON, confirmed=True)
