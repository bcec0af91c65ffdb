"""How long a call may take, all its round trips together."""

from __future__ import annotations

import asyncio
from types import TracebackType

from pymongo.errors import NetworkTimeout


class Deadline:
    """Bounds the block to that many seconds, or not at all; raises the driver's `NetworkTimeout` when they are over.

    A bound from outside: within it the client's own time-outs hold, and the driver sends a statement again as often as
    it always does. PyMongo's own `timeout` would take their place, and makes each statement about a tenth slower (on
    Python 3.11 it starts a task to send the request).
    """

    __slots__ = ("_timeout", "_timeout_s")

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        # Without a bound there is no timer, and no need of an event loop: the explorer drives reads without one.
        self._timeout = None if timeout_s is None else asyncio.timeout(timeout_s)

    async def __aenter__(self) -> None:
        if self._timeout is not None:
            await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timeout is None:
            return
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise NetworkTimeout(f"no answer within {self._timeout_s} s (the repository's timeout_s)") from None
