"""The flow of ranges: read ahead, compared and recorded, and yielded in order once they are done."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, TypeVar

from attrs import frozen

from lazymig.control.mismatches import Mismatches
from lazymig.loop.clock import Clock
from lazymig.metrics import VERIFY_RANGE
from lazymig.passes.throttle import Throttle
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition
from lazymig.stores.verdicts import Mismatch
from lazymig.telemetry import Tally
from lazymig.verifying.examining import Examiner
from lazymig.verifying.ranges import BothSides, Range, Ranges

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Stretch:
    """A range of ids that was compared, and whose candidates are recorded."""

    last: RawId
    scanned: int


class Flow(Generic[V1, V2]):
    """Compares one partition after the other."""

    def __init__(
        self,
        sides: BothSides,
        examiner: Examiner[V1, V2],
        table: Mismatches,
        migration: str,
        throttle: Throttle,
        clock: Clock,
        counts: Counter[str],
        tally: Tally,
    ) -> None:
        self._sides = sides
        self._examiner = examiner
        self._table = table
        self._migration = migration
        self._throttle = throttle
        self._clock = clock
        self._counts = counts
        self._tally = tally

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

    async def _read(self, partition: Partition, position: RawId) -> AsyncGenerator[tuple[Range, float]]:
        ranges = Ranges(self._sides, partition, position, self._throttle.batches.size)
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

    async def _examine(self, both: Range, began_s: float) -> Stretch:
        with self._tally.span(VERIFY_RANGE, documents=both.size):
            examined = await self._examiner.examine(both.pairs(), first=True)
            await self.record_candidates(examined.mismatches)
        self._counts["compared"] += examined.entities
        self._throttle.batches.note_batch(both.size, self._clock.monotonic() - began_s)
        return Stretch(both.last, examined.entities)

    async def record_candidates(self, found: list[Mismatch]) -> None:
        """Record what did not agree at first; return when it is durable."""
        await self._table.record(self._migration, found)
        self._counts["suspected"] += len(found)
