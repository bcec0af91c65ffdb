"""Pages on their way: found, converted and stored, several at a time, and given back in order once they are done."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from lazymig.pair import Pair
from lazymig.records import Partition
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import Page, Remainder
from lazymig.sweeping.throttle import Throttle

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_Running = deque[tuple[Page, "asyncio.Task[bool]"]]


class Flow(Generic[V1, V2]):
    """Moves what V2 lacks of one partition after the other."""

    def __init__(
        self,
        pair: Pair[V1, V2],
        mover: Mover[V1, V2],
        throttle: Throttle,
        counts: Counter[str],
        *,
        batch_size: int,
        concurrency: int,
    ) -> None:
        self._pair = pair
        self._mover = mover
        self._throttle = throttle
        self._counts = counts
        self._batch_size = batch_size
        self._concurrency = concurrency
        self.begin()

    def begin(self) -> None:
        """A run begins: nobody knows what it will meet."""
        #: What the last partition met is the best guess for the next.
        self._lean: bool | None = None

    async def pages(self, partition: Partition, position: Any) -> AsyncGenerator[Page]:
        """The partition's pages from the position on, in order, each once it is done.

        Ends early when the sweep is to stop: a page that was begun and not finished is not given.
        """
        v1, v2 = self._pair.v1.collection, self._pair.v2.collection
        remainder = Remainder(v1, v2, partition, position, self._batch_size, self._lean)
        running: _Running = deque()
        try:
            async with aclosing(self._found(remainder)) as found:
                async for page in found:
                    running.append((page, asyncio.create_task(self._move(remainder, page))))
                    while len(running) >= self._concurrency and await running[0][1]:
                        yield self._counted(running.popleft()[0])
            while running and await running[0][1]:
                yield self._counted(running.popleft()[0])
        finally:
            for _, task in running:
                task.cancel()
            await asyncio.gather(*(task for _, task in running), return_exceptions=True)

    async def _found(self, remainder: Remainder) -> AsyncGenerator[Page]:
        pages = remainder.pages()
        clock = self._pair.clock
        while await self._throttle.turn():
            began_s = clock.monotonic()
            page = await anext(pages, None)
            self._lean = remainder.lean
            if page is None:
                return
            self._throttle.latency.measured(page.whole, page.scanned, clock.monotonic() - began_s)
            yield page

    def _counted(self, page: Page) -> Page:
        self._counts["scanned"] += page.scanned
        self._counts["present"] += page.scanned - len(page.missing)
        return page

    async def _move(self, remainder: Remainder, page: Page) -> bool:
        """Move what the page lacks, a batch at a time. False: told to stop before all was moved."""
        rest, clock = page.missing, self._pair.clock
        while rest:
            size = self._throttle.batches.size
            batch, rest = rest[:size], rest[size:]
            if not await self._throttle.documents(len(batch)):
                return False
            began_s = clock.monotonic()
            await self._move_batch(remainder, batch, whole=page.whole)
            self._throttle.batches.took(len(batch), clock.monotonic() - began_s)
        return True

    async def _move_batch(self, remainder: Remainder, batch: Any, *, whole: bool) -> None:
        if whole:
            await self._mover.move(batch)
            return
        async for documents in remainder.whole(batch):
            await self._mover.move(documents)
