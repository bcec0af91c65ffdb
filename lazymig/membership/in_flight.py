"""The calls of a process that are in flight, by the epoch under which they began."""

from __future__ import annotations

import asyncio
from collections import Counter

from attrs import frozen


@frozen
class Entered:
    """One call in flight."""

    epoch: int
    writes: bool


class CallsInFlight:
    """Counts calls, and lets one task wait until those of earlier epochs have ended."""

    def __init__(self) -> None:
        self._by_epoch: Counter[int] = Counter()
        self._writes = 0
        self._ended = asyncio.Event()

    def begin(self, epoch: int, *, writes: bool) -> Entered:
        """Count a call that begins under this epoch."""
        self._by_epoch[epoch] += 1
        self._writes += writes
        return Entered(epoch, writes)

    def end(self, entered: Entered) -> None:
        """Count the end of a call."""
        self._by_epoch[entered.epoch] -= 1
        if not self._by_epoch[entered.epoch]:
            del self._by_epoch[entered.epoch]
        self._writes -= entered.writes
        self._ended.set()

    def is_drained(self, epoch: int, *, of_writes: bool) -> bool:
        """Whether no call of an earlier epoch is in flight, and with `of_writes` no write at all."""
        return all(earlier >= epoch for earlier in self._by_epoch) and not (of_writes and self._writes)

    async def wait_for_end(self) -> None:
        """Wait until some call ends."""
        self._ended.clear()
        await self._ended.wait()
