"""Making a step: wait for the fleet, check the gates, prepare, record the phase, wait for the fleet again.

Each statement may be the last that this process sends. The next step or `release` then finds the record as it was
left: in the phase before or after, perhaps with writes held, and goes on from there. Two operators at once are ordered
by the epoch: every change of the record is a compare-and-set, and the one that loses stops.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import field, frozen

from lazymig.control import Control, MemberRecord, Moved, Phases, Standing, parts_of
from lazymig.errors import PhaseError
from lazymig.metrics import PHASE_MOVE
from lazymig.phases import Phase
from lazymig.protocol.distrusting import raise_all_intents
from lazymig.routes.calls import Calls
from lazymig.stores.counts import Counts
from lazymig.switching.case import Case, Demands
from lazymig.switching.gates import judge
from lazymig.switching.outages import forbid_degrading
from lazymig.switching.plan import Direction, Plan, Refused, find_target, is_upwards
from lazymig.switching.sealed import Intent, Sealing, find_fences, lift_fences
from lazymig.switching.waiting import LOOK_S, NotAcknowledged, RollCall, Say
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
    #: How long a hold must have stood until it is taken for left over: longer than one that is at work.
    left_over_s: float = 12.0

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

    async def find_members(self) -> list[MemberRecord]:
        """Find the processes of the fleet."""
        return await parts_of(self.control).members(self.name).find_all()

    async def find_left_over(self) -> list[str]:
        """Find the fences that stand although the phase needs none, in words."""
        return [barrier.why for barrier in await find_fences(self.calls.pair, await self.find())]

    async def find_retirement(self) -> str:
        """Find the next step of V1's end; "" before V2 is the only truth, and once V1's end is finished."""
        if (await self.find()).phase is not Phase.V2_ONLY:
            return ""
        return (await parts_of(self.control).retirement(self.name).find()).next

    def check_way(self, plan: Plan, wanted: Phase | None) -> None:
        """Raise `PhaseError` where there is no such step, or where it leads elsewhere."""
        if plan.target is None:
            raise PhaseError(explain_no_way(self.name, plan.phase, plan.direction))
        if wanted not in (None, plan.target):
            raise PhaseError(f"{self.name} is in {plan.phase}, and the step leads to {plan.target}, not to {wanted}")

    async def plan(self, direction: Direction, accepted: frozenset[str], *, thorough: bool = False) -> Plan:
        """Check what the next step needs, and change nothing. `thorough`: as if it was about to be made."""
        return await self._plan(await self.find(), direction, accepted, thorough=thorough)

    async def _plan(
        self, standing: Standing, direction: Direction, accepted: frozenset[str], *, thorough: bool
    ) -> Plan:
        target = find_target(standing.phase, direction)
        if target is None:
            return Plan(self.name, direction, standing.phase, None, standing.epoch, ())
        case = Case(self.calls, self.control, standing, target, self.demands, thorough)
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
        with self.calls.pair.tally.span(PHASE_MOVE, before=str(standing.phase), after=str(target)):
            standing = await self._release(standing)
            await roll.wait(standing.epoch, at_most_s=self.wait_s)
            plan = await self._check(standing, direction, order)
            changed = await self._prepare(standing, target, roll)
            if changed is not standing:
                plan = await self._check(changed, direction, order)
            moved = await self._record(changed, target, order, plan, roll)
            try:
                await roll.wait(moved.epoch, at_most_s=self.wait_s)
            except NotAcknowledged as error:
                # The step is made, and the next one waits for them.
                self.say(str(error))
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

    async def _prepare(self, standing: Standing, target: Phase, roll: RollCall) -> Standing:
        """Do what must be done before the phase is recorded, and return the record as it is then."""
        if not is_upwards(standing.phase, target):
            return standing
        if standing.phase is Phase.SHADOW and standing.settings.get("degrade"):
            return await forbid_degrading(self.phases, standing, roll, parts_of(self.control).clock, self.wait_s)
        if standing.phase is Phase.PREPARE:
            await self._distrust()
        return standing

    async def _distrust(self) -> None:
        """Let V1 answer for all that V2 holds from earlier: processes in `v1_only` wrote without announcing it."""
        if held := await Counts(self.calls.pair.bodies).count_all():
            self.say(f"V2 holds {held:,} documents; each is marked as not to be trusted until V1 has been asked")
            await raise_all_intents(self.calls.pair)

    async def _record(self, standing: Standing, target: Phase, order: Order, plan: Plan, roll: RollCall) -> Standing:
        accepted = [gate.name for gate in plan.gates if gate.accepted]
        why = f"{order.why} (accepted: {', '.join(accepted)})" if accepted else order.why
        if target is Phase.V2_ONLY:
            intent = Intent(by=order.by, why=why, leases_only="seal" in accepted, wait_s=self.wait_s)
            return await self._seal(Sealing(self.calls.pair, self.phases, roll, intent, standing))
        verified = standing.phase is Phase.SHADOW and standing.settings.get("suspect_since") is not None
        settings = {"suspect_since": None} if verified and target is Phase.COEXIST else {}
        moved = await self.phases.move(standing, target, by=order.by, why=why, settings=settings)
        if moved is None:
            raise await self._lost(standing)
        return moved

    async def _seal(self, sealing: Sealing[V1, V2]) -> Standing:
        moved, made = await sealing.make()
        if moved is None:
            left = f". Still standing: {'; '.join(made.unfenced)}" if made.fenced else ""
            raise PhaseError(f"{self.name} stays in {Phase.V2_PRIMARY}, and nothing has changed: {made.why}{left}")
        self.say(f"writes were held for {made.held_s:.2f} s")
        return moved

    async def release(self) -> bool:
        """Undo what a step left that was cut off: a hold on writes, and fences. False: nothing was left."""
        standing = await self.find()
        return await self._release(standing) is not standing

    async def _release(self, standing: Standing) -> Standing:
        pair = self.calls.pair
        if standing.hold is None and not await find_fences(pair, standing):
            return standing
        await self._wait_for_others(standing)
        fences = await find_fences(pair, standing)
        # Before the fences are lifted: from here on, the process that put them up cannot switch any more.
        released = await self.phases.change(standing, hold=None)
        if released is None:
            raise await self._lost(standing)
        await lift_fences(pair, fences)
        self.say("what a step that was cut off had left is undone: writes go on")
        return released

    async def _wait_for_others(self, standing: Standing) -> None:
        """Wait until the operator that holds writes cannot be at work any more. Raises `PhaseError` where they are."""
        clock = parts_of(self.control).clock
        until_s = clock.monotonic() + self.left_over_s
        self.say("a step into v2_only is at work, or was cut off; waiting to see which")
        while clock.monotonic() < until_s:
            await clock.sleep(LOOK_S)
            if (await self.find()).epoch != standing.epoch:
                raise await self._lost(standing)

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
