"""The rewriter: it stores V1's documents of older versions in the newest one, in place.

Like a sweep it is one pass by one process or many, with checkpoints in the control collection. A killed process loses
the batches in flight at most; rewriting them again changes nothing.
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
from lazymig.sweeping.rewrite import RewriteOptions, RewriteReport, Rewriting
from lazymig.sweeping.versions import Versions

__all__ = ["RewriteReport", "Rewriter", "Versions"]

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Rewriter(Generic[V1, V2]):
    """Rewrites V1's documents of older versions in place: copy-and-transform within one collection.

    A document is changed by one statement, and only while it is as it was read, so no other write is lost. It pauses
    by itself while replication lags.

    Args:
        repository: The repository, whose migration has `upcasters(..., persist=True)`.
        control: The control collection; by default `lazymig_control` in V2's database, or in V1's where there is no V2.
        batch_size: Documents per statement at most.
        concurrency: Batches in flight at a time.
        rate_limit: Documents per second at most; None for no limit. Needs `lazymig[sweep]`.
        max_time_s: Seconds after which the run stops early, as `stop` does.
        shard: `(i, n)` takes every n-th partition from the i-th on.
        dry_run: Bring every document up and write nothing. Allowed without `persist=True`.
        probe: An async function that is asked about once a second: False pauses the run, an exception slows it down.
        on_progress: Called with the report so far after each page.
        partition_size: About how many documents a partition holds.
        since: A pass that others finished after this time (naive UTC) counts as this run's, and no new one begins.
        clock: The source of time, for tests.

    Raises:
        ConfigurationError: If the migration has no upcasters or they do not allow it, an option cannot work, or the
            control collection is V1 or V2; the message says what to change.
        PhaseError: In `V2_ONLY`, where V1 is no longer written.
    """

    def __init__(
        self,
        repository: Repository[V1, V2],
        *,
        control: Control | None = None,
        batch_size: int = 1000,
        concurrency: int = 2,
        rate_limit: float | None = None,
        max_time_s: float | None = None,
        shard: tuple[int, int] = (0, 1),
        dry_run: bool = False,
        probe: Probe | None = None,
        on_progress: Callable[[RewriteReport], None] | None = None,
        partition_size: int = DOCUMENTS_EACH,
        since: datetime | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        options = RewriteOptions(
            limits=Limits(batch_size=batch_size, concurrency=concurrency, rate_limit=rate_limit, probe=probe),
            max_time_s=max_time_s, shard=shard, dry_run=dry_run, partition_size=partition_size, since=since,
            on_progress=on_progress,
        )  # fmt: skip
        self._rewriting = Rewriting(repository, control, options, clock)

    def stop(self) -> None:
        """Finish the batches in flight, save the checkpoint and return from `run`. A signal handler may call it."""
        self._rewriting.stop()

    async def run(self) -> RewriteReport:
        """Rewrite until nothing is left, or until stopped.

        Driver errors pass through. What was done before is kept, and the next run continues from there.

        Returns:
            What this run did, and V1's documents by version.

        Raises:
            ConfigurationError: If the collections cannot be used as they are; nothing was written.
            PassVanished: If V1, or the rows that show what was done, were removed during the run.
        """
        return await self._rewriting.run()
