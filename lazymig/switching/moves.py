"""Making a step: wait for the fleet, check the gates, prepare, record the phase, wait for the fleet again.

Each statement may be the last that this process sends. The next step or `release` then finds the record as it was
left: in the phase before or after, perhaps with writes held, and goes on from there. Two operators at once are ordered
by the epoch: every change of the record is a compare-and-set, and the one that loses stops.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import evolve, field, frozen

from lazymig.control import MemberRecord, Moved, Phases, Standing, parts_of
from lazymig.errors import PhaseError
from lazymig.metrics import PHASE_MOVE
from lazymig.phases import Phase
from lazymig.switching.case import Case, Demands
from lazymig.switching.desk import Desk
from lazymig.switching.in_place.ladder import OneCollection
from lazymig.switching.ladder import Ladder, Step
from lazymig.switching.plan import Direction, Plan, Refused, find_target
from lazymig.switching.two_collections import TwoCollections
from lazymig.switching.waiting import NotAcknowledged, RollCall

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def choose_ladder(desk: Desk[V1, V2]) -> Ladder:
    """Return the steps of the repository's layout."""
    return TwoCollections(desk) if desk.calls.place is None else OneCollection(desk)


@frozen(kw_only=True)
class Order:
    """What a person ordered.

    Attributes:
        by: Who.
        why: The reason.
        confirm: What the person typed by hand.
        accepted: The gates that the person accepts.
        epoch: The epoch of the record that the person looked at; the step is refused if it has changed. None: any.
    """

    by: str
    why: str
    confirm: str | None = None
    accepted: frozenset[str] = field(factory=frozenset)
    epoch: int | None = None


@frozen
class Mover(Generic[V1, V2]):
    """Plans and makes the steps of one migration."""

    desk: Desk[V1, V2]
    demands: Demands
    ladder: Ladder

    @property
    def name(self) -> str:
        """The migration's name."""
        return self.desk.name

    @property
    def phases(self) -> Phases:
        """The record of the phase."""
        return self.desk.phases

    def call_roll(self) -> RollCall:
        """Return a watch of the fleet, which knows no heartbeat yet."""
        return self.desk.call_roll()

    async def find(self) -> Standing:
        """Find the record. Raises `PhaseError` where there is none."""
        return await self.desk.find()

    async def find_members(self) -> list[MemberRecord]:
        """Find the processes of the fleet."""
        return await parts_of(self.desk.control).members(self.name).find_all()

    async def find_left_over(self) -> list[str]:
        """Find the fences that stand although the phase needs none, in words."""
        return await self.ladder.find_left_over(await self.find())

    async def find_retirement(self) -> str:
        """Find the next step of V1's end; "" before V2 is the only truth, and once V1's end is finished."""
        if (await self.find()).phase is not Phase.V2_ONLY:
            return ""
        record = await parts_of(self.desk.control).retirement(self.name).find()
        calls = self.desk.calls
        return record.find_next(part=calls.migration.part, in_place=calls.place is not None)

    def check_way(self, plan: Plan, wanted: Phase | None) -> None:
        """Raise `PhaseError` where there is no such step, or where it leads elsewhere."""
        if plan.target is None:
            raise PhaseError(self.ladder.explain_no_way(plan.phase, plan.direction))
        if wanted not in (None, plan.target):
            raise PhaseError(f"{self.name} is in {plan.phase}, and the step leads to {plan.target}, not to {wanted}")

    async def plan(self, direction: Direction, accepted: frozenset[str], *, thorough: bool = False) -> Plan:
        """Check what the next step needs, and change nothing. `thorough`: as if it was about to be made."""
        return await self._plan(await self.find(), direction, accepted, thorough=thorough)

    async def judge_again(self, plan: Plan, standing: Standing, names: frozenset[str]) -> Plan:
        """Judge these conditions of a plan for this record again, not thoroughly, and keep what it says of others."""
        assert (plan.epoch, plan.phase) == (standing.epoch, standing.phase)
        assert plan.target is not None
        kept = tuple(None if gate.name in names else gate for gate in plan.gates)
        case = Case(self.desk.calls, self.desk.control, standing, plan.target, self.demands, kept=kept)
        return evolve(plan, gates=await self.ladder.judge(case, frozenset()))

    def _find_target(self, standing: Standing, direction: Direction) -> Phase | None:
        if standing.phase not in self.ladder.rungs:
            raise PhaseError(self.ladder.explain_no_way(standing.phase, direction))
        return find_target(self.ladder.rungs, standing.phase, direction)

    async def _plan(
        self, standing: Standing, direction: Direction, accepted: frozenset[str], *, thorough: bool
    ) -> Plan:
        target = self._find_target(standing, direction)
        if target is None:
            return Plan(self.name, direction, standing.phase, None, standing.epoch, ())
        case = Case(self.desk.calls, self.desk.control, standing, target, self.demands, thorough)
        return Plan(
            self.name, direction, standing.phase, target, standing.epoch, await self.ladder.judge(case, accepted),
            await self.ladder.describe_steps(case), self.ladder.describe_consequences(standing.phase, target),
            self.name if target is Phase.V2_ONLY else "",
        )  # fmt: skip

    async def move(self, direction: Direction, order: Order) -> Moved:
        """Make one step. Raises `PhaseError`, and nothing has changed then."""
        roll, standing = self.call_roll(), await self.find()
        if order.epoch not in (None, standing.epoch):
            raise await self.desk.explain_overtaken(order.epoch)
        target = self._find_target(standing, direction)
        if target is None:
            raise PhaseError(self.ladder.explain_no_way(standing.phase, direction))
        with self.desk.calls.ground.tally.span(PHASE_MOVE, before=str(standing.phase), after=str(target)):
            standing = await self.ladder.release(standing)
            await roll.wait(standing.epoch, at_most_s=self.desk.wait_s)
            plan = await self._check(standing, direction, order)
            changed = await self.ladder.prepare(_make_step(standing, target, order, plan, roll))
            if changed is not standing:
                plan = await self._check(changed, direction, order)
            moved = await self.ladder.record(_make_step(changed, target, order, plan, roll))
            try:
                await roll.wait(moved.epoch, at_most_s=self.desk.wait_s)
            except NotAcknowledged as error:
                # The step is made, and the next one waits for them.
                self.desk.say(str(error))
            return moved.last

    async def _check(self, standing: Standing, direction: Direction, order: Order) -> Plan:
        plan = await self._plan(standing, direction, order.accepted, thorough=True)
        if plan.blocked:
            raise Refused(plan)
        if plan.confirm and order.confirm != plan.confirm:
            raise PhaseError(
                f"there is no way back from {plan.target}: confirm it by the migration's name, {plan.confirm!r}"
            )
        return plan

    async def release(self) -> bool:
        """Undo what a step left that was cut off: a hold on writes, and fences. False: nothing was left."""
        standing = await self.find()
        return await self.ladder.release(standing) is not standing


def _make_step(standing: Standing, target: Phase, order: Order, plan: Plan, roll: RollCall) -> Step:
    accepted = tuple(gate.name for gate in plan.gates if gate.accepted)
    why = f"{order.why} (accepted: {', '.join(accepted)})" if accepted else order.why
    return Step(standing=standing, target=target, by=order.by, why=why, accepted=accepted, roll=roll)
