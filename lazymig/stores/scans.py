"""Scans of one collection in `_id` order, a page per statement. No cursor outlives its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lazymig.stores.decoding import decoded
from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import LENIENT, READ_MAJORITY, Driver, awaited, collection_of, driver_of, tuned
from lazymig.stores.given import RawId, Store
from lazymig.stores.keyset import Order, brackets, in_bracket, in_partition, is_nan
from lazymig.stores.raw import find_one, split, undecoded
from lazymig.stores.records import Partition

_IN_ORDER = [("_id", 1)]
#: Ids in one reply where nobody says how many: an id is small, and a round trip is not.
_IDS_PER_REPLY = 10_000


class Scan:
    """One collection as scans find it: the documents of a store, whole or in part, by their ids.

    With `majority`, nothing that a scan finds can be rolled back; without it, the primary's state at this moment
    answers. Pages are raw BSON where the driver has any (`is_raw`), and decoded documents in memory.
    """

    def __init__(self, store: Store, *, majority: bool = False) -> None:
        collection, concern = collection_of(store), READ_MAJORITY if majority else None
        self._documents = tuned(collection, read=concern)
        self._lenient = tuned(collection, read=concern, codec=LENIENT)
        self._driver = driver_of(collection)
        self.is_raw = self._driver is not Driver.MEMORY

    async def find_ids(self, where: Mapping[str, Any], limit: int = 0, *, per_reply: int = 0) -> list[Any]:
        """Find ids in their order by a covered scan: all that match, or the first `limit`."""
        fields = {"_id": 1}
        if not self.is_raw:
            return await self._in_memory(where, fields, limit)
        cursor = self._raw(where, fields, limit).batch_size(per_reply or limit or _IDS_PER_REPLY)
        return [document async for batch in cursor for document in split(batch)]

    async def find_whole(self, where: Mapping[str, Any], limit: int) -> list[Any]:
        """Find whole documents in the order of their ids: the first `limit`, fewer when they fill a reply (16 MB).

        So a page is bounded in bytes too. The cursor is closed, whatever is left.
        """
        if not self.is_raw:
            return await self._in_memory(where, None, limit)
        cursor = self._raw(where, None, limit).batch_size(limit)
        async for batch in cursor:
            await cursor.close()
            return split(batch)
        return []

    def _raw(self, where: Mapping[str, Any], fields: Any, limit: int) -> Any:
        return self._documents.find_raw_batches(where, fields, sort=_IN_ORDER, limit=limit, hint=_IN_ORDER)

    async def _in_memory(self, where: Mapping[str, Any], fields: Any, limit: int) -> list[Any]:
        cursor = self._documents.find(where, fields).sort(_IN_ORDER)
        return list(await (cursor.limit(limit) if limit else cursor).to_list(None))

    async def find_document(self, id: RawId) -> Any:
        """Find one document, whatever it holds; None where there is none. The id need not be hashable."""
        return await find_one(self._documents, id, None)

    async def find_field(self, id: RawId, field: str) -> dict[str, Any] | None:
        """Find one document's id and field, however the rest of it decodes; None where there is none."""
        found: dict[str, Any] | None = await self._lenient.find_one({"_id": id}, {field: 1})
        return found

    async def find_fields(self, ids: Sequence[RawId], field: str) -> list[dict[str, Any]]:
        """Find the ids and one field of the documents with these ids that exist, in any order, in one reply."""
        if not ids:
            return []
        where = {"_id": {"$in": list(ids)}}
        # Each decoded by itself: what does not decode may stand in this very field.
        return list(await undecoded(self._lenient, dict, where, size=len(ids), fields={field: 1}))

    async def sample_ids(self, count: int) -> list[Any]:
        """Find about this many random ids, in their order. NaN is left out: no comparison finds anything by it."""
        stages: list[dict[str, Any]] = [{"$sample": {"size": count}}, {"$project": {"_id": 1}}, {"$sort": {"_id": 1}}]
        cursor = await awaited(self._lenient.aggregate(stages))
        return [raw_id(document["_id"]) for document in await cursor.to_list(None) if not is_nan(document["_id"])]

    async def has_bracket(self, bracket: str) -> bool:
        """Find out whether any id is in this bracket of BSON types, by one look at the index."""
        return await self._lenient.find_one(in_bracket("_id", bracket, self._driver), {"_id": 1}) is not None

    def brackets(self) -> list[str]:
        """The brackets that ids of this collection can sort in. Nothing is sent."""
        return brackets(self._driver)

    def within(self, partition: Partition, position: RawId, last: RawId = None) -> dict[str, Any]:
        """The filter for a partition's ids behind the position, up to `last` where that is given. Nothing is sent."""
        return in_partition(partition, position, last, self._driver)

    def after(self, order: Order, document: Mapping[str, Any]) -> dict[str, Any]:
        """The filter for what comes after this document in that order. Nothing is sent."""
        return order.after(document, self._driver)

    def decoded(self, document: Any) -> Any:
        """A document of `find_whole`, decoded as the store's own reads would be."""
        return decoded(document, self._documents.codec_options) if isinstance(document, bytes) else document
