"""The ports to the two collections: one method is one MongoDB statement of the protocol, and nothing more.

Stores know nothing of phases, conversions or the order of steps. Each method's docstring lists its obligations in
order; `tests/contract/` holds a test of each, in the same words, on every driver. Lost races are return values. Driver
errors pass through unchanged.

Bodies are written by pipelines (`pipelines.py`), which the in-memory Mongo of unit tests does not know: there the same
pipeline is evaluated here, and the document is replaced if it still stands as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern

from lazymig.clock import SYSTEM_CLOCK, Clock
from lazymig.documents import META_FIELD, By, born_clean, of_id, stored_or_error, stored_v2, ticketed
from lazymig.drivers import (
    MAJORITY,
    ONE,
    STATEMENT_ERRORS,
    Driver,
    applied_outcome,
    applied_outcomes,
    driver_of,
    is_id_taken,
    is_too_large,
    put_outcome,
    put_outcomes,
    refusal_text,
    tuned,
)
from lazymig.errors import ForeignDocument
from lazymig.indexes import ensure_index
from lazymig.pipelines import (
    SERVER_NOW,
    Moment,
    Pipeline,
    announced,
    applied,
    buried,
    evaluated,
    forgotten,
    vacated,
    withdrawn,
)
from lazymig.raw import Undecoded, find_all, find_one, undecoded, undecoded_by_id, unpacked
from lazymig.records import PLACEHOLDER, Applied, Document, Put, StoredV2
from lazymig.server_time import ServerTime
from lazymig.v1_store import V1Store

__all__ = ["V1Store", "V2Store"]

#: Type mismatch, path not viable: what stands in the place of `_lazymig` is not lazymig's.
_NOT_OURS = frozenset({14, 28})
_REV, _INTENT = f"{META_FIELD}.rev", f"{META_FIELD}.intent"
_GONE, _AT, _CONV = f"{META_FIELD}.gone", f"{META_FIELD}.at", f"{META_FIELD}.conv"
_RAISED, _INSERTS = f"{META_FIELD}.raised", f"{META_FIELD}.inserts"
#: What an announcement makes where V2 has nothing, beside `gone`. Who made it is for people: no filter looks at it.
_PLACEHOLDER = {_REV: PLACEHOLDER, f"{META_FIELD}.by": "write"}


class V2Store:
    """The port to V2: bodies by revision, and the announcements of writes to come.

    `conv` is the revision of the conversion whose bodies this process stores. `remembers`: bodies may hold what V1
    cannot express, so inserts are remembered, which part one entity's bodies from the next one's.
    """

    def __init__(
        self,
        collection: Any,
        clock: Clock = SYSTEM_CLOCK,
        conv: int = 1,
        session: Any = None,
        read_concern: str | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        self.collection = tuned(collection)
        self._clock = clock
        self._conv = conv
        self._remembers = remembers
        self._session = session
        self._read = tuned(collection, read=None if read_concern is None else ReadConcern(read_concern))
        #: For the one reply that cannot be asked for again: bytes, so that it decodes whatever it holds.
        self._announced = tuned(collection, write=MAJORITY, raw=True)
        # V1 must never move past an announced intent, not even when V2's primary changes.
        self._durable = tuned(collection, write=MAJORITY)
        # A body that is rolled back leaves V2 dirty or absent, which both mean "ask V1".
        self._quick = tuned(collection, write=ONE)
        self._in_memory = driver_of(collection) is Driver.MEMORY
        self._takes_pipelines = not self._in_memory or hasattr(type(collection), "takes_pipelines")
        self._time = ServerTime(collection, clock)

    async def now(self) -> datetime:
        """The time by which V2's marks are written: the server's, or in memory the repository's clock's."""
        return await self._time.now()

    async def find(self, id: Any) -> StoredV2 | None:
        """Find one document on the primary."""
        document = await find_one(self._read, id, self._session)
        return None if document is None else of_id(id, stored_v2(document))

    async def find_many(self, ids: Sequence[Any]) -> dict[Any, StoredV2 | ForeignDocument]:
        """Find these documents, a thousand by each statement; missing ids are left out, foreign ones come as errors."""
        found = await find_all(self._read, ids, self._session)
        return {stored.id: stored for stored in map(stored_or_error, found)}

    async def find_each(self, ids: Sequence[Any]) -> Undecoded[StoredV2]:
        """The same in any order, each decoded when its turn comes."""
        return await undecoded_by_id(self._read, stored_v2, ids, self._session)

    async def ticket(self, id: Any) -> StoredV2:
        """Announce a write, durably: raise the intent by one and return the document after that, body and all.

        Where V2 has nothing, a placeholder is made.
        """
        return await self._announce({"_id": id}, {**_PLACEHOLDER, _GONE: True}, 1)

    async def vacant_ticket(self, id: Any, step: int = 1) -> StoredV2 | None:
        """The same for an insert, by `step`, where V2 holds nothing live. None: a live document stands, unchanged.

        Where bodies hold what V1 cannot express, the insert is remembered: a body from before it is another entity's.
        """
        where = {"_id": id, _GONE: True}  # and thus `gone` in the document that an upsert makes
        try:
            if self._remembers:
                return await self._transformed(where, announced(PLACEHOLDER, step, self._moment))
            return await self._announce(where, _PLACEHOLDER, step)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise
            return None

    async def _announce(self, where: Document, on_insert: Document, step: int) -> StoredV2:
        update = {"$inc": {_INTENT: step}, **self._marking(), "$setOnInsert": on_insert}
        return await self._transformed(where, update)

    async def _transformed(self, where: Document, update: Any) -> StoredV2:
        if not self._takes_pipelines and not isinstance(update, dict):
            await _replaced(self._durable, where, update, upsert=True)
            return stored_v2(await self._durable.find_one({"_id": where["_id"]}))
        try:
            document = await self._announced.find_one_and_update(
                where, update, upsert=True, return_document=ReturnDocument.AFTER, session=self._session
            )
        except OperationFailure as error:
            if error.code not in _NOT_OURS:
                raise
            raise ForeignDocument(where["_id"]) from None
        return ticketed(where["_id"], stored_v2(unpacked(self.collection, document)))

    async def raise_intent(self, id: Any, intent: int) -> None:
        """Announce a write at this intent at least, durably: V1 was ahead of the ticket. Never lowers.

        Leaves a trace, since another writer's ticket may have the same number, and must not be withdrawn then.
        """
        on_insert = {**_PLACEHOLDER, _GONE: True}
        update = {"$max": {_INTENT: intent}, "$inc": {_RAISED: 1}, **self._marking(), "$setOnInsert": on_insert}
        await self._durable.update_one({"_id": id}, update, upsert=True, session=self._session)

    def _marking(self) -> dict[str, Any]:
        # By the clock that ages are measured by, and by one clock only: the server's.
        return {"$set": {_AT: self._clock.now()}} if self._in_memory else {"$currentDate": {_AT: True}}

    async def vacate(self, seen: StoredV2, ticket: int) -> bool:
        """Leave no body, and announce an insert at this ticket, durably; only over what was seen.

        What was announced before comes too late from now on. False: V2 has changed, nothing was done.
        """
        where = {"_id": seen.id, _REV: seen.revision, _INTENT: seen.intent}
        made = vacated(seen.intent, ticket, self._moment)
        return await self._update(where, made, durable=True) is Applied.APPLIED

    async def forget_insert(self, id: Any, ticket: int) -> None:
        """The insert announced at this ticket found its id taken: what stands is no later entity's."""
        if self._remembers:
            await self._update({"_id": id, _INSERTS: ticket}, forgotten(ticket))

    async def withdraw(self, seen: StoredV2, step: int = 1) -> bool:
        """Take back an announcement, as its ticket returned it, that nothing was written for, if it was the last one.

        V2 is as it was before; a placeholder that the ticket made is removed. False: somebody has announced more since,
        nothing was done.
        """
        # Whoever raised the intent to the same number may have used it by now, or may do so.
        where = {"_id": seen.id, _REV: {"$lt": seen.intent}, _INTENT: seen.intent, _RAISED: {"$exists": False}}
        if seen.revision == PLACEHOLDER and seen.intent == step:
            placeholder = {**where, _REV: PLACEHOLDER, _GONE: True}
            return bool((await self._quick.delete_one(placeholder, session=self._session)).deleted_count)
        return await self._update(where, withdrawn(seen.intent, seen.intent - step)) is Applied.APPLIED

    async def put_if_absent(self, id: Any, body: Document, revision: int) -> Put:
        """Store a body for an entity that V2 does not know. LOST: somebody was faster, nothing was changed."""
        try:
            await self._quick.insert_one(self.born_clean(id, body, revision, "read"), session=self._session)
        except STATEMENT_ERRORS as error:
            return put_outcome(error)
        return Put.STORED

    async def put_many(self, documents: Sequence[Document], *, durable: bool = False) -> list[Put]:
        """The same for many documents of `born_clean`, by one unordered statement; outcomes in the same order.

        `durable` waits for the majority: a sweep's checkpoint must not be ahead of what it tells.
        """
        collection = self._durable if durable else self._quick
        try:
            await collection.insert_many(documents, ordered=False, session=self._session)
        except BulkWriteError as error:
            return put_outcomes(error, len(documents), durable=durable)
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
            if len(documents) == 1:
                return [Put.REFUSED]
            # Neither driver nor server names the culprit; halving finds it, and stores the rest.
            half = len(documents) // 2
            left, right = documents[:half], documents[half:]
            return await self.put_many(left, durable=durable) + await self.put_many(right, durable=durable)
        return [Put.STORED] * len(documents)

    def born_clean(self, id: Any, body: Document, revision: int, by: By) -> dict[str, Any]:
        """The document of a lazy migration by this process."""
        return born_clean(id, body, revision, by, self._conv)

    async def apply(
        self,
        id: Any,
        body: Document,
        revision: int,
        *,
        own: bool = False,
        over: StoredV2 | None = None,
        since: int | None = None,
        conv: int | None = None,
    ) -> Applied:
        """Bring V2 up to a revision: this body exactly, without the mark if no write is open.

        Never lowers the intent, so it cannot swallow a rival's announcement. NEWER: V2 is at this revision or past it.
        Its writer (`own`) may also overwrite a body at the same one: a reader's repair lacks what V1 cannot express. A
        repair goes only `over` the revisions that it was made with (else NEWER), or nowhere. `since` is V1's revision
        that a write started from, and `conv` that of a body which another process converted.
        """
        where = {"_id": id, _REV: {"$lte" if own else "$lt": revision}} if over is None else self._over(id, over)
        made = applied(body, revision, revision if since is None else since, self._conv if conv is None else conv)
        return await self._update(where, made, upsert=over is None)

    async def apply_many(self, repairs: Sequence[tuple[StoredV2, Document, int]]) -> list[Applied | BaseException]:
        """`apply` over what was seen, durably, for many by one unordered statement: (seen, body, revision) each.

        Outcomes or own errors in the same order. APPLIED where the server has no error for it: it does not say which of
        them found V2 as it was seen.
        """
        if self._in_memory:
            return [await self.apply(seen.id, body, revision, over=seen) for seen, body, revision in repairs]
        updates = [
            (self._over(seen.id, seen), applied(body, revision, revision, self._conv))
            for seen, body, revision in repairs
        ]
        try:
            return await self._bulk(self._durable, [UpdateOne(*update) for update in updates])
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
        # Nobody names the culprit; alone, it is refused and the others are stored.
        return [await self._update(*update, durable=True) for update in updates]

    @staticmethod
    def _over(id: Any, seen: StoredV2) -> dict[str, Any]:
        return {"_id": id, _REV: seen.revision, _CONV: {"$in": [None, 1]} if seen.conv == 1 else seen.conv}

    async def bury(self, id: Any, revision: int, *, since: int | None = None) -> Applied:
        """Make V2 a tombstone of a delete at this revision, without any body; like `apply` otherwise."""
        made = buried(revision, revision if since is None else since, self._moment)
        return await self._update({"_id": id, _REV: {"$lt": revision}}, made, upsert=True)

    @property
    def _moment(self) -> Moment:
        return self._clock.now() if self._in_memory else SERVER_NOW

    async def _update(
        self, where: Document, pipeline: Pipeline, *, upsert: bool = False, durable: bool = False
    ) -> Applied:
        collection = self._durable if durable else self._quick
        try:
            if not self._takes_pipelines:
                return await _replaced(collection, where, pipeline, upsert)
            result = await collection.update_one(where, pipeline, upsert=upsert, session=self._session)
        except STATEMENT_ERRORS as error:
            return applied_outcome(error)
        return Applied.APPLIED if result.matched_count or result.upserted_id is not None else Applied.NEWER

    async def _upsert_many(self, updates: Sequence[tuple[Document, Pipeline]]) -> list[Applied | BaseException]:
        """`_update` with upserts, for many by one unordered statement; outcomes or own errors in the same order."""
        return await self._bulk(self._quick, [UpdateOne(where, update, upsert=True) for where, update in updates])

    async def _bulk(self, collection: Any, requests: Sequence[UpdateOne]) -> list[Applied | BaseException]:
        try:
            await collection.bulk_write(requests, ordered=False, session=self._session)
        except BulkWriteError as error:
            return applied_outcomes(error, len(requests))
        return [Applied.APPLIED] * len(requests)

    async def why_refused(self, document: Document) -> tuple[str, str]:
        """Ask once more to store a refused document: the error's class and its reason, in words without contents.

        Two empty strings: nothing refuses it any more.
        """
        try:
            await self._quick.insert_one(document, session=self._session)
        except STATEMENT_ERRORS as error:
            return ("", "") if put_outcome(error) is Put.LOST else (type(error).__name__, refusal_text(error))
        return "", ""

    async def purge(self, seen: StoredV2) -> bool:
        """Remove a document if it is still just as it was seen. False: it has changed, nothing was removed."""
        where = {"_id": seen.id, _REV: seen.revision, _INTENT: seen.intent, _AT: seen.at}
        result = await self._quick.delete_one(where, session=self._session)
        return bool(result.deleted_count)

    async def marks(self, before: datetime, limit: int, after: Document | None = None) -> list[StoredV2]:
        """Open marks and tombstones older than `before`, oldest first, from the sparse index on `at`."""
        where: Document = {_AT: {"$lt": before}, _REV: {"$exists": True}}
        if after is not None:
            where = {"$and": [where, after]}
        found = await undecoded(
            self._read, stored_v2, where, size=limit, limit=limit, sort=[(_AT, 1), ("_id", 1)], session=self._session
        )
        return list(found)

    async def stale(self, where: Document, limit: int) -> list[StoredV2]:
        """Live documents among these whose body an older conversion made, in the order of their ids.

        Without their bodies where these hold nothing that V1 cannot express.
        """
        fields = None if self._remembers else {META_FIELD: 1}
        older = {_CONV: {"$in": [None, *range(1, self._conv)]}, _GONE: {"$ne": True}}
        found = await undecoded(
            self._read, stored_v2, {"$and": [where, older]}, size=limit, limit=limit, fields=fields, sort=[("_id", 1)],
            session=self._session,
        )  # fmt: skip
        return list(found)

    async def ensure_conversion_index(self) -> None:
        """Create the index on the conversion's revision and the id, by which older bodies are found without a scan."""
        await self.collection.create_index([(_CONV, 1), ("_id", 1)], name="lazymig_conv")

    async def ensure_mark_index(self) -> None:
        """Create the sparse index on `at`, so that marks are found without a scan."""
        await ensure_index(self.collection, [(_AT, 1)], "lazymig_at", sparse=True)


async def _replaced(collection: Any, where: Document, pipeline: Pipeline, upsert: bool) -> Applied:
    """An update by a pipeline where the collection does not know them."""
    while True:
        found = await collection.find_one(where)
        if found is None:
            if not upsert:
                return Applied.NEWER
            await collection.insert_one(evaluated(pipeline, {"_id": where["_id"]}))
            return Applied.APPLIED
        guard = {"_id": found["_id"], META_FIELD: found[META_FIELD]}
        if (await collection.replace_one(guard, evaluated(pipeline, found))).matched_count:
            return Applied.APPLIED
