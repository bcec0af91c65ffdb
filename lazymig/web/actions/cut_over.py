"""Changing for whose reads V2 answers first: cohorts, a share of all entities, and how many reads are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lazymig.control import CutOver, cohorts_of, read_cut_over, set_cut_over
from lazymig.phases import Phase
from lazymig.repository import calls_of
from lazymig.status.cut_over import describe_cut_over, describe_percent
from lazymig.web.actions.action import Action, Case, NotDone, check_why
from lazymig.web.actions.phase import find_standing, make_seen
from lazymig.web.actions.sheets import WHY, Choice, Field, Sheet

_SHARE = "A number from 0 to 1."


class ChangeCutOver(Action):
    """Change whose reads V2 answers first."""

    name = "cut-over"
    back = "phases"

    async def look(self, case: Case) -> Sheet:
        title = f"The cut-over of {case.name}"
        standing = await find_standing(case) if case.follows else None
        if standing is None:
            return Sheet(title=title, why_not="No phase is recorded: the cut-over is part of the record.", seen="none")
        now, seen = read_cut_over(standing.settings), make_seen(standing)
        text = [f"Now: {describe_cut_over(now)}"]
        if now.dark_share is not None:
            text.append(f"All processes compare {describe_percent(now.dark_share)} of their reads.")
        if standing.phase in (Phase.V2_PRIMARY, Phase.V2_ONLY):
            why_not = f"In the phase {standing.phase} V2 answers for everybody; go back to coexist to change this."
            return Sheet(title=title, why_not=why_not, text=tuple(text), seen=seen)
        return Sheet(
            title=title, button="Change the cut-over", seen=seen,
            text=(
                *text, "Processes follow a change within a second.",
                "A larger share only adds entities. V1 stays the truth.",
            ),
            fields=(*_make_fields(case, now), WHY),
        )  # fmt: skip

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        wrong = dict(check_why(case))
        if _parse_share(case.typed.words("share")) is None:
            wrong["share"] = "Type a number from 0 to 1, such as 0.1."
        if case.typed.words("dark_share") and _parse_share(case.typed.words("dark_share")) is None:
            wrong["dark_share"] = "Type a number from 0 to 1, or leave it empty."
        known = {one.value for field in sheet.fields if field.name == "cohort" for one in field.choices}
        if unknown := set(case.typed.every("cohort")) - known:
            wrong["cohort"] = f"This application declares no such cohort: {', '.join(sorted(unknown))}."
        return wrong

    def describe(self, case: Case, sheet: Sheet) -> str:
        given = case.typed
        cohorts = ", ".join(given.every("cohort")) or "none"
        return (
            f"share {given.words('share')}, cohorts {cohorts}, dark share {given.words('dark_share') or 'own'}: "
            f"{given.words('why')}"
        )

    async def act(self, case: Case, sheet: Sheet) -> str:
        standing = await find_standing(case)
        assert standing is not None  # a record is never removed
        now, dark = read_cut_over(standing.settings), _parse_share(case.typed.words("dark_share"))
        wanted = CutOver(
            _parse_share(case.typed.words("share")) or 0.0, tuple(sorted(set(case.typed.every("cohort")))), dark
        )
        if wanted == now:
            raise NotDone("This is how it is already. Nothing was done.")
        await set_cut_over(
            case.parts.phases(case.name),
            share=wanted.share if wanted.share != now.share else None,
            cohorts=wanted.cohorts if wanted.cohorts != now.cohorts else None,
            dark_share=dark if dark != now.dark_share else None,
            own_dark_share=dark is None and now.dark_share is not None,
            by=case.by, why=case.typed.words("why"), epoch=int(sheet.seen),
        )  # fmt: skip
        return describe_cut_over(wanted)


def _make_fields(case: Case, now: CutOver) -> list[Field]:
    control = calls_of(case.repository).control
    declared = [] if control is None else cohorts_of(control).names
    names = sorted({*declared, *now.cohorts})
    fields = [Field(name="share", label="Share of all entities", hint=_SHARE, value=(f"{now.share:g}",))]
    if names:
        choices = tuple(Choice(name, name, "" if name in declared else "not declared here") for name in names)
        fields.append(Field(name="cohort", label="Cohorts", kind="any", value=now.cohorts, choices=choices))
    dark = "" if now.dark_share is None else f"{now.dark_share:g}"
    hint = "The part of the reads that is compared, from 0 to 1. Empty: as each process was set up."
    return [*fields, Field(name="dark_share", label="Dark share", hint=hint, value=(dark,))]


def _parse_share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if math.isfinite(share) and 0 <= share <= 1 else None
