"""V1's end where it has a collection of its own: away, gone, and then what it has left in V2."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from attrs import frozen

from lazymig.control import Standing
from lazymig.control.retirement import RetirementRecord
from lazymig.errors import PhaseError
from lazymig.phases import Phase
from lazymig.retiring.conditions import Condition, Soak, check_all, check_phase, find_conditions
from lazymig.retiring.course import Announce, Course
from lazymig.retiring.disposal import DROP, archive, check_drop, drop, is_dropped
from lazymig.retiring.fields import check_removal, check_whole, remove_fields
from lazymig.retiring.ground import BEFORE_THE_DROP, Ground
from lazymig.retiring.quarantine import QUARANTINE, check_quarantine, quarantine, restore
from lazymig.retiring.reduction import ReduceOptions, Reduction, check_strip, finish, reduce
from lazymig.retiring.report import RetirementReport, make_report
from lazymig.retiring.watching import Scope, make_scope
from lazymig.shapes.migration import is_finished

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class TwoCollections(Course, Generic[V1, V2]):
    """Quarantine, archive, drop, reduce, finish."""

    ground: Ground[V1, V2]
    soak: Soak

    async def find(self) -> RetirementRecord:
        return await self.ground.find()

    def check_watch(self, phase: Phase | None) -> Scope:
        check_phase(phase)
        if is_finished(self.ground.pair.conversions.migration):
            raise PhaseError("watch: this release no longer knows V1; V1 is gone")
        return make_scope(self.ground.pair, self.ground.clock)

    async def report(self, record: RetirementRecord, standing: Standing | None) -> RetirementReport:
        return await make_report(self.ground, record, await self._find_conditions(record, standing))

    async def _find_conditions(self, record: RetirementRecord, standing: Standing | None) -> list[Condition]:
        if record.stage not in BEFORE_THE_DROP:
            return []
        return await find_conditions(self.ground, record, standing, self.soak)

    async def quarantine(self, record: RetirementRecord, standing: Standing | None) -> RetirementRecord:
        check_whole(self.ground, "quarantine")
        check_quarantine(record)
        if record.doing != QUARANTINE:
            check_all(await self._find_conditions(record, standing), "quarantine")
        return await quarantine(self.ground, record)

    async def restore(self, record: RetirementRecord) -> RetirementRecord:
        check_whole(self.ground, "restore")
        return await restore(self.ground, record)

    async def archive(self, record: RetirementRecord, into: str | Path) -> RetirementRecord:
        return await archive(self.ground, record, into)

    async def drop(self, record: RetirementRecord, standing: Standing | None, confirm: str) -> RetirementRecord:
        if self.ground.is_part:
            check_removal(self.ground, record, confirm)
            if record.doing != DROP:
                check_all(await self._find_conditions(record, standing), DROP)
            return await remove_fields(self.ground, record)
        check_drop(self.ground, record, confirm)
        if not await is_dropped(self.ground, record):
            check_all(await self._find_conditions(record, standing), DROP)
        return await drop(self.ground, record)

    def asks_for_name(self, record: RetirementRecord) -> bool:
        return False

    async def reduce(
        self, record: RetirementRecord, standing: Standing | None, options: ReduceOptions, announce: Announce
    ) -> Reduction:
        if options.strip:
            await check_strip(self.ground, options.confirm)
        return (await reduce(self.ground, record, options))[1]

    async def finish(self, record: RetirementRecord) -> RetirementRecord:
        return await finish(self.ground, record)
