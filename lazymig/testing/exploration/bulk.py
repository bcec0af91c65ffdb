"""Unordered bulks in memory. As on a server, each write is atomic, and those of others may come between two of them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from operator import itemgetter
from typing import Protocol

from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, WriteError
from pymongo.results import BulkWriteResult, DeleteResult, InsertOneResult, UpdateResult

from lazymig.testing.exploration.cursor import Query
from lazymig.testing.exploration.updates import Update


class _Writable(Protocol):
    def insert_one(self, document: Query) -> Awaitable[InsertOneResult]: ...

    def update_one(self, filter: Query, update: Update, upsert: bool = False) -> Awaitable[UpdateResult]: ...

    def delete_one(self, filter: Query) -> Awaitable[DeleteResult]: ...


#: The driver sends the writes of an unordered bulk by their kinds, in this order.
_KINDS = (InsertOne, UpdateOne, DeleteOne)


async def write_in_bulk(collection: _Writable, requests: Sequence[object]) -> BulkWriteResult:
    """Do each write. Raises `BulkWriteError` with those that failed, after the others are done."""
    for request in requests:
        if not isinstance(request, _KINDS):
            raise NotImplementedError(f"MemoryCollection does not know {type(request).__name__} in a bulk")
    failures: list[dict[str, object]] = []
    counts = dict.fromkeys(("nInserted", "nMatched", "nModified", "nUpserted", "nRemoved"), 0)
    for kind in _KINDS:
        for place, request in enumerate(requests):
            if not isinstance(request, kind):
                continue
            try:
                await _write(collection, request, counts)
            except WriteError as error:
                described = {**(error.details or {}), "index": place, "code": error.code, "errmsg": str(error)}
                failures.append({**described, "op": request})
    outcome = {**counts, "writeErrors": failures, "writeConcernErrors": [], "upserted": []}
    if failures:
        failures.sort(key=itemgetter("index"))
        raise BulkWriteError(outcome)
    return BulkWriteResult(outcome, True)


async def _write(collection: _Writable, request: object, counts: dict[str, int]) -> None:
    if isinstance(request, UpdateOne):
        updated = await collection.update_one(request._filter, request._doc, bool(request._upsert))
        counts["nMatched"] += updated.matched_count
        counts["nModified"] += updated.modified_count
        counts["nUpserted"] += updated.upserted_id is not None
    elif isinstance(request, InsertOne):
        await collection.insert_one(request._doc)
        counts["nInserted"] += 1
    elif isinstance(request, DeleteOne):
        counts["nRemoved"] += (await collection.delete_one(request._filter)).deleted_count
