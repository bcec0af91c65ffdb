"""The phase `v2_only` in one document: V2's part is the truth of every document that is written from now on.

Until then, what other programs have written before still counts. There is no way back from the first write on: V1's
part lacks it."""

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
class V2Only(Route[V1, V2], Generic[V1, V2]):
    """Reads V2's part where it is trusted, else V1's part, converted, and writes V2's part alone.

    V1's type is served by the conversions.
    """

    place: Place[V1, V2]
    uses_v2: ClassVar[bool] = True
    #: Reads still convert and store what another program wrote before this phase, but sweeps are over.
    fills_v2: ClassVar[bool] = False
    serves_v2: ClassVar[bool] = True
    lists_v2: ClassVar[bool] = True
    keeps_v1: ClassVar[bool] = False

    async def read(self, id: RawId) -> V2 | None:
        return await reading.read(self.place, id, reading.make_v2)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await reading.read_many(self.place, ids, reading.make_v2)

    async def read_v1(self, id: RawId) -> V1 | None:
        return await reading.read_v1(self.place, id, reading.make_v1_of_v2)

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        return await reading.read_v1_many(self.place, ids, reading.make_v1_of_v2)

    async def exists(self, id: RawId) -> bool:
        return await reading.exists(self.place, id)

    async def exists_in_v1(self, id: RawId) -> bool:
        return await reading.exists(self.place, id)

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        return await writing.write(self.place, id, edit, writing.decide_alone)

    async def insert(self, id: RawId, change: Change) -> None:
        await writing.insert_alone(self.place, id, change)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return listing.list_entities(self.place, span, listing.ask_v2(self.place, span), reading.make_v2)

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        return listing.list_v1(self.place, span, listing.ask_v2(self.place, span), reading.make_v1_of_v2)

    async def count(self, criteria: Criteria) -> int:
        return await listing.count_v2(self.place, criteria)

    async def count_v1(self, criteria: Criteria) -> int:
        return await listing.count_v2(self.place, criteria)
