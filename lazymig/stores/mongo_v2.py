"""V2's bodies in MongoDB, beside the ledger. What each method guarantees stands in `ports.Bodies`.

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
    Handle,
    applied_outcomes,
    is_too_large,
    put_outcome,
    put_outcomes,
    refusal_text,
)
from lazymig.stores.given import RawId
from lazymig.stores.indexes import ensure_index
from lazymig.stores.ledger import CONV, GONE, REV, MongoLedger
from lazymig.stores.pipelines import (
    Pipeline,
    applied,
    buried,
)
from lazymig.stores.ports import Bodies, Repair
from lazymig.stores.raw import Undecoded, find_all, find_one, undecoded, undecoded_by_id
from lazymig.stores.records import Applied, Document, Put, StoredV2


class V2Store(MongoLedger, Bodies):
    """`Bodies` and `Ledger` kept in one MongoDB collection."""

    async def find(self, id: RawId) -> StoredV2 | None:
        document = await find_one(self._read, id, self._session)
        return None if document is None else of_id(id, stored_v2(document))

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        found = await find_all(self._read, ids, self._session)
        return {stored.id: stored for stored in map(stored_or_error, found)}

    async def find_each(self, ids: Sequence[RawId]) -> Undecoded[StoredV2]:
        return await undecoded_by_id(self._read, stored_v2, ids, self._session)

    async def put_if_absent(self, id: RawId, body: Document, revision: int) -> Put:
        try:
            await self._quick.insert_one(self.born_clean(id, body, revision, "read"), session=self._session)
        except STATEMENT_ERRORS as error:
            return put_outcome(error)
        return Put.STORED

    async def put_many(self, documents: Sequence[Document], *, durable: bool = False) -> list[Put]:
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

    def born_clean(self, id: RawId, body: Document, revision: int, by: By) -> dict[str, Any]:
        return born_clean(id, body, revision, by, self._conv)

    async def apply(
        self,
        id: RawId,
        body: Document,
        revision: int,
        *,
        own: bool = False,
        over: StoredV2 | None = None,
        since: int | None = None,
        conv: int | None = None,
    ) -> Applied:
        where = {"_id": id, REV: {"$lte" if own else "$lt": revision}} if over is None else self._over(id, over)
        made = applied(body, revision, revision if since is None else since, self._conv if conv is None else conv)
        return await self._update(where, made, upsert=over is None)

    async def apply_many(self, repairs: Sequence[Repair], *, durable: bool = True) -> list[Applied | BaseException]:
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
    def _over(id: RawId, seen: StoredV2) -> dict[str, Any]:
        return {"_id": id, REV: seen.revision, CONV: {"$in": [None, 1]} if seen.conv == 1 else seen.conv}

    async def bury(self, id: RawId, revision: int, *, since: int | None = None) -> Applied:
        made = buried(revision, revision if since is None else since, self._moment)
        return await self._update({"_id": id, REV: {"$lt": revision}}, made, upsert=True)

    async def _upsert_many(self, updates: Sequence[tuple[Document, Pipeline]]) -> list[Applied | BaseException]:
        """`_update` with upserts, for many by one unordered statement; outcomes or own errors in the same order."""
        return await self._bulk(self._quick, [UpdateOne(where, update, upsert=True) for where, update in updates])

    async def _bulk(self, collection: Handle, requests: Sequence[UpdateOne]) -> list[Applied | BaseException]:
        try:
            await collection.bulk_write(requests, ordered=False, session=self._session)
        except BulkWriteError as error:
            return applied_outcomes(error, len(requests))
        return [Applied.APPLIED] * len(requests)

    async def why_refused(self, document: Document) -> tuple[str, str]:
        try:
            await self._quick.insert_one(document, session=self._session)
        except STATEMENT_ERRORS as error:
            return ("", "") if put_outcome(error) is Put.LOST else (type(error).__name__, refusal_text(error))
        return "", ""

    async def stale(self, where: Document, limit: int) -> list[StoredV2]:
        fields = None if self._remembers else {META_FIELD: 1}
        older = {CONV: {"$in": [None, *range(1, self._conv)]}, GONE: {"$ne": True}, REV: {"$exists": True}}
        found = await undecoded(
            self._read, stored_v2, {"$and": [where, older]}, size=limit, limit=limit, fields=fields, sort=[("_id", 1)],
            session=self._session,
        )  # fmt: skip
        return list(found)

    async def ensure_conversion_index(self) -> None:
        await ensure_index(self.collection, [(CONV, 1), ("_id", 1)], "lazymig_conv")
