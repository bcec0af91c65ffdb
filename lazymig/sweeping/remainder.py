"""Finding what V2 lacks: two covered scans of ids, side by side, a page at a time.

While V2 has most of a page, only ids are read, as raw BSON: where the two pages are the same bytes, nothing is missing
and nothing is even decoded. While V2 has little, V1's whole documents are read at once instead of their ids first.
No cursor outlives its page, and a page is bounded in count and, where documents are read, in bytes (one reply).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any

from attrs import frozen

from lazymig.stores.chunks import chunks
from lazymig.stores.decoding import Unreadable, condition
from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import READ_MAJORITY, Driver, driver_of, tuned
from lazymig.stores.keyset import above, in_bracket
from lazymig.stores.raw import decoded_leniently, id_bytes, split
from lazymig.stores.records import Partition

#: Brackets with one document at most, beyond whose value a comparison would find those of other brackets.
ONE_VALUE = {"minKey", "null", "maxKey"}
#: Ids per page: an id is small, and a round trip is not.
IDS_PER_PAGE = 10_000


@frozen
class Page:
    """One stretch of V1 in `_id` order."""

    #: V1's documents that V2 lacks, as raw BSON where the driver can: whole ones, or only their ids (see `whole`).
    missing: Sequence[Any]
    whole: bool
    #: How many V1 ids were looked at.
    scanned: int
    #: The last of them; where that is one that Python cannot hold, the last before it that can be remembered.
    last: Any


class Remainder:
    """What V2 lacks of one partition of V1, from a position on."""

    def __init__(
        self, v1: Any, v2: Any, partition: Partition, position: Any, batch_size: int, lean: bool | None = None
    ) -> None:
        # V1 with majority: what is converted must not be rolled back. V2 as it is: absent is always a safe answer.
        self._v1, self._v2 = Pages(tuned(v1, read=READ_MAJORITY)), Pages(tuned(v2))
        self._partition = partition
        self._position = position
        #: Documents per page where they are read whole.
        self.batch_size = batch_size
        self.ids_per_page = IDS_PER_PAGE
        #: Whether V2 is taken to have most of the next page; None: nobody knows yet.
        self.lean = lean

    async def pages(self) -> AsyncIterator[Page]:
        """Pages in `_id` order until the partition's end."""
        marked = self._position
        while True:
            whole = self.lean is False
            # Where nobody knows, a look at few ids shows it.
            size = self.ids_per_page if self.lean else self.batch_size
            found = await self._v1.page(self._range(None), size, whole=whole)
            if not found:
                return
            last = raw_id(decoded_leniently(found[-1])["_id"])
            missing = await self._missing(found, last)
            # What this page met is the best guess for the next.
            self.lean = len(missing) * 2 < len(found)
            if not isinstance(last, Unreadable):
                marked = last
            yield Page(missing, whole, len(found), marked)
            if self._partition.bracket in ONE_VALUE:
                return
            self._position = last

    async def whole(self, ids: Sequence[Any]) -> AsyncIterator[Sequence[Any]]:
        """V1's whole documents for a page's ids, as many at a time as fill one reply, or fewer."""
        named = {id_bytes(document): decoded_leniently(document)["_id"] for document in ids}
        keys = iter(named)
        for part in chunks(list(named.values())):
            rest = dict(zip(islice(keys, len(part)), part, strict=True))
            while rest:
                found = await self._v1.page({"_id": condition({"$in": list(rest.values())})}, len(rest), whole=True)
                if not found:
                    break  # deleted meanwhile
                yield found
                for document in found:
                    rest.pop(id_bytes(document), None)

    async def _missing(self, found: Sequence[Any], last: Any) -> Sequence[Any]:
        known = await self._v2.page(self._range(last), 0, whole=False)
        if not known:
            return found
        if known == found:
            return ()
        keys = {id_bytes(document) for document in known}
        return [document for document in found if id_bytes(document) not in keys]

    def _range(self, last: Any) -> Mapping[str, Any]:
        return in_partition(self._partition, self._position, last, driver_of(self._v1.collection))


def in_partition(partition: Partition, position: Any, last: Any, driver: Driver) -> dict[str, Any]:
    """The filter for a partition's ids behind the position, up to `last` where that is given."""
    bounds: dict[str, Any] = {}
    if position is not None:
        bounds |= above(position)
    high = partition.high if last is None else last
    if high is not None:
        bounds["$lte"] = high
    if position is not None:
        return {"_id": condition(bounds)}  # a comparison stays within its value's bracket
    bracket = in_bracket("_id", partition.bracket, driver)
    if not bounds:
        return bracket
    # NaN sorts first among the numbers, but is not less than any of them.
    first = [{"_id": math.nan}] if partition.bracket == "int" else []
    return {"$and": [bracket, {"$or": [{"_id": condition(bounds)}, *first]}]}


class Pages:
    """Pages of one collection in `_id` order, as raw BSON where the driver can."""

    def __init__(self, collection: Any) -> None:
        self.collection = collection
        self._raw = driver_of(collection) is not Driver.MEMORY

    async def page(self, where: Mapping[str, Any], size: int, *, whole: bool) -> list[Any]:
        """At most `size` documents (0: all), fewer when they fill a reply: whole, or their ids."""
        fields = None if whole else {"_id": 1}
        if not self._raw:
            cursor = self.collection.find(where, fields).sort([("_id", 1)])
            return list(await (cursor.limit(size) if size else cursor).to_list(None))
        cursor = self.collection.find_raw_batches(where, fields, sort=[("_id", 1)], limit=size, hint=[("_id", 1)])
        documents: list[bytes] = []
        async for batch in cursor.batch_size(size or IDS_PER_PAGE):
            documents += split(batch)
            if whole:
                # One reply holds 16 MB at most: enough for one page, and all that is held at a time.
                await cursor.close()
                break
        return documents
