"""The ladder of two collections: marks that are not to be trusted, and the seal before V2 is the only truth."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig.control import Standing
from lazymig.errors import PhaseError
from lazymig.phases import Phase
from lazymig.protocol.distrusting import raise_all_intents
from lazymig.routes.building import check_phase
from lazymig.stores.counts import Counts
from lazymig.switching import gates, wording
from lazymig.switching.case import AnyCase
from lazymig.switching.desk import Desk
from lazymig.switching.ladder import Ladder, Step
from lazymig.switching.outages import forbid_degrading
from lazymig.switching.plan import Direction, Gate
from lazymig.switching.sealed import Intent, Sealing, find_fences, lift_fences
from lazymig.switching.waiting import LOOK_S

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class TwoCollections(Ladder, Generic[V1, V2]):
    """The six phases, with V1 and V2 in collections of their own."""

    desk: Desk[V1, V2]
    rungs: ClassVar[tuple[Phase, ...]] = tuple(Phase)

    async def judge(self, case: AnyCase, accepted: frozenset[str]) -> tuple[Gate, ...]:
        return await gates.judge(case, accepted)

    async def describe_steps(self, case: AnyCase) -> tuple[str, ...]:
        return await wording.describe_steps(case)

    def describe_consequences(self, before: Phase, after: Phase) -> tuple[str, ...]:
        return wording.describe_consequences(before, after)

    def explain_no_way(self, phase: Phase, direction: Direction) -> str:
        return wording.explain_no_way(self.desk.name, phase, direction)

    def check_begin(self, phase: Phase) -> Phase:
        return check_phase(phase)

    async def find_left_over(self, standing: Standing) -> list[str]:
        return [barrier.why for barrier in await find_fences(self.desk.calls.pair, standing)]

    async def prepare(self, step: Step) -> Standing:
        desk, standing, target, roll = self.desk, step.standing, step.target, step.roll
        if self.rungs.index(target) < self.rungs.index(standing.phase):
            return standing
        if standing.phase is Phase.SHADOW and standing.settings.get("degrade"):
            signed = {"by": step.by, "why": step.why}
            return await forbid_degrading(desk.phases, standing, roll, desk.clock, desk.wait_s, **signed)
        if standing.phase is Phase.PREPARE:
            await self._distrust()
        return standing

    async def _distrust(self) -> None:
        """Let V1 answer for all that V2 holds from earlier: processes in `v1_only` wrote without announcing it."""
        pair = self.desk.calls.pair
        if held := await Counts(pair.bodies).count_all():
            self.desk.say(f"V2 holds {held:,} documents; each is marked as not to be trusted until V1 has been asked")
            await raise_all_intents(pair)

    async def record(self, step: Step) -> Standing:
        standing, target, desk = step.standing, step.target, self.desk
        if target is Phase.V2_ONLY:
            intent = Intent(by=step.by, why=step.why, leases_only="seal" in step.accepted, wait_s=desk.wait_s)
            return await self._seal(Sealing(desk.calls.pair, desk.phases, step.roll, intent, standing))
        verified = standing.phase is Phase.SHADOW and standing.settings.get("suspect_since") is not None
        settings = {"suspect_since": None} if verified and target is Phase.COEXIST else {}
        moved = await desk.phases.move(standing, target, by=step.by, why=step.why, settings=settings)
        if moved is None:
            raise await desk.explain_lost(standing)
        return moved

    async def _seal(self, sealing: Sealing[V1, V2]) -> Standing:
        moved, made = await sealing.make()
        if moved is None:
            left = f". Still standing: {'; '.join(made.unfenced)}" if made.fenced else ""
            name = self.desk.name
            raise PhaseError(f"{name} stays in {Phase.V2_PRIMARY}, and nothing has changed: {made.why}{left}")
        self.desk.say(f"writes were held for {made.held_s:.2f} s")
        return moved

    async def release(self, standing: Standing) -> Standing:
        pair = self.desk.calls.pair
        if standing.hold is None and not await find_fences(pair, standing):
            return standing
        await self._wait_for_others(standing)
        fences = await find_fences(pair, standing)
        # Before the fences are lifted: from here on, the process that put them up cannot switch any more.
        released = await self.desk.phases.change(standing, hold=None)
        if released is None:
            raise await self.desk.explain_lost(standing)
        await lift_fences(pair, fences)
        self.desk.say("what a step that was cut off had left is undone: writes go on")
        return released

    async def _wait_for_others(self, standing: Standing) -> None:
        """Wait until the operator that holds writes cannot be at work any more. Raises `PhaseError` where they are."""
        desk = self.desk
        until_s = desk.clock.monotonic() + desk.left_over_s
        desk.say("a step into v2_only is at work, or was cut off; waiting to see which")
        while desk.clock.monotonic() < until_s:
            await desk.clock.sleep(LOOK_S)
            if (await desk.find()).epoch != standing.epoch:
                raise await desk.explain_lost(standing)
