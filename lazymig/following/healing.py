"""Healing: bring V2 to V1 for the entities whose changes were not announced, several at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from attrs import evolve

from lazymig import protocol
from lazymig.control import Control, parts_of
from lazymig.errors import ConversionError, ForeignDocument
from lazymig.protocol.pair import Pair
from lazymig.protocol.repairing import begin_life
from lazymig.stores.documents import REVISION_FIELD, parse_v1
from lazymig.stores.events import Operation
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1
from lazymig.stores.scans import Scan
from lazymig.sweeping.failures import Failures
from lazymig.telemetry import UNHEALED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def heal_one(pair: Pair[V1, V2], id: RawId, *, inserted: bool = False) -> bool:
    """Bring V2 to what V1 holds. False: V1 lacks the entity, and V2 no longer answers for it.

    Also where V2 has nothing. A lazy migration would convert what V1 holds now, but one that is under way may hold what
    V1 held before, at the same revision, and nothing would ever show that. What is stored here keeps it out.

    `inserted`: another program inserted the entity, so that a body in V2 may be of an earlier one with this id.
    """
    if inserted:
        await begin_life(pair, id)
    return await protocol.repair(pair, id)


class Healer:
    """Heals entities. What cannot be healed gets a dead letter and stops no other."""

    def __init__(self, pair: Pair[V1, V2], control: Control, counts: Counter[str], *, concurrency: int) -> None:
        # Bodies are stored before the heal returns, also where the application stores them behind its callers.
        self._pair = evolve(pair, behind=pair.behind.at_once())
        self._name = pair.conversions.migration.name
        self._letters = parts_of(control).letters
        self._failures = Failures(self._letters, self._name, counts)
        self._counts = counts
        self._places = asyncio.Semaphore(concurrency)

    async def heal_ids(self, wanted: Mapping[RawId, Operation]) -> None:
        """Heal entities, each by the last operation that was not announced; return when all of it is durable.

        Driver errors and `Contention` pass through: nothing may be taken as done then.
        """
        tasks = [asyncio.ensure_future(self._heal(id, operation)) for id, operation in wanted.items()]
        try:
            healed = [id for id, done in zip(wanted, await asyncio.gather(*tasks), strict=True) if done]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._failures.flush()
        if healed:
            await self._letters.remove(self._name, healed)

    async def _heal(self, id: RawId, operation: Operation) -> bool:
        async with self._places:
            try:
                await heal_one(self._pair, id, inserted=operation is Operation.INSERT)
            except ConversionError as error:
                self._failures.note_unconvertible(await self._find_standing(id), error)
                self._pair.tally.count(UNHEALED)
                return False
            except ForeignDocument:
                text = "V2 holds a document without _lazymig; lazymig sweep --adopt replaces it"
                self._failures.note(id, (await self._find_standing(id)).revision, "store", "ForeignDocument", text, "")
                self._pair.tally.count(UNHEALED)
                return False
        self._counts["healed"] += 1
        return True

    async def _find_standing(self, id: RawId) -> StoredV1:
        """Find V1's present revision without the document, which may not decode."""
        row = await Scan(self._pair.v1, majority=True).find_field(id, REVISION_FIELD)
        return parse_v1(row or {"_id": id})
