"""Statements that find and replace V2's documents which lazymig did not store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import MAJORITY, Driver, collection_of, driver_of, tune
from lazymig.stores.given import Store
from lazymig.stores.keyset import BY_ID
from lazymig.stores.raw import decode_for_id
from lazymig.stores.records import Document
from lazymig.stores.scans import Scan


def _is_integer(path: str) -> dict[str, Any]:
    return {"$or": [{path: {"$type": "int"}}, {path: {"$type": "long"}}]}


#: The filter for documents of which `documents.is_foreign` is true.
FOREIGN: Document = {"$nor": [{"$and": [_is_integer(f"{META_FIELD}.rev"), _is_integer(f"{META_FIELD}.intent")]}]}


class ForeignDocuments:
    """V2's documents that lazymig did not store."""

    def __init__(self, store: Store) -> None:
        collection = collection_of(store)
        self._scan = Scan(collection)
        self._in_memory = driver_of(collection) is Driver.MEMORY
        self._durable = tune(collection, write=MAJORITY)

    async def find_ids(self, limit: int, after: Any = None) -> list[Any]:
        """Find the next ids in order, after the last id of the previous page where that is given."""
        where = FOREIGN if after is None else {"$and": [FOREIGN, self._scan.after(BY_ID, decode_for_id(after))]}
        return await self._scan.find_ids(where, limit)

    async def replace(self, documents: Sequence[Document]) -> tuple[int, list[int]]:
        """Replace foreign documents by these of `born_clean`, durably, by one unordered statement.

        A document that is no longer foreign stays as it is. Returns how many were replaced, and the positions of those
        that V2 refuses.
        """
        pairs = [({"_id": document["_id"], **FOREIGN}, document) for document in documents]
        if self._in_memory:
            results = [await self._durable.replace_one(where, document) for where, document in pairs]
            return sum(result.matched_count for result in results), []
        try:
            result = await self._durable.bulk_write([ReplaceOne(*pair) for pair in pairs], ordered=False)
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):
                raise
            return error.details["nMatched"], [failure["index"] for failure in error.details["writeErrors"]]
        return result.matched_count, []
