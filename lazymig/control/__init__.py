"""The control collection: what must be remembered between runs and shared between processes.

Passes, their partitions with leases and checkpoints, dead letters, the history of runs, and conversion revisions: one
module each. Every change is one compare-and-set on one row, so that any number of processes may work at once. Never a
TTL index.
"""

from __future__ import annotations

from typing import Any

from lazymig.control.conversions import Conversions, KnownConversion
from lazymig.control.dead_letters import BY_AGE, DeadLetters
from lazymig.control.passes import BEAT_S, LEASE, Collections, Lease, Passes
from lazymig.control.runs import RunRecord, Runs
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.stores.rows import Rows, beside

__all__ = ["BEAT_S", "LEASE", "Collections", "Control", "KnownConversion", "Lease", "Passes", "RunRecord"]


class Control(DeadLetters, Runs, Conversions):
    """The port to a control collection, which several migrations may share.

    Written and read with majority concern: what is remembered here was really done.
    """

    def __init__(self, collection: Any, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(Rows(collection), clock)
        #: As it was given.
        self.collection = collection

    @classmethod
    def beside(cls, store: Any, clock: Clock = SYSTEM_CLOCK) -> Control:
        """The control collection that lies beside a store's collection, where the user names no other."""
        return cls(beside(store), clock)

    def passes(self, migration: str, kind: str) -> Passes:
        """The passes of one kind over one migration's collections."""
        return Passes(self._rows, self._clock, migration, kind)

    async def ensure_index(self) -> None:
        """Create the indexes by which rows are found without a scan, and dead letters in their order."""
        await self._rows.ensure_index([("kind", 1), ("migration", 1), ("state", 1)], "lazymig_kind")
        await self._rows.ensure_index([("kind", 1), ("migration", 1), *BY_AGE], "lazymig_first_at")
