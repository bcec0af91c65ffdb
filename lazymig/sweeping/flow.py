"""The flow of pages: found, converted and stored, several at a time, and yielded in order once they are done."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import partial
from typing import Generic, TypeVar

from lazymig.metrics import SWEEP_BATCH
from lazymig.passes.throttle import Throttle
from lazymig.passes.walking import LastPage
from lazymig.protocol.pair import Pair
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import EVERYTHING, Choice, Page, Remainder
from lazymig.sweeping.server_side import ServerSide

P = TypeVar("P")
V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Ids per page under a rate limit, where a page takes long and checkpoints should still come soon.
LIMITED_PAGE = 1000


async def work_in_order(
    found: AsyncGenerator[tuple[P, float]],
    work: Callable[[P, float], Coroutine[object, object, bool]],
    throttle: Throttle,
) -> AsyncGenerator[P]:
    """Work on several pages at a time; yield them in the order in which they were found, each once it is done.

    `work` gets a page and the time before it was read. False: the pass is to stop before all of the page is done.
    """
    running: deque[tuple[P, asyncio.Task[bool]]] = deque()
    try:
        async with aclosing(found):
            async for page, read_at_s in found:
                running.append((page, asyncio.create_task(work(page, read_at_s))))
                while len(running) >= throttle.pages and await running[0][1]:
                    yield running.popleft()[0]
        while running and await running[0][1]:
            yield running.popleft()[0]
    finally:
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)


class Flow(Generic[V1, V2]):
    """Moves what V2 lacks of one partition after the other."""

    def __init__(
        self,
        pair: Pair[V1, V2],
        mover: Mover[V1, V2],
        throttle: Throttle,
        counts: Counter[str],
        choice: Choice = EVERYTHING,
        server: ServerSide[V1, V2] | None = None,
    ) -> None:
        """`server`: what lets the server convert, where the migration and the collections can."""
        self._server = server
        self._pair = pair
        self._mover = mover
        self._throttle = throttle
        self._counts = counts
        self._choice = choice
        #: Lets the next partition begin.
        self.last_page = LastPage()
        self.begin()

    def begin(self) -> None:
        """Begin a run. It is unknown how much V2 has."""
        #: Whether V2 had most of the last partition, as a guess for the next one.
        self._lean: bool | None = None
        if self._server is not None:
            self._server.begin()

    async def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Page]:
        """Move what V2 lacks of a partition after the position; yield its pages in order, each once it is done.

        Ends early when the sweep is to stop. A page that is not finished is not yielded.
        """
        v1, v2 = self._pair.v1, self._pair.bodies
        size = self._throttle.batches.size
        remainder = Remainder(v1, v2, partition, position, size, lean=self._lean, choice=self._choice)
        found = self._find_pages(remainder)
        async with aclosing(work_in_order(found, partial(self._move, remainder), self._throttle)) as done:
            async for page in done:
                yield self._count(page)

    async def _find_pages(self, remainder: Remainder) -> AsyncGenerator[tuple[Page, float]]:
        pages, usual = remainder.pages(), remainder.ids_per_page
        clock = self._pair.clock
        while await self._throttle.wait_for_page():
            remainder.batch_size = self._throttle.batches.size
            if self._server is not None:
                remainder.lean = True  # the server reads the documents, so this process needs their ids
            remainder.ids_per_page = usual
            if self._throttle.limited or self._throttle.sounding.in_steps:
                # Read ids first: documents wait for the rate before they are read, never between reading and storing.
                # And a page of ids has many small batches, of which each would be a page with a checkpoint otherwise.
                remainder.lean, remainder.ids_per_page = True, LIMITED_PAGE
            began_s = clock.monotonic()
            page = await anext(pages, None)
            self._lean = remainder.lean
            if page is None:
                break
            self._throttle.latency.note_page(page.whole, page.scanned, clock.monotonic() - began_s)
            if remainder.ended:
                self.last_page.note()
            yield page, began_s
        self.last_page.note()

    def _count(self, page: Page) -> Page:
        self._counts["scanned"] += page.scanned
        self._counts["present"] += page.scanned - len(page.missing)
        return page

    async def _move(self, remainder: Remainder, page: Page, read_at_s: float) -> bool:
        """Move what V2 lacks of the page. False: the sweep is to stop before all of it is moved."""
        if page.whole:
            with self._pair.tally.span(SWEEP_BATCH, documents=len(page.missing)):
                waited_s = await self._mover.move(page.missing, read_at_s)
            self._throttle.batches.note_batch(len(page.missing), self._pair.clock.monotonic() - read_at_s - waited_s)
            return True
        rest, moved = page.missing, 0
        if self._server is not None and rest and not await self._compare(self._server, rest):
            return False
        batches = work_in_order(self._cut(rest), partial(self._move_batch, remainder), self._throttle)
        async with aclosing(batches) as done:
            async for batch in done:
                moved += len(batch)
        return moved == len(rest)

    async def _cut(self, rest: Sequence[RawId]) -> AsyncGenerator[tuple[Sequence[RawId], float]]:
        """Cut a page's ids into batches, each once the rate allows it. Ends early when the sweep is to stop."""
        while rest:
            size = self._throttle.batches.size
            batch, rest = rest[:size], rest[size:]
            if not await self._throttle.wait_for_documents(len(batch)):
                return
            yield batch, self._pair.clock.monotonic()

    async def _move_batch(self, remainder: Remainder, batch: Sequence[RawId], began_s: float) -> bool:
        clock, read_at_s, left, waited_s = self._pair.clock, began_s, batch, 0.0
        with self._pair.tally.span(SWEEP_BATCH, documents=len(batch)):
            if self._server is not None:
                left = await self._server.move(batch)
                read_at_s = clock.monotonic()
            async for documents in remainder.read_whole(left):
                waited_s += await self._mover.move(documents, read_at_s)
                read_at_s = clock.monotonic()
        self._throttle.batches.note_batch(len(batch), clock.monotonic() - began_s - waited_s)
        return True

    async def _compare(self, server: ServerSide[V1, V2], missing: Sequence[RawId]) -> bool:
        """Compare a sample of what the server makes, before any of the page is stored. False: the sweep is to stop."""
        await server.prepare()
        drawn = server.draw(missing)
        if not await self._throttle.wait_for_documents(len(drawn)):
            return False
        await server.compare(drawn)
        return True
