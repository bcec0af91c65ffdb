"""Steps that follow an answer: V2 bodies, stored before the call returns or (write-behind) from a bounded queue.

Only steps whose loss is safe run here: without its body, V2 stays absent or dirty, which means "ask V1".
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from pymongo.errors import NetworkTimeout

from lazymig.loop.deadline import Deadline

R = TypeVar("R")

#: Seconds that the last step of a failing call may delay the call at most.
_LAST_STEP_S = 1.0


class Behind:
    """Runs steps at once, or (with `limit` > 0) behind the caller, at most `limit` at a time.

    A step that takes longer than `timeout_s` seconds is abandoned and `late` is called: it may or may not have
    happened.
    """

    def __init__(self, limit: int = 0, timeout_s: float | None = None, late: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._late = late
        self._running: set[asyncio.Task[object]] = set()
        #: The newest unfinished step of each id.
        self._by_id: dict[Hashable, asyncio.Task[object]] = {}

    def at_once(self) -> Behind:
        """Return one for a session: it runs steps at once and unbounded, and knows the unfinished steps of this one."""
        other = Behind()
        other._by_id = self._by_id
        return other

    async def do(self, step: Callable[[], Coroutine[Any, Any, R]], assumed: R, id: Hashable | None = None) -> R:
        """Return the step's result, or `assumed` where it runs behind the caller or took too long.

        Where the queue is full, the caller runs the step itself. `wait_for` waits for steps that were given an `id`.
        """
        if len(self._running) >= self._limit:
            return await self._bounded(step, assumed)
        # In a new context: the caller's deadline and trace end with the caller.
        work = self._bounded(step, assumed)
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._running.add(task)
        if id is not None:
            self._by_id[id] = task
        task.add_done_callback(lambda done: self._forget(done, id))
        return assumed

    def _forget(self, done: asyncio.Task[object], id: Hashable) -> None:
        self._running.discard(done)
        if id is not None and self._by_id.get(id) is done:
            del self._by_id[id]

    @property
    def unfinished(self) -> frozenset[asyncio.Task[object]]:
        """The steps that callers left behind and that are not over."""
        return frozenset(self._running)

    def holds(self, id: Hashable) -> bool:
        """Whether a step of this id is unfinished."""
        return bool(self._by_id) and id in self._by_id  # most often nothing is; an ObjectId's hash is Python

    async def wait_for(self, id: Hashable, within_s: float | None = None) -> None:
        """Wait for the unfinished steps of this id, at most this many seconds."""
        while (task := self._by_id.get(id)) is not None:
            # `wait` does not cancel the step with its waiter: it belongs to a call that has returned.
            done, _ = await asyncio.wait([task], timeout=within_s)
            if not done:
                return

    async def wait_for_all(self, within_s: float) -> None:
        """Wait for the steps that are unfinished now, at most this many seconds."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=within_s)

    async def at_last(self, step: Callable[[], Coroutine[Any, Any, None]], ending: BaseException | None = None) -> bool:
        """Run the last step of a call that fails or is cancelled, at once and for a second at most.

        `ending`: what the call ends with. If that ends the program, nothing that comes meanwhile replaces it.
        False: the step was given up for something that came meanwhile, or left out: a coroutine that is being closed
        cannot wait for anything.
        """
        if isinstance(ending, GeneratorExit):
            return False
        bound_s = None if self._timeout_s is None else min(self._timeout_s, _LAST_STEP_S)
        try:
            async with Deadline(bound_s):
                await step()
        except NetworkTimeout:
            self._late()
        except (Exception, asyncio.CancelledError):
            if not isinstance(ending, KeyboardInterrupt | SystemExit):
                raise
            return False
        return True

    async def _bounded(self, step: Callable[[], Coroutine[Any, Any, R]], assumed: R) -> R:
        try:
            async with Deadline(self._timeout_s):
                return await step()
        except NetworkTimeout:
            self._late()
            return assumed

    async def drain(self) -> None:
        """Wait for every unfinished step."""
        while self._running:
            await asyncio.gather(*self._running)
