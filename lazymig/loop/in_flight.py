"""How many writes are under way at a time; the others wait before their first step, first come, first served.

A crowd of writes that all start at once is no faster than some hundreds at a time: the server orders them anyway. But
each would hold its announcement open while it waits for the others, and most would be out of time before their first
step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar, Token
from types import TracebackType

from lazymig.errors import ConfigurationError


class _Held:
    """One write's place: for itself, and for what it calls on its way."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = True


#: The place that this task, or the one that started it, holds. Of any bound: two repositories whose changes call each
#: other would otherwise wait for each other.
_HELD: ContextVar[_Held | None] = ContextVar("lazymig_in_flight", default=None)


class InFlight:
    """A bound for what is under way: `async with bound.place():`. None: no bound.

    A place within a place is free. A change that writes on its way must not wait for writes that wait for it.
    """

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ConfigurationError("max_in_flight: pass 1 or more, or None for no bound")
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    def place(self) -> Place:
        """A place, to be entered once."""
        return Place(self)

    async def take(self) -> bool:
        """Wait for a place. False: none is needed."""
        if self._free is None:
            return False
        above = _HELD.get()
        if above is not None and above.open:
            return False
        if self._free > 0:  # then nobody waits: a place is handed over, and freed only where there is nobody
            self._free -= 1
            return True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back()  # the place was handed over already
            raise
        return True

    def give_back(self) -> None:
        """Leave the place to the one that waits longest."""
        assert self._free is not None  # nobody takes a place where there is no bound
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

    async def __aenter__(self) -> None:
        if await self._bound.take():
            self._held = _Held()
            self._token = _HELD.set(self._held)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None and self._token is not None:
            _HELD.reset(self._token)
            # Tasks that were started within, and live on, wait for places of their own from now on.
            self._held.open = False
            self._bound.give_back()
