"""What a step from one phase to the next needs, and whether that is so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import evolve, frozen

from lazymig.errors import PhaseError
from lazymig.phases import Phase

Direction = Literal["advance", "rollback"]
GateState = Literal["open", "closed", "unknown"]


@frozen
class Gate:
    """One condition of a step.

    Attributes:
        name: Its name.
        state: "open": it is met. "closed": it is not. "unknown": this cannot be checked here, which closes as well.
        evidence: What was seen.
        remedy: What to do; empty where it is open.
        acceptable: Whether a person may accept that it is not met: nothing that the database holds is lost by it.
        accepted: Whether it was accepted.
    """

    name: str
    state: GateState
    evidence: str
    remedy: str = ""
    acceptable: bool = False
    accepted: bool = False

    @property
    def blocks(self) -> bool:
        """Whether the step is refused because of it."""
        return self.state != "open" and not self.accepted


@frozen
class Plan:
    """What a step would do, and what it needs.

    Attributes:
        migration: The migration's name.
        direction: "advance" or "rollback".
        phase: The recorded phase.
        target: The phase after the step; None where there is no such step.
        epoch: The epoch of the record that was looked at.
        gates: All conditions, in the order in which they were checked.
        steps: What the step does, in words, in order.
        consequences: What is different afterwards and may surprise, in words.
        confirm: What must be typed by hand before the step; empty where nothing must.
    """

    migration: str
    direction: Direction
    phase: Phase
    target: Phase | None
    epoch: int
    gates: tuple[Gate, ...]
    steps: tuple[str, ...] = ()
    consequences: tuple[str, ...] = ()
    confirm: str = ""

    @property
    def blocked(self) -> bool:
        """Whether the step would be refused now."""
        return self.target is None or bool(self.blocking)

    @property
    def blocking(self) -> tuple[Gate, ...]:
        """The conditions that are not met, nor accepted."""
        return tuple(gate for gate in self.gates if gate.blocks)


class Refused(PhaseError):
    """A step was refused, because conditions are not met; nothing was changed.

    Attributes:
        plan: The plan with all conditions.
    """

    def __init__(self, plan: Plan) -> None:
        named = "; ".join(f"{gate.name}: {gate.evidence} ({gate.remedy})" for gate in plan.blocking)
        super().__init__(f"{plan.migration} stays in {plan.phase}. {named}")
        self.plan = plan

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.plan,)


def find_target(rungs: Sequence[Phase], phase: Phase, direction: Direction) -> Phase | None:
    """Return the phase after a step on this ladder; None where there is none: `V2_ONLY` has no way back."""
    index = rungs.index(phase) + (1 if direction == "advance" else -1)
    if phase is Phase.V2_ONLY or not 0 <= index < len(rungs):
        return None
    return rungs[index]


def opens(name: str, evidence: str) -> Gate:
    """Return a gate whose condition is met."""
    return Gate(name, "open", evidence)


def closes(name: str, evidence: str, remedy: str, *, acceptable: bool = False) -> Gate:
    """Return a gate whose condition is not met."""
    return Gate(name, "closed", evidence, remedy, acceptable)


def cannot_check(name: str, evidence: str, remedy: str, *, acceptable: bool = True) -> Gate:
    """Return a gate whose condition cannot be checked."""
    return Gate(name, "unknown", evidence, remedy, acceptable)


def accept(gate: Gate, names: frozenset[str]) -> Gate:
    """Return the gate as accepted, if a person named it and may accept it."""
    return evolve(gate, accepted=gate.state != "open" and gate.acceptable and gate.name in names)
