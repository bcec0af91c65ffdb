"""The bound in time of a call, all its round trips together."""

from __future__ import annotations

import asyncio
from types import TracebackType

from pymongo.errors import NetworkTimeout


class Deadline:
    """Bounds a block to this many seconds, or not at all; raises the driver's `NetworkTimeout` when they are over.

    Within it the client's own time-outs hold, and the driver retries statements as always. PyMongo's own `timeout`
    would replace both, and it makes each statement about a tenth slower: on Python 3.11 it starts a task to send the
    request.
    """

    __slots__ = ("_timeout", "_timeout_s")

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        # Without a bound there is no timer, so no event loop is needed: the explorer runs reads without one.
        self._timeout = None if timeout_s is None else asyncio.timeout(timeout_s)

    async def __aenter__(self) -> object:
        if self._timeout is not None:
            await self._timeout.__aenter__()
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timeout is None:
            return
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise NetworkTimeout(f"no answer within {self._timeout_s} s (the repository's timeout_s)") from None
