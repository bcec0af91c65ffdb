"""The looks at one migration: one per interval while somebody watches, and none while nobody does."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Final

from attrs import evolve, frozen
from pymongo.errors import PyMongoError

from lazymig.errors import LazymigError
from lazymig.loop.clock import Clock
from lazymig.loop.deadline import Deadline
from lazymig.loop.own_errors import own_error
from lazymig.web.snapshot import Snapshot
from lazymig.web.trouble import describe_trouble

#: Looks a migration up, given what was found before.
Look = Callable[[Snapshot | None], Awaitable[Snapshot]]
_LOGGER: Final = logging.getLogger("lazymig.web")
#: From the beginning of a look to the next there are so many times as many seconds as it took, but not more than these:
#: counting a large V2 that no sweep has indexed yet must not occupy its server.
_REST: Final = 5.0
_REST_MAX_S: Final = 10.0


class NotYet(LazymigError):
    """The first look takes long; it goes on."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"the first look has not ended within {waited_s:.0f} s; it goes on")


class LookFailed(LazymigError):
    """A look failed by a mistake of this program or the application."""


@frozen
class Patience:
    """How long is waited, in seconds.

    Attributes:
        first_s: For the first look, by one who asks.
        later_s: For a later look. After that the last snapshot is shown, with its age.
        look_s: For the end of a look. After that it is given up.
    """

    first_s: float = 10.0
    later_s: float = 2.0
    look_s: float = 30.0


_PATIENCE: Final = Patience()


class Pulse:
    """Looks a migration up once per interval for all who watch, and hands each of them the newest snapshot.

    A look that fails, or takes long, leaves the last snapshot, with the reason why it is not newer. It belongs to one
    event loop.

    Args:
        look: Looks the migration up.
        interval_s: Seconds between the beginnings of two looks, at least. After a look that took long there are more.
        clock: The source of time.
        patience: How long is waited.
    """

    def __init__(self, look: Look, interval_s: float, clock: Clock, patience: Patience = _PATIENCE) -> None:
        self._look = look
        self._interval_s = interval_s
        self._clock = clock
        self._patience = patience
        #: What was found last, and when; and what is shown, which also says why it is not newer.
        self._found: Snapshot | None = None
        self._found_at = self._began_at = float("-inf")
        self._took_s = 0.0
        self._shown: Snapshot | None = None
        #: What the first looks raise.
        self._error: Exception | None = None
        self._looking: asyncio.Task[None] | None = None
        self._repeating: asyncio.Task[None] | None = None
        self._watchers = 0
        self._turn = asyncio.Event()
        #: How often all who watched have been sent away.
        self._ends = 0

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return self._watchers

    async def now(self) -> Snapshot:
        """Return a snapshot that is young enough, or the last one with the reason why there is none.

        Raises what the first look raises, and `NotYet` where that takes long.
        """
        if self._rest_s <= 0 or (self._looking is not None and self._found is None):
            await self._wait_for_look()
        if self._shown is not None:
            return self._shown
        if self._error is not None:
            raise own_error(self._error)
        raise NotYet(self._patience.first_s)

    async def renew(self) -> Snapshot:
        """Return what a look finds that begins now, because something was just changed. Raises as `now` does."""
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=self._patience.later_s)
        self._began_at = float("-inf")
        return await self.now()

    async def watch(self) -> AsyncGenerator[Snapshot]:
        """Yield the present snapshot, and each later one. A watcher that is slow misses some, and delays nobody.

        Close it: the looks end with the last watcher.
        """
        self._watchers += 1
        ends = self._ends
        try:
            seen = await self.now()
            if self._repeating is None:
                self._repeating = self._start(self._repeat())
            while self._ends == ends:
                yield seen
                while self._shown is seen and self._ends == ends:
                    await self._turn.wait()
                seen = self._shown or seen
        finally:
            self._watchers -= 1
            if not self._watchers and self._repeating is not None:
                self._repeating.cancel()
                self._repeating = None

    def end(self) -> None:
        """Let all who watch now come to their end."""
        self._ends += 1
        self._wake()

    @property
    def _rest_s(self) -> float:
        """Seconds until the next look may begin."""
        rest_s = max(self._interval_s, min(_REST * self._took_s, _REST_MAX_S))
        return self._began_at + rest_s - self._clock.monotonic()

    async def _repeat(self) -> None:
        while True:
            # After a look that took an interval or longer there is a whole one, so that a slow database has a rest.
            await self._clock.sleep(self._rest_s if self._rest_s > 0 else self._interval_s)
            if self._rest_s <= 0:  # a sleep may be a little short
                await self._wait_for_look()

    async def _wait_for_look(self) -> None:
        """Begin a look unless one is under way, and wait for its end as long as a person would."""
        look = self._looking
        if look is None:
            self._began_at = self._clock.monotonic()
            # By itself: the one who asked may go away while others wait for it. It is bounded in time, and never
            # cancelled, since the driver would throw its connection away.
            look = self._looking = self._start(self._look_once())
        waited_s = self._clock.monotonic() - self._began_at
        patience_s = self._patience.first_s if self._found is None else self._patience.later_s
        _, late = await asyncio.wait({look}, timeout=max(patience_s - waited_s, 0.0))
        if late:
            self._show("the database has not answered yet")

    async def _look_once(self) -> None:
        try:
            async with Deadline(self._patience.look_s):
                self._found = await self._look(self._found)
        except Exception as error:
            self._fail(error)
        else:
            self._found_at, self._error = self._clock.monotonic(), None
            self._show("")
        finally:
            self._took_s = self._clock.monotonic() - self._began_at
            self._looking = None

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, (PyMongoError, LazymigError)):
            # Where it was raised, without its text, which may quote a document.
            frames = "".join(traceback.format_tb(error.__traceback__))
            _LOGGER.error("a look at a migration failed: %s\n%s", type(error).__name__, frames)
            error = LookFailed(describe_trouble(error))
        self._error = error
        self._show(describe_trouble(error))

    def _show(self, trouble: str) -> None:
        if self._found is None:
            return
        age_s = self._clock.monotonic() - self._found_at if trouble else 0.0
        self._shown = evolve(self._found, trouble=trouble, age_s=age_s) if trouble else self._found
        self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    def _start(self, work: Coroutine[object, None, None]) -> asyncio.Task[None]:
        # In a new context: the trace and the deadline of the one who came first end with that one.
        return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
