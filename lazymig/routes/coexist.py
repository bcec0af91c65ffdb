"""The phase `coexist`: V2 answers first and is filled by reads; V1 stays the truth, and every write reaches both.

Way back: to `shadow`, without any step, because V1 is exact at every moment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig import protocol
from lazymig.errors import ConversionError
from lazymig.protocol import listing, many, v1_alone
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.pair import Pair
from lazymig.query import Criteria, Span
from lazymig.routes.route import Route
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Coexist(Route[V1, V2], Generic[V1, V2]):
    """Reads and writes both collections by the steps of `lazymig.protocol`."""

    pair: Pair[V1, V2]
    uses_v2: ClassVar[bool] = True
    fills_v2: ClassVar[bool] = True
    serves_v2: ClassVar[bool] = True
    lists_v2: ClassVar[bool] = False
    keeps_v1: ClassVar[bool] = True

    async def read(self, id: RawId) -> V2 | None:
        return await protocol.read(self.pair, id)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await many.read_many(self.pair, ids)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await v1_alone.read_v1(self.pair, id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await many.read_v1_many(self.pair, ids)

    async def exists(self, id: RawId) -> bool:
        return await protocol.exists(self.pair, id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await v1_alone.exists_in_v1(self.pair, id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await protocol.write(self.pair, id, edit)

    async def insert(self, id: RawId, change: Change) -> None:
        await protocol.insert(self.pair, id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return listing.list_entities(self.pair, span)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return listing.list_v1(self.pair, span)

    async def count(self, criteria: Criteria) -> int:
        return await self.pair.v1.count(criteria.v1)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.pair.v1.count(criteria.v1)
