"""The phase `v1_only`: V1 alone; V2 is neither read nor written.

Way back: none is needed, because V2 was never written.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

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
class V1Only(Route[V1, V2], Generic[V1, V2]):
    """Reads and writes V1 alone. Answers in V2's type are converted and not stored."""

    pair: Pair[V1, V2]
    uses_v2: ClassVar[bool] = False
    fills_v2: ClassVar[bool] = False
    serves_v2: ClassVar[bool] = False
    lists_v2: ClassVar[bool] = False
    keeps_v1: ClassVar[bool] = True

    async def read(self, id: RawId) -> V2 | None:
        return await v1_alone.read_converted(self.pair, id)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await many.convert_many(self.pair, ids)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await v1_alone.read_v1(self.pair, id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await many.read_v1_many(self.pair, ids)

    async def exists(self, id: RawId) -> bool:
        return await v1_alone.exists_in_v1(self.pair, id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await v1_alone.exists_in_v1(self.pair, id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await v1_alone.write_v1(self.pair, id, edit)

    async def insert(self, id: RawId, change: Change) -> None:
        await v1_alone.insert_v1(self.pair, id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return listing.list_converted(self.pair, span)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return listing.list_v1(self.pair, span)

    async def count(self, criteria: Criteria) -> int:
        return await self.pair.v1.count(criteria.v1)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.pair.v1.count(criteria.v1)
