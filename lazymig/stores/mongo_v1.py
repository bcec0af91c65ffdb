"""V1 in MongoDB. `ports.Truth` states what each method guarantees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pymongo.errors import DuplicateKeyError, WriteError
from pymongo.read_concern import ReadConcern

from lazymig.stores.carried import WHOLE, Carried
from lazymig.stores.documents import PART_FIELD, REVISION_FIELD, check_same_id
from lazymig.stores.drivers import (
    MAJORITY,
    READ_MAJORITY,
    DriverSession,
    Handle,
    is_id_taken,
    tune,
)
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedUpdate
from lazymig.stores.keyset import Order
from lazymig.stores.pages import encode_filter, find_page, join_filters
from lazymig.stores.places import TAKEN, Place
from lazymig.stores.ports import Paths, Truth
from lazymig.stores.raw import Undecoded, find_all, find_one, find_undecoded, find_undecoded_by_id
from lazymig.stores.records import PLACEHOLDER, Document, Fields, StoredV1, StoredV2
from lazymig.stores.revisions import make_part_error

#: The code of an update that sets a part of what is no document.
_NO_PATH = 28


def build_update(revision: int, changed: Document, vanished: Paths, path: str = REVISION_FIELD) -> Fields:
    """Return the update that sets and unsets fields of a V1 document, and its revision, which is at this path."""
    update: Fields = {"$set": {**changed, path: revision}}
    if fields := dict.fromkeys(vanished, ""):
        update["$unset"] = fields
    return update


class V1Store(Truth):
    """A `Truth` kept in one MongoDB collection, in whole documents or in parts of them."""

    def __init__(
        self,
        collection: Handle,
        session: DriverSession | None = None,
        read_concern: str | None = None,
        carried: Carried = WHOLE,
    ) -> None:
        #: The collection as it was given. Its codec options encode the caller's filters.
        self.given = collection
        self.collection = tune(collection)
        #: How its documents carry the entities.
        self.carried = carried
        self._session = session
        # An acknowledged write must survive a fail-over, whatever the collection's own write concern is.
        self._durable = tune(collection, write=MAJORITY)
        # V2 may get a body only from a revision that cannot be rolled back.
        self._majority = tune(collection, read=READ_MAJORITY)
        # Linearizable reads find one document each, and a deposed primary cannot answer them.
        self._one = self._majority if read_concern is None else tune(collection, read=ReadConcern(read_concern))

    async def find(self, id: RawId) -> StoredV1 | None:
        return await self._find(self._one, id)

    async def find_local(self, id: RawId) -> StoredV1 | None:
        return await self._find(self.collection, id)

    async def _find(self, collection: Handle, id: RawId) -> StoredV1 | None:
        carried = self.carried
        document = await find_one(collection, id, self._session, carried.selection, carried.fields)
        return None if document is None else check_same_id(id, carried.parse(document))

    async def confirm_missing(self, id: RawId, left: int | None = None) -> bool:
        return self._durable is self.collection or await self._confirm_missing(self.carried.match_living(id, left))

    async def confirm_no_place(self, id: RawId) -> bool:
        return self._durable is self.collection or await self._confirm_missing({"_id": id})

    async def _confirm_missing(self, living: Document) -> bool:
        # Asked by the statement that waits: the member that answers it may be another than the one that was read. A
        # majority write waits also where it changes nothing.
        unchanged = {"$setOnInsert": {self.carried.revision: PLACEHOLDER}}
        result = await self._durable.update_one(living, unchanged, session=self._session)
        return not result.matched_count

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV1]:
        carried = self.carried
        found = await find_all(self._majority, ids, self._session, carried.selection, carried.fields)
        return {stored.id: stored for stored in map(carried.parse, found)}

    async def find_many_local(self, ids: Sequence[RawId]) -> dict[RawId, StoredV1]:
        """Find these documents as the primary has them now; missing ids are left out."""
        carried = self.carried
        found = await find_all(self.collection, ids, self._session, carried.selection, carried.fields)
        return {stored.id: stored for stored in map(carried.parse, found)}

    async def find_changed(self, revisions: Mapping[RawId, int]) -> list[RawId]:
        now = await self._find_revisions(list(revisions))
        return [id for id, revision in revisions.items() if now.get(id) != revision]

    async def _find_revisions(self, ids: Sequence[RawId]) -> dict[RawId, int]:
        """Find the revisions with read concern majority; missing ids are left out."""
        carried = self.carried
        where, fields = carried.select({"_id": {"$in": list(ids)}}), {carried.revision: 1}
        found = await find_undecoded(
            self._majority, carried.parse, where, size=len(ids), fields=fields, session=self._session
        )
        return {stored.id: stored.revision for stored in found}

    async def insert(self, id: RawId, document: Document, revision: int) -> bool:
        carried = self.carried
        if carried.is_part:
            update = build_update(revision, document, (), carried.revision)
            return await self._update_of(id, GuardedUpdate(carried.guard_vacancy(id, revision), update))
        return await self._insert({"_id": id, **document, REVISION_FIELD: revision})

    async def _insert(self, whole: Document) -> bool:
        try:
            await self._durable.insert_one(whole, session=self._session)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise  # another unique index refuses it, which the caller must know
            return False
        return True

    async def _update(self, one: GuardedUpdate) -> bool:
        """Update one document durably; return whether its filter matched it."""
        result = await self._durable.update_one(one.where, one.update, session=self._session)
        return bool(result.matched_count)

    async def _update_of(self, id: RawId, one: GuardedUpdate) -> bool:
        """Update the document with this id. Raises `ConversionError` if it cannot hold the revision of a part."""
        try:
            return await self._update(one)
        except WriteError as error:
            if error.code != _NO_PATH or not self.carried.is_part:
                raise
            found = await find_one(self.collection, id, self._session, None, {PART_FIELD: 1})
            if found is None or isinstance(found.get(PART_FIELD, {}), Mapping):
                raise
        # Outside of the handler: the server's text quotes what stands there.
        raise make_part_error(id)

    async def find_place(self, id: RawId) -> Place:
        carried = self.carried
        if not carried.is_part:
            return TAKEN
        found = await find_one(self.collection, id, self._session, None, carried.fields)
        if found is None:
            return Place(stands=False, held=False)
        return Place(stands=True, held=carried.holds(found), revision=carried.parse(found).revision)

    async def bar(self, revisions: Mapping[RawId, int]) -> list[RawId]:
        carried = self.carried
        if not carried.is_part:
            return []
        free: list[RawId] = []
        for id, revision in revisions.items():
            barring = GuardedUpdate(carried.guard_vacancy(id), {"$max": {carried.revision: revision}})
            if not await self._update_of(id, barring) and not (await self.find_place(id)).stands:
                free.append(id)
        return free

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
        where = self.carried.guard_change(id, expected, changed, vanished, within, held)
        return await self._update_of(
            id, GuardedUpdate(where, build_update(revision, changed, vanished, self.carried.revision))
        )

    async def delete(self, id: RawId, expected: int, announced: StoredV2 | None = None) -> bool:
        carried = self.carried
        where = carried.guard(id, expected)
        if carried.is_part:
            return await self._update_of(id, GuardedUpdate(where, carried.deletion(expected)))
        return await self._delete(where, announced)

    async def _delete(self, where: Document, announced: StoredV2 | None) -> bool:
        """Delete one document durably; return whether the filter matched it."""
        result = await self._durable.delete_one(where, session=self._session)
        return bool(result.deleted_count)

    async def find_each(self, ids: Sequence[RawId], question: Document | None = None) -> Undecoded[StoredV1]:
        carried = self.carried
        where = carried.select(question or {})
        return await find_undecoded_by_id(self._majority, carried.parse, ids, self._session, where, carried.fields)

    def question(self, criteria: Document) -> Document:
        return encode_filter(self.given, criteria)

    async def page(
        self,
        question: Document,
        order: Order,
        limit: int,
        after: Document | None = None,
        fields: Iterable[str] | None = None,
    ) -> Undecoded[StoredV1]:
        carried = self.carried
        wanted = carried.fields if fields is None else [*fields, carried.revision]
        where = carried.select(question)
        return await find_page(self._majority, carried.parse, where, order, limit, after, wanted, session=self._session)

    async def count(self, criteria: Document, among: Sequence[RawId] | None = None) -> int:
        these = None if among is None else {"_id": {"$in": list(among)}}
        where = join_filters(self.question(criteria), these, self.carried.selection)
        return int(await self._majority.count_documents(where, session=self._session))
