"""The loop of a pass over its partitions, which all kinds of passes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from lazymig.control import Lease
from lazymig.passes.sharing import OnProgress, Share
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition

#: How many partitions a process works on at a time.
_AT_ONCE = 2


class Stretch(Protocol):
    """A part of a partition that is done: durably, or with a record of what could not be done."""

    @property
    def last(self) -> Any:
        """The last of its ids, after which another process would continue."""

    @property
    def scanned(self) -> int:
        """How many ids were looked at."""


class LastPage:
    """Says that the last page of a partition is found: what is left of it leaves room for the next partition."""

    def __init__(self) -> None:
        self.found = False
        self._waiting: asyncio.Future[None] | None = None

    def note(self) -> None:
        """Note that it is found."""
        self.found = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self) -> None:
        """Wait until it is found. One task waits at a time."""
        if not self.found:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting


class Work(Protocol):
    """The work of a pass on each partition."""

    def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Stretch]:
        """Do the partition after a position, and yield each stretch once it is done. Ends early to stop."""

    def endings(self, partition: Partition) -> AsyncGenerator[Any]:
        """Do what remains once all pages are done, in steps; nothing where the run is to stop."""


async def walk(share: Share, work: Work, last_page: LastPage | None = None) -> bool:
    """Do every partition that this process can lease. True: the pass is finished, by this process or others.

    With a `last_page`, the next partition begins once the last page of one is found, while others are still on the way.
    """
    walks: set[asyncio.Task[None]] = set()
    try:
        async with aclosing(share.leases()) as leases:
            async for lease in leases:
                if lease is not None:
                    walks.add(asyncio.create_task(_walk_partition(share, lease, work)))
                    await _follow(walks, last_page)
                elif walks:
                    await _end_one(walks)
                else:
                    await share.wait()
        while walks:
            await _end_one(walks)
    finally:
        for task in walks:
            task.cancel()
        await asyncio.gather(*walks, return_exceptions=True)
    return share.finished


async def _follow(walks: set[asyncio.Task[None]], last_page: LastPage | None) -> None:
    """Wait until another partition may begin beside these."""
    while walks and (last_page is None or len(walks) >= _AT_ONCE or not last_page.found):
        await _end_one(walks, last_page if len(walks) < _AT_ONCE else None)
    if last_page is not None:
        last_page.found = False


async def _end_one(walks: set[asyncio.Task[None]], last_page: LastPage | None = None) -> None:
    """Wait until one of these ends, or until the last page of a partition is found; raise its error."""
    noticing = [] if last_page is None else [asyncio.ensure_future(last_page.wait())]
    try:
        done, _ = await asyncio.wait({*walks, *noticing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in noticing:
            waiting.cancel()
    for task in done & walks:
        walks.discard(task)
        await task


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
