"""The phase `coexist` while the cut-over is gradual: V2 answers first for chosen entities, V1 for the rest.

Both answers are exact at every moment, so an entity may go from one to the other whenever the choice changes, and
processes need not agree about it. Only what V1 cannot express appears and disappears with the choice. Writes are the
same for all: they reach both collections, and what only V2 holds is kept for the entities of the rest, too.

Way back: a smaller share, or `shadow`, without any step, because V1 is exact at every moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import ClassVar, Generic, TypeVar, cast

from attrs import evolve, frozen

from lazymig.errors import ConversionError, ForeignDocument
from lazymig.protocol import listing
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.pair import Pair
from lazymig.query import Criteria, Span
from lazymig.routes.choice import Choice
from lazymig.routes.route import Route
from lazymig.stores.given import RawId
from lazymig.stores.ports import Bodies
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Gradual(Route[V1, V2], Generic[V1, V2]):
    """Passes each entity's reads on to one of two routes."""

    pair: Pair[V1, V2]
    choice: Choice
    #: What answers for the entities that are chosen: `coexist`.
    chosen: Route[V1, V2]
    #: What answers for the rest: `shadow`.
    rest: Route[V1, V2]
    uses_v2: ClassVar[bool] = True
    fills_v2: ClassVar[bool] = True
    serves_v2: ClassVar[bool] = True
    lists_v2: ClassVar[bool] = False
    keeps_v1: ClassVar[bool] = True

    def _pick(self, id: RawId) -> Route[V1, V2]:
        return self.chosen if self.choice.chooses(id) else self.rest

    async def read(self, id: RawId) -> V2 | None:
        return await self._pick(id).read(id)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        chosen = [id for id in ids if self.choice.chooses(id)]
        if len(chosen) == len(ids):
            return await self.chosen.read_many(ids)
        if not chosen:
            return await self.rest.read_many(ids)
        others = set(chosen)
        asked = self.rest.read_many([id for id in ids if id not in others])
        if self.pair.in_session:  # whose statements run one at a time
            return {**await self.chosen.read_many(chosen), **await asked}
        first, second = await asyncio.gather(self.chosen.read_many(chosen), asked)
        return {**first, **second}

    async def read_v1(self, id: RawId) -> V1 | None:
        return await self._pick(id).read_v1(id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await self.chosen.read_v1_many(ids)

    async def exists(self, id: RawId) -> bool:
        return await self._pick(id).exists(id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await self._pick(id).exists_in_v1(id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await self.chosen.write(id, edit)

    async def insert(self, id: RawId, change: Change) -> None:
        await self.chosen.insert(id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        if self.choice.chooses_none:
            return self.rest.pages(span)
        # V1's ids and order, and V2's bodies for those whose reads V2 answers: a listing shows what `get` returns.
        bodies = cast(Bodies, _ChosenBodies(self.pair.bodies, self.choice.chooses))
        return listing.list_entities(evolve(self.pair, bodies=bodies), span)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return self.chosen.v1_pages(span)

    async def count(self, criteria: Criteria) -> int:
        return await self.chosen.count(criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.chosen.count_v1(criteria)


class _ChosenBodies:
    """V2's bodies for a listing: of the entities that are not chosen, none."""

    def __init__(self, bodies: Bodies, chooses: Callable[[RawId], bool]) -> None:
        self._bodies = bodies
        self._chooses = chooses

    def __getattr__(self, name: str) -> object:
        return getattr(self._bodies, name)

    async def find_each(self, ids: Sequence[RawId]) -> Undecoded[StoredV2]:
        return await self._bodies.find_each([id for id in ids if self._chooses(id)])

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        return await self._bodies.find_many([id for id in ids if self._chooses(id)])
