"""The store of documents that carry both shapes, whose calls share statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from lazymig.loop.batcher import Batcher
from lazymig.stores.coalescing import share_out
from lazymig.stores.drivers import Handle
from lazymig.stores.failures import Outcome
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedUpdate, GuardedWrites
from lazymig.stores.mongo_wholes import WholeStore, build_delete, match_standing
from lazymig.stores.records import Document, Filled, StoredWhole, WholeChange
from lazymig.stores.two_steps import TwoStepDeletes, send_first_steps

#: What is deleted, the revision that it gets before, and the values that it must have.
_Delete: TypeAlias = tuple[StoredWhole, int, Document | None]


class CoalescingWholes(WholeStore):
    """The store of documents that carry both shapes, whose concurrent finds, fills and writes share statements."""

    def __init__(self, collection: Handle, timeout_s: float | None) -> None:
        super().__init__(collection)
        self._finds: Batcher[RawId, StoredWhole | None] = Batcher(super().find, self._find_each, timeout_s)
        self._local_finds: Batcher[RawId, StoredWhole | None] = Batcher(
            super().find_local, self._find_each_local, timeout_s
        )
        self._fills: Batcher[WholeChange, Filled] = Batcher(super().fill, self._fill_together, timeout_s)
        # While one bulk is under way, the next one gathers, as in `CoalescingV1`.
        self._many = many = GuardedWrites(self._durable)
        self._updates = Batcher(super()._update, many.update_each, timeout_s, patient=True)
        self._inserts = Batcher(super()._insert, many.insert_each, timeout_s, patient=True)
        self._in_two_steps = TwoStepDeletes(send_first_steps(collection), many)
        self._deletes = Batcher(self._delete_one, self._delete_each, timeout_s, patient=True)
        self._confirmations = Batcher(super()._confirm_missing, self._confirm_each, timeout_s, patient=True)

    async def find(self, id: RawId) -> StoredWhole | None:
        return await self._finds.call(id)

    async def _find_each(self, ids: Sequence[RawId]) -> list[StoredWhole | None]:
        return share_out(ids, await self.find_many(list(dict.fromkeys(ids))))

    async def find_local(self, id: RawId) -> StoredWhole | None:
        return await self._local_finds.call(id)

    async def _find_each_local(self, ids: Sequence[RawId]) -> list[StoredWhole | None]:
        return share_out(ids, await self.find_many_local(list(dict.fromkeys(ids))))

    async def _confirm_missing(self, id: RawId) -> bool:
        return await self._confirmations.call(id)

    async def _confirm_each(self, ids: Sequence[RawId]) -> list[Outcome]:
        return await self._many.confirm_each([match_standing(id) for id in ids])

    # The in-memory Mongo has no bulks.

    async def _update(self, one: GuardedUpdate) -> bool:
        return await (super()._update(one) if self._in_memory else self._updates.call(one))

    async def _insert(self, whole: Document) -> bool:
        return await (super()._insert(whole) if self._in_memory else self._inserts.call(whole))

    async def delete(self, seen: StoredWhole, revision: int | None = None, held: Document | None = None) -> bool:
        if self._in_memory or revision is None:
            return await super().delete(seen, revision, held)
        return await self._deletes.call((seen, revision, held))

    async def _delete_one(self, one: _Delete) -> bool:
        return await super().delete(*one)

    async def _delete_each(self, deletes: Sequence[_Delete]) -> list[Outcome]:
        return await self._in_two_steps.delete_each([build_delete(*one) for one in deletes])

    async def fill(self, change: WholeChange) -> Filled:
        return await self._fills.call(change)

    async def _fill_together(self, changes: Sequence[WholeChange]) -> Sequence[Filled | BaseException]:
        filled = await self.fill_each(changes)
        # The server reports how many were as they were seen, not which; the sum is right.
        left, results = filled.stored, list[Filled | BaseException]()
        for place in range(len(changes)):
            refusal = filled.refused.get(place)
            counted = refusal is None and left > 0
            left -= counted
            results.append(Filled(int(counted), {} if refusal is None else {0: refusal}))
        return results
