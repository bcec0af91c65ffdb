"""The control collection: what must be remembered between runs and shared between processes.

Passes, their partitions with leases and checkpoints, dead letters, the history of runs, and conversion revisions: one
module each. Every change is one compare-and-set on one row, so that any number of processes may work at once. Never a
TTL index.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable
from copy import copy

from lazymig.control.cohorts import BY_SHARE, REST, Cohorts
from lazymig.control.conversions import KnownConversion
from lazymig.control.cut_over import CutOver, read_cut_over, set_cut_over
from lazymig.control.figures import FiguresRecord, FiguresRows, GroupFigures, sum_up
from lazymig.control.following import Followed, Following
from lazymig.control.members import MemberRecord, Members
from lazymig.control.parts import Parts, compose
from lazymig.control.passes import BEAT_S, LEASE, Identities, Lease, Passes
from lazymig.control.phases import Moved, Note, Phases, Standing
from lazymig.control.runs import RunRecord
from lazymig.control.samples import Sample, Samples
from lazymig.control.steering import Orders, Runners, Running, Steering
from lazymig.control.suspicion import DEGRADE, SUSPECT_SINCE, Suspicion
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.stores.given import Collection, Id, Store
from lazymig.stores.records import DeadLetter
from lazymig.stores.rows import Rows, control_collection_beside
from lazymig.stores.verdicts import Mismatch

__all__ = [
    "BEAT_S", "BY_SHARE", "DEGRADE", "LEASE", "REST", "SUSPECT_SINCE", "Cohorts", "Control", "CutOver",
    "FiguresRecord", "FiguresRows", "Followed", "Following", "GroupFigures", "Identities", "KnownConversion",
    "Lease", "MemberRecord", "Members", "Moved", "Note", "Orders", "Parts", "Passes", "Phases", "RunRecord",
    "Runners", "Running", "Sample", "Samples", "Standing", "Steering", "Suspicion", "cohorts_of", "control_beside",
    "control_over", "parts_of", "read_cut_over", "set_cut_over", "sum_up",
]  # fmt: skip


class Control:
    """What a control collection holds about migrations: dead letters, mismatches, the history of runs, and orders.

    Several migrations may share one collection. It is written and read with majority concern, so what it holds was
    really done.

    Args:
        collection: The control collection, of any of the drivers that `Repository` takes. The sweeper uses
            `lazymig_control` in V2's database where it is given no other.
        clock: The source of time, for tests.
        lease_s: Seconds that a process which follows the phase may work without a heartbeat. A step waits as long for
            a process that died.
    """

    def __init__(self, collection: Collection, clock: Clock = SYSTEM_CLOCK, *, lease_s: float = 15.0) -> None:
        #: The control collection as it was given.
        self.collection = collection
        #: How long a process may work without a heartbeat.
        self.lease_s = lease_s
        rows = Rows(collection)
        self._parts = compose(rows, clock, rows.server_time(clock), lease_s)
        self._cohorts = Cohorts()

    def cohort(self, name: str, ids_or_predicate: Iterable[Id] | Callable[[Id], object]) -> None:
        """Declare a cohort: entities to which V2 answers first once the cohort is switched on.

        Declare it in every process, with the same meaning. A process that does not know a cohort lets V1 answer for it.

        Args:
            name: The name by which the cohort is switched on: `lazymig phase cut-over --cohort NAME`.
            ids_or_predicate: The ids, or a function of an id that says at once whether it belongs to the cohort.

        Raises:
            ConfigurationError: If the name is taken or no name, or if the argument says nothing about ids.
        """
        self._cohorts.declare(name, ids_or_predicate)

    async def cut_over(
        self, migration: str, *, share: float | None = None, cohorts: Iterable[str] | None = None,
        dark_share: float | None = None, by: str = "", why: str = "",
    ) -> None:  # fmt: skip
        """Change at run time, for all processes, whose reads V2 answers first in the phase `coexist`.

        Each process follows within a second. What is None stays as it is. At the beginning the share is 1.

        Args:
            migration: The migration's name.
            share: The part of all entities, from 0 to 1. A fixed hash of the id chooses, so a larger share only adds
                entities.
            cohorts: The names of all cohorts that are switched on.
            dark_share: The part of the reads that is compared, from 0 to 1, in place of `DarkReads.share`.
            by: Who does this, for the history.
            why: The reason, for the history.

        Raises:
            ConfigurationError: If a value cannot work.
            PhaseError: If no phase is recorded, or if V2 answers for everybody already.
        """
        phases = self._parts.phases(migration)
        await set_cut_over(phases, share=share, cohorts=cohorts, dark_share=dark_share, by=by, why=why)

    async def dead_letters(self, migration: str, *, waived: bool | None = None) -> AsyncIterator[DeadLetter]:
        """Yield a migration's dead letters, oldest first. Letters may be added and removed meanwhile.

        Args:
            migration: The migration's name.
            waived: True for the waived ones only, False for the open ones only, None for both.

        Yields:
            Dead letters, in the order of their first failures.
        """
        async for page in self._parts.letters.find_pages(migration, waived=waived):
            for letter in page:
                yield letter

    async def dead_letter(self, migration: str, id: Id) -> DeadLetter | None:
        """Return one entity's dead letter.

        Args:
            migration: The migration's name.
            id: The entity's id.

        Returns:
            The dead letter, or None where the entity has none.
        """
        return await self._parts.letters.find(migration, id)

    async def dead_count(self, migration: str) -> int:
        """Count the dead letters that need a person. Waived ones do not.

        Args:
            migration: The migration's name.

        Returns:
            The number of open dead letters.
        """
        return await self._parts.letters.count_open(migration)

    async def waive(self, migration: str, id: Id, reason: str) -> bool:
        """Accept one failure. The dead letter is open again once V1's document has another revision.

        Args:
            migration: The migration's name.
            id: The entity's id.
            reason: Why the failure is acceptable. It is stored with the dead letter.

        Returns:
            False if the entity has no dead letter, or if it has just changed.
        """
        return await self._parts.letters.waive(migration, id, reason)

    async def unwaive(self, migration: str, id: Id) -> bool:
        """Take a waiver back.

        Args:
            migration: The migration's name.
            id: The entity's id.

        Returns:
            False if there is no waiver.
        """
        return await self._parts.letters.unwaive(migration, id)

    async def mismatches(self, migration: str, *, source: str | None = None) -> AsyncIterator[Mismatch]:
        """Yield the entities whose two sides were found not to agree, those found first at the front.

        Args:
            migration: The migration's name.
            source: "verify" or "dark read" for what those found; None for both.

        Yields:
            Mismatches, one for each entity, also those that do not count yet (`confirmed` is False). They contain ids
            and field paths, and nothing of the documents.
        """
        async for page in self._parts.mismatches.find_pages(migration, source=source):
            for mismatch in page:
                yield mismatch

    async def standing(self, migration: str) -> Standing | None:
        """Return where a migration stands: its phase, who moved it there and why, and what its processes follow.

        Args:
            migration: The migration's name.

        Returns:
            What is recorded, or None where no phase was recorded.

        Raises:
            PhaseError: If this release does not know the recorded phase.
        """
        return await self._parts.phases(migration).find()

    async def members(self, migration: str) -> list[MemberRecord]:
        """Return the processes that follow a migration's phase.

        A process that died stays among them until somebody moves the phase after its lease is over.

        Args:
            migration: The migration's name.

        Returns:
            The processes, by their names.
        """
        return await self._parts.members(migration).find_all()

    async def history(self, migration: str, limit: int = 20, *, kind: str = "sweep") -> list[RunRecord]:
        """Return the last runs, newest first. Each process of a run that several share has its own record.

        Args:
            migration: The migration's name.
            limit: How many runs at most.
            kind: The kind of pass that the runs belong to.

        Returns:
            The records, newest first.
        """
        return await self._parts.runs.find_last(migration, limit, kind=kind)

    async def steering(self, migration: str, *, kind: str = "sweep") -> Steering:
        """Return the orders for running passes.

        Args:
            migration: The migration's name.
            kind: "sweep", "verify" or "rewrite".

        Returns:
            The orders, which each running process follows within about a second.
        """
        return await self._parts.orders(migration, kind).find()

    async def pause(self, migration: str, *, by: str, reason: str = "", kind: str = "sweep") -> bool:
        """Make all processes of these passes wait, those that start later too, until `resume`.

        They finish the batches in flight, keep their leases, and can be stopped meanwhile.

        Args:
            migration: The migration's name.
            by: Who pauses them. Progress and status show it.
            reason: Why, for those who see that nothing moves.
            kind: "sweep", "verify" or "rewrite".

        Returns:
            False if they are paused already. Who did it and why stands.
        """
        return await self._parts.orders(migration, kind).pause(by, reason)

    async def resume(self, migration: str, *, by: str, kind: str = "sweep") -> bool:
        """End a pause.

        Args:
            migration: The migration's name.
            by: Who ends it.
            kind: "sweep", "verify" or "rewrite".

        Returns:
            False if they are not paused.
        """
        return await self._parts.orders(migration, kind).resume(by)

    async def set_rate(self, migration: str, rate: float | None, *, by: str, kind: str = "sweep") -> None:
        """Set how many documents a second each running process may do. Later passes go by their own options again.

        Args:
            migration: The migration's name.
            rate: Documents per second in each process; None for no limit.
            by: Who sets it.
            kind: "sweep", "verify" or "rewrite".

        Raises:
            ValueError: If the rate is not above 0.
        """
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError("rate: pass documents per second above 0, or None for no limit")
        await self._parts.orders(migration, kind).set_rate(rate, by)


def control_over(control: Control, rows: Rows) -> Control:
    """Return the control collection with these rows, such as rows that wait where others raise an error."""
    over = copy(control)
    over._parts = compose(rows, parts_of(control).clock, parts_of(control).time, control.lease_s)
    return over


def parts_of(control: Control) -> Parts:
    """Return what a `Control` is composed of, for lazymig's own tools."""
    return control._parts


def cohorts_of(control: Control) -> Cohorts:
    """Return the cohorts that were declared in this process, for lazymig's own tools."""
    return control._cohorts


def control_beside(store: Store, clock: Clock = SYSTEM_CLOCK) -> Control:
    """Return the control collection in the database of this store: the one to use where the user names no other."""
    return Control(control_collection_beside(store), clock)
