"""Converting again: V2's bodies below the migration's conversion revision, which an index finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Generic, TypeVar

from lazymig.errors import ConversionError
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.throttle import Throttle
from lazymig.protocol.bodies import is_due
from lazymig.protocol.moved import find_passed
from lazymig.protocol.pair import Pair
from lazymig.stores.chunks import split_ids
from lazymig.stores.decoding import make_condition
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import decode_for_id, keys_of
from lazymig.stores.records import Applied, Body, Document, Partition, StoredV1, StoredV2
from lazymig.stores.scans import Scan
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import EVERYTHING

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_Repair = tuple[StoredV2, Body, int]


class Reconverter(Generic[V1, V2]):
    """Converts V2's bodies of older revisions again, one partition after the other.

    Each new body only replaces the one that it was made with, at V1's revision, so a client that writes in between
    wins. `upgrade` gets the old body as the previous entity, for what only V2 holds.
    """

    def __init__(
        self,
        pair: Pair[V1, V2],
        mover: Mover[V1, V2],
        throttle: Throttle,
        counts: Counter[str],
        *,
        dry_run: bool,
        question: Document = EVERYTHING.question,
    ) -> None:
        self._pair = pair
        self._mover = mover
        self._throttle = throttle
        self._counts = counts
        self._dry_run = dry_run
        self._question = question

    @property
    def needed(self) -> bool:
        """Whether bodies of older revisions may exist."""
        return self._pair.conversions.migration.revision > 1

    async def pages(self, partition: Partition) -> AsyncGenerator[int]:
        """Convert the partition's older bodies again, a page at a time; yield how many each page had.

        Ends early when the sweep is to stop.
        """
        pair, position = self._pair, partition.low
        scan = Scan(pair.bodies)
        while await self._throttle.wait_for_page():
            stale = await pair.bodies.stale(scan.within(partition, position), self._throttle.batches.size)
            if not stale or not await self._throttle.wait_for_documents(len(stale)):
                return
            await self._convert_page(await self._choose(stale))
            yield len(stale)
            if partition.bracket in ONE_VALUE:
                return
            position = stale[-1].id

    async def _choose(self, stale: Sequence[StoredV2]) -> Sequence[StoredV2]:
        """Return those whose V1 document matches the filter, if there is one."""
        if not self._question:
            return stale
        asked: set[object] = set()
        scan = as_patient_as(self._pair.v1, Scan(self._pair.v1, majority=True))
        for part in split_ids([seen.id for seen in stale]):
            found = await scan.find_ids({"$and": [{"_id": make_condition({"$in": list(part)})}, self._question]})
            asked |= set(keys_of(decode_for_id(document)["_id"] for document in found))
        keys = keys_of(seen.id for seen in stale)
        return [seen for seen, key in zip(stale, keys, strict=True) if key in asked]

    async def _convert_page(self, stale: Sequence[StoredV2]) -> None:
        clock = self._pair.clock
        began_s = clock.monotonic()
        truths = {truth.id: truth for truth in await self._pair.v1.find_each([seen.id for seen in stale])}
        repairs: list[_Repair] = []
        looks = [(seen, truth) for seen in stale if (truth := truths.get(seen.id)) is not None]
        passed = await find_passed(self._pair, looks)
        for seen, truth in looks:
            # A body without V1, or ahead of it, has a mark, which `resolve_marks` resolves. A writer that is alive
            # stores a body that may hold more than V1.
            if seen.revision <= truth.revision and seen.id not in passed and not await is_due(self._pair, seen, truth):
                repairs += await self._convert_one(seen, truth)
        if not self._dry_run:
            await self._store(repairs)
        await self._mover.failures.flush()
        self._throttle.batches.note_batch(len(stale), clock.monotonic() - began_s)

    async def _convert_one(self, seen: StoredV2, truth: StoredV1) -> list[_Repair]:
        conversions = self._pair.conversions
        try:
            body = conversions.v2_stored(await conversions.upgraded(truth, seen))
        except ConversionError as error:
            self._mover.failures.note_unconvertible(truth, error)
            return []
        self._counts["reconverted"] += self._dry_run
        return [(seen, body, truth.revision)]

    async def _store(self, repairs: Sequence[_Repair]) -> None:
        if not repairs:
            return
        outcomes = await self._pair.bodies.apply_many(repairs)
        for (seen, _, revision), outcome in zip(repairs, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is Applied.REFUSED:
                self._mover.failures.note_refused(seen.id, revision)
            else:
                self._counts["reconverted"] += outcome is Applied.APPLIED


async def ensure_conversion_index(pair: Pair[Any, Any]) -> None:
    """Create the index that finds older bodies, where some may exist."""
    if pair.conversions.migration.revision > 1:
        await pair.bodies.ensure_conversion_index()
