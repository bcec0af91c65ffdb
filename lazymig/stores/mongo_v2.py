"""The ports to the two collections: one method is one MongoDB statement of the protocol, and nothing more.

Stores know nothing of phases, conversions or the order of steps. Each method's docstring lists its obligations in
order; `tests/contract/` holds a test of each, in the same words, on every driver. Lost races are return values. Driver
errors pass through unchanged.

Bodies are written by pipelines (`pipelines.py`), which the in-memory Mongo of unit tests does not know: there the same
pipeline is evaluated here, and the document is replaced if it still stands as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from lazymig.errors import ForeignDocument
from lazymig.stores.documents import META_FIELD, By, born_clean, of_id, stored_or_error, stored_v2
from lazymig.stores.drivers import (
    STATEMENT_ERRORS,
    applied_outcomes,
    is_too_large,
    put_outcome,
    put_outcomes,
    refusal_text,
)
from lazymig.stores.indexes import ensure_index
from lazymig.stores.ledger import CONV, GONE, REV, Ledger
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.pipelines import (
    Pipeline,
    applied,
    buried,
)
from lazymig.stores.raw import Undecoded, find_all, find_one, undecoded, undecoded_by_id
from lazymig.stores.records import Applied, Document, Put, StoredV2

__all__ = ["V1Store", "V2Store"]


class V2Store(Ledger):
    """The port to V2: bodies by revision, beside the ledger of announcements."""

    async def find(self, id: Any) -> StoredV2 | None:
        """Find one document on the primary."""
        document = await find_one(self._read, id, self._session)
        return None if document is None else of_id(id, stored_v2(document))

    async def find_many(self, ids: Sequence[Any]) -> dict[Any, StoredV2 | ForeignDocument]:
        """Find these documents, a thousand by each statement; missing ids are left out, foreign ones come as errors."""
        found = await find_all(self._read, ids, self._session)
        return {stored.id: stored for stored in map(stored_or_error, found)}

    async def find_each(self, ids: Sequence[Any]) -> Undecoded[StoredV2]:
        """Find these documents in any order, each decoded when its turn comes."""
        return await undecoded_by_id(self._read, stored_v2, ids, self._session)

    async def put_if_absent(self, id: Any, body: Document, revision: int) -> Put:
        """Store a body for an entity that V2 does not know. LOST: somebody was faster, nothing was changed."""
        try:
            await self._quick.insert_one(self.born_clean(id, body, revision, "read"), session=self._session)
        except STATEMENT_ERRORS as error:
            return put_outcome(error)
        return Put.STORED

    async def put_many(self, documents: Sequence[Document], *, durable: bool = False) -> list[Put]:
        """*Put if absent* many documents of `born_clean` by one unordered statement; outcomes in the same order.

        `durable` waits for the majority: a sweep's checkpoint must not be ahead of what is stored.
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
        where = {"_id": id, REV: {"$lte" if own else "$lt": revision}} if over is None else self._over(id, over)
        made = applied(body, revision, revision if since is None else since, self._conv if conv is None else conv)
        return await self._update(where, made, upsert=over is None)

    async def apply_many(
        self, repairs: Sequence[tuple[StoredV2, Document, int]], *, durable: bool = True
    ) -> list[Applied | BaseException]:
        """`apply` over what was seen for many by one unordered statement: (seen, body, revision) each.

        `durable` waits for the majority: a sweep's checkpoint must not be ahead of what it says.

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
            collection = self._durable if durable else self._quick
            return await self._bulk(collection, [UpdateOne(*update) for update in updates])
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
        # Neither driver nor server names the culprit; alone, it is refused and the others are stored.
        return [await self._update(*update, durable=durable) for update in updates]

    @staticmethod
    def _over(id: Any, seen: StoredV2) -> dict[str, Any]:
        return {"_id": id, REV: seen.revision, CONV: {"$in": [None, 1]} if seen.conv == 1 else seen.conv}

    async def bury(self, id: Any, revision: int, *, since: int | None = None) -> Applied:
        """Make V2 a tombstone of a delete at this revision, without any body; like `apply` otherwise."""
        made = buried(revision, revision if since is None else since, self._moment)
        return await self._update({"_id": id, REV: {"$lt": revision}}, made, upsert=True)

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

    async def stale(self, where: Document, limit: int) -> list[StoredV2]:
        """Live documents among these whose body an older conversion made, in the order of their ids.

        Without their bodies where these hold nothing that V1 cannot express.
        """
        fields = None if self._remembers else {META_FIELD: 1}
        older = {CONV: {"$in": [None, *range(1, self._conv)]}, GONE: {"$ne": True}, REV: {"$exists": True}}
        found = await undecoded(
            self._read, stored_v2, {"$and": [where, older]}, size=limit, limit=limit, fields=fields, sort=[("_id", 1)],
            session=self._session,
        )  # fmt: skip
        return list(found)

    async def ensure_conversion_index(self) -> None:
        """Create the index on the conversion's revision and the id, by which older bodies are found without a scan."""
        await ensure_index(self.collection, [(CONV, 1), ("_id", 1)], "lazymig_conv")
