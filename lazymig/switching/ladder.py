"""The phases of a layout in their order, with what each step needs, does and changes. One per layout, chosen once."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from lazymig.control import Standing
from lazymig.phases import Phase
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Direction, Gate
from lazymig.switching.waiting import RollCall


@frozen(kw_only=True)
class Step:
    """A step that is about to be recorded.

    Attributes:
        standing: The record as it was left last.
        target: The phase after the step.
        by: Who makes it.
        why: The reason, with the gates that were accepted.
        accepted: The names of these gates.
        roll: The watch of the fleet.
    """

    standing: Standing
    target: Phase
    by: str
    why: str
    accepted: tuple[str, ...]
    roll: RollCall


class Ladder(Protocol):
    """The steps of one migration in its layout."""

    @property
    def rungs(self) -> tuple[Phase, ...]:
        """The phases, from V1 to V2."""

    async def judge(self, case: AnyCase, accepted: frozenset[str]) -> tuple[Gate, ...]:
        """Check every gate of a step, one after the other. Driver errors pass through."""

    async def describe_steps(self, case: AnyCase) -> tuple[str, ...]:
        """Return what a step does, in order, in words."""

    def describe_consequences(self, before: Phase, after: Phase) -> tuple[str, ...]:
        """Return what is different after a step, in words."""

    def explain_no_way(self, phase: Phase, direction: Direction) -> str:
        """Return why there is no step in this direction, and what to do instead."""

    def check_begin(self, phase: Phase) -> Phase:
        """Return the phase as a member of `Phase`. Raises `ConfigurationError` for one that the layout lacks."""

    async def find_left_over(self, standing: Standing) -> list[str]:
        """Find what a step has left that was cut off, besides the record itself, in words."""

    async def prepare(self, step: Step) -> Standing:
        """Do what must be done before the phase is recorded, and return the record as it is then."""

    async def record(self, step: Step) -> Standing:
        """Record the phase, and return the record. Raises `PhaseError`, and nothing has changed then."""

    async def release(self, standing: Standing) -> Standing:
        """Undo what a step left that was cut off; the same record where nothing was left. Raises `PhaseError`."""
