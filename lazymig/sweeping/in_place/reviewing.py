"""Reviewing dead letters of documents with both shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from attrs import frozen

from lazymig.passes.shedding import as_patient_as
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.records import DeadLetter
from lazymig.stores.scans import Scan
from lazymig.stores.whole_documents import parse_whole
from lazymig.sweeping.dead_letters import Review, find_named
from lazymig.sweeping.failures import Failures
from lazymig.sweeping.in_place.moving import PlaceMover, is_settled, make_mark

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class PlaceReview(Review, Generic[V1, V2]):
    """Judges the letters of documents with both shapes: each is read as a whole, because only so V1's part shows."""

    place: Place[V1, V2]
    mover: PlaceMover[V1, V2]
    insist: bool = False

    @property
    def name(self) -> str:
        return self.place.conversions.migration.name

    @property
    def failures(self) -> Failures:
        return self.mover.failures

    async def find_resolved(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        named = dict(zip(keys_of(letter.id for letter in letters), letters, strict=True))
        standing = await self._look(named, move=True)
        again = {key: named[key] for key, settled in standing.items() if settled is None}
        standing |= await self._look(again)
        # Those that were not found are deleted.
        return [letter for key, letter in named.items() if standing.get(key, True)]

    async def _look(self, named: dict[RawId, DeadLetter], *, move: bool = False) -> dict[RawId, bool | None]:
        """Find which documents need no letter any more; with `move`, those that were tried again are None."""
        standing: dict[RawId, bool | None] = {}
        scan = as_patient_as(self.place.store, Scan(self.place.store, majority=True))
        async for documents in find_named(scan, {key: letter.id for key, letter in named.items()}):
            due: list[RawId] = []
            for document in documents:
                parts = Parts(self.place, parse_whole(scan.decoded(document)))
                (key,) = keys_of([parts.stored.id])
                standing[key] = is_settled(parts)
                if move and not standing[key] and (self.insist or named[key].revision != make_mark(parts)):
                    standing[key] = None
                    due.append(document)
            if due:
                await self.mover.move(due)
        return standing
