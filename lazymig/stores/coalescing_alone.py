"""V2's store once it is the only truth, whose calls share statements."""

from __future__ import annotations

from collections.abc import Sequence

from lazymig.errors import ForeignDocument
from lazymig.loop.batcher import Batcher
from lazymig.loop.clock import Clock
from lazymig.stores.coalescing import share_out
from lazymig.stores.drivers import Handle
from lazymig.stores.failures import Outcome
from lazymig.stores.given import RawId
from lazymig.stores.grouping import GuardedWrites
from lazymig.stores.records import Document, StoredV2
from lazymig.stores.two_steps import TwoStepDeletes, send_first_steps
from lazymig.stores.v2_alone import AloneStore, match_living


class CoalescingAlone(AloneStore):
    """V2's store once it is the only truth, whose concurrent finds and writes share statements."""

    def __init__(
        self, collection: Handle, clock: Clock, conv: int, timeout_s: float | None, *, forgets: bool = False
    ) -> None:
        super().__init__(collection, clock, conv, forgets=forgets)
        self._finds: Batcher[RawId, StoredV2 | None] = Batcher(super().find, self._find_each, timeout_s)
        self._local_finds: Batcher[RawId, StoredV2 | None] = Batcher(
            super().find_local, self._find_each_local, timeout_s
        )
        # While one bulk is under way, the next one gathers, as in `CoalescingV1`.
        self._many = many = GuardedWrites(self._durable)
        self._in_two_steps = TwoStepDeletes(send_first_steps(collection), many)
        self._inserts = Batcher(super()._insert, many.insert_each, timeout_s, patient=True)
        self._replacements = Batcher(self._replace_one, self._replace_each, timeout_s, patient=True)
        self._burials = Batcher(super().bury, self._bury_each, timeout_s, patient=True)
        self._confirmations = Batcher(super()._confirm_missing, self._confirm_each, timeout_s, patient=True)

    async def find(self, id: RawId) -> StoredV2 | None:
        return await self._finds.call(id)

    async def _find_each(self, ids: Sequence[RawId]) -> list[StoredV2 | ForeignDocument | None]:
        return share_out(ids, await self.find_many(list(dict.fromkeys(ids))))

    async def find_local(self, id: RawId) -> StoredV2 | None:
        return await self._local_finds.call(id)

    async def _find_each_local(self, ids: Sequence[RawId]) -> list[StoredV2 | ForeignDocument | None]:
        return share_out(ids, await self.find_many_local(list(dict.fromkeys(ids))))

    async def _confirm_missing(self, id: RawId) -> bool:
        return await self._confirmations.call(id)

    async def _confirm_each(self, ids: Sequence[RawId]) -> list[Outcome]:
        return await self._many.confirm_each([match_living(id) for id in ids])

    # The in-memory Mongo has no bulks.

    async def _insert(self, document: Document) -> bool:
        return await (super()._insert(document) if self._in_memory else self._inserts.call(document))

    async def replace(self, seen: StoredV2, body: Document) -> bool:
        return await (super().replace(seen, body) if self._in_memory else self._replacements.call((seen, body)))

    async def _replace_one(self, asked: tuple[StoredV2, Document]) -> bool:
        return await super().replace(*asked)

    async def _replace_each(self, asked: Sequence[tuple[StoredV2, Document]]) -> list[Outcome]:
        return await self._many.update_each([self.build_replacement(*one) for one in asked])

    async def bury(self, seen: StoredV2, *, again: bool = False) -> bool:
        # The first of two steps would close the announcement of a document that is not clean, and leave its mark.
        unshared = self._in_memory or (self._forgets and (again or not seen.clean))
        return await (super().bury(seen) if unshared else self._burials.call(seen))

    async def _bury_each(self, seen: Sequence[StoredV2]) -> list[Outcome]:
        if self._forgets:
            return await self._in_two_steps.delete_each([self.build_removal(one) for one in seen])
        return await self._many.update_each([self.build_burial(one) for one in seen])
