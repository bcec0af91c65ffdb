"""Statements that find V1's documents of older versions and store them in the newest one, many at a time."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from lazymig.stores.documents import make_revision_filter
from lazymig.stores.drivers import (
    MAJORITY,
    STATEMENT_ERRORS,
    Driver,
    collection_of,
    driver_of,
    is_server_state,
    is_too_large,
    tune,
)
from lazymig.stores.given import RawId, Store
from lazymig.stores.mongo_v1 import build_update
from lazymig.stores.records import Document, Fields

#: The types of an equal number that is no version.
_NOT_WHOLE = ("array", "double", "decimal")


def make_older_filter(field: str, newest: int) -> Fields:
    """Return the filter for documents whose version is not the newest: older, newer, missing, or no version at all."""
    # To a filter, 3 equals 3.0 and an array that contains it.
    return {"$or": [{field: {"$ne": newest}}, *({field: {"$type": kind}} for kind in _NOT_WHOLE)]}


@frozen
class Rewrite:
    """One document's change from a revision to the next, if it still holds these values."""

    id: RawId
    revision: int
    changed: Document
    vanished: Sequence[str]
    within: Sequence[str]
    held: Document | None


class Rewrites:
    """Changes of V1's documents that nothing was announced for: only for a phase in which no process uses V2."""

    def __init__(self, store: Store) -> None:
        collection = collection_of(store)
        self._in_memory = driver_of(collection) is Driver.MEMORY
        self._durable = tune(collection, write=MAJORITY)

    async def store(self, rewrites: Sequence[Rewrite]) -> tuple[int, list[int]]:
        """Make these changes, durably, by one unordered statement; each also raises the document's revision by one.

        A document that is at another revision, or holds other values, stays as it is. Returns how many were changed,
        and the positions of those that V1 refuses by an index, a validator or their size.
        """
        pairs = [_build(rewrite) for rewrite in rewrites]
        if self._in_memory:
            results = [await self._durable.update_one(*pair) for pair in pairs]
            return sum(result.matched_count for result in results), []
        try:
            result = await self._durable.bulk_write([UpdateOne(*pair) for pair in pairs], ordered=False)
        except BulkWriteError as error:
            refused = error.details.get("writeErrors", [])
            passing = any(is_server_state(one.get("code"), error.details) for one in refused)
            if passing or error.details.get("writeConcernErrors"):
                raise
            return int(error.details["nMatched"]), [one["index"] for one in refused]
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
            return 0, []  # one of them cannot be sent, and nothing shows which
        return int(result.matched_count), []


def _build(rewrite: Rewrite) -> tuple[Fields, Fields]:
    where = make_revision_filter(rewrite.id, rewrite.revision, rewrite.within, rewrite.held)
    return where, build_update(max(rewrite.revision, 0) + 1, rewrite.changed, rewrite.vanished)
