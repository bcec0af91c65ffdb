"""The ports to the two collections: one method is one MongoDB statement of the protocol, and nothing more.

Stores know nothing of phases, conversions or the order of steps. Each method's docstring lists its obligations in
order; `tests/contract/` holds a test of each, in the same words, on every driver. Lost races are return values. Driver
errors pass through unchanged.

Only plain update operators are used (no pipelines), so that the in-memory Mongo of unit tests runs the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from lazymig.documents import META_FIELD, born_clean, stored_v2
from lazymig.drivers import (
    MAJORITY,
    ONE,
    STATEMENT_ERRORS,
    applied_outcome,
    applied_outcomes,
    is_id_taken,
    is_too_large,
    put_outcome,
    put_outcomes,
    refusal_text,
    tuned,
)
from lazymig.raw import Undecoded, find_all, find_one, undecoded, undecoded_by_id, unpacked
from lazymig.records import PLACEHOLDER, Applied, Document, Put, StoredV2
from lazymig.v1_store import V1Store

__all__ = ["V1Store", "V2Store"]

_REV, _INTENT = f"{META_FIELD}.rev", f"{META_FIELD}.intent"
_GONE, _AT = f"{META_FIELD}.gone", f"{META_FIELD}.at"
#: What an announcement makes where V2 has nothing, beside `gone`. Who made it is for people: no filter looks at it.
_PLACEHOLDER = {_REV: PLACEHOLDER, f"{META_FIELD}.by": "write"}


class V2Store:
    """The port to V2: bodies by revision, and the announcements of writes to come."""

    def __init__(
        self, collection: Any, fields: Iterable[str], session: Any = None, read_concern: str | None = None
    ) -> None:
        self.collection = tuned(collection)
        # Every body field that V2 documents may have: what a new body lacks of them is unset.
        self._fields = dict.fromkeys(fields, "")
        self._session = session
        self._read = tuned(collection, read=None if read_concern is None else ReadConcern(read_concern))
        #: For the one reply that cannot be asked for again: bytes, so that it decodes whatever it holds.
        self._announced = tuned(collection, write=MAJORITY, raw=True)
        # V1 must never move past an announced intent, not even when V2's primary changes.
        self._durable = tuned(collection, write=MAJORITY)
        # A body that is rolled back leaves V2 dirty or absent, which both mean "ask V1".
        self._quick = tuned(collection, write=ONE)

    async def find(self, id: Any) -> StoredV2 | None:
        """Find one document on the primary."""
        document = await find_one(self._read, id, self._session)
        return None if document is None else stored_v2(document)

    async def find_many(self, ids: Sequence[Any]) -> dict[Any, StoredV2]:
        """Find these documents, a thousand by each statement; missing ids are left out."""
        found = await find_all(self._read, ids, self._session)
        return {stored.id: stored for stored in map(stored_v2, found)}

    async def find_each(self, ids: Sequence[Any]) -> Undecoded[StoredV2]:
        """The same in any order, each decoded when its turn comes."""
        return await undecoded_by_id(self._read, stored_v2, ids, self._session)

    async def ticket(self, id: Any, now: datetime) -> StoredV2:
        """Announce a write, durably: raise the intent by one, mark the time, create a placeholder if need be.

        Returns the document as it stands afterwards; its intent is the ticket.
        """
        return await self._announce({"_id": id}, {**_PLACEHOLDER, _GONE: True}, now)

    async def vacant_ticket(self, id: Any, now: datetime, step: int = 1) -> StoredV2 | None:
        """The same for an insert, by `step`, where V2 holds nothing live. None: a live document stands, unchanged."""
        try:  # `gone` is in the filter and thus in the document that an upsert makes
            return await self._announce({"_id": id, _GONE: True}, _PLACEHOLDER, now, step)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise
            return None

    async def _announce(self, where: Document, on_insert: Document, now: datetime, step: int = 1) -> StoredV2:
        update = {"$inc": {_INTENT: step}, "$set": {_AT: now}, "$setOnInsert": on_insert}
        document = await self._announced.find_one_and_update(
            where, update, upsert=True, return_document=ReturnDocument.AFTER, session=self._session
        )
        return stored_v2(unpacked(self.collection, document))

    async def raise_intent(self, id: Any, intent: int, now: datetime) -> None:
        """Announce a write at this intent at least, durably: V1 was ahead of the ticket. Never lowers."""
        update = {"$max": {_INTENT: intent}, "$set": {_AT: now}, "$setOnInsert": {**_PLACEHOLDER, _GONE: True}}
        await self._durable.update_one({"_id": id}, update, upsert=True, session=self._session)

    async def put_if_absent(self, id: Any, body: Document, revision: int) -> Put:
        """Store a body for an entity that V2 does not know. LOST: somebody was faster, nothing was changed."""
        try:
            await self._quick.insert_one(born_clean(id, body, revision, "read"), session=self._session)
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

    async def apply(
        self, id: Any, body: Document, revision: int, *, own: bool = False, over: int | None = None
    ) -> Applied:
        """Bring V2 up to a revision: set the body, unset what it lacks, and take off the mark if no write is open.

        Never lowers the intent and never replaces the document, so it cannot swallow a rival's announcement. NEWER: V2
        is at this revision or past it. Its writer (`own`) may also overwrite a body at the same one: a reader's repair
        lacks what V1 cannot express. A repair goes only `over` the revision it was made with (else NEWER), or nowhere.
        """
        update = {
            "$set": {**body, _REV: revision},
            "$max": {_INTENT: revision},
            "$unset": {**{field: "" for field in self._fields if field not in body}, _GONE: ""},
        }
        return await self._advance(id, revision, update, own, over)

    async def bury(self, id: Any, revision: int, now: datetime) -> Applied:
        """Make V2 a tombstone of a delete at this revision; like `apply` otherwise."""
        tombstone = {_REV: revision, _GONE: True, _AT: now}
        update = {"$set": tombstone, "$max": {_INTENT: revision}, "$unset": {**self._fields}}
        where = {"_id": id, _REV: {"$lt": revision}}
        return await self._update(where, {k: v for k, v in update.items() if v}, upsert=True)

    async def _advance(self, id: Any, revision: int, update: dict[str, Any], own: bool, over: int | None) -> Applied:
        guard = {"_id": id, _REV: {"$lte" if own else "$lt": revision} if over is None else over}
        # The mark comes off only together with the last open announcement: without the second condition, this apply
        # would take off the mark of a later ticket, and if that writer dies nothing finds the document again.
        settles = {**guard, _INTENT: {"$lte": revision}}
        unmarked = {**update, "$unset": {**update["$unset"], _AT: ""}}
        outcome = await self._update(settles, unmarked, upsert=over is None)
        if outcome is not Applied.NEWER:
            return outcome
        return await self._update(guard, update, upsert=False)

    async def _update(self, where: Document, update: Document, upsert: bool) -> Applied:
        try:
            result = await self._quick.update_one(where, update, upsert=upsert, session=self._session)
        except STATEMENT_ERRORS as error:
            return applied_outcome(error)
        return Applied.APPLIED if result.matched_count or result.upserted_id is not None else Applied.NEWER

    async def _upsert_many(self, updates: Sequence[tuple[Document, Document]]) -> list[Applied | BaseException]:
        """`_update` with upserts, for many by one unordered statement; outcomes or own errors in the same order."""
        requests = [UpdateOne(where, update, upsert=True) for where, update in updates]
        try:
            await self._quick.bulk_write(requests, ordered=False, session=self._session)
        except BulkWriteError as error:
            return applied_outcomes(error, len(updates))
        return [Applied.APPLIED] * len(updates)

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
        where: Document = {_AT: {"$lt": before}}
        if after is not None:
            where = {"$and": [where, after]}
        found = await undecoded(
            self._read, stored_v2, where, size=limit, limit=limit, sort=[(_AT, 1), ("_id", 1)], session=self._session
        )
        return list(found)

    async def ensure_mark_index(self) -> None:
        """Create the sparse index on `at`, so that marks are found without a scan."""
        await self.collection.create_index([(_AT, 1)], name="lazymig_at", sparse=True)
