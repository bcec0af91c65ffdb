"""What the gates judge: one step of one migration, with what was read for it. Each fact is read once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen

from lazymig.control import Control, MemberRecord, Parts, RunRecord, Standing, parts_of
from lazymig.loop.clock import Clock
from lazymig.phases import Phase
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.routes.calls import Calls
from lazymig.surroundings.checking import Surroundings
from lazymig.surroundings.first_use import FirstUse
from lazymig.switching.plan import Gate
from lazymig.verifying.options import KIND

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: How many runs of verifications are looked through.
_RUNS = 1000


@frozen
class Demands:
    """What a step demands of the past, in seconds.

    Attributes:
        soak_s: For how long verifications must have found nothing.
        max_age_s: How old the last full verification may be.
    """

    soak_s: float = 3600.0
    max_age_s: float = 86_400.0


@define
class Case(Generic[V1, V2]):
    """One step of one migration. Its facts are read when a gate asks for them first."""

    calls: Calls[V1, V2]
    control: Control
    standing: Standing
    to: Phase
    demands: Demands = field(factory=Demands)
    #: Whether the step is about to be made: then what costs the servers more is worth it.
    thorough: bool = False
    #: What an earlier look found of each condition, in their order; None where it is judged again. Empty: all are.
    kept: tuple[Gate | None, ...] = ()
    _runs: list[RunRecord] | None = field(default=None, init=False)
    _surroundings: Surroundings | None = field(default=None, init=False)
    _waived: int | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """The migration's name."""
        return self.calls.migration.name

    @property
    def parts(self) -> Parts:
        """The parts of the control collection."""
        return parts_of(self.control)

    @property
    def pair(self) -> Pair[V1, V2]:
        """Both collections."""
        return self.calls.pair

    @property
    def place(self) -> Place[V1, V2]:
        """The collection whose documents carry both shapes."""
        place = self.calls.place
        assert place is not None  # only the gates of that layout ask
        return place

    @property
    def clock(self) -> Clock:
        """The source of time."""
        return self.parts.clock

    @property
    def since(self) -> datetime:
        """When the migration entered its present phase."""
        return self.standing.last.at

    @property
    def first_use(self) -> FirstUse:
        """The check of the collections that processes make in the phase after the step."""
        return self.calls.builder.build(self.to).first_use

    async def members(self) -> list[MemberRecord]:
        """Find the processes of the fleet. They change at any moment, so they are read each time."""
        return await self.parts.members(self.name).find_all()

    async def runs(self) -> list[RunRecord]:
        """Find the last verifications, newest first."""
        if self._runs is None:
            self._runs = await self.parts.runs.find_last(self.name, _RUNS, kind=KIND)
        return self._runs

    async def waived(self) -> int:
        """Count the entities whose failure a person has accepted."""
        if self._waived is None:
            pages = self.parts.letters.find_pages(self.name, waived=True)
            self._waived = sum([len(page) async for page in pages])
        return self._waived

    async def waived_in_v1(self) -> int:
        """Count those of them that V1 holds: a waiver outlives its entity, and must not excuse another one."""
        pages = self.parts.letters.find_pages(self.name, waived=True)
        return sum([len((await self.pair.v1.find_each([one.id for one in page])).keys) async for page in pages if page])

    async def surroundings(self) -> Surroundings:
        """Check both collections and the control collection, as processes do in the phase after the step."""
        if self._surroundings is None:
            self._surroundings = await self.first_use.look(control=self.control, whole=True)
        return self._surroundings


AnyCase = Case[Any, Any]
