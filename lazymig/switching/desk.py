"""What moves a fleet works with: the repository's calls, the record of the phase, and a watch of the processes."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

from lazymig.control import Control, Phases, Standing, parts_of
from lazymig.errors import PhaseError
from lazymig.loop.clock import Clock
from lazymig.routes.calls import Calls
from lazymig.switching.waiting import RollCall, Say

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Desk(Generic[V1, V2]):
    """The record and the fleet of one migration."""

    calls: Calls[V1, V2]
    control: Control
    #: How long to wait for acknowledgements, in seconds.
    wait_s: float
    say: Say
    #: How long a hold must have stood until it is taken for left over: longer than one that is at work.
    left_over_s: float = 12.0

    @property
    def name(self) -> str:
        """The migration's name."""
        return self.calls.migration.name

    @property
    def phases(self) -> Phases:
        """The record of the phase."""
        return parts_of(self.control).phases(self.name)

    @property
    def clock(self) -> Clock:
        """The source of time."""
        return parts_of(self.control).clock

    def call_roll(self) -> RollCall:
        """Return a watch of the fleet, which knows no heartbeat yet."""
        return RollCall(parts_of(self.control), self.name, self.say)

    async def find(self) -> Standing:
        """Find the record. Raises `PhaseError` where there is none."""
        standing = await self.phases.find()
        if standing is None:
            raise PhaseError(
                f"no phase is recorded for the migration {self.name}: record the one that all processes are in now by "
                "lazymig phase begin, or Switch.begin"
            )
        return standing

    async def explain_overtaken(self, epoch: int | None) -> PhaseError:
        """Return the error of a step for a record that was another one when a person looked at it."""
        now = await self.find()
        moves = [one for one in (*now.history, *now.changes) if epoch is None or one.epoch > epoch]
        did = [f"{one.by}: {one.what or one.after}" for one in sorted(moves, key=lambda one: one.epoch)]
        what = f" ({'; '.join(did)})" if did else ""
        return PhaseError(
            f"{self.name} has changed since you looked at it{what}: it is in {now.phase} at epoch {now.epoch}. Nothing "
            "was done; look again before you go on"
        )

    async def explain_lost(self, standing: Standing) -> PhaseError:
        """Return the error of a change of the record that came too late."""
        now = await self.phases.find()
        if now is None:
            return PhaseError("the record of the phase was removed meanwhile; nothing was done")
        if now.last.epoch > standing.epoch:
            return PhaseError(
                f"{now.last.by} has moved {self.name} to {now.phase} meanwhile; nothing was done here. Look at lazymig "
                "phase show before you go on"
            )
        return PhaseError(f"a setting of {self.name} has changed meanwhile; nothing was done here. Try again")
