"""The phase `v1_only` in one document: V1's part answers, and only it is written.

Way back: none needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig.errors import ConversionError
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.in_place import listing, reading, writing
from lazymig.protocol.in_place.place import Place
from lazymig.query import Criteria, Span
from lazymig.routes.route import Route
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class V1Only(Route[V1, V2], Generic[V1, V2]):
    """Reads and writes V1's part alone. V2's type is served by the conversions."""

    place: Place[V1, V2]
    uses_v2: ClassVar[bool] = False
    fills_v2: ClassVar[bool] = False
    serves_v2: ClassVar[bool] = False
    lists_v2: ClassVar[bool] = False
    keeps_v1: ClassVar[bool] = True

    async def read(self, id: RawId) -> V2 | None:
        return await reading.read(self.place, id, reading.make_unstored)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await reading.read_many(self.place, ids, reading.make_unstored)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await reading.read_v1(self.place, id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await reading.read_v1_many(self.place, ids)

    async def exists(self, id: RawId) -> bool:
        return await reading.exists_in_v1(self.place, id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await reading.exists_in_v1(self.place, id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await writing.write(self.place, id, edit, writing.decide_v1)

    async def insert(self, id: RawId, change: Change) -> None:
        await writing.insert_v1(self.place, id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return listing.list_entities(self.place, span, listing.ask_v1(self.place, span), reading.make_unstored)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return listing.list_v1(self.place, span, listing.ask_v1(self.place, span))

    async def count(self, criteria: Criteria) -> int:
        return await listing.count_v1(self.place, criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await listing.count_v1(self.place, criteria)
