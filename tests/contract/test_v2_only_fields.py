"""Fields that V1 cannot express, while others write and read the same entity."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, frozen

import lazymig
from lazymig.loop.clock import SystemClock
from lazymig.repository import calls_of
from lazymig.sweeping.marks import resolve_mark
from lazymig.sweeping.moving import Mover


@frozen
class AccountV1:
    id: int
    balance: int


@frozen
class AccountV2:
    id: int
    balance: int
    points: int = 0


def _upgrade(old: AccountV1, previous: AccountV2 | None) -> AccountV2:
    return AccountV2(old.id, old.balance, previous.points if previous else 0)


MIGRATION = lazymig.Migration(
    name="accounts",
    v1=AccountV1,
    v2=AccountV2,
    upgrade=_upgrade,
    downgrade=lambda new: AccountV1(new.id, new.balance),
)


class _Releasing(SystemClock):
    """A client that waits lets the writer that is held go on, and waits for its body alone."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.stored = asyncio.Event()
        self.stored.set()
        self.waited = 0

    async def sleep(self, delay_s: float) -> None:
        self.waited += 1
        self.released.set()
        await self.stored.wait()
        await asyncio.sleep(0)


def _earn(account: AccountV2) -> AccountV2:
    return evolve(account, points=account.points + 1)


async def _held_before_its_body(
    repository: lazymig.Repository[Any, Any], clock: _Releasing, change: Callable[[AccountV2], Any] = _earn
) -> asyncio.Task[Any]:
    """A writer that has V1, and whose V2 step waits for the clock's release."""
    store, apply, reached = calls_of(repository).pair.bodies, calls_of(repository).pair.bodies.apply, asyncio.Event()

    async def late(*arguments: Any, **keywords: Any) -> Any:
        store.apply = apply  # type: ignore[method-assign]
        clock.stored.clear()
        reached.set()
        await clock.released.wait()
        try:
            return await apply(*arguments, **keywords)
        finally:
            clock.stored.set()

    store.apply = late  # type: ignore[method-assign]
    writer = asyncio.create_task(repository.update(1, change))
    await reached.wait()
    return writer


Other = Callable[[lazymig.Repository[Any, Any]], Awaitable[Any]]


@pytest.mark.parametrize(
    ("other", "points"),
    [
        (lambda repository: repository.update(1, _earn), 2),
        (lambda repository: repository.v1.update(1, lambda old: evolve(old, balance=old.balance + 1)), 1),
        (lambda repository: repository.get(1), 1),
        (lambda repository: lazymig.protocol.heal(calls_of(repository).pair, 1), 1),
    ],
    ids=["a writer", "a writer in V1's type", "a reader", "a healer"],
)
async def test_who_meets_a_writer_between_v1_and_v2_keeps_what_only_its_body_holds(
    database: Any, other: Other, points: int
) -> None:
    """An acknowledged change of a V2-only field survives whoever meets its writer before the body is stored."""
    clock = _Releasing()
    repository = lazymig.Repository(
        MIGRATION, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST, clock=clock, coalesce=False
    )
    await repository.insert(AccountV2(1, 10))
    writer = await _held_before_its_body(repository, clock)
    await other(repository)
    clock.released.set()
    await writer
    stored = await database["v2"].find_one({"_id": 1})
    assert stored["points"] == points
    assert clock.waited
    assert (await repository.get(1)).points == points


def _held_at(goes: asyncio.Event, reached: asyncio.Event, step: Callable[..., Any]) -> Callable[..., Any]:
    """The step, once it may go on."""

    async def held(*arguments: Any) -> Any:
        reached.set()
        await goes.wait()
        done = step(*arguments)
        return await done if inspect.isawaitable(done) else done

    return held


@pytest.mark.parametrize("in_v1s_type", [False, True], ids=["a writer", "a writer in V1's type"])
async def test_a_writer_whose_number_another_one_has_used_waits_for_its_body(database: Any, in_v1s_type: bool) -> None:
    """A writer that lost a race takes a number that may be another's ticket: that one waits for its body."""
    clock = _Releasing()
    slow, quick, last = (
        lazymig.Repository(
            MIGRATION, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST, clock=clock, coalesce=False
        )
        for _ in range(3)
    )
    await quick.insert(AccountV2(1, 10))
    slow_goes, last_goes, slow_begun, last_begun = (asyncio.Event() for _ in range(4))
    loser = asyncio.create_task(_held_before_its_body(slow, clock, _held_at(slow_goes, slow_begun, _earn)))
    await slow_begun.wait()
    await quick.update(1, _earn)
    if in_v1s_type:  # it reads V1 in its first attempt
        store = calls_of(last).pair.v1
        store.find_local = _held_at(last_goes, last_begun, store.find_local)  # type: ignore[method-assign]
        later = asyncio.create_task(last.v1.update(1, lambda old: evolve(old, balance=old.balance + 1)))
    else:
        later = asyncio.create_task(last.update(1, _held_at(last_goes, last_begun, _earn)))
    await last_begun.wait()
    slow_goes.set()
    held = await loser
    stored, announced = await database["v1"].find_one({"_id": 1}), await database["v2"].find_one({"_id": 1})
    assert stored["_lazymig_rev"] == announced["_lazymig"]["intent"]  # both have this number
    last_goes.set()
    await later
    clock.released.set()
    await held
    assert clock.waited
    assert (await quick.get(1)).points == (2 if in_v1s_type else 3)


async def test_a_dead_writers_body_is_not_waited_for_for_ever(database: Any) -> None:
    """Where the body never comes, the next write goes on from V1 and what V2 last held."""
    clock = _Releasing()
    repository = lazymig.Repository(
        MIGRATION, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST, clock=clock, coalesce=False
    )
    await repository.insert(AccountV2(1, 10, 5))
    seen = await calls_of(repository).pair.ledger.ticket(1)
    assert await calls_of(repository).pair.v1.compare_and_set(1, seen.revision, seen.intent, {"balance": 11})
    assert await repository.get(1) == AccountV2(1, 11, 5)
    assert await repository.update(1, _earn) == AccountV2(1, 11, 6)
    stored = await database["v2"].find_one({"_id": 1})
    assert (stored["balance"], stored["points"]) == (11, 6)


async def test_a_reader_that_saw_v2_before_an_announcement_keeps_what_the_next_body_holds(database: Any) -> None:
    """V1 is past all that was announced when V2 was read: the reader looks again, and stores nothing of its own."""
    clock = _Releasing()
    writing, reading = (
        lazymig.Repository(
            MIGRATION, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST, clock=clock, coalesce=False
        )
        for _ in range(2)
    )
    await writing.insert(AccountV2(1, 10))
    await calls_of(writing).pair.ledger.ticket(1)  # its writer died
    goes, begun = asyncio.Event(), asyncio.Event()
    store = calls_of(reading).pair.v1
    store.find = _held_at(goes, begun, store.find)  # type: ignore[method-assign]
    reader = asyncio.create_task(reading.get(1))
    await begun.wait()
    writer = await _held_before_its_body(writing, clock)
    goes.set()
    assert (await reader).points == 1  # type: ignore[union-attr]
    await writer
    assert await writing.update(1, lambda account: evolve(account, balance=11)) == AccountV2(1, 11, 1)


async def test_a_sweep_that_saw_v2_before_an_announcement_keeps_what_the_next_body_holds(database: Any) -> None:
    """A sweep that meets a dead writer's mark, and V1 past it, leaves V2 to the writer that is alive."""
    clock = _Releasing()
    repository = lazymig.Repository(
        MIGRATION, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST, clock=clock, coalesce=False
    )
    await repository.insert(AccountV2(1, 10))
    pair = calls_of(repository).pair
    dead = await pair.ledger.ticket(1)
    writer = await _held_before_its_body(repository, clock)
    mover: Any = Mover(pair, None, Counter(), dry_run=False)
    assert await resolve_mark(pair, mover, dead, timedelta(hours=1)) is not None
    assert await repository.update(1, lambda account: evolve(account, balance=11)) == AccountV2(1, 11, 1)
    clock.released.set()
    await writer
    assert await repository.get(1) == AccountV2(1, 11, 1)
