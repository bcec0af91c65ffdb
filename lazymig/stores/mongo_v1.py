"""V1 in MongoDB. What each method guarantees stands in `ports.Truth`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from lazymig.stores.documents import REVISION_FIELD, at_revision, of_id, stored_v1
from lazymig.stores.drivers import (
    MAJORITY,
    RAW_LENIENT,
    READ_MAJORITY,
    Driver,
    DriverSession,
    Handle,
    driver_of,
    is_id_taken,
    tuned,
)
from lazymig.stores.given import RawId
from lazymig.stores.keyset import Order
from lazymig.stores.ports import Paths, Truth
from lazymig.stores.raw import Undecoded, find_all, find_one, undecoded, undecoded_by_id
from lazymig.stores.records import PLACEHOLDER, Document, StoredV1


class V1Store(Truth):
    """`Truth` kept in one MongoDB collection."""

    def __init__(
        self, collection: Handle, session: DriverSession | None = None, read_concern: str | None = None
    ) -> None:
        #: As it was given, with the codec options of its client: for the client's own filters.
        self.given = collection
        self.collection = tuned(collection)
        self._session = session
        # The acknowledged write must survive a fail-over, whatever the collection was configured with.
        self._durable = tuned(collection, write=MAJORITY)
        # A body may enter V2 only from a revision that cannot be rolled back.
        self._settled = tuned(collection, read=READ_MAJORITY)
        # Linearizable reads name one document: they answer for themselves, whatever a deposed primary believes.
        self._one = self._settled if read_concern is None else tuned(collection, read=ReadConcern(read_concern))

    async def find(self, id: RawId) -> StoredV1 | None:
        document = await find_one(self._one, id, self._session)
        return None if document is None else of_id(id, stored_v1(document))

    async def find_local(self, id: RawId) -> StoredV1 | None:
        document = await find_one(self.collection, id, self._session)
        return None if document is None else of_id(id, stored_v1(document))

    async def confirm_missing(self, id: RawId) -> None:
        if self._durable is self.collection:
            return
        # A durable write that matches nothing (V1 has no placeholders) waits like any other.
        never = {"_id": id, REVISION_FIELD: PLACEHOLDER}
        await self._durable.update_one(never, {"$set": {REVISION_FIELD: PLACEHOLDER}}, session=self._session)

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV1]:
        found = await find_all(self._settled, ids, self._session)
        return {stored.id: stored for stored in map(stored_v1, found)}

    async def moved_since(self, revisions: Mapping[RawId, int]) -> list[RawId]:
        ids = list(revisions)
        where = {"_id": {"$in": ids}}
        found = await undecoded(
            self._settled, stored_v1, where, size=len(ids), fields={REVISION_FIELD: 1}, session=self._session
        )
        now = {stored.id: stored.revision for stored in found}
        return [id for id in ids if now.get(id) != revisions[id]]

    async def insert(self, id: RawId, document: Document, revision: int) -> bool:
        whole = {"_id": id, **document, REVISION_FIELD: revision}
        try:
            await self._durable.insert_one(whole, session=self._session)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise  # another unique index refuses it: for the caller to know
            return False
        return True

    async def compare_and_set(
        self,
        id: RawId,
        expected: int,
        revision: int,
        changed: Document,
        vanished: Paths = (),
        within: Paths = (),
        held: Document | None = None,
    ) -> bool:
        update: dict[str, Any] = {"$set": {**changed, REVISION_FIELD: revision}}
        if fields := dict.fromkeys(vanished, ""):
            update["$unset"] = fields
        where = at_revision(id, expected, within, held)
        result = await self._durable.update_one(where, update, session=self._session)
        return bool(result.matched_count)

    async def delete(self, id: RawId, expected: int) -> bool:
        result = await self._durable.delete_one(at_revision(id, expected), session=self._session)
        return bool(result.deleted_count)

    async def find_each(self, ids: Sequence[RawId]) -> Undecoded[StoredV1]:
        return await undecoded_by_id(self._settled, stored_v1, ids, self._session)

    def question(self, criteria: Document) -> Document:
        if driver_of(self.given) is Driver.MEMORY or not criteria:
            return dict(criteria)
        return RawBSONDocument(bson.encode(criteria, codec_options=self.given.codec_options), RAW_LENIENT)

    async def page(
        self,
        question: Document,
        order: Order,
        limit: int,
        after: Document | None = None,
        fields: Iterable[str] | None = None,
    ) -> Undecoded[StoredV1]:
        where = question
        if after is not None:
            behind = order.after(after, driver_of(self.collection))
            where = {"$and": [question, behind]} if question else behind
        projection = None if fields is None else dict.fromkeys([*fields, REVISION_FIELD], 1)
        return await undecoded(
            self._settled, stored_v1, where, size=limit, limit=limit, fields=projection, sort=order.keys,
            session=self._session,
        )  # fmt: skip

    async def count(self, criteria: Document) -> int:
        return int(await self._settled.count_documents(self.question(criteria), session=self._session))
