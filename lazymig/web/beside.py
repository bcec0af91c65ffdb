"""What is slow to look up, beside the other looks: on large collections it takes longer than a page may stand still."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from lazymig.loop.clock import Clock
from lazymig.loop.deadline import Deadline
from lazymig.measuring.holdings import MovedBy
from lazymig.status.counting import Sampled
from lazymig.status.slowly import Recalled, Slow

#: Seconds for which a look waits for what is slow: the first one, and a later one.
_FIRST_S: Final = 5.0
_LATER_S: Final = 1.0
#: Seconds after which it is given up.
_GIVEN_UP_S: Final = 600.0
#: For so many times as long as it took it is not repeated, so that a page costs a large collection little.
_REST: Final = 20.0
#: The same where a condition is in doubt: people wait for it.
_REST_DOUBTFUL: Final = 2.0
_NOTHING: Final = Slow(datetime.min, Sampled(MovedBy(0, 0, 0, 0, estimated=True), {}, None), (), (), None)


class Beside:
    """Looks up what is slow beside the other looks of one migration. What it found last is shown meanwhile."""

    def __init__(self, clock: Clock, *, first_s: float = _FIRST_S, later_s: float = _LATER_S) -> None:
        self._clock = clock
        self._first_s = first_s
        self._later_s = later_s
        self._task: asyncio.Task[Slow] | None = None
        self._began_at = self._ended_at = float("-inf")
        self._took_s = 0.0

    async def __call__(self, known: Recalled, look: Callable[[], Awaitable[Slow]]) -> Slow:
        """Return what is shown now; begin to look again where it is time. Raises what looking raises."""
        if known.moved:
            # What is under way looks at the phase before. It goes to its end, since the driver would throw its
            # connection away, and nobody takes its answer.
            self._task = None
        if self._task is None and (known.slow is None or known.moved or self._is_due(known)):
            self._began_at = self._clock.monotonic()
            self._task = self._start(look)
        task = self._task
        if task is None:
            return known.slow or _NOTHING
        await asyncio.wait({task}, timeout=self._first_s if known.slow is None else self._later_s)
        if not task.done():
            return known.slow or _NOTHING
        self._task = None
        found = task.result()
        self._ended_at = self._clock.monotonic()
        self._took_s = self._ended_at - self._began_at
        return found

    def _is_due(self, known: Recalled) -> bool:
        rested_s = self._clock.monotonic() - self._ended_at
        needed = _REST_DOUBTFUL if known.doubtful else _REST
        return (known.old or known.doubtful) and rested_s >= needed * self._took_s

    def _start(self, look: Callable[[], Awaitable[Slow]]) -> asyncio.Task[Slow]:
        task = asyncio.get_running_loop().create_task(_bounded(look), context=contextvars.Context())
        task.add_done_callback(_notice)
        return task


async def _bounded(look: Callable[[], Awaitable[Slow]]) -> Slow:
    async with Deadline(_GIVEN_UP_S):
        return await look()


def _notice(task: asyncio.Task[Slow]) -> None:
    """Take note of an error, also where nobody takes the answer."""
    if not task.cancelled():
        task.exception()
