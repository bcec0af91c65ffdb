"""The sweeper: moves the rest, resolves marks, and reports exactly what needs a person.

One *pass* goes over all of V1, by one process or many: the control collection holds its partitions, which processes
lease, and their checkpoints. A killed process loses at most the batches in flight; moving them again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, TypeVar
from uuid import uuid4

from lazymig.control import Control, Lease, RunRecord
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.passes.partitions import DOCUMENTS_EACH, plan
from lazymig.passes.sharing import Share
from lazymig.passes.throttle import Probe, Throttle
from lazymig.phases import Phase
from lazymig.protocol.pair import Pair
from lazymig.repository import Repository
from lazymig.stores.records import Partition
from lazymig.surroundings.checking import check_apart
from lazymig.surroundings.contents import Foreign
from lazymig.surroundings.looking import identities
from lazymig.sweeping.adopting import adopt_foreign
from lazymig.sweeping.dead import settle_dead
from lazymig.sweeping.flow import Flow
from lazymig.sweeping.marks import resolve_marks
from lazymig.sweeping.moving import Mover, calm_collector
from lazymig.sweeping.outlook import Outlook
from lazymig.sweeping.reconverting import Reconverter, prepare
from lazymig.sweeping.report import Progress, SweepReport, report_of
from lazymig.sweeping.revisions import remember, warnings

__all__ = ["Progress", "SweepReport", "Sweeper"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Sweeper(Generic[V1, V2]):
    """Moves what reads and writes have not touched yet, and tidies up behind crashes and deletes.

    `batch_size` documents go to V2 per statement (or 8 MB of them), `concurrency` batches are in flight at a time.
    `rate_limit` is in documents per second. `grace_s` is the age at which a deleted entity's remainder may be purged:
    it must exceed the longest time that an operation may be in flight. `max_time_s` ends the run early, for cron
    windows. `shard=(i, n)` takes every n-th partition only. `dry_run` converts everything and writes nothing at all.
    `adopt` replaces V2's documents that lazymig did not store by what V1 holds; without it, a sweep that sees one is
    refused.
    With `since`, a pass that others ended after that time (naive UTC) counts as this run's: no new one is begun.
    `probe` is an async function: False pauses the sweep, and an exception slows it down. By itself it pauses while
    replication lags, and slows down while the server answers much more slowly than it did before. `on_progress` is
    called after each page, at least each second while it waits for others, and at the end.

    Raises `ConfigurationError`, and `PhaseError` in a phase in which V2 must not be filled.
    """

    def __init__(
        self,
        repository: Repository[V1, V2],
        *,
        control: Control | None = None,
        batch_size: int = 1000,
        concurrency: int = 2,
        rate_limit: float | None = None,
        grace_s: float = 3600,
        max_time_s: float | None = None,
        shard: tuple[int, int] = (0, 1),
        dry_run: bool = False,
        adopt: bool = False,
        probe: Probe | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        partition_size: int = DOCUMENTS_EACH,
        since: datetime | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if repository.phase is not Phase.COEXIST:
            raise PhaseError(f"a sweep fills V2, which the phase {repository.phase} does not; advance to coexist first")
        if min(batch_size, concurrency, partition_size) < 1 or not 0 <= shard[0] < shard[1]:
            raise ConfigurationError("batch_size, concurrency, partition_size: 1 or more; shard: 0 <= i < n")
        if repository.timeout_s is not None and grace_s <= repository.timeout_s:
            raise ConfigurationError("grace_s must exceed the repository's timeout_s: an operation may be in flight")
        self._pair: Pair[V1, V2] = repository.pair
        v1, v2 = self._pair.v1.collection, self._pair.v2.collection
        self._first_use, self._adopt = repository.first_use, adopt
        self._name = repository.migration.name
        self._control = control or Control(v2.database["lazymig_control"], clock)
        check_apart(self._control.collection, v1, v2)
        self._grace = timedelta(seconds=grace_s)
        self._max_time_s, self._shard = max_time_s, shard
        self._dry_run, self._partition_size = dry_run, partition_size
        self._on_progress = on_progress
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._mover = Mover(self._pair, None if dry_run else self._control, self._counts, dry_run=dry_run)
        self._stopped = False
        self._warnings: list[str] = []
        self._throttle = throttle = Throttle(
            v2, clock, rate_limit=rate_limit, probe=probe, stopping=self._stopping, batch_size=batch_size
        )
        self._flow = Flow(self._pair, self._mover, throttle, self._counts, concurrency=concurrency)
        self._reconverter = Reconverter(self._pair, self._mover, throttle, self._counts, dry_run=dry_run)
        self._share = Share(
            self._control, self._name, uuid4().hex, shard=shard, clock=clock, stopping=self._stopping, since=since,
            on_wait=self._tell_waiting, over=partial(identities, v1, v2),
        )  # fmt: skip
        self._outlook = Outlook(v1, v2, clock, self._counts, self._swept)

    def stop(self) -> None:
        """Finish the batches in flight, save the checkpoint, and return from `run`. May be called from a signal."""
        self._stopped = True

    async def run(self) -> SweepReport:
        """Sweep until nothing is left, or until stopped.

        Driver errors pass through; what was done before is kept, and the next run goes on from there.
        """
        strangers = await self._look()
        self._counts.clear()
        self._counts["foreign"] = strangers.seen
        self._flow.begin()
        self._mover.failures.begin()
        await self._outlook.begin()
        self._warnings = [*strangers.problem, *await warnings(self._pair, self._control)]
        with calm_collector():
            return await (self._rehearse() if self._dry_run else self._run())

    async def _look(self) -> Foreign:
        """Refuse collections that cannot be swept, before anything is written; which strangers are to be left."""
        control = None if self._dry_run else self._control.collection
        found = await self._first_use.look(control=control, whole=True)
        found.check(strangers=False if self._adopt else None)
        return Foreign() if self._adopt else found.foreign

    async def _adopted(self) -> None:
        if self._adopt and self._shard[0] == 0:
            await adopt_foreign(self._pair, self._mover, self._throttle, self._counts)

    async def _run(self) -> SweepReport:
        began = self._clock.now()
        await self._pair.v2.ensure_mark_index()
        await prepare(self._pair)
        await self._control.ensure_index()
        await self._adopted()
        await remember(self._pair, self._control)
        async with aclosing(self._share.leases(self._pair.v1.collection, self._partition_size)) as leases:
            async for lease in leases:
                await self._sweep(lease)
        finished = self._share.finished
        if self._shard[0] == 0:  # once per sweep, not once per shard
            finished &= await resolve_marks(self._pair, self._mover, self._counts, self._grace, self._stopping)
            await settle_dead(self._pair, self._control, self._mover, self._grace, stopping=self._stopping)
        await self._mover.failures.flush()  # all is stored by now; a crash from here on loses no letter
        report = await self._report(await self._control.dead_count(self._name), finished=finished)
        counts = {**self._counts, "total": self._outlook.total}
        await self._control.record_run(RunRecord(self._name, began, self._clock.now(), report.finished, counts))
        return report

    async def _rehearse(self) -> SweepReport:
        await self._adopted()
        index, count = self._shard
        for partition in (await plan(self._pair.v1.collection, self._partition_size))[index::count]:
            async with aclosing(self._flow.pages(partition, partition.low)) as pages:
                async for _ in pages:
                    await self._tell()
            if self._reconverter.needed:
                await self._reconvert(partition)
        return await self._report(self._counts["dead"], finished=not self._stopping())

    async def _sweep(self, lease: Lease) -> None:
        position = lease.position
        async with self._share.held(lease), aclosing(self._flow.pages(lease.partition, position)) as pages:
            async for page in pages:
                position = page.last
                # Only after everything up to here is durably stored or has its dead letter.
                if not await self._control.checkpoint(lease, position, page.scanned):
                    return  # taken over, which the fence shows: the new owner goes on from the last checkpoint
                await self._tell()
            if self._reconverter.needed and not self._stopping():
                await self._reconvert(lease.partition)
            if self._stopping():
                await self._control.release(lease)
            else:
                await self._control.checkpoint(lease, position, done=True)

    async def _reconvert(self, partition: Partition) -> None:
        async with aclosing(self._reconverter.pages(partition)) as pages:
            async for _ in pages:
                await self._tell()

    def _stopping(self) -> bool:
        return self._stopped or (self._max_time_s is not None and self._outlook.elapsed_s >= self._max_time_s)

    async def _swept(self) -> int:
        """How many V1 ids the whole pass has looked at; a dry run is a pass of its own."""
        if self._dry_run or self._share.number is None:
            return self._counts["scanned"]
        return await self._control.swept(self._name, self._share.number)

    async def _tell(self, *, waiting: bool = False) -> None:
        if self._on_progress is not None:
            self._on_progress(await self._outlook.progress(waiting=waiting))

    async def _tell_waiting(self) -> None:
        await self._tell(waiting=True)

    async def _report(self, dead_letters: int, *, finished: bool) -> SweepReport:
        left, total = await self._outlook.look(), self._outlook.total
        await self._tell()
        return report_of(
            self._name, self._counts, total, left, self._outlook.elapsed_s,
            dead_letters=dead_letters, finished=finished, warnings=self._warnings,
            not_movable=self._mover.failures.named,
        )  # fmt: skip
