"""The loop of a pass over its partitions, which all kinds of passes share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from lazymig.control import Lease
from lazymig.passes.sharing import OnProgress, Share
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition


class Stretch(Protocol):
    """A part of a partition that is done: durably, or with a record of what could not be done."""

    @property
    def last(self) -> Any:
        """The last of its ids, after which another process would continue."""

    @property
    def scanned(self) -> int:
        """How many ids were looked at."""


class Work(Protocol):
    """The work of a pass on each partition."""

    def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Stretch]:
        """Do the partition after a position, and yield each stretch once it is done. Ends early to stop."""

    def endings(self, partition: Partition) -> AsyncGenerator[Any]:
        """Do what remains once all pages are done, in steps; nothing where the run is to stop."""


async def walk(share: Share, work: Work) -> bool:
    """Do every partition that this process can lease. True: the pass is finished, by this process or others."""
    async with aclosing(share.leases()) as leases:
        async for lease in leases:
            await _walk_partition(share, lease, work)
    return share.finished


async def _walk_partition(share: Share, lease: Lease, work: Work) -> None:
    position = lease.position
    async with share.hold(lease), aclosing(work.pages(lease.partition, position)) as pages:
        async for page in pages:
            position = page.last
            # Only now is everything up to here done.
            if not await share.save_checkpoint(lease, position, page.scanned):
                return  # taken over, as the fence shows: the new owner continues from the last checkpoint
        await _finish(work, lease.partition, share.on_progress)
        await share.leave(lease, position)


async def rehearse(
    partitions: Sequence[Partition], work: Work, on_progress: OnProgress, *, descending: bool = False
) -> None:
    """Do these partitions without leases and checkpoints, for a run that writes nothing."""
    for partition in partitions:
        async with aclosing(work.pages(partition, None if descending else partition.low)) as pages:
            async for _ in pages:
                await on_progress()
        await _finish(work, partition, on_progress)


async def _finish(work: Work, partition: Partition, on_progress: OnProgress) -> None:
    async with aclosing(work.endings(partition)) as steps:
        async for _ in steps:
            await on_progress()
