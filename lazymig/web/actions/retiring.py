"""V1's end: what would go and what blocks it, and each step of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from attrs import frozen

from lazymig.errors import ConfigurationError, PhaseError
from lazymig.retirement import Condition, Retirement, RetirementReport, asks_for_name
from lazymig.web.actions.action import Action, Case, NotDone, check_name
from lazymig.web.actions.endings import STAGES, Doublings, describe_end, describe_part, list_facts, list_lines
from lazymig.web.actions.sheets import Field, Sheet, ask_name

_DAY_S = 24 * 3600.0
_WEEK = "7"
_SOAK = Field(
    name="soak_days", label="Days of quiet", value=(_WEEK,),
    hint="For how many days no program may have written V1, since it was last moved.",
)  # fmt: skip
_UNWATCHED = Field(
    name="unwatched", label="Accept that nothing shows stray writes", kind="flag",
    hint="Only the time counts then. lazymig retire watch shows them.",
)  # fmt: skip


@frozen
class Outlook:
    """How far V1's end is, and what a step of it asks for."""

    report: RetirementReport
    asks: bool


class _OfEnd(Action):
    """A look at V1's end, or a step of it."""

    asks = frozenset({"soak_days", "unwatched"})
    #: Whether its conditions depend on how long V1 must have been quiet.
    soaks: ClassVar[bool] = False
    title: ClassVar[str]
    text: ClassVar[tuple[str, ...]] = ()

    def retirement(self, case: Case) -> Retirement[object, object]:
        """Return the retirement, as the form asks for it."""
        days = _parse_days(case)
        soak_s = float(_WEEK) * _DAY_S if days is None else days * _DAY_S
        unwatched = bool(case.typed.one("unwatched"))
        return Retirement(
            case.repository, control=case.control, soak_s=soak_s, unwatched=unwatched, by=case.by,
            clock=case.parts.clock,
        )  # fmt: skip

    async def look(self, case: Case) -> Sheet:
        title = f"{self.title}: {case.name}"
        retirement = self.retirement(case)
        try:
            outlook = Outlook(await retirement.report(), await asks_for_name(retirement))
        except (PhaseError, ConfigurationError) as error:
            return Sheet(title=title, text=self.text, why_not=str(error))
        return self.make_sheet(case, title, outlook)

    def make_sheet(self, case: Case, title: str, outlook: Outlook) -> Sheet:
        """Return the sheet of what was found."""
        report = outlook.report
        hard = [one.name for one in self.find_conditions(report) if not one.holds]
        why_not = self.explain_not(report) or (f"It would be refused now. Not met: {', '.join(hard)}." if hard else "")
        grave = self.is_grave(outlook)
        fields = (*self.list_fields(), *((ask_name(case.name),) if grave else ()))
        return Sheet(
            title=title, text=self.text, button="" if why_not else self.title, why_not=why_not,
            seen=f"{report.stage} {report.interrupted} {report.archive}",
            fields=fields, options=self.list_options(case), conditions=self.find_conditions(report),
            facts=list_facts(report), lists=list_lines(report), grave=grave,
        )  # fmt: skip

    def find_conditions(self, report: RetirementReport) -> tuple[Condition, ...]:
        """Return what must hold before this step."""
        return report.conditions if self.soaks and report.interrupted != self.name else ()

    def explain_not(self, report: RetirementReport) -> str:
        """Return why there is no such step now; "" where there is."""
        return ""

    def is_grave(self, outlook: Outlook) -> bool:
        """Whether the migration's name must be typed, because nothing leads back."""
        return False

    def list_fields(self) -> tuple[Field, ...]:
        """Return what else to fill in."""
        return ()

    def list_options(self, case: Case) -> tuple[Field, ...]:
        """Return what to look again with."""
        return (_SOAK, _UNWATCHED) if self.soaks else ()

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        wrong = dict(check_name(case)) if sheet.grave else {}
        if case.typed.words("soak_days") and _parse_days(case) is None:
            wrong["soak_days"] = "Type a number of days, 0 or more."
        return wrong

    def describe(self, case: Case, sheet: Sheet) -> str:
        if not self.soaks:
            return ""
        unwatched = ", and nothing need show stray writes" if case.typed.one("unwatched") else ""
        return f"after {case.typed.words('soak_days') or _WEEK} days of quiet{unwatched}"


class Retire(_OfEnd):
    """Look at V1's end."""

    name = "retire"
    soaks = True
    title = "V1's end"
    text = (
        "The steps, in their order: quarantine, which renames V1 and which restore undoes; archive, if a copy is "
        "wanted; drop; reduce, which leaves V2's documents their revision only; finish.",
        "Where one document carries both shapes: archive, if a copy is wanted; reduce; finish.",
        "lazymig retire watch shows stray writes. It runs until it is stopped, so start it by the command line.",
    )

    def explain_not(self, report: RetirementReport) -> str:
        following = report.interrupted or report.next
        return f"The next step is {following}." if following else "Nothing is left to do."

    async def act(self, case: Case, sheet: Sheet) -> str:
        raise AssertionError  # it has no button


class _EndStep(_OfEnd):
    """One step of V1's end."""

    stages: ClassVar[tuple[str, ...]]
    #: The same where the migration moves a part of V1's documents, and where one document carries both shapes.
    part_stages: ClassVar[tuple[str, ...]] = ()
    in_place_stages: ClassVar[tuple[str, ...]] = ()

    def explain_not(self, report: RetirementReport) -> str:
        able = self.in_place_stages if report.in_place else self.part_stages if report.part else self.stages
        if report.stage in able or report.interrupted == self.name:
            return ""
        if not able:
            return f"There is no {self.name} in this layout."
        return f"{STAGES[report.stage]}; {self.name} comes {_WHEN[self.name]}."

    async def act(self, case: Case, sheet: Sheet) -> str:
        return describe_end(await self.go(case, self.retirement(case)))

    async def go(self, case: Case, retirement: Retirement[object, object]) -> RetirementReport:
        """Make the step."""
        raise NotImplementedError


#: When each step may be made, where V1 has a collection of its own.
_WHEN = {
    "quarantine": "once, after the step into v2_only", "restore": "after quarantine", "archive": "after quarantine",
    "drop": "after quarantine", "finish": "once, after reduce",
}  # fmt: skip


class Quarantine(_EndStep):
    """Rename V1."""

    name = "quarantine"
    soaks = True
    title = "Put V1 in quarantine"
    text = ("V1 is renamed, with its indexes. A program that still uses it finds nothing. restore undoes it.",)
    stages = ("serving",)

    async def go(self, case: Case, retirement: Retirement[object, object]) -> RetirementReport:
        return await retirement.quarantine()


class Restore(_EndStep):
    """Give V1 its name back."""

    name = "restore"
    title = "Restore V1"
    text = ("V1 gets its name back, with its indexes.",)
    stages = ("quarantined",)

    async def go(self, case: Case, retirement: Retirement[object, object]) -> RetirementReport:
        return await retirement.restore()


class Archive(_EndStep):
    """Copy V1 into a collection."""

    name = "archive"
    title = "Archive V1 in a collection"
    text = (
        "V1 is copied, and the copy is compared with it by count and checksum.",
        "An archive in a file is left to lazymig retire archive --file: a path would name a place on the server of "
        "this page, which those who look at it do not see.",
    )
    stages = ("quarantined",)
    part_stages = ("serving",)
    in_place_stages = ("serving",)

    def list_fields(self) -> tuple[Field, ...]:
        hint = "A collection that does not exist, as name or database.name."
        return (Field(name="into", label="Collection", hint=hint),)

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        into = case.typed.words("into")
        able = into.isprintable() and 0 < len(into) <= 200
        return {**super().check(case, sheet), **({} if able else {"into": "Name a collection that does not exist."})}

    def describe(self, case: Case, sheet: Sheet) -> str:
        return case.typed.words("into")

    async def go(self, case: Case, retirement: Retirement[object, object]) -> RetirementReport:
        return await retirement.archive(case.typed.words("into"))


class Drop(_EndStep):
    """Drop V1."""

    name = "drop"
    soaks = True
    title = "Drop V1"
    text = ("V1 is dropped for good. With Migration(part=True), its fields are removed from V1's documents instead.",)
    stages = ("quarantined",)
    part_stages = ("serving",)

    def is_grave(self, outlook: Outlook) -> bool:
        return True

    async def go(self, case: Case, retirement: Retirement[object, object]) -> RetirementReport:
        return await retirement.drop(confirm=case.typed.one("confirm").strip())


class Finish(_EndStep):
    """Remove what lazymig has left."""

    name = "finish"
    title = "Finish the retirement"
    text = (
        "V2's fence, lazymig's indexes of V2 and the migration's rows in the control collection are removed.",
        "The phase, this end and the history stay.",
    )
    stages = part_stages = in_place_stages = ("reduced",)

    async def go(self, case: Case, retirement: Retirement[object, object]) -> RetirementReport:
        return await retirement.finish()


class Reduce(_OfEnd):
    """Leave V2's documents what V2 alone needs."""

    name = "reduce"
    title = "Reduce V2's documents"
    text = (
        "V2's documents keep the revision that optimistic locking needs, beside the running service. Where one "
        "document carries both shapes, V1's own fields are taken out for good.",
        "To take _lazymig out as a whole is left to lazymig retire reduce --strip: it needs every process stopped, and "
        "this page is served by one of them.",
    )
    soaks = True

    def find_conditions(self, report: RetirementReport) -> tuple[Condition, ...]:
        return super().find_conditions(report) if report.in_place and report.stage == "serving" else ()

    def explain_not(self, report: RetirementReport) -> str:
        able = ("dropped", "reduced", "retired")
        if report.stage in able or report.in_place or report.interrupted == self.name:
            return ""
        return f"{STAGES[report.stage]}; reduce comes after drop."

    def is_grave(self, outlook: Outlook) -> bool:
        return outlook.asks

    async def act(self, case: Case, sheet: Sheet) -> str:
        confirm = case.typed.one("confirm").strip() or None
        done = await self.retirement(case).reduce(confirm=confirm, on_progress=Doublings(case.say).show)
        if done.failed:
            first = "; ".join(done.failures)
            raise NotDone(f"{done.failed:,} documents could not be reduced; correct them, and do this again. {first}")
        return f"{'V2 is reduced' if done.finished else 'it stopped early; do it again'}: {describe_part(done)}"


def _parse_days(case: Case) -> float | None:
    try:
        days = float(case.typed.words("soak_days") or _WEEK)
    except ValueError:
        return None
    return days if math.isfinite(days) and days >= 0 else None
