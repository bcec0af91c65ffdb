"""Judging one document that carries both shapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

from attrs import frozen

from lazymig.comparing.in_place import PartsComparer
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.stores.records import StoredWhole
from lazymig.verifying.judging import Judged

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Judges a document.
JudgeWhole: TypeAlias = Callable[[StoredWhole], Awaitable[Judged]]


@frozen
class OneSide(Generic[V1, V2]):
    """Judges what one read found of both sides."""

    place: Place[V1, V2]
    comparer: PartsComparer[V1, V2]

    async def judge(self, stored: StoredWhole) -> Judged:
        """Compare both parts of a document."""
        parts = Parts(self.place, stored)
        comparison, late = await self.comparer.compare(parts)
        has_v2 = parts.alone or stored.of is not None
        return Judged(stored.id, comparison, stored.revision, stored.revision if has_v2 else None, late=late)
