"""Documents that carry both shapes, in MongoDB. `wholes.Wholes` states what each method guarantees."""

from __future__ import annotations

from collections.abc import Sequence

from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError
from pymongo.read_concern import ReadConcern

from lazymig.stores.documents import META_FIELD, check_same_id
from lazymig.stores.drivers import (
    JOURNALED,
    MAJORITY,
    READ_MAJORITY,
    STATEMENT_ERRORS,
    Driver,
    DriverSession,
    Handle,
    driver_of,
    is_id_taken,
    is_refused,
    is_server_state,
    is_too_large,
    tune,
)
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedUpdate
from lazymig.stores.indexes import ensure_index
from lazymig.stores.keyset import Order
from lazymig.stores.pages import encode_filter, find_page, join_filters
from lazymig.stores.raw import Undecoded, find_all, find_one, find_undecoded
from lazymig.stores.records import PLACEHOLDER, Document, Fields, Filled, StoredWhole, WholeChange
from lazymig.stores.two_steps import GuardedDelete, match_later
from lazymig.stores.whole_documents import MOVED, OF, REV, UNMOVED, make_setting, make_whole_filter, parse_whole
from lazymig.stores.wholes import Wholes


def build_statement(change: WholeChange) -> tuple[Fields, Fields]:
    """Return the filter and the update of a change."""
    update: Fields = {"$set": make_setting(change) if change.packed is None else RawBSONDocument(change.packed)}
    if change.vanished:
        update["$unset"] = dict.fromkeys(change.vanished, "")
    return make_whole_filter(change.seen, change.held, change.within), update


def build_delete(seen: StoredWhole, revision: int, held: Document | None = None) -> GuardedDelete:
    """Return a delete in two steps. Other programs change no revision, so the one that deletes has the held values."""
    announced = GuardedUpdate(match_revision(seen), {"$set": {REV: revision}})
    raised = seen._replace(revision=revision, known=True)
    return GuardedDelete(announced, match_revision(raised, held), {"_id": seen.id, REV: match_later(revision)})


def match_revision(seen: StoredWhole, held: Document | None = None) -> Fields:
    """Return the filter of a delete."""
    where = make_whole_filter(seen._replace(of=None), held)
    where.pop(OF, None)  # a reader that stores the V2 part is no other writer
    return where


def match_standing(id: RawId) -> GuardedUpdate:
    """Return an update that matches a document and changes nothing: it waits for the majority, as every update."""
    return GuardedUpdate({"_id": id}, {"$setOnInsert": {REV: PLACEHOLDER}})


class WholeStore(Wholes):
    """`Wholes` kept in one MongoDB collection."""

    def __init__(
        self, collection: Handle, session: DriverSession | None = None, read_concern: str | None = None
    ) -> None:
        #: The collection as it was given. Its codec options encode the caller's filters.
        self.given = collection
        self.collection = tune(collection)
        self._session = session
        self._in_memory = driver_of(collection) is Driver.MEMORY
        # An acknowledged write must survive a fail-over, whatever the collection's own write concern is.
        self._durable = tune(collection, write=MAJORITY)
        # What can be made again need not survive it, so reads wait for no other member. They wait for the journal: what
        # is not in it is in no answer of the majority, and the next reader would convert and store it again.
        self._quick = tune(collection, write=JOURNALED)
        self._majority = tune(collection, read=READ_MAJORITY)
        # Linearizable reads find one document each, and a deposed primary cannot answer them.
        self._one = self._majority if read_concern is None else tune(collection, read=ReadConcern(read_concern))

    async def find(self, id: RawId) -> StoredWhole | None:
        document = await find_one(self._one, id, self._session)
        return None if document is None else check_same_id(id, parse_whole(document))

    async def find_local(self, id: RawId) -> StoredWhole | None:
        document = await find_one(self.collection, id, self._session)
        return None if document is None else check_same_id(id, parse_whole(document))

    async def confirm_missing(self, id: RawId) -> bool:
        return self._in_memory or await self._confirm_missing(id)

    async def _confirm_missing(self, id: RawId) -> bool:
        # Asked by the statement that waits: the member that answers it may be another than the one that was read.
        standing = match_standing(id)
        result = await self._durable.update_one(standing.where, standing.update, session=self._session)
        return not result.matched_count

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredWhole]:
        found = await find_all(self._majority, ids, self._session)
        return {stored.id: stored for stored in map(parse_whole, found)}

    async def find_many_local(self, ids: Sequence[RawId]) -> dict[RawId, StoredWhole]:
        """Find these documents as the primary has them now; missing ids are left out."""
        found = await find_all(self.collection, ids, self._session)
        return {stored.id: stored for stored in map(parse_whole, found)}

    async def insert(self, id: RawId, document: Document, meta: Document) -> bool:
        return await self._insert({"_id": id, **document, META_FIELD: meta})

    async def _insert(self, whole: Document) -> bool:
        try:
            await self._durable.insert_one(whole, session=self._session)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise  # another unique index refuses it, which the caller must know
            return False
        return True

    async def change(self, change: WholeChange) -> bool:
        return await self._update(GuardedUpdate(*build_statement(change)))

    async def _update(self, one: GuardedUpdate) -> bool:
        result = await self._durable.update_one(one.where, one.update, session=self._session)
        return bool(result.matched_count)

    async def fill(self, change: WholeChange) -> Filled:
        return await self._fill_singly([change], self._quick)

    async def fill_each(self, changes: Sequence[WholeChange], *, durable: bool = False) -> Filled:
        collection = self._durable if durable else self._quick
        if self._in_memory:
            return await self._fill_singly(changes, collection)
        requests = [UpdateOne(*build_statement(change)) for change in changes]
        try:
            result = await collection.bulk_write(requests, ordered=False, session=self._session)
        except BulkWriteError as error:
            return _judge(error, durable=durable)
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
            # Neither driver nor server names the document. Sent one by one, it is refused and the others are stored.
            return await self._fill_singly(changes, collection)
        return Filled(result.matched_count, {})

    async def _fill_singly(self, changes: Sequence[WholeChange], collection: Handle) -> Filled:
        stored, refused = 0, dict[int, BaseException]()
        for place, change in enumerate(changes):
            try:
                result = await collection.update_one(*build_statement(change), session=self._session)
                stored += result.matched_count
            except STATEMENT_ERRORS as error:
                if not is_refused(error):
                    raise
                refused[place] = error
        return Filled(stored, refused)

    async def delete(self, seen: StoredWhole, revision: int | None = None, held: Document | None = None) -> bool:
        # A statement of its own has an outcome, so it needs no first step.
        result = await self._durable.delete_one(match_revision(seen, held), session=self._session)
        return bool(result.deleted_count)

    def question(self, criteria: Document) -> Document:
        return encode_filter(self.given, criteria)

    async def page(
        self, question: Document, order: Order, limit: int, after: Document | None = None
    ) -> Undecoded[StoredWhole]:
        return await find_page(self._majority, parse_whole, question, order, limit, after, session=self._session)

    async def count(self, criteria: Document, *, moved: bool = False) -> int:
        where = join_filters(self.question(criteria), MOVED if moved else None)
        return int(await self._majority.count_documents(where, session=self._session))

    async def unmoved(self, why: str, limit: int, after: RawId = None) -> list[StoredWhole]:
        behind = None if after is None else Order("_id", 1).after({"_id": after}, driver_of(self.given))
        found = await find_undecoded(
            self.collection, parse_whole, join_filters({UNMOVED: why}, behind), size=limit, limit=limit,
            fields={META_FIELD: 1}, sort=[("_id", 1)], session=self._session,
        )  # fmt: skip
        return list(found)

    async def ensure_unmoved_index(self) -> None:
        await ensure_index(self.collection, [(UNMOVED, 1)], "lazymig_unmoved", sparse=True)


def _judge(error: BulkWriteError, *, durable: bool) -> Filled:
    """Return the outcome of an unordered statement; raise its error where that is about the server."""
    details = error.details
    if durable and details.get("writeConcernErrors"):
        raise error
    refused: dict[int, BaseException] = {}
    for failure in details.get("writeErrors", []):
        if is_server_state(failure.get("code"), details):
            raise error
        kind = DuplicateKeyError if failure.get("code") == 11000 else WriteError
        refused[failure["index"]] = kind(failure.get("errmsg", ""), failure.get("code"), failure)
    return Filled(details.get("nMatched", 0), refused)
