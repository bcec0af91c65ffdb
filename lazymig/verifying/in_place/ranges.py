"""Reading documents that carry both shapes: one read finds both sides."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence

from attrs import frozen

from lazymig.passes.shedding import as_patient_as
from lazymig.stores.chunks import split_ids
from lazymig.stores.decoding import Unreadable, make_condition
from lazymig.stores.documents import raw_id
from lazymig.stores.given import RawId, Store
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import Undecoded, decode_for_id
from lazymig.stores.records import Document, Partition, StoredWhole
from lazymig.stores.scans import Scan
from lazymig.stores.whole_documents import parse_whole
from lazymig.verifying.in_place.judging import JudgeWhole
from lazymig.verifying.judging import Judged

#: Documents that are decoded together.
_TOGETHER = 20


@frozen
class WholeRange:
    """The documents of a range of ids."""

    documents: Undecoded[StoredWhole]
    #: The last id of the range that a checkpoint can hold.
    last: RawId
    judge: JudgeWhole

    @property
    def size(self) -> int:
        """How many entities it holds."""
        return len(self.documents)

    def looks(self) -> Iterator[Awaitable[Judged]]:
        """Yield a look at each document."""
        for some in self.documents.parts(_TOGETHER):
            for stored in some:
                yield self.judge(stored)


class Wholly:
    """Reads documents with both shapes, with read concern majority."""

    def __init__(self, store: Store, question: Document, judge: JudgeWhole) -> None:
        self.scan = as_patient_as(store, Scan(store, majority=True))
        self._now = as_patient_as(store, Scan(store))
        #: The documents to compare; empty for all.
        self.question = question
        self.judge = judge

    async def find(self, ids: Sequence[RawId], *, repaired: bool = False) -> AsyncGenerator[WholeRange]:
        """Find these documents. `repaired`: as the primary has them."""
        scan = self._now if repaired else self.scan
        for part in split_ids(ids):
            found = await scan.find_part({"_id": make_condition({"$in": list(part)})}, len(part), parse_whole)
            if len(part) == 1 or found.complete:
                yield WholeRange(found.documents, None, self.judge)
                continue
            half = len(part) // 2
            for rest in (part[:half], part[half:]):
                async for one in self.find(rest, repaired=repaired):
                    yield one

    def walk(self, partition: Partition, position: RawId, size: int) -> WholeRanges:
        """Return a walk through a partition, after a position."""
        return WholeRanges(self, partition, position, size)

    async def find_asked(self, ids: Sequence[RawId]) -> list[RawId]:
        """Find which of these ids belong to the documents that are to be compared."""
        where = {"$and": [{"_id": {"$in": list(ids)}}, self.question]}
        return [raw_id(decode_for_id(document)["_id"]) for document in await self.scan.find_ids(where)]


class WholeRanges:
    """Goes through a partition range by range, after a position."""

    def __init__(self, sides: Wholly, partition: Partition, position: RawId, size: int) -> None:
        self._sides = sides
        self._partition = partition
        self._position = self._marked = position
        #: Documents per range, at most.
        self.size = size
        self._ended = partition.bracket in ONE_VALUE and position is not None

    async def next(self) -> WholeRange | None:
        """Read the next range; None at the partition's end."""
        if self._ended:
            return None
        scan, question = self._sides.scan, self._sides.question
        where = scan.within(self._partition, self._position)
        part = await scan.find_part({"$and": [where, question]} if question else where, self.size, parse_whole)
        self._ended = part.complete or self._partition.bracket in ONE_VALUE
        end = self._partition.high if part.complete and self._partition.high is not None else part.last
        if end is not None:
            self._position = end
            if not isinstance(end, Unreadable):
                self._marked = end
        return WholeRange(part.documents, self._marked, self._sides.judge)
