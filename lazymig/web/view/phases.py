"""The panel of the phases: the steps, what the present one means, and what the next one needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from attrs import frozen

from lazymig.phases import Phase
from lazymig.status.cut_over import describe_settings
from lazymig.status.looking import Status
from lazymig.status.rows import describe_headline
from lazymig.status.words import describe_next, describe_phase, describe_since
from lazymig.switch import Gate, Plan
from lazymig.web.snapshot import Snapshot

State: TypeAlias = Literal["done", "present", "ahead"]
_STATES: Final[Mapping[int, State]] = {-1: "done", 0: "present", 1: "ahead"}


@frozen
class Step:
    """One phase of the walk: what it is called, what it means, and where it stands to the present one."""

    phase: str
    state: State
    meaning: str


@frozen
class PhasesView:
    """The panel's text."""

    steps: tuple[Step, ...]
    meaning: str
    #: Since when, by whom and why; and what all processes follow beside the phase.
    notes: tuple[str, ...]
    next: str
    gates: tuple[Gate, ...]
    #: What the next step would do, and what may surprise afterwards.
    doing: tuple[str, ...]
    consequences: tuple[str, ...]


def view_phases(snapshot: Snapshot) -> PhasesView:
    """Return what the panel of the phases shows."""
    found, plan = snapshot.status, snapshot.status.plan
    standing = found.fleet.standing
    notes = [*describe_since(found.fleet, found.at), *(describe_settings(standing.settings) if standing else ())]
    return PhasesView(
        steps=() if found.upcasting_only else tuple(_list_steps(found)),
        meaning=describe_headline(found) if found.upcasting_only else describe_phase(found.phase),
        notes=tuple(notes),
        # The gates follow as rows of their own.
        next=next(describe_next(found), "").removeprefix("Next: ").removesuffix(":"),
        gates=() if plan is None else order_gates(plan),
        doing=() if plan is None else plan.steps,
        consequences=() if plan is None else plan.consequences,
    )


def _list_steps(found: Status) -> Sequence[Step]:
    phases = [phase for phase in Phase if phase is not Phase.PREPARE or found.place is None]
    present = phases.index(Phase(found.phase))
    return [
        Step(str(phase), _STATES[(place > present) - (place < present)], describe_phase(phase))
        for place, phase in enumerate(phases)
    ]


def order_gates(plan: Plan) -> tuple[Gate, ...]:
    """Return what blocks first: that is what people look for."""
    return tuple(sorted(plan.gates, key=lambda gate: not gate.blocks))
