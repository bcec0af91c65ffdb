"""What a verification works on: two collections, or one whose documents carry both shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from attrs import frozen

from lazymig.comparing.checks import Checks
from lazymig.comparing.comparer import Comparer
from lazymig.comparing.in_place import PartsComparer
from lazymig.loop.clock import Clock
from lazymig.passes.shedding import Shedding, as_patient_as
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.in_place.repairing import catch_up
from lazymig.protocol.in_place.repairing import repair as repair_whole
from lazymig.protocol.pair import Pair
from lazymig.protocol.repairing import repair
from lazymig.routes.calls import Calls
from lazymig.shapes.migration import Migration
from lazymig.stores.counts import Counts
from lazymig.stores.given import RawId, Store
from lazymig.stores.records import Document, WholeChange
from lazymig.telemetry import Tally
from lazymig.verifying.flow import CaughtUp
from lazymig.verifying.in_place.judging import OneSide
from lazymig.verifying.in_place.ranges import Wholly
from lazymig.verifying.judging import TwoSides
from lazymig.verifying.ranges import BothSides
from lazymig.verifying.repairs import refuse_empty_v1
from lazymig.verifying.samples import Sample, draw_sample, draw_whole_sample
from lazymig.verifying.sides import Sides

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Ground(Protocol[V1, V2]):
    """What a verification needs of a layout."""

    @property
    def sides(self) -> Sides:
        """The reads of both sides."""

    @property
    def migration(self) -> Migration[V1, V2]:
        """The migration."""

    @property
    def tally(self) -> Tally:
        """What the repository counts."""

    @property
    def store(self) -> Store:
        """The store whose ids cut the pass into partitions."""

    @property
    def beside(self) -> Store | None:
        """A store whose ids the partitions must cover as well."""

    #: What is not looked for with a filter.
    filtered: ClassVar[str]

    async def count(self, where: Document | None) -> int:
        """Count the entities that match, or return about how many there are."""

    async def draw(self, where: Document | None, size: int, clock: Clock) -> Sample:
        """Draw a sample."""

    async def refuse_lost_truth(self) -> None:
        """Raise `ConfigurationError` where a repair would remove what may be the last copy."""

    async def repair(self, id: RawId) -> None:
        """Bring V2 to what V1 holds. Raises `ConversionError` and `Contention`."""

    async def catch_up(self, changes: Sequence[WholeChange]) -> CaughtUp:
        """Store V2 parts that were behind."""


@frozen
class TwoCollections(Ground[V1, V2], Generic[V1, V2]):
    """Two collections."""

    pair: Pair[V1, V2]
    sides: BothSides
    filtered: ClassVar[str] = (
        "only documents of V1 that the filter finds were compared; orphans in V2 were not looked for"
    )

    @property
    def migration(self) -> Migration[V1, V2]:
        return self.pair.conversions.migration

    @property
    def tally(self) -> Tally:
        return self.pair.tally

    @property
    def store(self) -> Store:
        return self.pair.v1

    @property
    def beside(self) -> Store | None:
        return self.pair.bodies

    async def count(self, where: Document | None) -> int:
        if where:
            return await self.pair.v1.count(where)
        return max(await as_patient_as(self.pair.v1, Counts(self.pair.v1)).count_all(), 0)

    async def draw(self, where: Document | None, size: int, clock: Clock) -> Sample:
        return await draw_sample(self.pair, self.sides, where, size, clock)

    async def refuse_lost_truth(self) -> None:
        await refuse_empty_v1(self.pair)

    async def repair(self, id: RawId) -> None:
        # A body above V1's revision: a program stored what it had read before, revision and all. What only V2 holds
        # would be lost for good otherwise. The follower keeps it as well.
        await repair(self.pair, id, same_life=True)

    async def catch_up(self, changes: Sequence[WholeChange]) -> CaughtUp:
        return CaughtUp(0, [])  # no body is behind without a mark


@frozen
class OneCollection(Ground[V1, V2], Generic[V1, V2]):
    """One collection whose documents carry both shapes: there are no orphans, and no open announcements."""

    place: Place[V1, V2]
    sides: Wholly
    judge: OneSide[V1, V2]
    beside: ClassVar[None] = None
    filtered: ClassVar[str] = "only documents that the filter finds were compared"

    @property
    def migration(self) -> Migration[V1, V2]:
        return self.place.conversions.migration

    @property
    def tally(self) -> Tally:
        return self.place.tally

    @property
    def store(self) -> Store:
        return self.place.store

    async def count(self, where: Document | None) -> int:
        if where:
            return await self.place.store.count(where)
        return await as_patient_as(self.place.store, Counts(self.place.store)).count_all()

    async def draw(self, where: Document | None, size: int, clock: Clock) -> Sample:
        return await draw_whole_sample(self.sides.scan, self.sides.question, await self.count(where), size, clock)

    async def refuse_lost_truth(self) -> None:
        pass  # a repair removes nothing

    async def repair(self, id: RawId) -> None:
        await repair_whole(self.place, id)

    async def catch_up(self, changes: Sequence[WholeChange]) -> CaughtUp:
        stored, refused = await catch_up(self.place, changes)
        for change in refused:
            self.judge.note_refused(change.seen)
        return CaughtUp(stored, [self.judge.judge(change.seen) for change in refused])


def open_ground(calls: Calls[V1, V2], checks: Checks, where: Document | None, shedding: Shedding) -> Ground[V1, V2]:
    """Return what a verification of these calls works on, with the patience of a pass."""
    if calls.place is not None:
        place = shedding.place(calls.place)
        whole = OneSide(place, PartsComparer(Comparer(place.conversions, checks, place.shape)))
        return OneCollection(place, Wholly(place.store, place.store.question(where or {}), whole.judge), whole)
    pair = shedding.pair(calls.pair)
    judge = TwoSides(Comparer(pair.conversions, checks)).judge
    return TwoCollections(pair, BothSides(pair.v1, pair.bodies, pair.v1.question(where or {}), judge))
