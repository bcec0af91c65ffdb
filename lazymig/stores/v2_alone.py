"""V2 in MongoDB once it is the only truth. `ports.Alone` states what each method guarantees."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from lazymig.errors import ForeignDocument
from lazymig.loop.clock import SYSTEM_CLOCK, Clock, pick_step
from lazymig.stores.alone import Alone
from lazymig.stores.documents import META_FIELD, born_alone, born_clean, check_same_id, parse_v2, parse_v2_or_error
from lazymig.stores.drivers import READ_MAJORITY, DriverSession, Handle, is_id_taken, tune
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedUpdate, match_number
from lazymig.stores.keyset import Order
from lazymig.stores.ledger import GONE, INTENT, LIVE, REV, MongoLedger
from lazymig.stores.pages import encode_filter, find_page, join_filters
from lazymig.stores.pipelines import Pipeline, build_tombstone
from lazymig.stores.raw import Undecoded, find_all, find_one
from lazymig.stores.records import Document, StoredV2
from lazymig.stores.two_steps import GuardedDelete, match_later


class AloneStore(MongoLedger, Alone):
    """An `Alone`, kept in the collection of the ledger and the bodies."""

    def __init__(
        self,
        collection: Handle,
        clock: Clock = SYSTEM_CLOCK,
        conv: int = 1,
        session: DriverSession | None = None,
        read_concern: str | None = None,
        *,
        forgets: bool = False,
    ) -> None:
        """With `forgets`, deletes leave no tombstone: no process writes V1 that a tombstone would have to stop."""
        super().__init__(collection, clock, conv, session, read_concern)
        self._forgets = forgets
        # What an answer was made from must not be rolled back: no other collection holds it.
        self._settled = tune(collection, read=READ_MAJORITY)
        self._one = self._settled if read_concern is None else tune(collection, read=ReadConcern(read_concern))

    async def find(self, id: RawId) -> StoredV2 | None:
        document = await find_one(self._one, id, self._session)
        return None if document is None else check_same_id(id, parse_v2(document))

    async def find_local(self, id: RawId) -> StoredV2 | None:
        document = await find_one(self._durable, id, self._session)
        return None if document is None else check_same_id(id, parse_v2(document))

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        found = await find_all(self._settled, ids, self._session)
        return {stored.id: stored for stored in map(parse_v2_or_error, found)}

    async def find_many_local(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        """Find these documents as the primary has them now; missing ids are left out, foreign ones become errors."""
        found = await find_all(self._durable, ids, self._session)
        return {stored.id: stored for stored in map(parse_v2_or_error, found)}

    async def confirm_missing(self, id: RawId) -> bool:
        return self._in_memory or await self._confirm_missing(id)

    async def _confirm_missing(self, id: RawId) -> bool:
        # Asked by the statement that waits: the member that answers it may be another than the one that was read.
        living = match_living(id)
        result = await self._durable.update_one(living.where, living.update, session=self._session)
        return not result.matched_count

    async def insert(self, id: RawId, body: Document, revision: int) -> bool:
        return await self._insert(born_alone(id, body, revision))

    async def _insert(self, document: Document) -> bool:
        try:
            await self._durable.insert_one(document, session=self._session)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise  # another unique index refuses it, which the caller must know
            return False
        return True

    async def replace(self, seen: StoredV2, body: Document) -> bool:
        document = self._born_again(seen, body, self._raise(seen))
        if self._in_memory:
            made = [{"$replaceWith": {"$literal": document}}]
            return await self._send(_as_seen(seen), made, durable=True)
        result = await self._durable.replace_one(_as_seen(seen), document, session=self._session)
        return bool(result.matched_count)

    def build_replacement(self, seen: StoredV2, body: Document) -> GuardedUpdate:
        """Return *replace* as one of many updates."""
        return _build_whole(seen, {"$literal": self._born_again(seen, body, self._raise(seen))})

    def build_burial(self, seen: StoredV2) -> GuardedUpdate:
        """Return *bury* as one of many updates, where it leaves a tombstone."""
        [stage] = self._build_grave(seen)
        return _build_whole(seen, stage["$replaceWith"])

    def _born_again(self, seen: StoredV2, body: Document, revision: int) -> Document:
        # Who moved an entity out of V1 stays on record, until retirement has removed it.
        by = None if seen.gone else seen.document[META_FIELD].get("by")
        if by is None:
            return born_alone(seen.id, body, revision)
        return born_clean(seen.id, body, revision, by, self._conv)

    async def bury(self, seen: StoredV2, *, again: bool = False) -> bool:
        if self._forgets:
            removed = await self._durable.delete_one(_as_seen(seen), session=self._session)
            return bool(removed.deleted_count)
        return await self._send(_as_seen(seen), self._build_grave(seen), durable=True)

    async def bury_each(self, seen: Sequence[StoredV2]) -> int:
        if self._in_memory:
            return sum([await self.bury(one) for one in seen])
        requests = [UpdateOne(_as_seen(one), self._build_grave(one)) for one in seen]
        return int((await self._durable.bulk_write(requests, ordered=False)).matched_count)

    def _build_grave(self, seen: StoredV2) -> Pipeline:
        revision = self._raise(seen)
        return build_tombstone(revision, revision, self._moment)

    def build_removal(self, seen: StoredV2) -> GuardedDelete:
        """Return *bury* of a clean document as one of many deletes, where it leaves nothing."""
        revision = self._raise(seen)
        announced = GuardedUpdate(_as_seen(seen), {"$set": {REV: revision, INTENT: revision}})
        raised = seen._replace(revision=revision, intent=revision)
        return GuardedDelete(announced, _as_seen(raised), {"_id": seen.id, REV: match_later(revision)})

    def _raise(self, seen: StoredV2) -> int:
        # Writers read what the majority may not have yet, so a number may be given twice if it is the next one.
        return seen.intent + pick_step(self._clock)

    def question(self, criteria: Document) -> Document:
        return encode_filter(self.given, criteria)

    async def page(
        self, question: Document, order: Order, limit: int, after: Document | None = None
    ) -> Undecoded[StoredV2 | ForeignDocument]:
        where = join_filters(question, LIVE)
        return await find_page(self._settled, parse_v2_or_error, where, order, limit, after, session=self._session)

    async def count(self, criteria: Document) -> int:
        where = join_filters(self.question(criteria), LIVE)
        return int(await self._settled.count_documents(where, session=self._session))


def _build_whole(seen: StoredV2, made: Document) -> GuardedUpdate:
    where = {"_id": seen.id, REV: match_number(seen.revision), INTENT: match_number(seen.intent)}
    return GuardedUpdate(where, [{"$replaceWith": made}])


def match_living(id: RawId) -> GuardedUpdate:
    """Return an update that matches a body and changes nothing: it waits for the majority, as every update."""
    return GuardedUpdate({"_id": id, **LIVE}, {"$setOnInsert": {GONE: True}})


def _as_seen(seen: StoredV2) -> Document:
    """Return the filter for the document as it was seen: every announcement and every body changes one of the two."""
    return {"_id": seen.id, REV: seen.revision, INTENT: seen.intent}
