"""V2's documents that lazymig did not store: the filter that finds them, and the statement that replaces them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import MAJORITY, Driver, driver_of, tuned
from lazymig.stores.records import Document


def _is_integer(path: str) -> dict[str, Any]:
    return {"$or": [{path: {"$type": "int"}}, {path: {"$type": "long"}}]}


#: Finds the documents of which `documents.is_foreign` is true.
FOREIGN: Document = {"$nor": [{"$and": [_is_integer(f"{META_FIELD}.rev"), _is_integer(f"{META_FIELD}.intent")]}]}


async def replace_foreign(collection: Any, documents: Sequence[Document]) -> tuple[int, list[int]]:
    """Put documents of `born_clean` in the place of those that lazymig did not store, durably; others stay.

    How many were replaced, and the places of those that V2 refuses.
    """
    durable = tuned(collection, write=MAJORITY)
    pairs = [({"_id": document["_id"], **FOREIGN}, document) for document in documents]
    if driver_of(collection) is Driver.MEMORY:
        results = [await durable.replace_one(where, document) for where, document in pairs]
        return sum(result.matched_count for result in results), []
    try:
        result = await durable.bulk_write([ReplaceOne(*pair) for pair in pairs], ordered=False)
    except BulkWriteError as error:
        if error.details.get("writeConcernErrors"):
            raise
        return error.details["nMatched"], [failure["index"] for failure in error.details["writeErrors"]]
    return result.matched_count, []
