"""A bound on the number of writes in flight. The others wait before their first step, first come, first served.

Thousands of concurrent writes are no faster than some hundreds, because the server orders them anyway. But each would
keep its announcement open while it waits for the others, and most would time out before they write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType

from lazymig.errors import ConfigurationError


class _Held:
    """The place of one write, which calls within that write share."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = True


#: The place that this task, or the one that started it, holds, in the bound of any repository: two repositories whose
#: changes call each other would otherwise wait for each other.
_HELD: ContextVar[_Held | None] = ContextVar("lazymig_in_flight", default=None)


class InFlight:
    """A bound on what is in flight: `async with bound.place():`. None for no bound.

    A place within a place is free: a change that itself writes must not wait for writes that wait for it.
    """

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ConfigurationError("max_in_flight: pass 1 or more, or None for no bound")
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    def place(self) -> Place:
        """Return a place, which can be entered once."""
        return Place(self)

    async def take(self) -> None:
        """Wait for a place."""
        if self._free is None:
            return
        if self._free > 0:  # then no write waits: a place is freed only where no write takes it over
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            self._leave(place)
            raise
        except GeneratorExit:  # the call is closed; where its event loop is too, nobody waits
            with suppress(RuntimeError):
                self._leave(place)
            raise

    def _leave(self, place: asyncio.Future[None]) -> None:
        if not place.cancel() and not place.cancelled():
            self.give_back()  # the place had been handed over already

    def give_back(self) -> None:
        """Hand the place over to the write that has waited longest, or free it."""
        if self._free is None:
            return
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():  # else its caller was cancelled
                place.set_result(None)
                return
        self._free += 1


class Place:
    """The context of one write."""

    __slots__ = ("_bound", "_held", "_token")

    def __init__(self, bound: InFlight) -> None:
        self._bound = bound
        self._held: _Held | None = None
        self._token: Token[_Held | None] | None = None

    async def __aenter__(self) -> bool:
        """Wait for a place; return whether none was needed, because the write is made within another one."""
        above = _HELD.get()
        if above is not None and above.open:
            return True
        await self._bound.take()
        self._held = _Held()
        self._token = _HELD.set(self._held)
        return False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None and self._token is not None:
            # Tasks that were started within this write and outlive it need places of their own from now on.
            self._held.open = False
            self._bound.give_back()
            # A call that is closed from another context holds nothing there.
            with suppress(ValueError):
                _HELD.reset(self._token)
