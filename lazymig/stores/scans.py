"""Scans of one collection in the order of `_id`, a page per statement. No cursor stays open after its page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from lazymig.stores.carried import carried_of
from lazymig.stores.decoding import decode
from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import LENIENT, READ_MAJORITY, Driver, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import RawId, Store
from lazymig.stores.keyset import (
    Order,
    is_nan,
    list_brackets,
    make_bracket_filter,
    make_descending_filter,
    make_partition_filter,
)
from lazymig.stores.raw import Undecoded, decode_for_id, find_one, find_undecoded, split
from lazymig.stores.records import Document, Partition, StoredV1

T = TypeVar("T")

_IN_ORDER = [("_id", 1)]
#: Ids per reply where the caller names no number. Ids are small, so large replies save round trips.
_IDS_PER_REPLY = 10_000
#: How many times as many documents are drawn, where too few of them hold an entity.
_MORE = 10


@frozen
class Part(Generic[T]):
    """The first documents of those that a filter finds, in the order of their ids."""

    documents: Undecoded[T]
    #: Whether the filter finds no others.
    complete: bool
    #: The last document's id; None without documents.
    last: RawId


class Scan:
    """Reads a collection's documents, whole or in part, in the order of their ids.

    With `majority`, nothing that a scan finds can be rolled back. Without it, it reads the primary's present state. A
    `descending` scan begins with the highest id, and what comes "after" a position is below it then. Pages are raw BSON
    (`is_raw`), except in memory, where they are decoded documents.
    """

    def __init__(self, store: Store, *, majority: bool = False, descending: bool = False) -> None:
        collection, concern = collection_of(store), READ_MAJORITY if majority else None
        self._documents = tune(collection, read=concern)
        self._lenient = tune(collection, read=concern, codec=LENIENT)
        self._driver = driver_of(collection)
        #: How the documents carry the entities. Where these are parts of documents, the others are passed over.
        self.carried = carried_of(store)
        self._order = [("_id", -1 if descending else 1)]
        self._make_filter = make_descending_filter if descending else make_partition_filter
        self.is_raw = self._driver is not Driver.MEMORY

    async def find_ids(self, where: Document, limit: int = 0, *, per_reply: int = 0) -> list[Any]:
        """Find ids in order by a covered scan: all that match, or the first `limit`."""
        fields, where = {"_id": 1}, self.carried.select(where)
        if not self.is_raw:
            return await self._in_memory(where, fields, limit)
        cursor = self._raw(where, fields, limit).batch_size(per_reply or limit or _IDS_PER_REPLY)
        return [document async for batch in cursor for document in split(batch)]

    async def find_whole(self, where: Document, limit: int) -> list[Any]:
        """Find the first `limit` whole documents in the order of their ids, or as many as one reply (16 MB) holds.

        So a page is bounded in bytes too. The cursor is closed even if documents are left.
        """
        return (await self.find_page(where, limit))[0]

    async def find_page(self, where: Document, limit: int) -> tuple[list[RawId], bool]:
        """Find documents as `find_whole` does, and whether the filter finds no others."""
        where = self.carried.select(where)
        if self.is_raw:
            found, ended = await self._find_reply(where, limit)
        else:
            found, ended = await self._in_memory(where, self.carried.fields, limit), True
        return found, ended and len(found) < limit

    async def find_part(self, where: Document, limit: int, make: Callable[[Document], T]) -> Part[T]:
        """Find the first `limit` documents, or as many as one reply (16 MB) holds, each decoded when it is accessed."""
        where = self.carried.select(where)
        # One more shows whether there are more.
        if self.is_raw:
            found, ended = await self._find_reply(where, limit + 1)
        else:
            found, ended = await self._in_memory(where, self.carried.fields, limit + 1), True
        complete = ended and len(found) <= limit
        found = found[:limit]
        last = raw_id(decode_for_id(found[-1])["_id"]) if found else None
        return Part(Undecoded(found, self._documents.codec_options if self.is_raw else None, make), complete, last)

    async def _find_reply(self, where: Document, limit: int) -> tuple[list[RawId], bool]:
        """Find the documents of one reply, and whether the server has no more within the limit."""
        cursor = self._raw(where, self.carried.fields, limit).batch_size(limit)
        async for batch in cursor:
            ended = not cursor.alive
            await cursor.close()
            return split(batch), ended
        return [], True

    def _raw(self, where: Document, fields: Any, limit: int) -> Any:
        return self._documents.find_raw_batches(where, fields, sort=self._order, limit=limit, hint=_IN_ORDER)

    async def _in_memory(self, where: Document, fields: Any, limit: int) -> list[Any]:
        cursor = self._documents.find(where, fields).sort(self._order)
        return list(await (cursor.limit(limit) if limit else cursor).to_list(None))

    async def find_document(self, id: RawId) -> Any:
        """Find one document, or None; decoding cannot fail. The id need not be hashable."""
        return await find_one(self._documents, id, None, self.carried.selection, self.carried.fields)

    async def find_field(self, id: RawId, field: str) -> dict[str, Any] | None:
        """Find one document's id and one field, or None; the rest of it is not decoded."""
        found: dict[str, Any] | None = await self._lenient.find_one(self.carried.select({"_id": id}), {field: 1})
        return found

    async def find_revision(self, id: RawId) -> StoredV1:
        """Find the revision of one of V1's entities, which may not decode; 0 where V1 has none."""
        return self.carried.parse(await self.find_field(id, self.carried.revision) or {"_id": id})

    async def find_revisions(self, ids: Sequence[RawId]) -> list[StoredV1]:
        """Find the revisions of those of V1's entities that exist, in any order, in one reply."""
        return list(map(self.carried.parse, await self.find_fields(ids, self.carried.revision)))

    async def find_fields(self, ids: Sequence[RawId], field: str) -> list[dict[str, Any]]:
        """Find the ids and one field of the documents with these ids that exist, in any order, in one reply."""
        if not ids:
            return []
        where = self.carried.select({"_id": {"$in": list(ids)}})
        # Each is decoded separately, because this field itself may not decode.
        return list(await find_undecoded(self._lenient, dict, where, size=len(ids), fields={field: 1}))

    async def sample_ids(self, count: int) -> list[RawId]:
        """Find about this many random ids, in order. NaN is left out, because no comparison with it finds anything.

        Where entities are parts of documents, few documents may have one, so more are looked at.
        """
        ids = await self._sample_ids(count)
        if not self.carried.is_part or len(ids) >= count:
            return ids
        ids = await self._sample_ids(count * _MORE)
        return ids if len(ids) <= count else [ids[len(ids) * place // count] for place in range(count)]

    async def _sample_ids(self, size: int) -> list[RawId]:
        # The sample comes first: only then the server draws documents without reading all.
        stages: list[Document] = [{"$sample": {"size": size}}]
        stages += [{"$match": self.carried.selection}] if self.carried.is_part else []
        stages += [{"$project": {"_id": 1}}, {"$sort": {"_id": 1}}]
        cursor = await await_if_needed(self._lenient.aggregate(stages))
        return [raw_id(document["_id"]) for document in await cursor.to_list(None) if not is_nan(document["_id"])]

    async def find_random_ids(self, share: float, where: Document | None = None) -> list[RawId]:
        """Find ids in order, each with the same probability `share`, independently of all others.

        `$sample` would be faster, but its random cursor prefers some parts of the tree that holds the documents. The
        scan is covered by the index on `_id` where no filter is given.
        """
        where = self.carried.select(where or {})
        stages: list[Document] = [{"$match": where}] if where else []
        # The projection comes first: a condition on the whole document would make the server fetch each.
        stages += [{"$project": {"_id": 1}}, {"$set": {"draw": {"$rand": {}}}}, {"$match": {"draw": {"$lt": share}}}]
        cursor = await await_if_needed(self._lenient.aggregate(stages, hint=dict(_IN_ORDER)))
        return [raw_id(row["_id"]) for row in await cursor.to_list(None)]

    async def has_bracket(self, bracket: str) -> bool:
        """Find out whether any id is in this bracket of BSON types, by one read of the index."""
        return await self._lenient.find_one(make_bracket_filter("_id", bracket, self._driver), {"_id": 1}) is not None

    def brackets(self) -> list[str]:
        """Return the brackets that ids of this collection can sort in. Sends nothing."""
        return list_brackets(self._driver)

    def within(self, partition: Partition, position: RawId, last: RawId = None) -> Document:
        """Return the filter for a partition's ids after the position, up to `last` where given. Sends nothing."""
        return self._make_filter(partition, position, last, self._driver)

    def after(self, order: Order, document: Document) -> dict[str, Any]:
        """Return the filter for what comes after this document in that order. Sends nothing."""
        return order.after(document, self._driver)

    def decoded(self, document: Any) -> Any:
        """Decode a document of `find_whole`, as the store's own reads do."""
        return decode(document, self._documents.codec_options) if isinstance(document, bytes) else document
