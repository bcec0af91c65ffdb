"""V2's bodies in MongoDB, together with the ledger. `ports.Bodies` states what each method guarantees.

Bodies are written by pipelines (`pipelines.py`). The in-memory Mongo of unit tests does not know them: the same
pipeline is evaluated in Python there, and the document is replaced if it has not changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from lazymig.errors import ForeignDocument
from lazymig.stores.documents import META_FIELD, By, born_clean, check_same_id, parse_v2, parse_v2_or_error
from lazymig.stores.drivers import (
    STATEMENT_ERRORS,
    Handle,
    describe_refusal,
    driver_of,
    is_too_large,
    judge_applies,
    judge_apply,
    judge_put,
    judge_puts,
)
from lazymig.stores.given import RawId
from lazymig.stores.indexes import ensure_index
from lazymig.stores.keyset import Order
from lazymig.stores.ledger import AT, CONV, GONE, LIVE, REV, UNMOVED, MongoLedger
from lazymig.stores.pages import encode_filter, find_page, join_filters
from lazymig.stores.pipelines import (
    Pipeline,
    build_apply,
    build_known_tombstone,
    build_replacement,
    build_tombstone,
)
from lazymig.stores.ports import Bodies, Repair
from lazymig.stores.raw import Undecoded, find_all, find_one, find_undecoded, find_undecoded_by_id
from lazymig.stores.records import Applied, Body, Document, Fields, Put, StoredV2
from lazymig.stores.unretried import Update, update_each_once, update_once


class V2Store(MongoLedger, Bodies):
    """`Bodies` and `Ledger`, kept in one MongoDB collection."""

    async def find(self, id: RawId) -> StoredV2 | None:
        document = await find_one(self._read, id, self._session)
        return None if document is None else check_same_id(id, parse_v2(document))

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        found = await find_all(self._read, ids, self._session)
        return {stored.id: stored for stored in map(parse_v2_or_error, found)}

    async def find_each(self, ids: Sequence[RawId]) -> Undecoded[StoredV2]:
        return await find_undecoded_by_id(self._read, parse_v2, ids, self._session)

    async def put_if_absent(self, id: RawId, body: Body, revision: int) -> Put:
        try:
            await self._quick.insert_one(self.born_clean(id, body, revision, "read"), session=self._session)
        except STATEMENT_ERRORS as error:
            return judge_put(error)
        return Put.STORED

    async def put_many(self, documents: Sequence[Document], *, durable: bool = False) -> list[Put]:
        collection = self._durable if durable else self._quick
        try:
            await collection.insert_many(documents, ordered=False, session=self._session)
        except BulkWriteError as error:
            return judge_puts(error, len(documents), durable=durable)
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
            if len(documents) == 1:
                return [Put.REFUSED]
            # Neither driver nor server names the document. Halving finds it and stores the rest.
            half = len(documents) // 2
            left, right = documents[:half], documents[half:]
            return await self.put_many(left, durable=durable) + await self.put_many(right, durable=durable)
        return [Put.STORED] * len(documents)

    def question(self, criteria: Document) -> Document:
        return encode_filter(self.given, criteria)

    async def page(
        self, question: Document, order: Order, limit: int, after: Document | None = None
    ) -> Undecoded[StoredV2 | ForeignDocument]:
        where = join_filters(question, LIVE)
        return await find_page(self._read, parse_v2_or_error, where, order, limit, after, session=self._session)

    async def count(self, criteria: Document, without: Sequence[RawId] = ()) -> int:
        others = {"_id": {"$nin": list(without)}} if without else None
        where = join_filters(self.question(criteria), LIVE, others)
        return int(await self._read.count_documents(where, session=self._session))

    def born_clean(self, id: RawId, body: Body, revision: int, by: By) -> dict[str, Any]:
        return born_clean(id, body, revision, by, self._conv)

    async def apply(
        self,
        id: RawId,
        body: Body,
        revision: int,
        *,
        own: bool = False,
        over: StoredV2 | None = None,
        since: int | None = None,
        conv: int | None = None,
        announced: StoredV2 | None = None,
    ) -> Applied:
        where = {"_id": id, REV: {"$lte" if own else "$lt": revision}} if over is None else self._over(id, over)
        conv = self._conv if conv is None else conv
        if announced is not None and self._takes_pipelines:
            outcome = await self._replace(id, build_replacement(body, revision, conv, announced))
            if outcome is not Applied.NEWER:
                return outcome
        made = build_apply(body, revision, revision if since is None else since, conv)
        return await self._update(where, made, upsert=over is None)

    async def apply_many(self, repairs: Sequence[Repair], *, durable: bool = True) -> list[Applied | BaseException]:
        if self._in_memory:
            return [await self.apply(seen.id, body, revision, over=seen) for seen, body, revision in repairs]
        updates = [
            (self._over(seen.id, seen), build_apply(body, revision, revision, self._conv))
            for seen, body, revision in repairs
        ]
        try:
            collection = self._durable if durable else self._quick
            report = await self._bulk(collection, [UpdateOne(*update) for update in updates])
            return judge_applies(report["writeErrors"], len(updates))
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
        # Neither driver nor server names the document. Sent one by one, it is refused and the others are stored.
        return [await self._update(*update, durable=durable) for update in updates]

    async def _replace(self, id: RawId, known: Pipeline | None) -> Applied:
        """Replace a document that is as its writer knows it. NEWER: it is not, or nothing is known, and it stays so."""
        if known is None:
            return Applied.NEWER
        one = Update({"_id": id}, known, upsert=False)
        try:
            reply = await update_once(self._quick, one) if self._repeats else None
            if reply is None:
                changed = (await self._quick.update_one(*one, session=self._session)).modified_count
            else:
                changed = reply["nModified"]
        except STATEMENT_ERRORS as error:
            return judge_apply(error)
        return Applied.APPLIED if changed else Applied.NEWER

    @staticmethod
    def _over(id: RawId, seen: StoredV2) -> dict[str, Any]:
        return {"_id": id, REV: seen.revision, CONV: {"$in": [None, 1]} if seen.conv == 1 else seen.conv}

    async def bury(
        self, id: RawId, revision: int, *, since: int | None = None, announced: StoredV2 | None = None
    ) -> Applied:
        # A body past the deleted one is of an entity that V1 got later, by an insert with a lower ticket.
        below = revision - 1 if since is None else min(since, revision - 1)
        if announced is not None and self._takes_pipelines:
            outcome = await self._replace(id, build_known_tombstone(revision, below, self._moment, announced))
            if outcome is not Applied.NEWER:
                return outcome
        made = build_tombstone(revision, revision if since is None else since, self._moment)
        # Or its own tombstone: a statement that is done may be reported as failed, and is sent again.
        stored = {REV: revision, GONE: True, UNMOVED: {"$exists": False}}
        return await self._update({"_id": id, "$or": [{REV: {"$lte": below}}, stored]}, made, upsert=True)

    async def _update_many(self, updates: Sequence[Update[Pipeline]]) -> list[Applied | BaseException]:
        """Upsert and replace many by one unordered statement; return outcomes, or errors, in the same order."""
        report = await update_each_once(self._quick, updates) if self._repeats else None
        if report is None:
            report = await self._bulk(self._quick, [UpdateOne(*one) for one in updates])
        failures = report.get("writeErrors", ())
        outcomes = judge_applies(failures, len(updates))
        if report["nModified"] + len(report.get("upserted", ())) + len(failures) == len(updates):
            return outcomes
        # One of the documents was not as its writer knows it, and the server does not say which.
        return [outcome if one.upsert else Applied.NEWER for one, outcome in zip(updates, outcomes, strict=True)]

    async def _bulk(self, collection: Handle, requests: Sequence[UpdateOne]) -> Fields:
        """Send an unordered bulk, and return the driver's report of it."""
        try:
            done = await collection.bulk_write(requests, ordered=False, session=self._session)
        except BulkWriteError as error:
            return dict(error.details)
        return done.bulk_api_result

    async def why_refused(self, document: Document) -> tuple[str, str]:
        try:
            await self._quick.insert_one(document, session=self._session)
        except STATEMENT_ERRORS as error:
            return ("", "") if judge_put(error) is Put.LOST else (type(error).__name__, describe_refusal(error))
        return "", ""

    async def stale(self, where: Document, limit: int) -> list[StoredV2]:
        fields = None if self._remembers else {META_FIELD: 1}
        older: Document = {CONV: {"$in": [None, *range(1, self._conv)]}, REV: {"$exists": True}}
        older = {**older, "$or": [LIVE, {UNMOVED: {"$exists": True}}]}
        found = await find_undecoded(
            self._read, parse_v2, {"$and": [where, older]}, size=limit, limit=limit, fields=fields, sort=[("_id", 1)],
            session=self._session,
        )  # fmt: skip
        return list(found)

    async def ensure_conversion_index(self) -> None:
        await ensure_index(self.collection, [(CONV, 1), ("_id", 1)], "lazymig_conv")

    async def unmoved(self, why: str, limit: int, after: RawId = None) -> list[StoredV2]:
        where: Document = {UNMOVED: why, AT: {"$exists": False}}
        if after is not None:
            where = {"$and": [where, Order("_id", 1).after({"_id": after}, driver_of(self.collection))]}
        found = await find_undecoded(
            self._read, parse_v2, where, size=limit, limit=limit, fields={META_FIELD: 1}, sort=[("_id", 1)],
            session=self._session,
        )  # fmt: skip
        return list(found)

    async def ensure_unmoved_index(self) -> None:
        await ensure_index(self.collection, [(UNMOVED, 1)], "lazymig_unmoved", sparse=True)
