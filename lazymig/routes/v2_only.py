"""The phase `v2_only`: V2 alone. V1 is neither read nor written, and grows stale.

There is no way back from the first write on: V1 lacks it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig.errors import ConversionError
from lazymig.protocol import v2_alone
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.pair import Pair
from lazymig.query import Criteria, Span
from lazymig.routes.route import Route
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class V2Only(Route[V1, V2], Generic[V1, V2]):
    """Reads and writes V2 alone. V1's type is served by the conversions."""

    pair: Pair[V1, V2]
    uses_v2: ClassVar[bool] = True
    fills_v2: ClassVar[bool] = False
    serves_v2: ClassVar[bool] = True
    lists_v2: ClassVar[bool] = True
    keeps_v1: ClassVar[bool] = False

    async def read(self, id: RawId) -> V2 | None:
        return await v2_alone.read(self.pair, id)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await v2_alone.read_many(self.pair, ids)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await v2_alone.read_v1(self.pair, id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await v2_alone.read_v1_many(self.pair, ids)

    async def exists(self, id: RawId) -> bool:
        return await v2_alone.exists(self.pair, id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await v2_alone.exists(self.pair, id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await v2_alone.write(self.pair, id, edit)

    async def insert(self, id: RawId, change: Change) -> None:
        await v2_alone.insert(self.pair, id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return v2_alone.list_entities(self.pair, span)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return v2_alone.list_v1(self.pair, span)

    async def count(self, criteria: Criteria) -> int:
        return await self.pair.alone.count(criteria.v2)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.pair.alone.count(criteria.v2)
