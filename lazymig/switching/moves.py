"""Making a step: wait for the fleet, check the gates, prepare, record the phase, wait for the fleet again.

Each statement may be the last that this process sends. The next step or `release` then finds the record as it was
left: in the phase before or after, perhaps with writes held, and goes on from there. Two operators at once are ordered
by the epoch: every change of the record is a compare-and-set, and the one that loses stops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from attrs import field, frozen

from lazymig.control import Control, Moved, Phases, Standing, parts_of
from lazymig.errors import PhaseError
from lazymig.phases import Phase
from lazymig.routes.calls import Calls
from lazymig.switching.case import Case, Demands
from lazymig.switching.gates import judge
from lazymig.switching.plan import Direction, Plan, Refused, find_target, is_upwards
from lazymig.switching.waiting import NotAcknowledged, RollCall, Say
from lazymig.switching.wording import describe_consequences, describe_steps, explain_no_way

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen(kw_only=True)
class Order:
    """What a person ordered.

    Attributes:
        by: Who.
        why: The reason.
        confirm: What the person typed by hand.
        accepted: The gates that the person accepts.
    """

    by: str
    why: str
    confirm: str | None = None
    accepted: frozenset[str] = field(factory=frozenset)


@frozen
class Mover(Generic[V1, V2]):
    """Plans and makes the steps of one migration."""

    calls: Calls[V1, V2]
    control: Control
    demands: Demands
    #: How long to wait for acknowledgements, in seconds.
    wait_s: float
    say: Say

    @property
    def name(self) -> str:
        """The migration's name."""
        return self.calls.migration.name

    @property
    def phases(self) -> Phases:
        """The record of the phase."""
        return parts_of(self.control).phases(self.name)

    def call_roll(self) -> RollCall:
        """Return a watch of the fleet, which knows no heartbeat yet."""
        return RollCall(parts_of(self.control), self.name, self.say)

    async def find(self) -> Standing:
        """Find the record. Raises `PhaseError` where there is none."""
        standing = await self.phases.find()
        if standing is None:
            raise PhaseError(
                f"no phase is recorded for the migration {self.name}: record the one that all processes are in now by "
                "lazymig phase begin, or Switch.begin"
            )
        return standing

    async def plan(self, direction: Direction, accepted: frozenset[str]) -> Plan:
        """Check what the next step needs, and change nothing."""
        return await self._plan(await self.find(), direction, accepted)

    async def _plan(self, standing: Standing, direction: Direction, accepted: frozenset[str]) -> Plan:
        target = find_target(standing.phase, direction)
        if target is None:
            return Plan(self.name, direction, standing.phase, None, standing.epoch, ())
        case = Case(self.calls, self.control, standing, target, self.demands)
        return Plan(
            self.name, direction, standing.phase, target, standing.epoch, await judge(case, accepted),
            await describe_steps(case), describe_consequences(standing.phase, target),
            self.name if target is Phase.V2_ONLY else "",
        )  # fmt: skip

    async def move(self, direction: Direction, order: Order) -> Moved:
        """Make one step. Raises `PhaseError`, and nothing has changed then."""
        roll, standing = self.call_roll(), await self.find()
        target = find_target(standing.phase, direction)
        if target is None:
            raise PhaseError(explain_no_way(self.name, standing.phase, direction))
        standing = await self._release(standing)
        await roll.wait(standing.epoch, at_most_s=self.wait_s)
        plan = await self._check(standing, direction, order)
        changed = await self._prepare(standing, target, roll)
        if changed is not standing:
            plan = await self._check(changed, direction, order)
        moved = await self._record(changed, target, order, plan)
        try:
            await roll.wait(moved.epoch, at_most_s=self.wait_s)
        except NotAcknowledged as error:
            # The step is made, and the next one waits for them.
            self.say(str(error))
        return moved.last

    async def _check(self, standing: Standing, direction: Direction, order: Order) -> Plan:
        plan = await self._plan(standing, direction, order.accepted)
        if plan.blocked:
            raise Refused(plan)
        if plan.confirm and order.confirm != plan.confirm:
            raise PhaseError(
                f"there is no way back from {plan.target}: confirm it by the migration's name, {plan.confirm!r}"
            )
        return plan

    async def _prepare(self, standing: Standing, target: Phase, roll: RollCall) -> Standing:
        """Do what must be done before the phase is recorded, and return the record as it is then."""
        if not is_upwards(standing.phase, target):
            return standing
        if standing.phase is Phase.SHADOW and standing.settings.get("degrade"):
            return await self._change(standing, roll, {"degrade": False})
        return standing

    async def _change(self, standing: Standing, roll: RollCall, settings: Mapping[str, object]) -> Standing:
        changed = await self.phases.change(standing, settings=settings)
        if changed is None:
            raise await self._lost(standing)
        await roll.wait(changed.epoch, at_most_s=self.wait_s)
        # As it is now: a process may have recorded something while it worked by the settings before.
        return await self.find()

    async def _record(self, standing: Standing, target: Phase, order: Order, plan: Plan) -> Standing:
        accepted = ", ".join(gate.name for gate in plan.gates if gate.accepted)
        why = f"{order.why} (accepted: {accepted})" if accepted else order.why
        settings = {"suspect_since": None} if target is Phase.COEXIST and standing.phase is Phase.SHADOW else {}
        moved = await self.phases.move(standing, target, by=order.by, why=why, settings=settings)
        if moved is None:
            raise await self._lost(standing)
        return moved

    async def _release(self, standing: Standing) -> Standing:
        if standing.hold is None:
            return standing
        released = await self.phases.change(standing, hold=None)
        if released is None:
            raise await self._lost(standing)
        return released

    async def _lost(self, standing: Standing) -> PhaseError:
        now = await self.phases.find()
        if now is None:
            return PhaseError("the record of the phase was removed meanwhile; nothing was done")
        if now.last.epoch > standing.epoch:
            return PhaseError(
                f"{now.last.by} has moved {self.name} to {now.phase} meanwhile; nothing was done here. Look at lazymig "
                "phase show before you go on"
            )
        return PhaseError(f"a setting of {self.name} has changed meanwhile; nothing was done here. Try again")
