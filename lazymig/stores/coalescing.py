"""Stores whose calls share statements. Each document is still read between its caller's call and return."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple, TypeVar

from lazymig.errors import ForeignDocument
from lazymig.loop.batcher import Batcher
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.stores.announcing import Announced, Announcements, Apart
from lazymig.stores.carried import WHOLE, Carried
from lazymig.stores.deleting import AnnouncedDelete, FindV2, SharedDeletes
from lazymig.stores.drivers import STATEMENT_ERRORS, Driver, Handle, driver_of, is_too_large
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedUpdate, GuardedWrites
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.pipelines import Pipeline
from lazymig.stores.records import Applied, Begun, Body, Document, Put, StoredV1, StoredV2
from lazymig.stores.unretried import Update

R = TypeVar("R")


def share_out(ids: Sequence[RawId], by_id: dict[Any, R]) -> list[R | None]:
    """Return one result per id. A second caller of an id gets its own copy, because entities may hold parts of it."""
    taken: set[Any] = set()
    results: list[R | None] = []
    for id in ids:
        stored = by_id.get(id)
        results.append(deepcopy(stored) if id in taken else stored)
        taken.add(id)
    return results


class Asked(NamedTuple):
    """A call for a ticket, and what V2's document will be after that, once it is known."""

    id: RawId
    expected: asyncio.Future[Announced]

    def answer(self, expected: Announced) -> None:
        """Let the caller go on with this, if it still waits for something."""
        if not self.expected.done():
            self.expected.set_result(expected)


class CoalescingV1(V1Store):
    """V1's store, whose concurrent calls share statements: finds, looks for changes of one entity, and writes."""

    def __init__(
        self, collection: Handle, timeout_s: float | None, carried: Carried = WHOLE, find_v2: FindV2 | None = None
    ) -> None:
        """`find_v2` finds V2's documents, which show who can have deleted an entity. Without it, no deletes share."""
        super().__init__(collection, carried=carried)
        self._finds: Batcher[RawId, StoredV1 | None] = Batcher(super().find, self._find_each, timeout_s)
        self._local_finds: Batcher[RawId, StoredV1 | None] = Batcher(
            super().find_local, self._find_each_local, timeout_s
        )
        self._revisions: Batcher[RawId, int | None] = Batcher(self._find_revision, self._find_each_revision, timeout_s)
        # While one bulk is under way, the next one gathers: the server answers once its journal is written, so calls
        # that begin later would seldom begin together.
        many = GuardedWrites(self._durable)
        self._updates = Batcher(super()._update, many.update_each, timeout_s, patient=True)
        self._inserts = Batcher(super()._insert, many.insert_each, timeout_s, patient=True)
        #: The in-memory Mongo has no bulks.
        self._groups = driver_of(collection) is not Driver.MEMORY
        self._deletes: Batcher[AnnouncedDelete, bool] | None = None
        if find_v2 is not None and self._groups:
            shared = SharedDeletes(many, self.find_many_local, find_v2)
            self._deletes = Batcher(self._delete_one, shared.delete_each, timeout_s, patient=True)

    async def find(self, id: RawId) -> StoredV1 | None:
        return await self._finds.call(id)

    async def _find_each(self, ids: Sequence[RawId]) -> list[StoredV1 | None]:
        return share_out(ids, await self.find_many(list(dict.fromkeys(ids))))

    async def find_local(self, id: RawId) -> StoredV1 | None:
        return await self._local_finds.call(id)

    async def _find_each_local(self, ids: Sequence[RawId]) -> list[StoredV1 | None]:
        return share_out(ids, await self.find_many_local(list(dict.fromkeys(ids))))

    async def _update(self, one: GuardedUpdate) -> bool:
        return await (self._updates.call(one) if self._groups else super()._update(one))

    async def _insert(self, whole: Document) -> bool:
        return await (self._inserts.call(whole) if self._groups else super()._insert(whole))

    async def _delete(self, where: Document, announced: StoredV2 | None) -> bool:
        if announced is None or self._deletes is None:
            return await super()._delete(where, announced)
        return await self._deletes.call(AnnouncedDelete(where, announced))

    async def _delete_one(self, one: AnnouncedDelete) -> bool:
        return await super()._delete(*one)

    async def find_changed(self, revisions: Mapping[RawId, int]) -> list[RawId]:
        if len(revisions) != 1:
            return await super().find_changed(revisions)
        # Late reads look again, one entity each. A statement for each would make a crowd of them later still.
        [(id, revision)] = revisions.items()
        return [] if await self._revisions.call(id) == revision else [id]

    async def _find_revision(self, id: RawId) -> int | None:
        return (await self._find_revisions([id])).get(id)

    async def _find_each_revision(self, ids: Sequence[RawId]) -> list[int | None]:
        now = await self._find_revisions(list(dict.fromkeys(ids)))
        return [now.get(id) for id in ids]


class CoalescingV2(V2Store):
    """V2's store, whose concurrent calls share statements: `find`, `put_if_absent`, `apply`, `bury`, announcements."""

    def __init__(
        self,
        collection: Handle,
        clock: Clock = SYSTEM_CLOCK,
        conv: int = 1,
        timeout_s: float | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        super().__init__(collection, clock, conv, remembers=remembers)
        self._finds: Batcher[RawId, StoredV2 | None] = Batcher(super().find, self._find_each, timeout_s)
        self._puts: Batcher[tuple[RawId, Body, int], Put] = Batcher(self._put_one, self._put_each, timeout_s)
        # The last steps of writes start when V1's journal was flushed, so they seldom start together: wait for more of
        # them.
        self._updates: Batcher[Update[Pipeline], Applied] = Batcher(
            self._update_one, self._update_each, timeout_s, patient=True
        )
        self._announcements = Announcements(self, GuardedWrites(self._durable, repeats=True), remembers=remembers)
        self._tickets: Batcher[Asked, Announced] = Batcher(self._ticket_one, self._ticket_each, timeout_s, patient=True)
        self._vacant_tickets: Batcher[tuple[RawId, int], Announced | None] = Batcher(
            self._vacant_one, self._announcements.vacant_each, timeout_s, patient=True
        )

    async def ticket(self, id: RawId) -> StoredV2:
        if self._in_memory:
            return await super().ticket(id)
        begun = await self.begin_ticket(id)
        return begun.expected if begun.finish is None else await begun.finish()

    async def begin_ticket(self, id: RawId) -> Begun:
        if self._in_memory:
            return Begun(await self.ticket(id))
        asked = Asked(id, asyncio.get_running_loop().create_future())
        joined = await self._tickets.join(asked)
        if joined is None:
            announced = await self._tickets.go_alone(asked)
            assert announced is not Apart.APART  # it was alone
            return Begun(announced)
        try:
            expected = await asked.expected
        except asyncio.CancelledError:
            joined.cancel()
            raise
        finish = partial(self._finish_ticket, id, joined)
        return Begun(await finish()) if expected is Apart.APART else Begun(expected, finish)

    async def _finish_ticket(self, id: RawId, joined: asyncio.Future[Announced]) -> StoredV2:
        announced = await joined
        return await super().ticket(id) if announced is Apart.APART else announced

    async def _ticket_one(self, asked: Asked) -> StoredV2:
        return await super().ticket(asked.id)

    async def _ticket_each(self, all: Sequence[Asked]) -> list[Announced]:
        try:
            expected = await self._announcements.expect_each([asked.id for asked in all])
            for asked, one in zip(all, expected, strict=True):
                asked.answer(one)
            # The statement is on its way before they go on.
            return await self._announcements.announce_each(expected)
        finally:
            for asked in all:
                asked.answer(Apart.APART)  # where nothing is known

    async def vacant_ticket(self, id: RawId, step: int = 1) -> StoredV2 | None:
        announced = Apart.APART if self._in_memory else await self._vacant_tickets.call((id, step))
        return await super().vacant_ticket(id, step) if announced is Apart.APART else announced

    async def _vacant_one(self, asked: tuple[RawId, int]) -> StoredV2 | None:
        return await super().vacant_ticket(*asked)

    async def find(self, id: RawId) -> StoredV2 | None:
        return await self._finds.call(id)

    async def put_if_absent(self, id: RawId, body: Body, revision: int) -> Put:
        return await self._puts.call((id, body, revision))

    async def _find_each(self, ids: Sequence[RawId]) -> list[StoredV2 | ForeignDocument | None]:
        return share_out(ids, await self.find_many(list(dict.fromkeys(ids))))

    async def _put_one(self, put: tuple[RawId, Body, int]) -> Put:
        return await super().put_if_absent(*put)

    async def _put_each(self, puts: Sequence[tuple[RawId, Body, int]]) -> list[Put]:
        return await self.put_many([self.born_clean(*put, "read") for put in puts])

    async def _update(
        self, where: Document, pipeline: Pipeline, *, upsert: bool = False, durable: bool = False
    ) -> Applied:
        # For a bulk without upserts the server reports how many matched, not which. The in-memory Mongo has no bulk.
        if not upsert or durable or self._in_memory:
            return await super()._update(where, pipeline, upsert=upsert, durable=durable)
        return await self._updates.call(Update(where, pipeline))

    async def _replace(self, id: RawId, known: Pipeline | None) -> Applied:
        if self._in_memory or known is None:
            return await super()._replace(id, known)
        return await self._updates.call(Update({"_id": id}, known, upsert=False))

    async def _update_one(self, one: Update[Pipeline]) -> Applied:
        where, pipeline, upsert = one
        if upsert:
            return await super()._update(where, pipeline, upsert=True)
        return await super()._replace(where["_id"], pipeline)

    async def _update_each(self, updates: Sequence[Update[Pipeline]]) -> Sequence[Applied | BaseException]:
        try:
            return await self._update_many(updates)
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
        # Neither driver nor server names the document. Sent one by one, it is refused and the others are stored.
        return await asyncio.gather(*map(self._update_one, updates), return_exceptions=True)
