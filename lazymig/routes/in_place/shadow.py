"""The phase `shadow` in one document: V1's part answers, and V2's part is filled by reads, writes and sweeps.

No phase comes before it that prepares the documents: a process in `v1_only` changes V1's fields, so their fingerprint
shows that V2's part is behind.

Way back: to `v1_only`, without any step."""

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
class Shadow(Route[V1, V2], Generic[V1, V2]):
    """Reads V1's part, converted, and stores what V2's part lacks. Writes keep both parts."""

    place: Place[V1, V2]
    uses_v2: ClassVar[bool] = True
    fills_v2: ClassVar[bool] = True
    serves_v2: ClassVar[bool] = False
    lists_v2: ClassVar[bool] = False
    keeps_v1: ClassVar[bool] = True

    async def read(self, id: RawId) -> V2 | None:
        return await reading.read(self.place, id, reading.make_converted)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await reading.read_many(self.place, ids, reading.make_converted)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await reading.read_v1(self.place, id)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await reading.read_v1_many(self.place, ids)

    async def exists(self, id: RawId) -> bool:
        return await reading.exists(self.place, id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await reading.exists_in_v1(self.place, id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await writing.write(self.place, id, edit)

    async def insert(self, id: RawId, change: Change) -> None:
        await writing.insert(self.place, id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return listing.list_entities(self.place, span, listing.ask_v1(self.place, span), reading.make_converted)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return listing.list_v1(self.place, span, listing.ask_v1(self.place, span))

    async def count(self, criteria: Criteria) -> int:
        return await listing.count_v1(self.place, criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await listing.count_v1(self.place, criteria)
