"""When a process looks at the phase again: after a while, or at once where something wakes it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from pymongo.errors import OperationFailure, PyMongoError

from lazymig.loop.clock import Clock
from lazymig.stores.events import is_passing
from lazymig.stores.record_changes import RecordChanges

#: Seconds between two attempts to open a change stream.
_REOPEN_S = 1.0


class Waker:
    """Lets one task wait until it is woken or some time is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the wait that is under way, or the next one."""
        self._woken.set()

    async def wait(self, within_s: float) -> None:
        """Wait until woken, at most this many seconds."""
        if not self._woken.is_set():
            tasks = [asyncio.ensure_future(one) for one in (self._clock.sleep(within_s), self._woken.wait())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        self._woken.clear()


class Stream:
    """Wakes at each change of the record, where the server reports changes."""

    def __init__(self, changes: RecordChanges, waker: Waker, clock: Clock) -> None:
        self._changes = changes
        self._waker = waker
        self._clock = clock
        #: Whether changes are reported now.
        self.flowing = False

    async def run(self) -> None:
        """Watch for as long as the server has change streams, this user may open one, and a connection is to spare."""
        while self._changes.possible:
            try:
                await self._watch()
            except OperationFailure as error:
                if not is_passing(error):
                    return  # a standalone server, or a missing right: only looking remains
            except PyMongoError:
                pass  # the server is gone for a while
            finally:
                self.flowing = False
            await self._clock.sleep(_REOPEN_S)

    async def _watch(self) -> None:
        async with aclosing(self._changes.each()) as changes:
            async for _ in changes:
                self.flowing = True
                self._waker.wake()
