"""The sweeper: it moves the remaining entities, resolves marks, and reports exactly what needs a person.

One *pass* covers all of V1, by one process or many. The control collection holds its partitions, which processes lease,
and their checkpoints. A killed process loses the batches in flight at most; moving them again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """Moves the entities that reads and writes have not moved yet, and cleans up after crashes and deletes.

    Where one document carries both shapes, it stores the V2 parts that are missing, or were made of other V1 fields
    than stand beside them, and changes none of V1's fields. It reads every document then: no index finds those.

    It has less on the way where live reads would take longer. It pauses while replication lags, and slows down while
    the server answers much more slowly than before or reports overload. Statements that are refused as overload are
    tried again for a quarter of an hour.

    Args:
        repository: The repository to sweep.
        control: The control collection; by default `lazymig_control` in V2's database.
        batch_size: Documents per statement at most; a batch never exceeds 8 MB.
        concurrency: Batches on the way to the server at a time, at most. The next one is read and converted meanwhile.
        rate_limit: Documents per second at most; None for no limit. Needs `lazymig[sweep]`. In one document each that
            is read counts.
        grace_s: The age in seconds at which the remainder of a deleted entity may be purged. It must exceed the longest
            time that an operation may be in flight, such as the repository's `timeout_s`. In one document nothing
            remains of a delete.
        max_time_s: Seconds after which the run stops early, as `stop` does; for cron windows.
        shard: `(i, n)` takes every n-th partition from the i-th on; several sweepers divide a pass so without sharing
            partitions.
        dry_run: Convert everything and write nothing.
        adopt: Replace V2's documents that lazymig did not store by what V1 holds. Without it, a sweep that finds one
            is refused. Not in one document.
        probe: An async function that is asked about once a second: False pauses the sweep, an exception slows it down.
        on_progress: Called with a `Progress` after each page, at least once a second while the sweep waits for others,
            and at the end.
        partition_size: About how many documents a partition holds.
        where: A MongoDB filter on V1: move only the documents that it finds. This is no full pass: it leaves marks and
            dead letters alone, and neither continues nor ends the pass over all.
        newest_first: Begin with the highest ids. Such a pass has its own checkpoints.
        live_slowdown: How many times as long live reads may take while the sweep's statements are on the way. Where
            nobody else reads the collections, the sweep goes by its limits; where others do, in small steps. It has
            less in flight where reads are slower. None: it always goes by its limits.
        since: A pass that others finished after this time (naive UTC) counts as this run's, and no new one begins.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If an option cannot work, or the control collection is V1 or V2; the message says what to
            change.
        PhaseError: In a phase in which V2 must not be filled.
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
        where: Mapping[str, object] | None = None,
        newest_first: bool = False,
        live_slowdown: float | None = 2.0,
        since: datetime | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        options = SweepOptions(
            limits=Limits(
                batch_size=batch_size, concurrency=concurrency, rate_limit=rate_limit, probe=probe,
                live_slowdown=live_slowdown,
            ),
            grace_s=grace_s, max_time_s=max_time_s, shard=shard, dry_run=dry_run, adopt=adopt,
            partition_size=partition_size, since=since, on_progress=on_progress, where=where, newest_first=newest_first,
        )  # fmt: skip
        options.check()
        self._sweep = Sweep(repository, control, options, clock)

    def stop(self) -> None:
        """Finish the batches in flight, save the checkpoint and return from `run`. A signal handler may call it."""
        self._sweep.stop()

    async def run(self) -> SweepReport:
        """Sweep until nothing is left, or until stopped.

        Driver errors pass through. What was done before is kept, and the next run continues from there.

        Returns:
            What this run did, and what is left.

        Raises:
            ConfigurationError: If the collections cannot be swept; nothing was written.
            UpgradeDiffers: If the migration's `upgrade_pipeline` makes another body than `upgrade`; it was not stored.
            PassVanished: If the collections, or the rows that show what was swept, were removed during the sweep.
        """
        return await self._sweep.run()


async def estimate_partitions(sweeper: Sweeper[V1, V2]) -> int:
    """Estimate how many partitions are left to a sweeper, which is how many processes could share them."""
    return await sweeper._sweep.estimate_partitions()
