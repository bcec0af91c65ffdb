"""The sweeper: moves the rest, resolves marks, and tells exactly what needs a person.

One *pass* goes over all of V1, by one process or many: the control collection holds its partitions, which processes
lease, and their checkpoints. Whoever is killed loses at most the batches in flight; moving them again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import uuid4

from attrs import frozen

from lazymig.clock import SYSTEM_CLOCK, Clock
from lazymig.control import LEASE, Control, Lease, RunRecord
from lazymig.errors import ConfigurationError, PhaseError
from lazymig.phases import Phase
from lazymig.protocol import Pair
from lazymig.records import Partition
from lazymig.repository import Repository
from lazymig.sweeping.dead import settle_dead
from lazymig.sweeping.marks import resolve_marks
from lazymig.sweeping.moving import Mover, calm_collector
from lazymig.sweeping.partitions import DOCUMENTS_EACH, plan
from lazymig.sweeping.remainder import Page, Remainder
from lazymig.sweeping.throttle import Probe, Throttle

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: How often a process without a partition looks whether one has become free.
_WAIT_S = 1.0


@frozen
class Progress:
    """Where a sweep stands: counts of this process so far. `total` is V1's estimated size."""

    total: int
    scanned: int
    migrated: int
    present: int
    healed: int
    purged: int
    dead: int
    elapsed_s: float


@frozen
class SweepReport:
    """What one run did.

    `scanned` V1 ids were looked at; `present` of them V2 had, `migrated` were moved, `lost` were moved by a client in
    the same moment, and `dead` failed. Beside that, `healed` marks and `purged` remainders. `dead_letters` is the
    number of entities that need a person now, whichever run met them. `finished` is False when it was stopped early.
    """

    migration: str
    total: int
    scanned: int
    migrated: int
    present: int
    lost: int
    healed: int
    purged: int
    dead: int
    dead_letters: int
    elapsed_s: float
    finished: bool

    @property
    def needs_person(self) -> bool:
        """Whether something is left that no further sweep will mend."""
        return self.dead_letters > 0


class Sweeper(Generic[V1, V2]):
    """Moves what reads and writes have not touched yet, and tidies up behind crashes and deletes.

    `batch_size` documents go to V2 per statement (or 8 MB of them), `concurrency` batches are in flight at a time.
    `rate_limit` is in documents per second. `grace_s` is the age at which a deleted entity's remainder may be purged:
    it must exceed the longest time that an operation may be in flight. `max_time_s` ends the run early, for cron
    windows. `shard=(i, n)` takes every n-th partition only. `dry_run` converts everything and writes nothing at all.
    `probe` is an async function: False pauses the sweep, and an exception slows it down.

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
        probe: Probe | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        partition_size: int = DOCUMENTS_EACH,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if repository.phase is not Phase.COEXIST:
            raise PhaseError(f"a sweep fills V2, which the phase {repository.phase} does not; advance to coexist first")
        if min(batch_size, concurrency, partition_size) < 1 or not 0 <= shard[0] < shard[1]:
            raise ConfigurationError("batch_size, concurrency, partition_size: 1 or more; shard: 0 <= i < n")
        if repository.timeout_s is not None and grace_s <= repository.timeout_s:
            raise ConfigurationError("grace_s must exceed the repository's timeout_s: an operation may be in flight")
        self._pair: Pair[V1, V2] = repository.pair
        self._name = repository.migration.name
        self._control = control or Control(self._pair.v2.collection.database["lazymig_control"], clock)
        self._batch_size, self._concurrency = batch_size, concurrency
        self._grace = timedelta(seconds=grace_s)
        self._max_time_s, self._shard = max_time_s, shard
        self._dry_run, self._partition_size = dry_run, partition_size
        self._on_progress = on_progress
        self._clock = clock
        self._owner = uuid4().hex
        self._counts: Counter[str] = Counter()
        self._mover = Mover(self._pair, None if dry_run else self._control, self._counts, dry_run=dry_run)
        self._stopped = False
        self._started_s = 0.0
        self._total = 0
        self._throttle = Throttle(
            self._pair.v2.collection, clock, rate_limit=rate_limit, probe=probe, stopping=self._stopping
        )

    def stop(self) -> None:
        """Finish the batches in flight, save the checkpoint, and return from `run`. May be called from a signal."""
        self._stopped = True

    async def run(self) -> SweepReport:
        """Sweep until nothing is left, or until stopped.

        Driver errors pass through; what was done before is kept, and the next run goes on from there.
        """
        with calm_collector():
            return await self._run()

    async def _run(self) -> SweepReport:
        self._started_s, began = self._clock.monotonic(), self._clock.now()
        self._total = await self._pair.v1.collection.estimated_document_count()
        if self._dry_run:
            finished = await self._rehearse()
            return self._report(finished, self._counts["dead"])
        await self._pair.v2.ensure_mark_index()
        finished = await self._pass()
        if self._shard[0] == 0:  # once per sweep, not once per shard
            await resolve_marks(self._pair, self._mover, self._counts, self._grace)
            await settle_dead(self._pair, self._control, self._name)
        report = self._report(finished, await self._control.dead_count(self._name))
        await self._control.record_run(
            RunRecord(self._name, began, self._clock.now(), finished, {**self._counts, "total": self._total})
        )
        return report

    async def _rehearse(self) -> bool:
        for partition in await plan(self._pair.v1.collection, self._partition_size):
            async for _ in self._moved(partition, partition.low):
                self._tell()
        return not self._stopping()

    async def _pass(self) -> bool:
        """One pass over V1, shared with whoever else sweeps; whether it was seen to the end."""
        number = await self._open_pass()
        while number is not None and not self._stopping():
            lease = await self._control.acquire(self._name, number, self._owner, self._shard)
            if lease is not None:
                await self._sweep(lease)
            elif await self._control.open_partitions(self._name, number, self._shard):
                # Held by others: stay, and take over should one of them die.
                await self._clock.sleep(_WAIT_S)
            else:
                await self._control.close_pass(self._name, number)
                return True
        return False

    async def _open_pass(self) -> int | None:
        while not self._stopping():
            current = await self._control.current_pass(self._name)
            if current is not None and current["state"] == "open":
                return int(current["number"])
            number = await self._control.claim_planning(self._name, self._owner)
            if number is not None:
                partitions = await plan(self._pair.v1.collection, self._partition_size)
                if await self._control.open_pass(self._name, number, partitions):
                    return number
            await self._clock.sleep(_WAIT_S)
        return None

    async def _sweep(self, lease: Lease) -> None:
        async with self._heartbeat(lease) as held:
            position = lease.position
            async for page in self._moved(lease.partition, lease.position):
                position = page.last
                # Only after everything up to here is durably stored or has its dead letter.
                if not held() or not await self._control.checkpoint(lease, position):
                    return  # taken over: the new owner goes on from the last checkpoint
                self._tell()
            if self._stopping():
                await self._control.release(lease)
            else:
                await self._control.checkpoint(lease, position, done=True)

    async def _moved(self, partition: Partition, position: Any) -> AsyncIterator[Page]:
        """The partition's pages in order, each once it is done, with several in flight."""
        remainder = Remainder(self._pair.v1.collection, self._pair.v2.collection, partition, position, self._batch_size)
        running: deque[tuple[Page, asyncio.Task[None]]] = deque()
        try:
            await self._throttle.turn()
            async for page in remainder.pages():
                running.append((page, asyncio.create_task(self._move(page))))
                while len(running) >= self._concurrency:
                    yield await self._done(*running.popleft())
                if self._stopping():
                    break
                await self._throttle.turn()
            while running:
                yield await self._done(*running.popleft())
        finally:
            for _, task in running:
                task.cancel()
            await asyncio.gather(*(task for _, task in running), return_exceptions=True)

    async def _done(self, page: Page, task: asyncio.Task[None]) -> Page:
        await task
        self._counts["scanned"] += page.scanned
        self._counts["present"] += page.scanned - len(page.missing)
        return page

    async def _move(self, page: Page) -> None:
        missing = page.missing
        for start in range(0, len(missing), self._batch_size):
            batch = missing[start : start + self._batch_size]
            await self._throttle.documents(len(batch))
            if not page.whole:
                found = await self._pair.v1.find_many([document["_id"] for document in batch])
                batch = [dict(stored.document) for stored in found.values()]
            await self._mover.move(batch)

    @asynccontextmanager
    async def _heartbeat(self, lease: Lease) -> AsyncIterator[Callable[[], bool]]:
        held = True

        async def beat() -> None:
            nonlocal held
            while held:
                await self._clock.sleep(LEASE.total_seconds() / 3)
                held = await self._control.renew(lease)

        task = asyncio.create_task(beat())
        try:
            yield lambda: held
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _stopping(self) -> bool:
        if self._max_time_s is not None and self._clock.monotonic() - self._started_s >= self._max_time_s:
            self._stopped = True
        return self._stopped

    def _tell(self) -> None:
        if self._on_progress is not None:
            counts, elapsed_s = self._counts, self._clock.monotonic() - self._started_s
            self._on_progress(
                Progress(
                    max(self._total, counts["scanned"]), counts["scanned"], counts["migrated"], counts["present"],
                    counts["healed"], counts["purged"], counts["dead"], elapsed_s,
                )
            )  # fmt: skip

    def _report(self, finished: bool, dead_letters: int) -> SweepReport:
        counts = self._counts
        return SweepReport(
            self._name, max(self._total, counts["scanned"]), counts["scanned"], counts["migrated"], counts["present"],
            counts["lost"], counts["healed"], counts["purged"], counts["dead"], dead_letters,
            self._clock.monotonic() - self._started_s, finished,
        )  # fmt: skip
