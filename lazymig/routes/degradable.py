"""The phase `shadow` where V2 may have missed writes, or where it may miss some while it is away.

The phase's record says so: `settings["degrade"]` is "announced" until every process works by this route, and True once
writes may go to V1 alone; `settings["suspect_since"]` stands from before the first such write until a verification has
found V2 right. Reads are those of `shadow`: V1 answers. Writes take nothing from V2 for granted.

Way back: none is needed downwards, where V2 is not trusted either. `coexist` needs the verification.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig import protocol
from lazymig.control import Suspicion
from lazymig.errors import ConversionError
from lazymig.protocol import degrading
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.pair import Pair
from lazymig.query import Criteria, Span
from lazymig.routes.route import Route
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Degradable(Route[V1, V2], Generic[V1, V2]):
    """Passes reads on to `shadow`, and writes V1 alone where V2 cannot take the announcement."""

    pair: Pair[V1, V2]
    shadow: Route[V1, V2]
    suspicion: Suspicion
    uses_v2: ClassVar[bool] = True
    fills_v2: ClassVar[bool] = True
    serves_v2: ClassVar[bool] = False
    lists_v2: ClassVar[bool] = False
    keeps_v1: ClassVar[bool] = True

    async def read(self, id: RawId) -> V2 | None:
        return await self.shadow.read(id)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await self.shadow.read_many(ids)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await self.shadow.read_v1(id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await self.shadow.read_v1_many(ids)

    async def exists(self, id: RawId) -> bool:
        return await self.shadow.exists(id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await self.shadow.exists_in_v1(id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        if self.pair.in_session:  # where an error may have ended the transaction
            return await protocol.write(self.pair, id, edit)
        return await degrading.write(self.pair, id, edit, self.suspicion.record)

    async def insert(self, id: RawId, change: Change) -> None:
        if self.pair.in_session:
            await protocol.insert(self.pair, id, change)
            return
        await degrading.insert(self.pair, id, change, self.suspicion.record)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return self.shadow.pages(span)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return self.shadow.v1_pages(span)

    async def count(self, criteria: Criteria) -> int:
        return await self.shadow.count(criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await self.shadow.count_v1(criteria)
