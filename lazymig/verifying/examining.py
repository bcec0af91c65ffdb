"""Comparing both sides of many entities, and naming what does not agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable

from attrs import evolve, field, frozen

from lazymig.comparing.checks import DOWNGRADE, EXPECTED, UPGRADE, Checks
from lazymig.loop.clock import Clock
from lazymig.stores.decoding import Unreadable
from lazymig.stores.given import RawId
from lazymig.stores.records import WholeChange
from lazymig.stores.verdicts import AGREEING, Mismatch, Verdict
from lazymig.verifying.judging import Judged

#: Comparisons between two turns of the event loop.
_TURN = 20
#: The check of an entity whose id no statement can name. It cannot be looked at again.
UNNAMED = "id"
_UNNAMED_REASON = "its id is text that is not UTF-8, which no statement can name"


@frozen
class Examined:
    """What a look at some entities found."""

    #: How many entities one of the two sides holds.
    entities: int
    mismatches: list[Mismatch]
    #: Where V2's part is behind in one document: the statements that store it.
    late: list[WholeChange] = field(factory=list)


class Examiner:
    """Compares entities, a few at a time, so that other tasks of the event loop get their turn."""

    def __init__(self, checks: Checks, clock: Clock, counts: Counter[str]) -> None:
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

    async def examine(self, looks: Iterable[Awaitable[Judged]], *, first: bool = False) -> Examined:
        """Compare both sides of each entity. `first`: count the differences that equivalences accept."""
        examined = Examined(0, [])
        entities = 0
        # One page is compared while others are read. If two alternated, both would be done at the same time.
        async with self._comparing:
            for number, look in enumerate(looks):
                judged = await look
                if number % _TURN == _TURN - 1:
                    await self._clock.sleep(0)
                entities += judged.held
                if judged.late is not None:
                    examined.late.append(judged.late)
                mismatch = self._note(judged, first=first)
                if mismatch is not None:
                    examined.mismatches.append(mismatch)
        return evolve(examined, entities=entities)

    def _note(self, judged: Judged, *, first: bool) -> Mismatch | None:
        comparison = judged.comparison
        if comparison.verdict in AGREEING:
            if first:
                self.accepted.update(comparison.accepted)
                self._counts[comparison.verdict] += 1
            return None
        found = Mismatch(
            judged.id, comparison.verdict, comparison.check, comparison.differences, comparison.reason,
            judged.revision, judged.v2_revision, comparison.signature,
        )  # fmt: skip
        return _nameable(found)


def _nameable(found: Mismatch) -> Mismatch:
    """Return the mismatch with an id that a row can hold."""
    id: RawId = found.id
    if not isinstance(id, Unreadable):
        return found
    return evolve(found, id=id.shown, verdict=Verdict.UNKNOWN, check=UNNAMED, reason=_UNNAMED_REASON, confirmed=True)
