"""What the stages of a repository need of its `Control` while the cut-over is gradual."""

from __future__ import annotations

from attrs import frozen

from lazymig.control import Cohorts, Control, cohorts_of, parts_of
from lazymig.dark.figures import Figures, Publisher
from lazymig.routes.choice import Choice


@frozen
class Steering:
    """The cohorts of this process, and the publication of what its dark reads found."""

    cohorts: Cohorts
    #: None in a session, which compares nothing.
    publisher: Publisher | None

    def begin(self, choice: Choice) -> Figures:
        """Return the figures of a new choice, which are published from now on."""
        if self.publisher is None:
            return Figures(choice.find_group)
        figures = Figures(choice.find_group, self.publisher.publish)
        self.publisher.begin(figures, choice.cut_over, choice.undeclared)
        return figures

    def in_session(self) -> Steering:
        """Return this for a session."""
        return Steering(self.cohorts, None)

    async def drain(self) -> None:
        """Publish what was not yet."""
        if self.publisher is not None:
            await self.publisher.drain()


def open_steering(control: Control, migration: str) -> Steering:
    """Return what the stages of one migration need of its control collection."""
    parts = parts_of(control)
    return Steering(cohorts_of(control), Publisher(parts.figures(migration), parts.clock))
