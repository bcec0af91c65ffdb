"""Reading both sides of a range of ids together, in parts that are bounded in count and in bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence

from attrs import frozen

from lazymig.errors import ForeignDocument
from lazymig.passes.shedding import as_patient_as
from lazymig.stores.chunks import split_ids
from lazymig.stores.decoding import Unreadable, make_condition
from lazymig.stores.documents import parse_v2_or_error, raw_id
from lazymig.stores.given import RawId, Store
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import Undecoded, decode_for_id
from lazymig.stores.records import Document, Partition, StoredV1, StoredV2
from lazymig.stores.scans import Part, Scan
from lazymig.verifying.judging import Judge, Judged, Seen

#: How many times more documents V2 may hold than V1 within V1's page, before the page is cut.
_V2_MORE = 2
#: Documents of each side that are decoded together.
_TOGETHER = 20


@frozen
class Range:
    """Everything that both sides hold of a range of ids."""

    v1: Undecoded[StoredV1]
    v2: Undecoded[StoredV2 | ForeignDocument]
    #: The last id of the range that a checkpoint can hold.
    last: RawId
    judge: Judge

    @property
    def size(self) -> int:
        """How many entities it holds at most."""
        return max(len(self.v1), len(self.v2))

    def looks(self) -> Iterator[Awaitable[Judged]]:
        """Yield a look at each entity."""
        for truth, seen in self.pairs():
            yield self.judge(truth, seen)

    def pairs(self) -> Iterator[tuple[StoredV1 | None, Seen]]:
        """Yield both sides of each entity. Ids that MongoDB takes for one, such as 5 and 5.0, are one."""
        if self.v1.has_ids_of(self.v2):  # nearly always
            for ours, theirs in zip(self.v1.parts(_TOGETHER), self.v2.parts(_TOGETHER), strict=True):
                yield from zip(ours, theirs, strict=True)
            return
        places = {key: place for place, key in enumerate(self.v2.keys)}
        for number, key in enumerate(self.v1.keys):
            place = places.pop(key, None)
            yield self.v1[number], None if place is None else self.v2[place]
        for place in places.values():
            yield None, self.v2[place]


class BothSides:
    """Reads V1 and V2 with read concern majority: what agrees then cannot be rolled back."""

    def __init__(self, v1: Store, v2: Store, question: Document, judge: Judge) -> None:
        self.v1 = as_patient_as(v1, Scan(v1, majority=True))
        self.v2, self._v2_now = as_patient_as(v2, Scan(v2, majority=True)), as_patient_as(v2, Scan(v2))
        #: V1's documents to compare; empty for all of both sides.
        self.question = question
        self.judge = judge

    async def find(self, ids: Sequence[RawId], *, repaired: bool = False) -> AsyncGenerator[Range]:
        """Find these entities, in as few ranges as replies can hold.

        `repaired`: V2 is read as the primary has it. A repair's last step does not wait for the majority.
        """
        scan = self._v2_now if repaired else self.v2
        for part in split_ids(ids):
            where = {"_id": make_condition({"$in": list(part)})}
            v1 = await self.v1.find_part(where, len(part), self.v1.carried.parse)
            v2 = await scan.find_part(where, len(part), parse_v2_or_error)
            if len(part) == 1 or (v1.complete and v2.complete):
                yield Range(v1.documents, v2.documents, None, self.judge)
                continue
            half = len(part) // 2
            for rest in (part[:half], part[half:]):
                async for found in self.find(rest, repaired=repaired):
                    yield found

    def walk(self, partition: Partition, position: RawId, size: int) -> Ranges:
        """Return a walk through a partition, after a position."""
        return Ranges(self, partition, position, size)

    async def find_asked(self, ids: Sequence[RawId]) -> list[RawId]:
        """Find which of these ids belong to V1's documents that are to be compared."""
        where = {"$and": [{"_id": {"$in": list(ids)}}, self.question]}
        return [raw_id(decode_for_id(document)["_id"]) for document in await self.v1.find_ids(where)]


class Ranges:
    """Goes through a partition range by range, after a position."""

    def __init__(self, sides: BothSides, partition: Partition, position: RawId, size: int) -> None:
        self._sides = sides
        self._partition = partition
        self._position = self._marked = position
        #: V1's documents per range, at most.
        self.size = size
        self._cut = size
        self._ended = partition.bracket in ONE_VALUE and position is not None

    async def next(self) -> Range | None:
        """Read the next range; None at the partition's end."""
        if self._ended:
            return None
        self._cut = min(self._cut * 2, self.size)
        v1, v2, last = await (self._read_asked() if self._sides.question else self._read())
        self._ended = last is None or self._partition.bracket in ONE_VALUE
        end = await self._find_end(v1.last, v2.last) if last is None else last
        if end is not None:
            self._position = end
            if not isinstance(end, Unreadable):
                self._marked = end
        return Range(v1.documents, v2.documents, self._marked, self._sides.judge)

    async def _find_end(self, ours: RawId, theirs: RawId) -> RawId:
        """Return the last id of the partition, given each side's. The server decides which of two sorts later."""
        if self._partition.high is not None:
            return self._partition.high
        if ours is None or theirs is None or self._sides.question:
            return theirs if ours is None else ours
        later = await self._sides.v2.find_ids(self._sides.v2.within(self._partition, ours), 1)
        return theirs if later else ours

    async def _read(self) -> tuple[Part[StoredV1], Part[StoredV2 | ForeignDocument], RawId]:
        """Read both sides up to an id; None for the partition's end.

        Where one side holds more than a part, the range ends at that part's last id, and the other side is read up to
        there. So the memory is bounded however many documents one side lacks, and ids are compared by the server only.
        """
        v1 = await self._read_v1(None)
        last = None if v1.complete else v1.last
        while True:
            where = self._sides.v2.within(self._partition, self._position, last)
            v2 = await self._sides.v2.find_part(where, self._cut * _V2_MORE, parse_v2_or_error)
            if v2.complete:
                return v1, v2, last
            if len(v2.documents) < self._cut:
                self._cut = max(1, len(v2.documents))  # V2's documents are larger than V1's: read less at a time
            last = v2.last
            v1 = await self._read_v1(last)
            if v1.complete:
                return v1, v2, last
            last = v1.last

    async def _read_v1(self, last: RawId) -> Part[StoredV1]:
        where = self._sides.v1.within(self._partition, self._position, last)
        v1 = self._sides.v1
        return await v1.find_part(where, self._cut, v1.carried.parse)

    async def _read_asked(self) -> tuple[Part[StoredV1], Part[StoredV2 | ForeignDocument], RawId]:
        """Read V1's documents that are asked for, and V2's with the same ids."""
        sides = self._sides
        where = {"$and": [sides.v1.within(self._partition, self._position), sides.question]}
        while True:
            v1 = await sides.v1.find_part(where, self._cut, sides.v1.carried.parse)
            ids = v1.documents.ids
            v2 = await sides.v2.find_part(_one_of(ids), len(ids), parse_v2_or_error)
            if v2.complete or len(ids) <= 1:
                return v1, v2, None if v1.complete else v1.last
            self._cut = max(1, len(v2.documents) // 2)


def _one_of(ids: Sequence[RawId]) -> dict[str, object]:
    return {"_id": make_condition({"$in": list(ids)})}
