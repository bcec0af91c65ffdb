"""Reads as in `v1_only`, writes as in `coexist`: V1 answers while V2 is filled and compared.

The phase `shadow` will be this route within `Dark`, which compares its answers with V2. V2 is filled there by writes,
by sweeps, and by the sampled reads: where a comparison finds that V2 lacks an entity, its task calls `protocol.read`,
which stores V1's conversion if V2 still lacks it. So the share of dark reads bounds the load of both, and a read that
is not sampled costs what it costs in `v1_only`.

Way back: to `coexist` or `prepare`, without any step, because writes are those of all phases between.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Generic, TypeVar

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

    async def read(self, id: RawId) -> V2 | None:
        return await v1_alone.read_converted(self.pair, id)

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        return await many.convert_many(self.pair, ids)

    async def exists(self, id: RawId) -> bool:
        return await v1_alone.exists_in_v1(self.pair, id)

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        return listing.list_converted(self.pair, span)
