"""A gate that lets so many statements of a pass through at a time, a number that may change meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Gate:
    """Lets statements through in the order in which they came; `find_most` returns how many may be on the way now."""

    def __init__(self, find_most: Callable[[], int]) -> None:
        self._find_most = find_most
        #: How many are on the way.
        self.in_flight = 0
        #: How many that read have passed.
        self.reads = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def passing(self, *, reads: bool = False) -> AsyncIterator[None]:
        """Wait for a place, and keep it within the with statement. `reads`: the statement changes nothing."""
        if self._waiting or not self._has_place():
            await self._wait()
        self.in_flight += 1
        self.reads += reads
        try:
            yield
        finally:
            self.in_flight -= 1
            self._let_in()

    def _has_place(self) -> bool:
        # One always may: a pass that waited for itself would never end.
        return self.in_flight < max(self._find_most(), 1)

    async def _wait(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except BaseException:
            if place in self._waiting:
                self._waiting.remove(place)
            else:
                # It was let in, and does not come.
                self.in_flight -= 1
                self._let_in()
            raise
        self.in_flight -= 1  # its place was kept for it

    def _let_in(self) -> None:
        while self._waiting and self._has_place():
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
