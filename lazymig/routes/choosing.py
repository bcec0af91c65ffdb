"""What the stages of a repository need of its `Control` where the cut-over is gradual."""

from __future__ import annotations

import logging
from typing import Final

from attrs import evolve, field, frozen

from lazymig.control import (
    DEGRADE,
    SUSPECT_SINCE,
    Cohorts,
    Control,
    Phases,
    Standing,
    Suspicion,
    cohorts_of,
    parts_of,
    read_cut_over,
)
from lazymig.dark.figures import Figures, Publisher
from lazymig.loop.clock import Clock
from lazymig.phases import Phase
from lazymig.routes.choice import Choice

_LOGGER: Final = logging.getLogger("lazymig.cut_over")


@frozen
class Choosing:
    """The cohorts of this process, and the publication of what its dark reads found."""

    phases: Phases
    clock: Clock
    cohorts: Cohorts
    #: None in a session, which compares nothing.
    publisher: Publisher | None
    #: The undeclared cohorts that were logged already.
    _logged: set[str] = field(factory=set)

    def find_choice(self, at: Standing) -> Choice | None:
        """Return the choice that is recorded; None where one answer is everybody's."""
        cut_over = read_cut_over(at.settings)
        if at.phase is not Phase.COEXIST or (cut_over.whole and not cut_over.cohorts):
            return None
        choice = Choice(cut_over, self.cohorts)
        for name in choice.undeclared:
            if name not in self._logged:
                self._logged.add(name)
                _LOGGER.warning(
                    "the cohort %s is switched on and not declared in this process, where V1 answers for it", name
                )
        return choice

    def find_suspicion(self, at: Standing) -> Suspicion | None:
        """Return what records that V2 misses a write; None where it misses none, and nobody may let it.

        What is recorded before the phase `shadow` is settled there, by a verification.
        """
        suspect = at.settings.get(DEGRADE) or at.settings.get(SUSPECT_SINCE) is not None
        return Suspicion(self.phases, self.clock, at) if suspect and at.phase is Phase.SHADOW else None

    def begin(self, choice: Choice) -> Figures:
        """Return the figures of a new choice, which are published once there are some."""
        if self.publisher is None:
            return Figures(choice.find_group)
        figures = Figures(choice.find_group, self.publisher.publish)
        self.publisher.begin(figures, choice.cut_over, choice.undeclared)
        return figures

    def in_session(self) -> Choosing:
        """Return this for a session."""
        return evolve(self, publisher=None)

    async def drain(self) -> None:
        """Publish what was not yet."""
        if self.publisher is not None:
            await self.publisher.drain()


def open_choosing(control: Control, migration: str) -> Choosing:
    """Return what the stages of one migration need of its control collection."""
    parts = parts_of(control)
    return Choosing(
        parts.phases(migration), parts.clock, cohorts_of(control), Publisher(parts.figures(migration), parts.clock)
    )
