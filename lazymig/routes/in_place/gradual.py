"""The phase `coexist` in one document while the cut-over is gradual: V2's part answers first for chosen entities.

For the rest V1's part answers, converted. Both answers are exact at every moment, so an entity may go from one to the
other whenever the choice changes, and processes need not agree about it. Only what V1 cannot express appears and
disappears with the choice. Writes keep both parts for all.

Way back: a smaller share, or `shadow`, without any step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig.errors import ConversionError
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.in_place import listing, reading
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.query import Criteria, Span
from lazymig.routes.choice import Choice
from lazymig.routes.route import Route
from lazymig.stores.given import RawId
from lazymig.stores.records import Unmoved, WholeChange

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Gradual(Route[V1, V2], Generic[V1, V2]):
    """Passes each entity's reads on to one of two routes."""

    place: Place[V1, V2]
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

    async def _make(self, parts: Parts[V1, V2]) -> tuple[V2 | Unmoved, WholeChange | None]:
        """Return what `read` answers for this document, with the statement that stores a conversion."""
        make = reading.make_v2 if self.choice.chooses(parts.stored.id) else reading.make_converted
        return await make(parts)

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
        if self.place.in_session:  # whose statements run one at a time
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
        return listing.list_entities(self.place, span, listing.ask_v1(self.place, span), self._make)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return self.chosen.v1_pages(span)

    async def count(self, criteria: Criteria) -> int:
        return await self.chosen.count(criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.chosen.count_v1(criteria)
