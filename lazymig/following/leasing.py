"""The lease: one process follows at a time, and others wait to take over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from pymongo.errors import PyMongoError

from lazymig.control import BEAT_S
from lazymig.control.following import Claim, Following
from lazymig.loop.clock import Clock
from lazymig.membership.terms import Beside
from lazymig.stores.events import is_passing

#: Seconds between two attempts to take over: at first, and at most.
_WAIT_S, _WAIT_MAX_S = 0.05, 1.0


class TakenOver(Exception):
    """Another process follows now."""


class Lease:
    """Claims the right to follow, and keeps it."""

    def __init__(
        self, following: Following, stopping: Callable[[], bool], clock: Clock, beside: Beside | None = None
    ) -> None:
        self._following = following
        self._beside = beside
        self._stopping = stopping
        self._clock = clock
        self._owner = uuid4().hex

    async def claim(self, waiting: Callable[[], None]) -> Claim | None:
        """Wait until no other process follows. `waiting` is called meanwhile. None: the run is to stop."""
        wait_s = _WAIT_S
        while not self._stopping():
            claim = await self._try_to_claim()
            if claim is not None:
                return claim
            waiting()
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, _WAIT_MAX_S)
        return None

    async def _try_to_claim(self) -> Claim | None:
        try:
            return await self._following.claim(self._owner)
        except PyMongoError as error:
            if not is_passing(error):
                raise
            return None  # a server that steps down or restarts: the next attempt shows

    @asynccontextmanager
    async def hold(self, claim: Claim) -> AsyncIterator[None]:
        """Keep the claim alive within the with statement, and give it back after it. After each beat start what is due.

        That it was taken over shows in the next position, which is refused then.
        """
        ended, beside = False, self._beside

        async def beat() -> None:
            held = True
            # A driver may swallow the cancellation of a statement.
            while held and not ended:
                await self._clock.sleep(BEAT_S)
                with suppress(PyMongoError):  # the next beat may succeed
                    held = await self._following.renew(claim)
                    if beside is not None and held:
                        beside.start()

        if beside is not None:
            beside.begin()
        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            ended = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if beside is not None:
                await beside.end()
            with suppress(PyMongoError):  # otherwise the next process waits until the lease runs out
                await self._following.release(claim)
