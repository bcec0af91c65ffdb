"""How `lazymig phase` shows the record, the fleet and a plan."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from attrs import frozen

from lazymig.cli.output import definitions, say, section, table, wrapped
from lazymig.control import MemberRecord, Moved, Standing
from lazymig.status.cut_over import describe_settings
from lazymig.status.next_step import describe_retirement
from lazymig.status.words import describe_gate, describe_phase
from lazymig.switch import Gate, Plan


@frozen
class Shown:
    """What `lazymig phase show` found."""

    standing: Standing
    members: Sequence[MemberRecord]
    #: The fences that an attempt left that was cut off.
    fences: Sequence[str]
    advance: Plan
    rollback: Plan
    #: The next step of V1's end, once V2 is the only truth; "" before that, and once V1's end is finished.
    retirement: str = ""

    @property
    def cut_off(self) -> str:
        """What a step has left that was cut off, or that is at work; empty where there is nothing."""
        left = ["writes are held"] if self.standing.hold == "writes" else []
        left += ["a hold on writes is announced"] if self.standing.hold == "announced" else []
        return ", ".join([*left, *self.fences])


def show_phase(found: Shown) -> None:
    """Print where a migration stands and which steps it can make."""
    standing = found.standing
    wrapped(f"{standing.migration} is in {standing.phase}: {describe_phase(standing.phase)}")
    wrapped(f"Since {_at(standing.last)} by {standing.last.by}: {standing.last.why} (epoch {standing.epoch})")
    if found.cut_off:
        say("")
        wrapped(
            f"A step is at work, or was cut off: {found.cut_off}. If nobody is at it, lazymig phase release undoes it."
        )
    for setting in describe_settings(standing.settings):
        wrapped(setting)
    _show_fleet(found.members, standing.epoch)
    if found.retirement:
        section("Next: V1's end")
        wrapped(describe_retirement(found.retirement))
    else:
        show_plan(found.advance)
    show_plan(found.rollback)


def _show_fleet(members: Sequence[MemberRecord], epoch: int) -> None:
    if not members:
        say("")
        wrapped("No process has joined. Those with a fixed phase=Phase.X are not seen here.")
        return
    rows = [
        (one.name, one.role, one.release, f"{one.epoch} of {epoch}", f"{one.seen_at:%Y-%m-%d %H:%M:%S}")
        for one in members
    ]
    table(f"Processes ({len(members):,})", ("name", "role", "release", "acknowledged", "heartbeat (UTC)"), rows)


def show_plan(plan: Plan) -> None:
    """Print what a step needs and does."""
    word = "Next" if plan.direction == "advance" else "Back"
    if plan.target is None:
        section(f"{word}: none")
        return
    section(f"{word}: {plan.target}{', refused' if plan.blocked else ''}")
    for gate in plan.gates:
        _show_gate(gate)
    say("")
    for number, step in enumerate(plan.steps, 1):
        wrapped(step, first=f"  {number}. ", rest="     ")
    for what in plan.consequences:
        wrapped(what, first="  => ", rest="     ")


def _show_gate(gate: Gate) -> None:
    mark = describe_gate(gate)
    mark = mark.upper() if gate.blocks else mark
    definitions({f"{mark:<8} {gate.name:<14}": gate.evidence})
    if gate.blocks:
        wrapped(gate.remedy, first=" " * 27 + "-> ", rest=" " * 30)


def show_history(name: str, history: Sequence[Moved]) -> None:
    """Print all steps, oldest first."""
    if not history:
        say(f"{name}: no phase is recorded")
        return
    rows = [(_at(one), one.before or "", one.what or one.after, one.by, one.why) for one in history]
    table(f"Steps of {name}", ("when (UTC)", "from", "to", "by", "why"), rows)


def as_object(plan: Plan) -> dict[str, object]:
    """Return a plan as a JSON object."""
    return {**attrs.asdict(plan), "blocked": plan.blocked}


def _at(moved: Moved) -> str:
    return f"{moved.at:%Y-%m-%d %H:%M:%S}"
