"""One process's part in a pass: which partitions it may sweep, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any

from pymongo.errors import PyMongoError

from lazymig.control import BEAT_S, Collections, Control, Lease
from lazymig.errors import PassVanished
from lazymig.loop.clock import Clock
from lazymig.passes.partitions import plan

#: How soon, and then how often, a process without a partition looks whether one has become free.
_WAIT_S, _WAIT_MAX_S = 0.05, 1.0
_NEVER = datetime.min


class Share:
    """Takes partitions of the open pass one after the other, and plans a new pass where none is open."""

    def __init__(
        self,
        control: Control,
        migration: str,
        owner: str,
        *,
        shard: tuple[int, int],
        clock: Clock,
        stopping: Callable[[], bool],
        since: datetime | None = None,
        on_wait: Callable[[], Awaitable[None]],
        over: Callable[[], Awaitable[Collections | None]],
    ) -> None:
        self._control = control
        self._since = since
        self._migration = migration
        self._owner = owner
        self._shard = shard
        self._clock = clock
        self._stopping = stopping
        self._on_wait = on_wait
        self._look_over = over
        #: What identifies the collections of this run; None where that cannot be known.
        self._over: Collections | None = None
        self._wait_s = _WAIT_S
        #: Whether the pass was seen to its end.
        self.finished = False
        #: The pass's number, once it is known.
        self.number: int | None = None

    async def leases(self, collection: Any, partition_size: int) -> AsyncGenerator[Lease]:
        """One lease after the other until this shard of the pass is done, by this process or others."""
        self.finished = False
        self._over = await self._look_over()
        self.number = number = await self._open_pass(collection, partition_size)
        taken = False
        while number is not None and not self._stopping():
            lease = await self._control.acquire(self._migration, number, self._owner, self._shard)
            if lease is not None:
                self._wait_s, taken = _WAIT_S, True
                yield lease
            elif await self._control.open_partitions(self._migration, number, self._shard):
                # Held by others: stay, and take over should one of them die.
                await self._wait()
            else:
                await self._check_collections()
                try:
                    await self._control.close_pass(self._migration, number)
                except PassVanished:
                    if taken:
                        raise
                    # Nothing was done for it here: it was broken before, and a new one is swept instead.
                    self.number = number = await self._open_pass(collection, partition_size)
                    continue
                self.finished = True
                return

    async def _open_pass(self, collection: Any, partition_size: int) -> int | None:
        while not self._stopping():
            current = await self._control.current_pass(self._migration)
            if current is not None and current["state"] == "open" and self._is_over(current):
                return int(current["number"])
            if current is not None and self._since is not None and current.get("ended_at", _NEVER) >= self._since:
                self.finished = True  # the others of this sweep were through before this one came
                return None
            number = await self._control.claim_planning(self._migration, self._owner, self._over)
            if number is not None:
                async with self._beating(partial(self._control.renew_planning, self._migration, number)):
                    partitions = await plan(collection, partition_size)
                if await self._control.open_pass(self._migration, number, partitions):
                    return number
            await self._wait()
        return None

    def _is_over(self, current: Mapping[str, Any]) -> bool:
        """Whether a pass goes over the collections that stand now, and not over others of their names."""
        return self._over is None or current.get("collections") in (None, dict(self._over))

    async def _check_collections(self) -> None:
        if self._over is not None and await self._look_over() != self._over:
            raise PassVanished("V1 or V2 was dropped or replaced while it was swept; run the sweep again")

    async def _wait(self) -> None:
        await self._on_wait()
        await self._clock.sleep(self._wait_s)
        # Planning and last pages are over in a moment; a dead owner's lease is not.
        self._wait_s = min(self._wait_s * 2, _WAIT_MAX_S)

    @asynccontextmanager
    async def held(self, lease: Lease) -> AsyncIterator[None]:
        """Keep the lease alive within the with statement. Whether it was taken over, its checkpoints show."""
        async with self._beating(partial(self._control.renew, lease)):
            try:
                yield
            except BaseException:
                # Others need not wait for the lease to run out. Should this fail too, they will.
                with suppress(PyMongoError):
                    await self._control.release(lease)
                raise

    @asynccontextmanager
    async def _beating(self, renew: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
        async def beat() -> None:
            held = True
            while held:
                await self._clock.sleep(BEAT_S)
                # A beat that fails costs at most the lease, and the next may arrive.
                with suppress(PyMongoError):
                    held = await renew()

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
