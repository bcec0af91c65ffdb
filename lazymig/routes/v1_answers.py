"""Reads as in `v1_only`, writes as in `coexist`: V1 answers while V2 is filled by writes and sweeps, and compared.

This is `coexist` with dark reads that let V1 answer. A read costs what it costs in `v1_only`; in the phase `shadow` it
fills V2 as well.

Way back: to `coexist` or `shadow`, without any step, because all three write by the same steps.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig.errors import ConversionError
from lazymig.protocol import listing, many, v1_alone
from lazymig.query import Span
from lazymig.routes.coexist import Coexist
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class V1Answers(Coexist[V1, V2], Generic[V1, V2]):
    """Answers reads and listings from V1, converted and not stored; they lack what only V2 can hold."""

    serves_v2: ClassVar[bool] = False

    async def read(self, id: RawId) -> V2 | None:
        return await v1_alone.read_converted(self.pair, id)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await many.convert_many(self.pair, ids)

    async def exists(self, id: RawId) -> bool:
        return await v1_alone.exists_in_v1(self.pair, id)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return listing.list_converted(self.pair, span)
