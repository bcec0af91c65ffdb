"""`lazymig phase show | advance | rollback | begin | history | release`: where the fleet stands, and its next step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

import attrs
from cyclopts import App as CycloptsApp
from cyclopts import Parameter

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json, examples
from lazymig.cli.output import remark, say, show_json, verdict, wrapped
from lazymig.cli.phase_options import DEMANDS, Declined, Demanded, Named, Who, ask_confirmation
from lazymig.cli.phase_report import Shown, as_object, show_history, show_phase, show_plan
from lazymig.control import Moved
from lazymig.errors import ConfigurationError
from lazymig.phases import Phase
from lazymig.switch import Plan, Switch, mover_of
from lazymig.switching.gates import check_accepted
from lazymig.switching.plan import Direction, Refused
from lazymig.switching.waiting import NotAcknowledged

phase = CycloptsApp(name="phase", help="Show the phase of a fleet, and move it to the next or back.")

_APP = "--app shop.people:repository"
_Who = Annotated[Who, Parameter(name="*")]
_Demanded = Annotated[Demanded, Parameter(name="*", group=DEMANDS)]
_To = Annotated[
    Named | None,
    Parameter(show_default=False, help="The phase that this must lead to; nothing is done where it does not."),
]
_DryRun = Annotated[Flag, Parameter(name="--dry-run", help="Show what would be done, and do nothing.")]


@phase.command(help_epilogue=examples(f"lazymig phase show {_APP}", f"lazymig phase show {_APP} --json"))
async def show(
    *,
    app: App,
    demanded: _Demanded = Demanded(),  # noqa: B008 - frozen
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show the phase, the processes that follow it, and what the next step and the way back need.

    Changes nothing and joins no fleet; the role read is enough. The exit code is 3 when the next step would be refused.
    """
    async with _switching(app, demanded, in_json=json) as switch:
        mover = mover_of(switch)
        found = Shown(
            await mover.find(), await mover.find_members(), await mover.find_left_over(),
            await switch.plan("advance", accept=demanded.accept), await switch.plan("rollback"),
            await mover.find_retirement(),
        )  # fmt: skip
    if json:
        standing = attrs.asdict(found.standing)
        members = [attrs.asdict(member) for member in found.members]
        plans = {"advance": as_object(found.advance), "rollback": as_object(found.rollback)}
        show_json({**standing, "members": members, "cut_off": found.cut_off, **plans, "retirement": found.retirement})
    else:
        show_phase(found)
    return Exit.NEEDS_PERSON if found.advance.blocking or found.cut_off else Exit.DONE


@phase.command(
    help_epilogue=examples(
        f"lazymig phase advance {_APP} --dry-run",
        f"lazymig phase advance {_APP} --why 'the sweep is done' --to coexist --yes",
    )
)
async def advance(
    *,
    app: App,
    to: _To = None,
    who: _Who = Who(),  # noqa: B008 - frozen
    demanded: _Demanded = Demanded(),  # noqa: B008 - frozen
    confirm: Annotated[str | None, Parameter(show_default=False)] = None,
    dry_run: _DryRun = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Move all processes to the next phase, once each has acknowledged the present one and all conditions are met.

    It shows what it checked and what it would do, and asks. The exit code is 3 when the step is refused.

    Args:
        confirm: The migration's name, to confirm the step into v2_only, from which there is no way back.
    """
    async with _switching(app, demanded, in_json=json) as switch:
        step = _Step("advance", to, who, demanded.accept, confirm, dry_run, json)
        return await step.make(switch)


@phase.command(help_epilogue=examples(f"lazymig phase rollback {_APP} --why 'p99 has doubled'"))
async def rollback(
    *,
    app: App,
    to: _To = None,
    who: _Who = Who(),  # noqa: B008 - frozen
    wait: Annotated[float, Parameter(help="Seconds to wait for acknowledgements.")] = 90.0,
    dry_run: _DryRun = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Move all processes one phase back. There is no way back from v2_only.

    It shows what it would do, and asks.
    """
    async with _switching(app, Demanded(wait=wait), in_json=json) as switch:
        return await _Step("rollback", to, who, (), None, dry_run, json).make(switch)


@phase.command(help_epilogue=examples(f"lazymig phase begin v1_only {_APP} --why 'all processes run in V1_ONLY' --yes"))
async def begin(
    first: Annotated[Named, Parameter(name="phase", help="The phase that all processes are in now.")],
    /,
    *,
    app: App,
    who: _Who = Who(),  # noqa: B008 - frozen
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Record the first phase: the one that all processes are in now. Processes with phase=control start from it."""
    async with _switching(app, Demanded(), in_json=json) as switch:
        name, why = mover_of(switch).name, who.ask_why()
        if not who.agrees(f"Record that all processes of {name} are in {first}?"):
            return _decline()
        moved = await switch.begin(first, by=who.name, why=why)
    return _report(name, moved, in_json=json)


@phase.command(help_epilogue=examples(f"lazymig phase history {_APP}", f"lazymig phase history {_APP} --json"))
async def history(*, app: App, json: Json = False, debug: Debug = False) -> int:
    """Show who moved the phase, when, and why."""
    async with _switching(app, Demanded(), in_json=json) as switch:
        name, moves = mover_of(switch).name, await switch.history()
    if json:
        show_json({"migration": name, "history": [attrs.asdict(moved) for moved in moves]})
    else:
        show_history(name, moves)
    return Exit.DONE


@phase.command(help_epilogue=examples(f"lazymig phase release {_APP}"))
async def release(*, app: App, json: Json = False, debug: Debug = False) -> int:
    """Undo what a step into v2_only left that was cut off: held writes, and fences that refuse writes.

    A step that is at work is left alone. The next advance or rollback does this as well.
    """
    async with _switching(app, Demanded(), in_json=json) as switch:
        name, done = mover_of(switch).name, await switch.release()
    if json:
        show_json({"migration": name, "released": done})
    else:
        say(f"{name}: {'writes go on' if done else 'nothing was left to undo'}")
    return Exit.DONE


@attrs.frozen
class _Step:
    """One step as it was ordered on the command line."""

    direction: Direction
    to: Phase | None
    who: Who
    accept: tuple[str, ...]
    confirm: str | None
    dry_run: bool
    json: bool

    async def make(self, switch: Switch[object, object]) -> int:
        """Show the plan, ask, make the step, and report it."""
        plan = await mover_of(switch).plan(self.direction, check_accepted(self.accept), thorough=True)
        if plan.target is None or (self.to is not None and self.to is not plan.target):
            mover_of(switch).check_way(plan, self.to)
        if not self.json:
            show_plan(plan)
            say("")
        if plan.blocked or self.dry_run:
            return self._end(plan)
        try:
            confirm = ask_confirmation(plan, self.confirm)
        except Declined:
            return _decline()
        # The name that was typed is the answer already.
        typed = confirm is not None and self.confirm is None
        if not typed and not self.who.agrees(f"Move {plan.migration} from {plan.phase} to {plan.target}?"):
            return _decline()
        why = self.who.ask_why()
        try:
            moved = await self._move(switch, why, confirm)
        except (Refused, NotAcknowledged) as error:
            verdict(str(error), good=False)
            return Exit.NEEDS_PERSON
        return _report(plan.migration, moved, in_json=self.json)

    async def _move(self, switch: Switch[object, object], why: str, confirm: str | None) -> Moved:
        if self.direction == "advance":
            return await switch.advance(by=self.who.name, why=why, confirm=confirm, accept=self.accept)
        return await switch.rollback(by=self.who.name, why=why)

    def _end(self, plan: Plan) -> int:
        if self.json:
            show_json(as_object(plan))
        elif plan.blocked:
            names = ", ".join(gate.name for gate in plan.blocking)
            verdict(f"Refused: {plan.migration} stays in {plan.phase}. Not met: {names}", good=False)
        else:
            wrapped(f"Nothing was done. Without --dry-run it would move {plan.migration} to {plan.target}.")
        return Exit.NEEDS_PERSON if plan.blocked else Exit.DONE


@asynccontextmanager
async def _switching(app: str, demanded: Demanded, *, in_json: bool) -> AsyncIterator[Switch[object, object]]:
    async with opened(app, in_json=in_json) as repository:
        try:
            yield Switch(
                repository, soak_s=demanded.soak, max_age_s=demanded.max_age, wait_s=demanded.wait,
                on_wait=partial(remark, in_json=in_json),
            )  # fmt: skip
        except ConfigurationError as error:
            raise Unusable(str(error)) from None


def _decline() -> int:
    say("Nothing was done.")
    return Exit.FAILED


def _report(name: str, moved: Moved, *, in_json: bool) -> int:
    if in_json:
        show_json({"migration": name, **attrs.asdict(moved)})
    else:
        verdict(f"{name} is in {moved.after} now (epoch {moved.epoch}).", good=True)
    return Exit.DONE
