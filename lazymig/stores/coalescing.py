"""Many at once: calls that start in the same turn of the event loop share one statement.

Reads wait for nothing but the loop's coming round: what was called till then goes together, and a call that is alone
goes to the server from its own task, so that a lone task pays next to nothing. Each document is still read between
its caller's call and return, so the protocol's argument is untouched.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar

from lazymig.errors import ForeignDocument
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.loop.deadline import Deadline
from lazymig.loop.turns import turn
from lazymig.stores.drivers import STATEMENT_ERRORS, is_too_large
from lazymig.stores.mongo_v2 import V1Store, V2Store
from lazymig.stores.pipelines import Pipeline
from lazymig.stores.records import Applied, Document, Put, StoredV1, StoredV2

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
            await turn()
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


def _found(ids: Sequence[Any], by_id: dict[Any, R]) -> list[R | None]:
    """One result per asked id; an id's second caller gets its own document, since entities may hold parts of it."""
    taken: set[Any] = set()
    results: list[R | None] = []
    for id in ids:
        stored = by_id.get(id)
        results.append(deepcopy(stored) if id in taken else stored)
        taken.add(id)
    return results


class CoalescingV1(V1Store):
    """V1's port with `find` shared."""

    def __init__(self, collection: Any, timeout_s: float | None) -> None:
        super().__init__(collection)
        self._finds: Batcher[Any, StoredV1 | None] = Batcher(super().find, self._find_each, timeout_s)

    async def find(self, id: Any) -> StoredV1 | None:
        return await self._finds.call(id)

    async def _find_each(self, ids: Sequence[Any]) -> list[StoredV1 | None]:
        return _found(ids, await self.find_many(list(dict.fromkeys(ids))))


class CoalescingV2(V2Store):
    """V2's port with `find`, `put_if_absent`, `apply` and `bury` shared."""

    def __init__(
        self,
        collection: Any,
        clock: Clock = SYSTEM_CLOCK,
        conv: int = 1,
        timeout_s: float | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        super().__init__(collection, clock, conv, remembers=remembers)
        self._finds: Batcher[Any, StoredV2 | None] = Batcher(super().find, self._find_each, timeout_s)
        self._puts: Batcher[tuple[Any, Any, int], Put] = Batcher(self._put_one, self._put_each, timeout_s)
        # A write's last step comes whenever V1's journal was flushed, hence seldom together with others.
        self._upserts: Batcher[tuple[Document, Pipeline], Applied] = Batcher(
            self._upsert_one, self._upsert_each, timeout_s, patient=True
        )

    async def find(self, id: Any) -> StoredV2 | None:
        return await self._finds.call(id)

    async def put_if_absent(self, id: Any, body: Any, revision: int) -> Put:
        return await self._puts.call((id, body, revision))

    async def _find_each(self, ids: Sequence[Any]) -> list[StoredV2 | ForeignDocument | None]:
        return _found(ids, await self.find_many(list(dict.fromkeys(ids))))

    async def _put_one(self, put: tuple[Any, Any, int]) -> Put:
        return await super().put_if_absent(*put)

    async def _put_each(self, puts: Sequence[tuple[Any, Any, int]]) -> list[Put]:
        return await self.put_many([self.born_clean(*put, "read") for put in puts])

    async def _update(
        self, where: Document, pipeline: Pipeline, *, upsert: bool = False, durable: bool = False
    ) -> Applied:
        # Of a bulk without upserts the server says how many matched, not which; the in-memory Mongo takes no bulk.
        if not upsert or durable or self._in_memory:
            return await super()._update(where, pipeline, upsert=upsert, durable=durable)
        return await self._upserts.call((where, pipeline))

    async def _upsert_one(self, update: tuple[Document, Pipeline]) -> Applied:
        return await super()._update(*update, upsert=True)

    async def _upsert_each(self, updates: Sequence[tuple[Document, Pipeline]]) -> Sequence[Applied | BaseException]:
        try:
            return await self._upsert_many(updates)
        except STATEMENT_ERRORS as error:
            if not is_too_large(error):
                raise
        # Nobody names the culprit; alone, it is refused and the others are stored.
        return await asyncio.gather(*map(self._upsert_one, updates), return_exceptions=True)
