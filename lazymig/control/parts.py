"""The parts of one control collection, for lazymig's own tools: each is one module of this package."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from lazymig.control.at_work import AtWork
from lazymig.control.conversions import KnownConversions
from lazymig.control.dead_letters import BY_AGE, DeadLetters
from lazymig.control.figures import FiguresRows
from lazymig.control.following import Following
from lazymig.control.journal import Journal
from lazymig.control.members import Members
from lazymig.control.mismatches import Mismatches
from lazymig.control.passes import Passes
from lazymig.control.phases import Phases
from lazymig.control.retirement import Retirements
from lazymig.control.runs import Runs
from lazymig.control.samples import Samples
from lazymig.control.steering import Orders, Runners, Steering, find_orders
from lazymig.control.watching import Watching
from lazymig.loop.clock import Clock
from lazymig.stores.rows import Rows
from lazymig.stores.server_time import ServerTime


@frozen
class Parts:
    """The parts of one control collection, for lazymig's own tools."""

    rows: Rows
    clock: Clock
    letters: DeadLetters
    runs: Runs
    conversions: KnownConversions
    mismatches: Mismatches
    at_work: AtWork
    #: The time by which what people see is in order: phases, the journal, samples.
    time: ServerTime
    #: How long a process of the fleet may work without a heartbeat, as this one was made.
    lease_s: float

    def passes(self, migration: str, kind: str) -> Passes:
        """Return the passes of one kind over one migration's collections."""
        return Passes(self.rows, self.clock, migration, kind)

    def following(self, migration: str) -> Following:
        """Return the row of one migration's follower."""
        return Following(self.rows, self.clock, migration)

    def orders(self, migration: str, kind: str) -> Orders:
        """Return the orders for passes of one kind, however they are filtered or directed."""
        return Orders(self.rows, self.clock, migration, kind.partition(" ")[0])

    async def find_orders(self, migration: str, kinds: Sequence[str]) -> dict[str, Steering]:
        """Find the orders for several kinds of passes, by one statement."""
        return await find_orders(self.rows, migration, kinds)

    def runners(self, migration: str) -> Runners:
        """Return the processes that run passes over one migration."""
        return Runners(self.rows, self.clock, migration)

    def phases(self, migration: str) -> Phases:
        """Return the record of one migration's phase."""
        return Phases(self.rows, self.time, migration)

    def watching(self, migration: str) -> Watching:
        """Return the record of one migration's watch on V1."""
        return Watching(self.rows, self.clock, migration)

    def retirement(self, migration: str) -> Retirements:
        """Return the record of one migration's retirement."""
        return Retirements(self.rows, self.clock, migration)

    def members(self, migration: str) -> Members:
        """Return the records of the processes in one migration's fleet."""
        return Members(self.rows, self.clock, migration)

    def figures(self, migration: str) -> FiguresRows:
        """Return what the processes of one migration's fleet found while the cut-over is gradual."""
        return FiguresRows(self.rows, self.clock, migration)

    def samples(self, migration: str) -> Samples:
        """Return the samples of how far one migration was."""
        return Samples(self.rows, self.time, migration)

    def journal(self, migration: str) -> Journal:
        """Return what people ordered for one migration."""
        return Journal(self.rows, self.time, migration)

    async def ensure_indexes(self) -> None:
        """Create the indexes that find rows without a scan, and dead letters in their order."""
        await self.rows.ensure_index([("kind", 1), ("migration", 1), ("state", 1)], "lazymig_kind")
        await self.rows.ensure_index([("kind", 1), ("migration", 1), *BY_AGE], "lazymig_first_at")


def compose(rows: Rows, clock: Clock, time: ServerTime, lease_s: float) -> Parts:
    return Parts(
        rows, clock, DeadLetters(rows, clock), Runs(rows, clock), KnownConversions(rows, clock),
        Mismatches(rows, clock), AtWork(rows, clock), time, lease_s,
    )  # fmt: skip
