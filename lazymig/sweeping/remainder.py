"""Finding what V2 lacks: two covered scans of ids, a page at a time.

While V2 has most of a page, only ids are read, as raw BSON. If both pages have the same bytes, nothing is missing and
nothing is decoded. While V2 has little, V1's whole documents are read without reading ids first. No cursor stays open
after its page. A page is bounded in count and, where it holds whole documents, in bytes (one reply).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Any

from attrs import field, frozen

from lazymig.passes.shedding import as_patient_as
from lazymig.stores.chunks import split_ids
from lazymig.stores.decoding import Unreadable, make_condition
from lazymig.stores.documents import raw_id
from lazymig.stores.given import RawId, Store
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import decode_for_id, extract_id_bytes
from lazymig.stores.records import Document, Partition
from lazymig.stores.scans import Scan

#: Ids per page. Ids are small, so large pages save round trips.
IDS_PER_PAGE = 10_000


@frozen
class Page:
    """A range of V1 in `_id` order."""

    #: V1's documents that V2 lacks, whole or only their ids (see `whole`), as raw BSON except in memory.
    missing: Sequence[Any]
    whole: bool
    #: How many V1 ids were looked at.
    scanned: int
    #: The last of them that Python can hold, and so can be stored in a checkpoint.
    last: RawId


@frozen(kw_only=True)
class Choice:
    """Which of V1's documents are moved, and in which direction."""

    #: A filter on V1, as the store encodes it; empty for all documents.
    question: Document = field(factory=dict)
    #: Whether the highest ids come first.
    descending: bool = False


#: All of V1, from the lowest id up.
EVERYTHING = Choice()


class Remainder:
    """Finds what V2 lacks of one partition of V1, after a position."""

    def __init__(
        self,
        v1: Store,
        v2: Store,
        partition: Partition,
        position: RawId,
        batch_size: int,
        *,
        lean: bool | None = None,
        choice: Choice = EVERYTHING,
    ) -> None:
        down = choice.descending
        # V1 with majority: what is converted must not be rolled back. V2 without: a wrong "absent" is safe.
        self._v1 = as_patient_as(v1, Scan(v1, majority=True, descending=down))
        self._v2 = as_patient_as(v2, Scan(v2, descending=down))
        self._question = choice.question
        self._partition = partition
        self._position = position
        #: Documents per page where they are read whole.
        self.batch_size = batch_size
        self.ids_per_page = IDS_PER_PAGE
        #: Whether V2 probably has most of the next page; None where that is unknown.
        self.lean = lean
        #: Whether all pages are found: what comes after the last one was inserted meanwhile, and is in V2 as well.
        self.ended = False

    async def pages(self) -> AsyncIterator[Page]:
        """Yield one page after the other, in `_id` order, until the partition's end."""
        marked = self._position
        while True:
            whole = self.lean is False
            # Where it is unknown, a small page of ids shows it.
            size = self.ids_per_page if self.lean else self.batch_size
            where = self._ask_for(self._v1.within(self._partition, self._position))
            if whole:
                found, self.ended = await self._v1.find_page(where, size)
            else:
                found = await self._v1.find_ids(where, size)
                self.ended = len(found) < size
            if not found:
                return
            last = raw_id(decode_for_id(found[-1])["_id"])
            missing = await self._find_missing(found, last)
            # This page is the best guess for the next.
            self.lean = len(missing) * 2 < len(found)
            if not isinstance(last, Unreadable):
                marked = last
            self.ended |= self._partition.bracket in ONE_VALUE
            yield Page(missing, whole, len(found), marked)
            if self.ended:
                return
            self._position = last

    async def read_whole(self, ids: Sequence[RawId]) -> AsyncIterator[Sequence[Any]]:
        """Yield V1's whole documents for a page's ids, at most one reply at a time."""
        named = {extract_id_bytes(document): decode_for_id(document)["_id"] for document in ids}
        keys = iter(named)
        for part in split_ids(list(named.values())):
            rest = dict(zip(islice(keys, len(part)), part, strict=True))
            while rest:
                # Asked for again: a document that was changed meanwhile may no longer match.
                where = self._ask_for({"_id": make_condition({"$in": list(rest.values())})})
                found = await self._v1.find_whole(where, len(rest))
                if not found:
                    break  # deleted meanwhile
                yield found
                for document in found:
                    rest.pop(extract_id_bytes(document), None)

    def _ask_for(self, where: Document) -> Document:
        return {"$and": [where, self._question]} if self._question else where

    async def _find_missing(self, found: Sequence[RawId], last: RawId) -> Sequence[RawId]:
        known = await (self._find_known(found) if self._question else self._find_known_up_to(last))
        if not known:
            return found
        if known == found:
            return ()
        keys = {extract_id_bytes(document) for document in known}
        return [document for document in found if extract_id_bytes(document) not in keys]

    async def _find_known_up_to(self, last: RawId) -> list[RawId]:
        where = self._v2.within(self._partition, self._position, last)
        return await self._v2.find_ids(where, per_reply=IDS_PER_PAGE)

    async def _find_known(self, found: Sequence[RawId]) -> list[RawId]:
        """Find which of these ids V2 has: a filter may leave many others between them."""
        known: list[RawId] = []
        for part in split_ids([decode_for_id(document)["_id"] for document in found]):
            known += await self._v2.find_ids({"_id": make_condition({"$in": list(part)})}, per_reply=IDS_PER_PAGE)
        return known
