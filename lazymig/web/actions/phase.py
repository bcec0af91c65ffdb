"""Moving the fleet: the first phase, the next one, the one before, and what a step left that was cut off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lazymig.control import Moved, Standing
from lazymig.phases import Phase
from lazymig.status.words import describe_phase
from lazymig.switching.moves import Order
from lazymig.switching.plan import Direction, Plan
from lazymig.web.actions.action import Action, Case, NotDone, check_name, check_why
from lazymig.web.actions.sheets import WHY, Choice, Field, Sheet, ask_name

_FIXED = (
    "The phase of this repository is fixed, and only a deploy changes it: pass phase=Control(collection) in every "
    "process, and they follow a recorded one."
)
#: A form that was shown before any phase was recorded.
_NONE = "none"


async def find_standing(case: Case) -> Standing | None:
    """Find the record of the phase."""
    return await case.parts.phases(case.name).find()


def make_seen(standing: Standing | None) -> str:
    """Return the text that changes with the record."""
    return _NONE if standing is None else str(standing.epoch)


class Begin(Action):
    """Record the first phase."""

    name = "begin"

    async def look(self, case: Case) -> Sheet:
        title = f"Record the first phase of {case.name}"
        if not case.follows:
            return Sheet(title=title, why_not=_FIXED)
        standing = await find_standing(case)
        if standing is not None:
            why_not = f"{case.name} is in {standing.phase} already: advance or roll back from there."
            return Sheet(title=title, why_not=why_not, seen=make_seen(standing))
        choices = tuple(Choice(str(phase), str(phase), describe_phase(phase)) for phase in case.mover.ladder.rungs)
        hint = "The phase that all processes are in now."
        return Sheet(
            title=title, text=("Processes with phase=control start from it.",), button="Record it",
            seen=make_seen(standing),
            fields=(
                Field(name="phase", label="Phase", kind="one", hint=hint, value=("v1_only",), choices=choices), WHY,
            ),
        )  # fmt: skip

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        wrong = {} if self._find_phase(case) else {"phase": "Choose the phase that all processes are in."}
        return {**wrong, **check_why(case)}

    def _find_phase(self, case: Case) -> Phase | None:
        return next((phase for phase in case.mover.ladder.rungs if phase == case.typed.one("phase")), None)

    def describe(self, case: Case, sheet: Sheet) -> str:
        return f"{case.typed.one('phase')}: {case.typed.words('why')}"

    async def act(self, case: Case, sheet: Sheet) -> str:
        phase = self._find_phase(case)
        assert phase is not None  # checked
        moved = await case.switch.begin(phase, by=case.by, why=case.typed.words("why"))
        return _describe_moved(case, moved)


class _Step(Action):
    """One step of the fleet."""

    direction: ClassVar[Direction]
    verb: ClassVar[str]

    async def look(self, case: Case) -> Sheet:
        if not case.follows:
            return Sheet(title=f"{self.verb} {case.name}", why_not=_FIXED)
        if await find_standing(case) is None:
            return Sheet(title=f"{self.verb} {case.name}", why_not="No phase is recorded yet.", seen=_NONE)
        # Names of other gates would be refused: those that may be accepted are known once the plan is.
        plan = await case.mover.plan(self.direction, frozenset(), thorough=True)
        if plan.target is None:
            why_not = case.mover.ladder.explain_no_way(plan.phase, self.direction)
            return Sheet(title=f"{self.verb} {case.name}", why_not=why_not, seen=str(plan.epoch))
        return _make_sheet(self.verb, plan)

    def check(self, case: Case, sheet: Sheet) -> Mapping[str, str]:
        wrong = dict(check_why(case))
        if sheet.plan is not None and sheet.plan.confirm:
            wrong |= check_name(case)
        return wrong

    def find_refusal(self, case: Case, sheet: Sheet) -> str:
        blocking = () if sheet.plan is None else sheet.plan.blocking
        left = [gate.name for gate in blocking if gate.name not in case.typed.every("accept")]
        return f"Refused. Not met, and not accepted: {', '.join(left)}." if left else ""

    def describe(self, case: Case, sheet: Sheet) -> str:
        plan = sheet.plan
        way = "" if plan is None else f"{plan.phase} to {plan.target}: "
        return f"{way}{case.typed.words('why')}"

    async def act(self, case: Case, sheet: Sheet) -> str:
        plan = sheet.plan
        assert plan is not None  # there is a button only with one
        order = Order(
            by=case.by, why=case.typed.words("why"), confirm=case.typed.one("confirm").strip() or None,
            accepted=frozenset(case.typed.every("accept")), epoch=plan.epoch,
        )  # fmt: skip
        return _describe_moved(case, await case.mover.move(self.direction, order))


class Advance(_Step):
    """Move the fleet one phase on."""

    name = "advance"
    direction = "advance"
    verb = "Advance"


class Rollback(_Step):
    """Move the fleet one phase back."""

    name = "rollback"
    direction = "rollback"
    verb = "Roll back"


class Release(Action):
    """Undo what a step into v2_only left that was cut off."""

    name = "release"

    async def look(self, case: Case) -> Sheet:
        title = f"Release {case.name}"
        if not case.follows:
            return Sheet(title=title, why_not=_FIXED)
        standing = await find_standing(case)
        if standing is None:
            return Sheet(title=title, why_not="No phase is recorded yet.", seen=_NONE)
        left = [f"a hold on writes ({standing.hold})"] if standing.hold is not None else []
        left += await case.mover.find_left_over()
        text = (
            "A step into v2_only that is cut off leaves held writes, and fences that refuse writes. This undoes both.",
            "A step that is at work is left alone. The next advance or rollback does this as well.",
        )
        if not left:
            return Sheet(title=title, text=text, why_not="Nothing is left to undo.", seen=make_seen(standing))
        return Sheet(title=title, text=text, button="Undo it", seen=make_seen(standing), lists=(("Left", tuple(left)),))

    def describe(self, case: Case, sheet: Sheet) -> str:
        return "; ".join(line for _, lines in sheet.lists for line in lines)

    async def act(self, case: Case, sheet: Sheet) -> str:
        if not await case.switch.release():
            raise NotDone("Nothing was left to undo.")
        return "writes go on"


def _make_sheet(verb: str, plan: Plan) -> Sheet:
    blocking = plan.blocking
    # What nobody may accept needs no form: it would be refused.
    hard = [gate.name for gate in blocking if not gate.acceptable]
    soft = tuple(Choice(gate.name, gate.name, gate.evidence) for gate in blocking if gate.acceptable)
    fields = [WHY]
    if soft:
        hint = "Conditions that are not met, and that a person may accept. The history keeps which."
        fields.append(Field(name="accept", label="Accept", kind="any", hint=hint, choices=soft))
    if plan.confirm:
        fields.append(ask_name(plan.confirm))
    return Sheet(
        title=f"{verb} {plan.migration} from {plan.phase} to {plan.target}",
        button="" if hard else f"{verb} to {plan.target}",
        why_not=f"It would be refused now. Not met: {', '.join(hard)}." if hard else "",
        seen=str(plan.epoch), fields=tuple(fields), plan=plan, grave=bool(plan.confirm),
    )  # fmt: skip


def _describe_moved(case: Case, moved: Moved) -> str:
    return f"{case.name} is in {moved.after} now (epoch {moved.epoch})"
