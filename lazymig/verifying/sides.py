"""What a verification asks of a layout: to read both sides of many entities, and to go through them range by range."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from typing import Protocol

from lazymig.stores.given import RawId
from lazymig.stores.records import Document, Partition
from lazymig.verifying.judging import Judged


class Found(Protocol):
    """Everything that both sides hold of a range of ids."""

    @property
    def last(self) -> RawId:
        """The last id of the range that a checkpoint can hold."""

    @property
    def size(self) -> int:
        """How many entities it holds at most."""

    def looks(self) -> Iterator[Awaitable[Judged]]:
        """Yield a look at each entity; each must be awaited before the next."""


class Walk(Protocol):
    """Goes through a partition range by range."""

    #: Documents per range, at most.
    size: int

    async def next(self) -> Found | None:
        """Read the next range; None at the partition's end."""


class Sides(Protocol):
    """Reads both sides with read concern majority: what agrees then cannot be rolled back."""

    @property
    def question(self) -> Document:
        """Which of V1's documents to compare; empty for all of both sides."""

    def find(self, ids: Sequence[RawId], *, repaired: bool = False) -> AsyncGenerator[Found]:
        """Find these entities. `repaired`: what a repair has stored is read as the primary has it."""

    def walk(self, partition: Partition, position: RawId, size: int) -> Walk:
        """Return a walk through a partition, after a position."""

    async def find_asked(self, ids: Sequence[RawId]) -> list[RawId]:
        """Find which of these ids belong to documents that are to be compared."""
