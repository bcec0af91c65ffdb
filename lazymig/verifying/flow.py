"""The flow of ranges: read ahead, compared and recorded, and yielded in order once they are done."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from attrs import frozen

from lazymig.loop.clock import Clock
from lazymig.metrics import VERIFY_RANGE
from lazymig.passes.throttle import Throttle
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition, WholeChange
from lazymig.stores.verdicts import Mismatch, Verdict
from lazymig.telemetry import Tally
from lazymig.verifying.examining import Examiner
from lazymig.verifying.judging import Judged
from lazymig.verifying.sides import Found, Sides


@frozen
class Stretch:
    """A range of ids that was compared, and whose candidates are recorded."""

    last: RawId
    scanned: int


@frozen
class CaughtUp:
    """How many V2 parts were stored that were behind, and a look at each that the server refuses."""

    stored: int
    refused: Sequence[Awaitable[Judged]]


class Flow:
    """Compares one partition after the other."""

    def __init__(
        self,
        sides: Sides,
        examiner: Examiner,
        record: Callable[[Sequence[Mismatch]], Awaitable[None]],
        throttle: Throttle,
        clock: Clock,
        counts: Counter[str],
        tally: Tally,
        catch_up: Callable[[Sequence[WholeChange]], Awaitable[CaughtUp]] | None,
    ) -> None:
        """`catch_up` stores V2 parts that are behind; None where nothing is to be stored."""
        self._sides = sides
        self._examiner = examiner
        self._record = record
        self._throttle = throttle
        self._clock = clock
        self._counts = counts
        self._tally = tally
        self._catch_up = catch_up

    async def stretches(self, partition: Partition, position: RawId) -> AsyncGenerator[Stretch]:
        """Compare a partition after the position; yield its ranges in order, each once its candidates are durable.

        Ends early when the run is to stop. A range that is not finished is not yielded.
        """
        running: deque[asyncio.Task[Stretch]] = deque()
        try:
            async with aclosing(self._read(partition, position)) as found:
                async for both, began_s in found:
                    running.append(asyncio.create_task(self._examine(both, began_s)))
                    while len(running) >= self._throttle.concurrency:
                        yield await running[0]
                        running.popleft()
            while running:
                yield await running[0]
                running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _read(self, partition: Partition, position: RawId) -> AsyncGenerator[tuple[Found, float]]:
        ranges = self._sides.walk(partition, position, self._throttle.batches.size)
        while await self._throttle.wait_for_page():
            ranges.size = self._throttle.batches.size
            began_s = self._clock.monotonic()
            both = await ranges.next()
            if both is None:
                return
            read_s = self._clock.monotonic() - began_s
            if both.size:
                self._throttle.latency.note_page(True, both.size, read_s)
            if not await self._throttle.wait_for_documents(both.size):
                return
            # What it waited for its rate, or while it was paused, says nothing about the server.
            yield both, self._clock.monotonic() - read_s

    async def _examine(self, both: Found, began_s: float) -> Stretch:
        with self._tally.span(VERIFY_RANGE, documents=both.size):
            entities = await self.examine(both)
        self._throttle.batches.note_batch(both.size, self._clock.monotonic() - began_s)
        return Stretch(both.last, entities)

    async def examine(self, both: Found) -> int:
        """Compare a range for the first time, and return how many entities it holds.

        What does not agree is recorded durably. What is behind is stored, where the run repairs.
        """
        examined = await self._examiner.examine(both.looks(), first=True)
        await self.record_candidates(examined.mismatches)
        self._counts["compared"] += examined.entities
        if self._catch_up is not None and examined.late:
            done = await self._catch_up(examined.late)
            self._counts["repaired"] += done.stored
            self._counts[Verdict.BEHIND] -= done.stored + len(done.refused)
            if done.refused:
                await self.record_candidates((await self._examiner.examine(done.refused)).mismatches)
        return examined.entities

    async def record_candidates(self, found: list[Mismatch]) -> None:
        """Record what did not agree at first; return when it is durable."""
        await self._record(found)
        self._counts["suspected"] += len(found)
