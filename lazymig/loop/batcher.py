"""Calls that start in the same turn of the event loop share one statement.

A call waits for one turn of the loop only. Calls that start meanwhile share its statement. A call that stays alone goes
to the server from its own task, which costs almost nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from lazymig.loop.deadline import Deadline
from lazymig.loop.own_errors import give_each_its_own
from lazymig.loop.turns import let_others_run

A = TypeVar("A")
R = TypeVar("R")

#: More calls per statement are no faster, and this many keep replies far below the message limit.
_CALLS_MAX = 1000
#: After this many calls in a row that stayed alone, the next does not wait for others: that would cost it a turn.
_SOLITARY = 8
#: Seconds for which calls gather while a statement is in flight. One that waits for a lock, as of a document that an
#: open transaction has written, holds up no others: the transaction itself may wait for them.
PATIENCE_S = 0.1


class Batcher(Generic[A, R]):
    """Joins calls of `one` that start in the same turn into one call of `many`, whose results come in order.

    A `patient` batcher has one statement in flight at a time and collects calls meanwhile, for `PATIENCE_S` at most.
    """

    def __init__(
        self,
        one: Callable[[A], Awaitable[R]],
        many: Callable[[Sequence[A]], Awaitable[Sequence[R | BaseException]]],
        timeout_s: float | None,
        patient: bool = False,
    ) -> None:
        self._one = one
        self._many = many
        self._timeout_s = timeout_s
        self._patient = patient
        self._in_flight = 0
        #: Statements of an earlier epoch are overdue: nobody waits for them any more.
        self._epoch = 0
        self._timer: asyncio.TimerHandle | None = None
        self._leading = False
        #: How many calls in a row stayed alone.
        self._solitary = 0
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def call(self, argument: A) -> R:
        """Return the result for one argument, or raise what `one` or `many` raised for it."""
        if not self._occupied and (self._solitary >= _SOLITARY or await self._stays_alone()):
            return await self.go_alone(argument)
        return await self._enter(argument)

    async def join(self, argument: A) -> asyncio.Future[R] | None:
        """Let a call share a statement, and return what will become of it. None: it has no company, and goes alone.

        The caller that stops waiting for it cancels it.
        """
        if not self._occupied and (self._solitary >= _SOLITARY or await self._stays_alone()):
            return None
        return self._enter(argument)

    async def go_alone(self, argument: A) -> R:
        """Return what `one` returns, for a call that has no company."""
        epoch = self._depart()
        try:
            return await self._one(argument)
        finally:
            self._landed(epoch)

    def _enter(self, argument: A) -> asyncio.Future[R]:
        """Let a call wait for the next shared statement."""
        self._solitary = 0
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        if not self._waiting:
            if self._patient and self._in_flight:
                # In a new context: the timer must not keep what belongs to this call.
                self._timer = loop.call_later(PATIENCE_S, self._go_beside, context=contextvars.Context())
            else:
                loop.call_soon(self._launch)
        self._waiting.append((argument, future))
        return future

    @property
    def running(self) -> frozenset[asyncio.Task[None]]:
        """The shared statements that are under way. Each may work for a caller that has left."""
        return frozenset(self._running)

    @property
    def _occupied(self) -> bool:
        return bool(self._in_flight or self._waiting or self._leading)

    async def _stays_alone(self) -> bool:
        """Wait for one turn of the loop; return whether no other call started in it."""
        self._leading = True
        try:
            await let_others_run()
        finally:
            self._leading = False
        self._solitary += 1
        return not self._waiting

    def _depart(self) -> int:
        self._in_flight += 1
        return self._epoch

    def _landed(self, epoch: int) -> None:
        if epoch != self._epoch:
            return
        self._in_flight -= 1
        if self._patient and self._waiting and not self._in_flight:
            self._launch()

    def _go_beside(self) -> None:
        """Send what waits, beside what is in flight and overdue."""
        self._epoch += 1
        self._in_flight = 0
        self._launch()

    def _launch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # A new task in a new context: one caller's cancellation or deadline must not affect the others.
        # Without those whose callers were cancelled: nobody waits for them, so nothing may be sent for them any more.
        waiting, self._waiting = [one for one in self._waiting if not one[1].done()], []
        for start in range(0, len(waiting), _CALLS_MAX):
            work = self._run(waiting[start : start + _CALLS_MAX])
            task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, calls: list[tuple[A, asyncio.Future[R]]]) -> None:
        epoch = self._depart()
        try:
            async with Deadline(self._timeout_s):
                results: Sequence[R | BaseException] = await self._many([argument for argument, _ in calls])
        except BaseException as error:
            results = [error] * len(calls)
            if not isinstance(error, Exception):
                raise
        finally:
            self._landed(epoch)
            failed: list[tuple[asyncio.Future[R], BaseException]] = []
            for (_, future), result in zip(calls, results, strict=True):
                if future.done():
                    continue  # its caller was cancelled
                if isinstance(result, BaseException):
                    failed.append((future, result))
                else:
                    future.set_result(result)
            owns = give_each_its_own([error for _, error in failed])
            for (future, _), own in zip(failed, owns, strict=True):
                future.set_exception(own)


def find_running(*stores: object) -> list[asyncio.Task[None]]:
    """Return the shared statements of these stores that are under way."""
    parts = [part for store in stores for part in getattr(store, "__dict__", {}).values()]
    return [task for part in parts if isinstance(part, Batcher) for task in part.running]
