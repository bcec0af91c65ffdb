"""The ledger in MongoDB, kept in V2's documents. `ports.Ledger` states what each method guarantees.

A body and its announcements share one document, so one read of a clean document answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern

from lazymig.errors import ForeignDocument
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.stores.documents import META_FIELD, check_ticketed, parse_v2
from lazymig.stores.drivers import (
    MAJORITY,
    ONE,
    STATEMENT_ERRORS,
    Driver,
    DriverSession,
    Handle,
    driver_of,
    is_id_taken,
    judge_apply,
    tune,
)
from lazymig.stores.given import RawId
from lazymig.stores.indexes import ensure_index
from lazymig.stores.keyset import Order
from lazymig.stores.pipelines import (
    SERVER_NOW,
    Moment,
    Pipeline,
    build_forgetting,
    build_insert_announcement,
    build_vacancy,
    build_withdrawal,
    evaluate,
)
from lazymig.stores.ports import Ledger
from lazymig.stores.raw import find_undecoded, unpack
from lazymig.stores.records import PLACEHOLDER, Applied, Begun, Document, Fields, StoredV2
from lazymig.stores.server_time import ServerTime
from lazymig.stores.unretried import Update, transform_once, update_once

#: Type mismatch, path not viable: the value of `_lazymig` is not one that lazymig wrote.
_NOT_OURS = frozenset({14, 28})
REV, INTENT = f"{META_FIELD}.rev", f"{META_FIELD}.intent"
GONE, AT, CONV = f"{META_FIELD}.gone", f"{META_FIELD}.at", f"{META_FIELD}.conv"
UNMOVED = f"{META_FIELD}.unmoved"
RAISED, INSERTS = f"{META_FIELD}.raised", f"{META_FIELD}.inserts"
#: The filter for documents with a body.
LIVE: Document = {GONE: {"$ne": True}}
_BY_AGE = Order(AT, 1)
#: What an announcement inserts where V2 has no document, besides `gone`. `by` is for people: no filter uses it.
PLACED = {REV: PLACEHOLDER, f"{META_FIELD}.by": "write"}


class MongoLedger(Ledger):
    """A `Ledger` kept in V2's documents, under `_lazymig`.

    `conv` is the revision of the conversion whose bodies this process stores. With `remembers`, bodies may hold what V1
    cannot express. Then inserts are remembered, to separate the bodies of one entity from those of the next one that
    has its id.
    """

    def __init__(
        self,
        collection: Handle,
        clock: Clock = SYSTEM_CLOCK,
        conv: int = 1,
        session: DriverSession | None = None,
        read_concern: str | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        #: The collection as it was given. Its codec options encode the caller's filters.
        self.given = collection
        self.collection = tune(collection)
        self._clock = clock
        self._conv = conv
        self._remembers = remembers
        self._session = session
        self._read = tune(collection, read=None if read_concern is None else ReadConcern(read_concern))
        #: For the reply of an announcement whose document may not decode: as bytes, so that decoding cannot fail.
        self._announced = tune(collection, write=MAJORITY, raw=True)
        # V1 must never pass an announced intent, not even when V2's primary changes.
        self._durable = tune(collection, write=MAJORITY)
        # When a body is rolled back, V2 is dirty or absent, and both mean "ask V1".
        self._quick = tune(collection, write=ONE)
        self._in_memory = driver_of(collection) is Driver.MEMORY
        self._takes_pipelines = not self._in_memory or hasattr(type(collection), "takes_pipelines")
        #: Whether a write that fails may be sent again. In a transaction, nothing may be sent after a failure.
        self._repeats = session is None and not self._in_memory
        self._time = ServerTime(collection, clock)

    async def now(self) -> datetime:
        return await self._time.now()

    async def ticket(self, id: RawId) -> StoredV2:
        return await self._announce({"_id": id}, {**PLACED, GONE: True}, 1)

    async def begin_ticket(self, id: RawId) -> Begun:
        return Begun(await self.ticket(id))

    async def vacant_ticket(self, id: RawId, step: int = 1) -> StoredV2 | None:
        # An upsert copies `gone` into the document that it inserts. What has no body by V1's revision is no vacancy: V1
        # holds the entity, and V2 may keep the body before.
        where = {"_id": id, GONE: True, UNMOVED: {"$exists": False}}
        try:
            if self._remembers:
                return await self._transformed(where, build_insert_announcement(PLACEHOLDER, step, self._moment))
            return await self._announce(where, PLACED, step)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise
            return None

    async def _announce(self, where: Document, on_insert: Document, step: int) -> StoredV2:
        update = {"$inc": {INTENT: step}, **self.mark(), "$setOnInsert": on_insert}
        return await self._transformed(where, update)

    async def _transformed(self, where: Document, update: Any) -> StoredV2:
        if not self._takes_pipelines and not isinstance(update, dict):
            await _update_by_replacing(self._durable, where, update, upsert=True)
            made = await self._durable.find_one({"_id": where["_id"]})
            assert made is not None  # by the upsert
            return parse_v2(made)
        try:
            document = await transform_once(self._durable, where, update) if self._repeats else None
            if document is None:
                document = await self._announced.find_one_and_update(
                    where, update, upsert=True, return_document=ReturnDocument.AFTER, session=self._session
                )
        except OperationFailure as error:
            if error.code not in _NOT_OURS:
                raise
            raise ForeignDocument(where["_id"]) from None
        except AttributeError as error:
            # PyMongo adds labels to a write concern error, which a server sends that steps down, and cannot do so in an
            # undecoded reply. Whether the announcement will last is not known, as after any lost connection.
            if "RawBSONDocument" not in str(error):
                raise
            raise AutoReconnect(
                "the server reported that the announcement may not last; it is not the primary"
            ) from None
        return check_ticketed(where["_id"], parse_v2(unpack(self.collection, document)))

    async def raise_intent(self, id: RawId, intent: int) -> None:
        on_insert = {**PLACED, GONE: True}
        update = {"$max": {INTENT: intent}, "$inc": {RAISED: 1}, **self.mark(), "$setOnInsert": on_insert}
        # With a guard on the revision: the seal's fence refuses an intent above the revision, and this must not pass it
        # because a write in `v2_only` has brought V2 to the same number.
        where = {"_id": id, REV: {"$not": {"$gte": intent}}}
        try:
            await self._durable.update_one(where, update, upsert=True, session=self._session)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise

    async def raise_each(self, ids: Sequence[RawId]) -> int:
        where, update = {REV: {"$exists": True}}, {"$inc": {INTENT: 1}, **self.mark()}
        if self._in_memory:
            results = [await self._durable.update_one({"_id": id, **where}, update) for id in ids]
            return sum(result.matched_count for result in results)
        result = await self._durable.update_many({"_id": {"$in": list(ids)}, **where}, update, session=self._session)
        return int(result.matched_count)

    def mark(self) -> Fields:
        """Return the part of an announcement that marks the document with the time."""
        # All marks are set and their ages measured by one clock, the server's.
        return {"$set": {AT: self._clock.now()}} if self._in_memory else {"$currentDate": {AT: True}}

    async def vacate(self, seen: StoredV2, ticket: int) -> bool:
        where = {"_id": seen.id, REV: seen.revision, INTENT: seen.intent}
        made = build_vacancy(seen.intent, ticket, self._moment)
        return await self._send(where, made, durable=True)

    async def forget_insert(self, id: RawId, ticket: int) -> None:
        if self._remembers:
            await self._update({"_id": id, INSERTS: ticket}, build_forgetting(ticket))

    async def withdraw(self, seen: StoredV2, step: int = 1, *, missing: bool = False) -> bool:
        # A writer that raised the intent to the same number may have used it, or may still use it.
        where = {"_id": seen.id, REV: {"$lt": seen.intent}, INTENT: seen.intent, RAISED: {"$exists": False}}
        if missing:
            where[GONE] = True
        if seen.revision == PLACEHOLDER and seen.intent == step:
            placeholder = {**where, REV: PLACEHOLDER, GONE: True}
            if (await self._quick.delete_one(placeholder, session=self._session)).deleted_count:
                return True  # otherwise a reader has stored V1's body since
        return await self._update(where, build_withdrawal(seen.intent, seen.intent - step)) is Applied.APPLIED

    async def purge(self, seen: StoredV2) -> bool:
        where = {"_id": seen.id, REV: seen.revision, INTENT: seen.intent, AT: seen.at}
        result = await self._quick.delete_one(where, session=self._session)
        return bool(result.deleted_count)

    async def marks(self, before: datetime, limit: int, after: Document | None = None) -> list[StoredV2]:
        where: Document = {AT: {"$lt": before}, REV: {"$exists": True}}
        if after is not None:
            where = {"$and": [where, after]}
        found = await find_undecoded(
            self._read, parse_v2, where, size=limit, limit=limit, sort=[(AT, 1), ("_id", 1)], session=self._session
        )
        return list(found)

    async def open_marks(self, limit: int, after: StoredV2 | None = None) -> list[StoredV2]:
        where: Document = {AT: {"$exists": True}, REV: {"$exists": True}}
        if not self._in_memory:
            where = {**where, "$expr": {"$gt": [f"${INTENT}", f"${REV}"]}}
        if after is not None:
            where = {"$and": [where, _BY_AGE.after(after.document, driver_of(self.collection))]}
        found = await find_undecoded(
            self._read, parse_v2, where, size=limit, limit=0 if self._in_memory else limit,
            fields=None if self._remembers else {META_FIELD: 1}, sort=_BY_AGE.keys, session=self._session,
        )  # fmt: skip
        return [seen for seen in found if seen.intent > seen.revision][:limit]

    async def ensure_mark_index(self) -> None:
        await ensure_index(self.collection, [(AT, 1)], "lazymig_at", sparse=True)

    @property
    def _moment(self) -> Moment:
        return self._clock.now() if self._in_memory else SERVER_NOW

    async def _update(
        self, where: Document, pipeline: Pipeline, *, upsert: bool = False, durable: bool = False
    ) -> Applied:
        try:
            changed = await self._send(where, pipeline, upsert=upsert, durable=durable)
        except STATEMENT_ERRORS as error:
            return judge_apply(error)
        return Applied.APPLIED if changed else Applied.NEWER

    async def _send(self, where: Document, pipeline: Pipeline, *, upsert: bool = False, durable: bool = False) -> bool:
        """Update one document; return whether there was one or one was inserted. Driver errors pass through."""
        collection = self._durable if durable else self._quick
        if not self._takes_pipelines:
            return await _update_by_replacing(collection, where, pipeline, upsert)
        if upsert and not durable and self._repeats:
            reply = await update_once(collection, Update(where, pipeline))
            if reply is not None:
                return bool(reply["n"])
        result = await collection.update_one(where, pipeline, upsert=upsert, session=self._session)
        return bool(result.matched_count or result.upserted_id is not None)


async def _update_by_replacing(collection: Handle, where: Document, pipeline: Pipeline, upsert: bool) -> bool:
    """Do what an update by a pipeline does, for a collection that does not know pipelines."""
    while True:
        found = await collection.find_one(where)
        if found is None:
            if not upsert:
                return False
            await collection.insert_one(evaluate(pipeline, {"_id": where["_id"]}))
            return True
        guard = {"_id": found["_id"], META_FIELD: found[META_FIELD]}
        if (await collection.replace_one(guard, evaluate(pipeline, found))).matched_count:
            return True
