"""Writes of V1 alone while V2 cannot take their announcements: by choice, and only while V1 alone answers.

Such a write breaks the invariant: V2 may be clean and behind V1. Therefore
- nobody may trust V2 while one is possible: no process may answer from V2, and writes start from V1 (`Pair.suspect`);
- that V2 is suspect is recorded before the first such write, where every process and every later step sees it;
- V2 is trusted again only after a verification that began once no such write was possible any more.

V1's revisions go on as usual, so a body at V1's revision was made from what V1 holds, here as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar, cast

from attrs import evolve
from pymongo.errors import ConnectionFailure, NetworkTimeout

from lazymig.loop.breaker import Breaker
from lazymig.loop.deadline import Deadline
from lazymig.protocol import v1_alone
from lazymig.protocol.edits import Change, Edit
from lazymig.protocol.inserting import insert as insert_announced
from lazymig.protocol.pair import Pair
from lazymig.protocol.writing import write as write_announced
from lazymig.stores.given import RawId
from lazymig.stores.ports import Ledger, Truth
from lazymig.stores.records import Begun
from lazymig.telemetry import DEGRADED

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

#: The steps that announce something in V2, and those that change V1.
_ANNOUNCING: Final = frozenset({"raise_intent", "ticket", "vacant_ticket", "vacate"})
_CHANGING: Final = frozenset({"compare_and_set", "delete", "insert"})
#: The steps before that which read V1.
_READING: Final = frozenset({"find", "find_local", "find_place", "confirm_missing", "confirm_no_place"})
#: Records that V2 is suspect, durably, or raises.
Record = Callable[[], Awaitable[None]]


async def write(pair: Pair[V1, V2], id: RawId, edit: Edit, record: Record) -> Change | None:
    """Change or delete one entity as `protocol.write` does, or in V1 alone where V2 cannot be reached before V1 is.

    Raises what both raise, and what `record` does; then nothing was written.
    """
    watched, attempt = _watch(pair)
    try:
        return await write_announced(watched, id, edit)
    except ConnectionFailure:
        if attempt.final:
            raise
    await record()
    change = await v1_alone.write_v1(pair, id, edit)
    pair.tally.count(DEGRADED)
    return change


async def insert(pair: Pair[V1, V2], id: RawId, change: Change, record: Record) -> None:
    """Store a new entity as `protocol.insert` does, or in V1 alone where V2 cannot be reached before V1 is."""
    watched, attempt = _watch(pair)
    try:
        await insert_announced(watched, id, change)
    except ConnectionFailure:
        if attempt.final:
            raise
    else:
        return
    await record()
    await v1_alone.insert_v1(pair, id, change)
    pair.tally.count(DEGRADED)


class _Attempt:
    """Why nobody may try again in another way."""

    #: A statement was sent that changes V1.
    sent = False
    #: V1 is what could not be reached, which says nothing about V2.
    v1_away = False

    @property
    def final(self) -> bool:
        return self.sent or self.v1_away


def _watch(pair: Pair[V1, V2]) -> tuple[Pair[V1, V2], _Attempt]:
    attempt = _Attempt()
    v1 = cast(Truth, _NotedV1(pair.v1, attempt))
    return evolve(pair, v1=v1, ledger=cast(Ledger, _TimelyLedger(pair.ledger, pair.breaker, pair.v2_wait_s))), attempt


class _NotedV1:
    def __init__(self, store: Truth, attempt: _Attempt) -> None:
        self._store = store
        self._attempt = attempt

    def __getattr__(self, name: str) -> object:
        step = getattr(self._store, name)
        if name in _READING:
            return partial(self._read, step)
        if name in _CHANGING:
            self._attempt.sent = True
        return step

    async def _read(self, step: Callable[..., Awaitable[T]], *arguments: object, **options: object) -> T:
        try:
            return await step(*arguments, **options)
        except ConnectionFailure:
            self._attempt.v1_away = True
            raise


class _TimelyLedger:
    """The ledger, whose announcements take no longer than a read waits, so that the call has time left."""

    def __init__(self, ledger: Ledger, breaker: Breaker | None, wait_s: float | None) -> None:
        self._ledger = ledger
        self._breaker = breaker
        self._wait_s = wait_s

    def __getattr__(self, name: str) -> object:
        if name == "begin_ticket":
            return self._begin_ticket
        step = getattr(self._ledger, name)
        if name not in _ANNOUNCING:
            return step

        async def announce(*arguments: object, **options: object) -> object:
            return await self._in_time(lambda: step(*arguments, **options))

        return announce

    async def _begin_ticket(self, id: RawId) -> Begun:
        # Whole, so that one bound covers it.
        return Begun(await self._in_time(partial(self._ledger.ticket, id)))

    async def _in_time(self, step: Callable[[], Awaitable[T]]) -> T:
        breaker = self._breaker
        if breaker is not None and not breaker.admits():
            raise NetworkTimeout("V2 has failed again and again, and is not asked for a moment")
        try:
            async with Deadline(self._wait_s):
                done = await step()
        except ConnectionFailure:
            if breaker is not None:
                breaker.failed()
            raise
        if breaker is not None:
            breaker.succeeded()
        return done
