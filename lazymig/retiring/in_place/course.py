"""V1's end where one document carries both shapes: an archive if one is wanted, reduce, finish."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Generic, NoReturn, TypeVar

from attrs import frozen

from lazymig.control import Standing
from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.phases import Phase
from lazymig.retiring.conditions import Condition, Soak, check_all, check_phase
from lazymig.retiring.course import Announce, Course
from lazymig.retiring.in_place.archive import archive, check_archive
from lazymig.retiring.in_place.conditions import find_conditions
from lazymig.retiring.in_place.ending import finish, strip
from lazymig.retiring.in_place.ground import PlaceGround, check_step_in_place
from lazymig.retiring.in_place.reduction import ReducePass
from lazymig.retiring.in_place.report import make_report
from lazymig.retiring.reduction import REDUCE, STRIP, ReduceOptions, Reduction, check_strip
from lazymig.retiring.report import RetirementReport
from lazymig.retiring.watching import BATCH, IDLE_S, Scope
from lazymig.shapes.migration import is_finished
from lazymig.shapes.one_document import LIFT, LIFTED_IN, REDUCED, Lift, read_lift
from lazymig.stores.strays import OutsideWrites

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_LIMITS: Final = (
    "deletes by other programs, which look like lazymig's own",
    "writes of V2's fields, and writes that changed nothing or were refused",
)
_NEEDLESS: Final = "both shapes are in one collection, which stays; lazymig retire reduce takes V1's fields out"


@frozen
class OneCollection(Course, Generic[V1, V2]):
    """Archive, reduce, finish. Nothing is renamed or dropped."""

    ground: PlaceGround[V1, V2]
    soak: Soak

    async def find(self) -> RetirementRecord:
        return await self.ground.find()

    def check_watch(self, phase: Phase | None) -> Scope:
        # From here on it is too late to convert what others write, so the watch may begin one phase earlier.
        if phase is not Phase.V2_PRIMARY:
            check_phase(phase)
        if is_finished(self.ground.place.conversions.migration):
            raise PhaseError("watch: this release no longer knows V1's fields")
        shape, clock = self.ground.shape, self.ground.clock
        changes = OutsideWrites(
            self.ground.place.store, shape.v1, shape.v2_own, batch_size=BATCH, wait_s=IDLE_S, clock=clock
        )
        return Scope(self.ground.name, changes, None, _LIMITS)

    async def report(self, record: RetirementRecord, standing: Standing | None) -> RetirementReport:
        return await make_report(self.ground, record, await self._find_conditions(record, standing))

    async def _find_conditions(self, record: RetirementRecord, standing: Standing | None) -> list[Condition]:
        if record.stage is not RetirementStage.SERVING:
            return []
        return await find_conditions(self.ground, standing, self.soak)

    async def quarantine(self, record: RetirementRecord, standing: Standing | None) -> RetirementRecord:
        _refuse("quarantine")

    async def restore(self, record: RetirementRecord) -> RetirementRecord:
        _refuse("restore")

    async def archive(self, record: RetirementRecord, into: str | Path) -> RetirementRecord:
        return await archive(self.ground, record, into)

    async def drop(self, record: RetirementRecord, standing: Standing | None, confirm: str) -> RetirementRecord:
        _refuse("drop")

    def asks_for_name(self, record: RetirementRecord) -> bool:
        finished = is_finished(self.ground.place.conversions.migration)
        return record.stage is RetirementStage.SERVING and not record.doing and not finished

    async def reduce(
        self, record: RetirementRecord, standing: Standing | None, options: ReduceOptions, announce: Announce
    ) -> Reduction:
        if options.strip:
            await check_strip(self.ground, options.confirm)
            return await strip(self.ground, record, options)
        check_step_in_place(record, REDUCE, RetirementStage.SERVING, RetirementStage.REDUCED, RetirementStage.RETIRED)
        if record.stripped:
            raise PhaseError(f"{STRIP}: _lazymig was taken out of the documents; nothing is left to reduce")
        if record.doing != REDUCE:
            await self._check_begin(record, standing, options)
            record = await self.ground.begin(record, REDUCE, position=(), failed=0)
        standing = await self._lift(standing, announce)
        # Also once all was lifted: documents say where their V2 parts are, and a late process may have stored one more.
        done = ReducePass(self.ground.at(Lift.UNDER_WAY), record, options)
        found = await done.run()
        if not found.finished:
            return found
        return await self._end(done, standing, announce)

    async def finish(self, record: RetirementRecord) -> RetirementRecord:
        return await finish(self.ground, record)

    async def _check_begin(self, record: RetirementRecord, standing: Standing | None, options: ReduceOptions) -> None:
        if not self.asks_for_name(record):
            return
        if options.confirm != self.ground.name:
            raise ConfigurationError(
                f"reduce: V1's fields go for good; confirm it by the migration's name, {self.ground.name}"
            )
        check_all(await self._find_conditions(record, standing), REDUCE)
        await check_archive(self.ground, record)

    async def _lift(self, standing: Standing | None, announce: Announce) -> Standing | None:
        """Let all processes ask for V2's fields in both places, and then store new entities at the top."""
        if self.ground.shape.within is None or standing is None:
            return standing
        lift = read_lift(standing.settings)
        if lift is Lift.DONE:
            return standing
        # Again where that was recorded already: whether all have acknowledged it is not.
        for step in (Lift.ASKED, Lift.UNDER_WAY) if lift in (Lift.NONE, Lift.ASKED) else (Lift.UNDER_WAY,):
            settings = {LIFT: str(step), LIFTED_IN: standing.epoch + 1}
            standing = await announce(standing, settings, f"lift of V2's fields: {step}")
        return standing

    async def _end(
        self, done: ReducePass[V1, V2], standing: Standing | None, announce: Announce
    ) -> Reduction:  # fmt: skip
        found, ground = done.found, self.ground
        if found.failed:
            said = f"{found.failed:,} documents could not be reduced"
            await ground.end(done.record, said, position=(), failed=0)
            return found
        if standing is not None:
            lifted = {LIFT: str(Lift.DONE), LIFTED_IN: standing.epoch + 1} if ground.shape.within is not None else {}
            await announce(standing, {REDUCED: True, **lifted}, "V1's fields are taken out")
        stage = done.record.stage if done.record.stage is RetirementStage.RETIRED else RetirementStage.REDUCED
        said = f"V1's fields taken out of {found.reduced:,} documents"
        await ground.end(done.record, said, stage=stage, position=(), failed=0)
        return found


def _refuse(step: str) -> NoReturn:
    raise PhaseError(f"{step}: {_NEEDLESS}")
