"""Which recorded mismatches a run is about: all, those of a filter, or those of a sample."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from lazymig.control.mismatches import Mismatches
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.verdicts import Mismatch
from lazymig.verifying.samples import Sample
from lazymig.verifying.sides import Sides

_PAGE = 1000


class TableScope:
    """Every recorded mismatch of the migration; with a filter on V1, those of its documents."""

    def __init__(self, table: Mismatches, migration: str, sides: Sides) -> None:
        self._table = table
        self._migration = migration
        self._sides = sides

    async def pages(self, *, confirmed: bool | None = None) -> AsyncIterator[list[Mismatch]]:
        """Find the mismatches in pages, those found first at the front."""
        async for rows in self._table.find_pages(self._migration, confirmed=confirmed):
            yield rows

    async def asks_for(self, ids: Sequence[RawId]) -> list[bool]:
        """Return for each entity whether the run is about it. Others are looked at, but not counted."""
        if not ids or not self._sides.question:
            return [True] * len(ids)
        asked = set(keys_of(await self._sides.find_asked(ids)))
        return [key in asked for key in keys_of(ids)]

    def note(self, mismatches: Sequence[Mismatch]) -> None:
        """Do nothing: the table holds them."""


class SampleScope:
    """The recorded mismatches of a sample."""

    def __init__(self, table: Mismatches, migration: str, sample: Sample) -> None:
        self._table = table
        self._migration = migration
        self._sample = sample
        self._ids = sample.ids

    async def pages(self, *, confirmed: bool | None = None) -> AsyncIterator[list[Mismatch]]:
        """Find the mismatches in pages."""
        for start in range(0, len(self._ids), _PAGE):
            rows = await self._table.find_all_of(self._migration, self._ids[start : start + _PAGE])
            yield [row for row in rows if confirmed is None or row.confirmed is confirmed]

    async def asks_for(self, ids: Sequence[RawId]) -> list[bool]:
        """Return for each entity whether the run is about it: true for all."""
        return [True] * len(ids)

    def note(self, mismatches: Sequence[Mismatch]) -> None:
        """Note what counts, for what the sample says about all entities."""
        self._sample.note(mismatches)
