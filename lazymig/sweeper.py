"""The sweeper: moves the rest, resolves marks, and reports exactly what needs a person.

One *pass* goes over all of V1, by one process or many: the control collection holds its partitions, which processes
lease, and their checkpoints. A killed process loses at most the batches in flight; moving them again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from lazymig.control import Control
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.passes.partitions import DOCUMENTS_EACH
from lazymig.passes.throttle import Limits, Probe
from lazymig.repository import Repository
from lazymig.sweeping.options import SweepOptions
from lazymig.sweeping.report import Progress, SweepReport
from lazymig.sweeping.sweep import Sweep

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
        options = SweepOptions(
            limits=Limits(batch_size=batch_size, rate_limit=rate_limit, probe=probe), concurrency=concurrency,
            grace_s=grace_s, max_time_s=max_time_s, shard=shard, dry_run=dry_run, adopt=adopt,
            partition_size=partition_size, since=since, on_progress=on_progress,
        )  # fmt: skip
        options.check(repository)
        self._sweep = Sweep(repository, control, options, clock)

    def stop(self) -> None:
        """Finish the batches in flight, save the checkpoint, and return from `run`. May be called from a signal."""
        self._sweep.stop()

    async def run(self) -> SweepReport:
        """Sweep until nothing is left, or until stopped.

        Returns:
            What this run did, and what is left.

        Raises:
            ConfigurationError: The collections cannot be swept; nothing was written.
            PassVanished: The collections, or the rows that show what was swept, were removed meanwhile.

        Driver errors pass through; what was done before is kept, and the next run goes on from there.
        """
        return await self._sweep.run()
