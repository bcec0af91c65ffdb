"""The phase `v2_primary`: V2 holds every entity, answers and lists; V1 is kept exact for the way back.

An entity that V2 lacks does not exist, so V2 must be complete before the first process enters this phase.

Way back: to `coexist`, without any step, because V1 is exact at every moment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig import protocol
from lazymig.errors import ConversionError
from lazymig.protocol import listing, many, v1_alone, v2_first, v2_listing
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.pair import Pair
from lazymig.query import Criteria, Span
from lazymig.routes.route import Route
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class V2Primary(Route[V1, V2], Generic[V1, V2]):
    """Reads, lists and counts V2, and asks V1 for what is dirty. A write is acknowledged once both have it."""

    pair: Pair[V1, V2]
    uses_v2: ClassVar[bool] = True
    fills_v2: ClassVar[bool] = True
    serves_v2: ClassVar[bool] = True
    lists_v2: ClassVar[bool] = True
    keeps_v1: ClassVar[bool] = True

    async def read(self, id: RawId) -> V2 | None:
        return await protocol.read(self.pair, id, lacking=False)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await many.read_many(self.pair, ids, lacking=False)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await v1_alone.read_v1(self.pair, id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await many.read_v1_many(self.pair, ids)

    async def exists(self, id: RawId) -> bool:
        return await protocol.exists(self.pair, id, lacking=False)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await v1_alone.exists_in_v1(self.pair, id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await v2_first.write(self.pair, id, edit)

    async def insert(self, id: RawId, change: Change) -> None:
        await v2_first.insert(self.pair, id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return v2_listing.list_entities(self.pair, span)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return listing.list_v1(self.pair, span)

    async def count(self, criteria: Criteria) -> int:
        return await v2_listing.count(self.pair, criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.pair.v1.count(criteria.v1)
