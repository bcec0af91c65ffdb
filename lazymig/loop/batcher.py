"""Calls that start in the same turn of the event loop share one statement.

They wait for nothing but the loop's coming round: what was called till then goes together, and a call that is alone
goes to the server from its own task, so that a lone task pays next to nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from lazymig.loop.deadline import Deadline
from lazymig.loop.turns import let_others_run

A = TypeVar("A")
R = TypeVar("R")

#: More per statement gains nothing more, and keeps replies far below the message limit.
_CALLS_MAX = 1000
#: After so many calls in a row without company, the next does not look for any: that would cost it a turn of the loop.
_SOLITARY = 8


class Batcher(Generic[A, R]):
    """Joins calls of `one` that start in the same turn into calls of `many`, whose results come in order.

    A `patient` one has one statement in flight at a time and gathers meanwhile.
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
        self._leading = False
        #: How many calls in a row had no company.
        self._solitary = 0
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def call(self, argument: A) -> R:
        """The result for one argument, or what `one` or `many` raised for it."""
        if not self._occupied and (self._solitary >= _SOLITARY or await self._alone()):
            self._in_flight += 1
            try:
                return await self._one(argument)
            finally:
                self._landed()
        self._solitary = 0
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        if not self._waiting and not (self._patient and self._in_flight):
            loop.call_soon(self._launch)
        self._waiting.append((argument, future))
        return await future

    @property
    def _occupied(self) -> bool:
        return bool(self._in_flight or self._waiting or self._leading)

    async def _alone(self) -> bool:
        """Whether no other call starts in this turn of the loop."""
        self._leading = True
        try:
            await let_others_run()
        finally:
            self._leading = False
        self._solitary += 1
        return not self._waiting

    def _landed(self) -> None:
        self._in_flight -= 1
        if self._patient and self._waiting and not self._in_flight:
            self._launch()

    def _launch(self) -> None:
        # A task of its own, in a context of its own: no caller's cancellation or deadline is the others' concern.
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _CALLS_MAX):
            work = self._run(waiting[start : start + _CALLS_MAX])
            task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, calls: list[tuple[A, asyncio.Future[R]]]) -> None:
        self._in_flight += 1
        try:
            async with Deadline(self._timeout_s):
                results: Sequence[R | BaseException] = await self._many([argument for argument, _ in calls])
        except BaseException as error:
            results = [error] * len(calls)
            if not isinstance(error, Exception):
                raise
        finally:
            self._landed()
            for (_, future), result in zip(calls, results, strict=True):
                if future.done():
                    continue  # its caller was cancelled
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
