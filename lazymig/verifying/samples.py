"""The sample of a verification: ids of both sides, and what was found wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lazymig.loop.clock import Clock
from lazymig.passes.shedding import as_patient_as
from lazymig.protocol.pair import Pair
from lazymig.stores.counts import Counts
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.records import Document
from lazymig.stores.scans import Scan
from lazymig.stores.verdicts import Mismatch, Verdict
from lazymig.verifying.confidence import describe_sample
from lazymig.verifying.ranges import BothSides
from lazymig.verifying.sampling import draw_ids

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Sample:
    """Ids drawn from V1, which show what V2 lacks or holds wrongly, and from V2, which show what V1 lacks.

    Two draws, because an id that only V2 has is never drawn from V1. Each says something about its own side only.
    """

    def __init__(self, ours: Sequence[RawId], theirs: Sequence[RawId] | None, sizes: tuple[int, int]) -> None:
        self._ours, self._theirs = ours, theirs
        self._sizes = sizes
        self._our_keys, self._their_keys = set(keys_of(ours)), set(keys_of(theirs or ()))
        self._wrong: set[object] = set()
        self._orphans: set[object] = set()

    @property
    def ids(self) -> list[RawId]:
        """All ids of both draws, each once."""
        both = [*self._ours, *(self._theirs or ())]
        return list(dict(zip(keys_of(both), both, strict=True)).values())

    def note(self, mismatches: Sequence[Mismatch]) -> None:
        """Note what counts, whether it is repaired afterwards or not: nobody repairs what was not drawn."""
        for one, key in zip(mismatches, keys_of(one.id for one in mismatches), strict=True):
            if one.verdict is Verdict.ORPHAN:
                self._orphans.add(key)
            else:
                self._wrong.add(key)

    def describe(self) -> str:
        """Return what the sample says about all entities."""
        v1, v2 = self._sizes
        wrong, orphans = len(self._wrong & self._our_keys), len(self._orphans & self._their_keys)
        text = describe_sample(wrong, len(self._ours), v1, "entities of V1", "do not agree")
        if self._theirs is None:
            return text
        more = describe_sample(orphans, len(self._theirs), v2, "documents of V2", "are orphans")
        return f"{text}. {more}"


async def draw_sample(pair: Pair[V1, V2], sides: BothSides, where: Document | None, size: int, clock: Clock) -> Sample:
    """Draw this many ids of V1, and as many of V2; with a filter on V1, of V1's documents that match only."""
    if where:
        count = await pair.v1.count(where)
        ours = await draw_ids(sides.v1, size, count, clock, sides.question)
        return Sample(ours, None, (max(count, len(ours)), 0))
    v1, v2 = [await as_patient_as(one, Counts(one)).count_all() for one in (pair.v1, pair.bodies)]
    ours = await draw_ids(sides.v1, size, v1, clock, {})
    theirs = await draw_ids(sides.v2, size, v2, clock, {})
    return Sample(ours, theirs, (max(v1, len(ours)), max(v2, len(theirs))))


async def draw_whole_sample(scan: Scan, question: Document, count: int, size: int, clock: Clock) -> Sample:
    """Draw this many ids of documents that carry both shapes, with a filter of those that match only."""
    ids = await draw_ids(scan, size, count, clock, question)
    return Sample(ids, None, (max(count, len(ids)), 0))
