"""The background task of a member: it keeps the process in its fleet for as long as anything uses the member."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from contextlib import suppress
from typing import Protocol

from pymongo.errors import PyMongoError

from lazymig.loop.clock import Clock
from lazymig.loop.deadline import Deadline
from lazymig.membership.registration import Registration
from lazymig.membership.terms import Beside
from lazymig.membership.waking import Stream, Waker
from lazymig.stores.record_changes import RecordChanges

#: Seconds that the last statement of a process that leaves may take.
_REMOVE_S = 5.0


class Kept(Protocol):
    """A member, as its keeper sees it."""

    async def attempt(self) -> None:
        """Do what is due in the control collection; raise nothing."""

    def pause_s(self, *, streamed: bool) -> float:
        """Return the seconds until the next attempt."""


class Keeper:
    """Makes one attempt after the other, in the event loop in which it is made."""

    def __init__(
        self, member: Kept, registration: Registration, changes: RecordChanges, clock: Clock,
        beside: Beside | None = None,
    ) -> None:  # fmt: skip
        self.waker = Waker(clock)
        self._registration = registration
        self._beside = beside
        self._stream = Stream(changes, self.waker, clock)
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        # In a new context: the deadline and the session of the call that happens to be the first must not matter.
        self._task = self._loop.create_task(self._run(weakref.ref(member)), context=contextvars.Context())

    @property
    def is_mine(self) -> bool:
        """Whether it belongs to the running event loop."""
        return self._loop is asyncio.get_running_loop()

    @property
    def is_alive(self) -> bool:
        """Whether it goes on, in the running event loop."""
        return self.is_mine and not self._task.done()

    @property
    def is_elsewhere(self) -> bool:
        """Whether it goes on in another event loop."""
        return not self.is_mine and self._loop.is_running()

    async def wait_for_attempt(self, within_s: float) -> None:
        """Wait until an attempt ends, at most this many seconds."""
        ended = self._loop.create_future()
        self._waiting.append(ended)
        await asyncio.wait([ended], timeout=within_s)

    async def stop(self) -> None:
        """End the task."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, reference: weakref.ref[Kept]) -> None:
        streaming: asyncio.Task[None] | None = None
        if self._beside is not None:
            self._beside.begin()
        try:
            while (member := reference()) is not None:
                await member.attempt()
                pause_s = member.pause_s(streamed=self._stream.flowing)
                del member  # so that it can be collected while nothing happens
                self._note_end()
                if self._beside is not None and self._registration.lease.held:
                    self._beside.start()
                if streaming is None and self._registration.standing is not None:
                    streaming = asyncio.create_task(self._stream.run())
                await self.waker.wait(pause_s)
            if self._registration.idle:
                await remove(self._registration)
        finally:
            self._note_end()
            if streaming is not None:
                streaming.cancel()
                await asyncio.gather(streaming, return_exceptions=True)
            if self._beside is not None:
                await self._beside.end()

    def _note_end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for ended in waiting:
            if not ended.done():
                ended.set_result(None)


async def remove(registration: Registration) -> None:
    """Remove a registration. Where that fails, its lease runs out by itself."""
    with suppress(PyMongoError):
        async with Deadline(_REMOVE_S):
            await registration.leave()
