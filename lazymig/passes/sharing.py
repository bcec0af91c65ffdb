"""One process's share of a pass: the partitions that it leases, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from math import ceil
from typing import Protocol

from attrs import frozen
from pymongo.errors import PyMongoError

from lazymig.control import BEAT_S, Identities, Lease, Passes
from lazymig.errors import PassVanished
from lazymig.loop.clock import Clock
from lazymig.passes.partitions import estimate_partitions, plan_partitions
from lazymig.stores.given import RawId, Store
from lazymig.stores.records import Partition
from lazymig.stores.rows import Row

#: Seconds after which a process without a partition looks for a free one: at first, and at most.
_WAIT_S, _WAIT_MAX_S = 0.05, 0.4
_NEVER = datetime.min


class OnProgress(Protocol):
    """Is called on progress. `waiting`: only partitions of other processes are left."""

    async def __call__(self, *, waiting: bool = False) -> None: ...


@frozen(kw_only=True)
class Terms:
    """The options of a process's share."""

    owner: str
    #: (I, N): every N-th partition, from the I-th on.
    shard: tuple[int, int]
    #: About how many documents a partition holds.
    partition_size: int
    #: A pass that others finished after this time counts as this run's, and no new one begins.
    since: datetime | None
    #: The text of the error where the collections are no longer those of the pass.
    replaced: str
    #: Whether the pass goes from the highest id down.
    descending: bool = False


@frozen(kw_only=True)
class Hooks:
    """What a share asks of its owner."""

    #: Whether the run is to stop.
    stopping: Callable[[], bool]
    on_progress: OnProgress
    #: Returns what identifies the collections now; None where that is unknown.
    identify: Callable[[], Awaitable[Identities | None]]


def directed(partitions: Sequence[Partition], descending: bool) -> list[Partition]:
    """Return the partitions in the order in which they are worked on."""
    return list(reversed(partitions)) if descending else list(partitions)


class Share:
    """Leases partitions of the open pass one after the other, and plans a new pass where none is open."""

    def __init__(
        self, passes: Passes, store: Store, terms: Terms, hooks: Hooks, clock: Clock, *, beside: Store | None = None
    ) -> None:
        self._passes = passes
        #: The store whose collection is partitioned, and another whose ids the partitions must cover too.
        self._store, self._beside = store, beside
        self._terms = terms
        self._hooks = hooks
        self.on_progress = hooks.on_progress
        self._clock = clock
        #: What identifies the collections of this run; None where that is unknown.
        self._over: Identities | None = None
        self._wait_s = _WAIT_S
        #: The keys of the leases that are held.
        self._held: set[str] = set()
        #: How many ids the checkpoints of this run have. While one is saved, nobody counts: it is in both or in none.
        self._saved = 0
        self._counting = asyncio.Lock()
        #: Whether the pass is finished, by this process or others.
        self.finished = False
        #: The pass's number and when it was opened, naive UTC, once they are known.
        self.number: int | None = None
        self.began: datetime | None = None

    async def leases(self) -> AsyncGenerator[Lease | None]:
        """Yield one lease after the other until this shard of the pass is done, by this process or others.

        Yields None while all that is left is held: wait until that may have changed, then go on.
        """
        self.finished, self._saved, self._counting = False, 0, asyncio.Lock()
        self._over = await self._hooks.identify()
        self.number = number = await self._open_pass()
        taken = False
        while number is not None and not self._hooks.stopping():
            lease = await self._passes.acquire(number, self._terms.owner, self._terms.shard, held=self._held)
            if lease is not None:
                self._wait_s, taken = _WAIT_S, True
                yield lease
            elif await self._passes.count_open(number, self._terms.shard):
                # Others hold them, and may die; or this process does.
                yield None
            else:
                await self._check_collections()
                try:
                    await self._passes.close_pass(number)
                except PassVanished:
                    if taken:
                        raise
                    # This process did nothing for it: it was broken before, so begin a new one.
                    self.number = number = await self._open_pass()
                    continue
                self.finished = True
                return

    async def _open_pass(self) -> int | None:
        since, owner = self._terms.since, self._terms.owner
        while not self._hooks.stopping():
            current = await self._passes.current()
            if current is not None and current["state"] == "open" and self._is_over(current):
                self.began = current.get("started_at")
                return int(current["number"])
            if current is not None and since is not None and current.get("ended_at", _NEVER) >= since:
                self.finished = True  # the other processes of this run finished before this one started
                return None
            number = await self._passes.claim_planning(owner, self._over)
            if number is not None:
                async with self._keep_beating(partial(self._passes.renew_planning, number)):
                    partitions = await plan_partitions(self._store, self._terms.partition_size, beside=self._beside)
                descending = self._terms.descending
                if await self._passes.open_pass(number, directed(partitions, descending), descending=descending):
                    self.began = self._clock.now()
                    return number
            await self.wait()
        return None

    def _is_over(self, current: Row) -> bool:
        """Whether a pass is over the present collections, and not over earlier ones with their names."""
        return self._over is None or current.get("collections") in (None, dict(self._over))

    async def _check_collections(self) -> None:
        if self._over is not None and await self._hooks.identify() != self._over:
            raise PassVanished(self._terms.replaced)

    async def wait(self) -> None:
        """Wait for other processes, longer each time."""
        await self._hooks.on_progress(waiting=True)
        await self._clock.sleep(self._wait_s)
        # Planning and last pages take a moment, a dead owner's lease longer.
        self._wait_s = min(self._wait_s * 2, _WAIT_MAX_S)

    @asynccontextmanager
    async def hold(self, lease: Lease) -> AsyncIterator[None]:
        """Keep the lease alive within the with statement. Its checkpoints show whether it was taken over."""
        self._held.add(lease.key)
        async with self._keep_beating(partial(self._passes.renew, lease)):
            try:
                yield
            except BaseException:
                # Also where the error of another partition ends the work on this one meanwhile.
                giving = asyncio.ensure_future(self._give_back(lease))
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(giving)
                await asyncio.wait({giving})
                raise
            finally:
                self._held.discard(lease.key)

    async def _give_back(self, lease: Lease) -> None:
        # So that others need not wait until the lease runs out. If this fails too, they wait.
        with suppress(PyMongoError):
            await self._passes.release(lease)

    @asynccontextmanager
    async def _keep_beating(self, renew: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
        ended = False

        async def beat() -> None:
            held = True
            # A driver may raise an error of its own when a statement is cancelled, or swallow the cancellation.
            while held and not ended:
                await self._clock.sleep(BEAT_S)
                # A failed beat costs the lease at most, and the next may succeed.
                with suppress(PyMongoError):
                    held = await renew()

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            ended = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def save_checkpoint(self, lease: Lease, position: RawId, scanned: int) -> bool:
        """Save a checkpoint, then report progress. False: another process took the partition over."""
        async with self._counting:
            if not await self._passes.checkpoint(lease, position, scanned):
                return False
            self._saved += scanned
        await self._hooks.on_progress()
        return True

    async def leave(self, lease: Lease, position: RawId) -> None:
        """End the work on a partition: mark it as done, or give it back where the run is to stop."""
        if self._hooks.stopping():
            await self._passes.release(lease)
        else:
            await self._passes.checkpoint(lease, position, done=True)

    async def count_left(self) -> int:
        """Count the partitions of the pass that no process has done, those of other shards included."""
        return 0 if self.number is None else await self._passes.count_open(self.number, (0, 1))

    async def estimate_left(self) -> int:
        """Estimate how many partitions are left to this shard: of the open pass, or of one that is planned now."""
        self._over = await self._hooks.identify()
        current = await self._passes.current()
        if current is not None and current["state"] == "open" and self._is_over(current):
            return await self._passes.count_open(int(current["number"]), self._terms.shard)
        planned = await estimate_partitions(self._store, self._terms.partition_size, beside=self._beside)
        return ceil(planned / self._terms.shard[1])

    async def count_by_others(self) -> int:
        """Count the ids that other processes of the pass have looked at, or this one in earlier runs."""
        async with self._counting:
            return (await self.count_scanned() or self._saved) - self._saved

    async def count_scanned(self) -> int | None:
        """Count the ids that all processes of the pass have looked at; None before its number is known."""
        return None if self.number is None else await self._passes.count_scanned(self.number)
