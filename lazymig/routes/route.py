"""The verbs of a phase: everything that the repository and the V1 view need of it.

Each phase has one route, so neither of them has an `if` on the phase. Ids are checked and in the form of `_id`, and the
caller bounds each call in time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, TypeVar

from lazymig.errors import ConversionError
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.query import Criteria, Span
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Route(Protocol[V1, V2]):
    """One phase's implementation of the repository's verbs."""

    @property
    def uses_v2(self) -> bool:
        """Whether V2 is read or written. If so, it is checked before the first call."""
        raise NotImplementedError

    @property
    def fills_v2(self) -> bool:
        """Whether V2 is filled from V1. Only then may a sweep run."""
        raise NotImplementedError

    @property
    def serves_v2(self) -> bool:
        """Whether V2 answers reads in V2's type, where it can. If not, V1 does."""
        raise NotImplementedError

    @property
    def lists_v2(self) -> bool:
        """Whether an entity that V2 lacks does not exist. If so, V2 must hold them all before the first call."""
        raise NotImplementedError

    @property
    def keeps_v1(self) -> bool:
        """Whether V1 is written. If not, V2 alone is the truth, and new entities need not be expressible in V1."""
        raise NotImplementedError

    async def read(self, id: RawId) -> V2 | None:
        """Return the entity in V2's type, or None."""
        raise NotImplementedError

    async def read_many(self, ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
        """Return the entities in V2's type by id, or why one cannot be read; missing ids are left out."""
        raise NotImplementedError

    async def read_v1(self, id: RawId) -> V1 | None:
        """Return the entity in V1's type, or None."""
        raise NotImplementedError

    async def read_v1_many(self, ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
        """Return the entities in V1's type by id, or why one cannot be read; missing ids are left out."""
        raise NotImplementedError

    async def exists(self, id: RawId) -> bool:
        """Return whether the entity exists for V2's door; nothing is converted."""
        raise NotImplementedError

    async def exists_in_v1(self, id: RawId) -> bool:
        """Return whether the entity exists for V1's door, which also knows those that V2's door does not."""
        raise NotImplementedError

    async def write(self, id: RawId, edit: ClientEdit) -> Change | None:
        """Change or delete one entity; return the change, None for a delete.

        Raises `NotFound`, `Contention`, or what the edit raises; then nothing was written.
        """
        raise NotImplementedError

    async def insert(self, id: RawId, change: Change) -> None:
        """Store a new entity. Raises `AlreadyExists`."""
        raise NotImplementedError

    def pages(self, span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
        """Yield a listing in V2's type, some entities at a time."""
        raise NotImplementedError

    def v1_pages(self, span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
        """Yield a listing in V1's type, some entities at a time."""
        raise NotImplementedError

    async def count(self, criteria: Criteria) -> int:
        """Count the entities that match, for V2's door."""
        raise NotImplementedError

    async def count_v1(self, criteria: Criteria) -> int:
        """Count the entities that match, for V1's door."""
        raise NotImplementedError
