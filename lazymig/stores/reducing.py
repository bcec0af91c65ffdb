"""Statements that take out of V2's documents what only a migration needs, some documents at a time.

Each changes a document in one step on the server and leaves the fields that order writes as they are. So a write that
read the document before wins or loses as it would have done, and none is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from lazymig.loop.clock import Clock
from lazymig.stores.decoding import make_condition
from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import MAJORITY, Driver, Handle, collection_of, driver_of, tune
from lazymig.stores.given import RawId, Store
from lazymig.stores.ledger import AT, CONV, GONE, INSERTS, INTENT, RAISED, REV, UNMOVED
from lazymig.stores.records import Document
from lazymig.stores.server_time import ServerTime

#: What no write of V2 alone needs.
_SPARE = (f"{META_FIELD}.by", CONV, AT, RAISED, INSERTS)
_WITH_SPARE: Document = {"$or": [{path: {"$exists": True}} for path in _SPARE]}


@frozen
class Reduced:
    """What one step did: documents that were made smaller, and tombstones that were removed."""

    documents: int
    tombstones: int


class Reducing:
    """Takes the migration's fields out of V2's documents."""

    def __init__(self, store: Store, clock: Clock) -> None:
        collection: Handle = collection_of(store)
        self._in_memory = driver_of(collection) is Driver.MEMORY
        self._durable = tune(collection, write=MAJORITY)
        self._time = ServerTime(collection, clock)

    async def now(self) -> datetime:
        """Return the time of the server that sets the marks, naive UTC."""
        return await self._time.now()

    async def reduce(self, ids: Sequence[RawId], before: datetime) -> Reduced:
        """Leave these documents their revision only, and remove those that are tombstones from before this time.

        A document with an open announcement stays as it is.
        """
        named = {"_id": make_condition({"$in": list(ids)})}
        unmoved = {UNMOVED: {"$exists": True}, AT: {"$exists": False}}  # V1, where it was left, is gone
        tombstones = await self._bury({**named, GONE: True, "$or": [{AT: {"$lt": before}}, unmoved]})
        where: Document = {**named, GONE: {"$exists": False}, REV: {"$exists": True}, **_WITH_SPARE}
        if self._in_memory:
            return Reduced(await self._reduce_in_memory(where), tombstones)
        closed = {"$expr": {"$lte": [f"${INTENT}", f"${REV}"]}}
        made = await self._durable.update_many({**where, **closed}, {"$unset": dict.fromkeys(_SPARE, "")})
        return Reduced(int(made.modified_count), tombstones)

    async def _reduce_in_memory(self, where: Document) -> int:
        count = 0
        for found in await self._durable.find(where).to_list(None):
            meta = found[META_FIELD]
            if meta["intent"] <= meta["rev"]:
                guard = {"_id": found["_id"], REV: meta["rev"], INTENT: meta["intent"]}
                done = await self._durable.update_one(guard, {"$unset": dict.fromkeys(_SPARE, "")})
                count += int(done.matched_count)
        return count

    async def strip(self, ids: Sequence[RawId]) -> Reduced:
        """Take `_lazymig` out of these documents, and remove those that have no body.

        No process may use them through lazymig any more.
        """
        named = {"_id": make_condition({"$in": list(ids)})}
        tombstones = await self._bury({**named, GONE: True})
        where = {**named, META_FIELD: {"$exists": True}, GONE: {"$exists": False}}
        made = await self._durable.update_many(where, {"$unset": {META_FIELD: ""}})
        return Reduced(int(made.modified_count), tombstones)

    async def _bury(self, where: Document) -> int:
        return int((await self._durable.delete_many(where)).deleted_count)

    async def count_gone(self) -> int:
        """Count the documents without a body."""
        return int(await self._durable.count_documents({GONE: True}))
