"""Live reads that are compared: the caller notices nothing, and what was found is counted, logged and reported."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import define, evolve, field
from pymongo.errors import AutoReconnect

from lazymig import Control, ConversionError, DarkReads, Migration, Mismatch, Phase, Repository, Verdict
from lazymig.control import parts_of
from lazymig.repository import calls_of
from lazymig.testing import memory_repository
from tests.clocks import settle, standing_loop
from tests.people import TestClock, ada, ada_v1, people
from tests.statements import Held, never_sent

#: A stall of the machine ends no comparison.
LONG_S = 60.0

CASES = ["get", "get_many", "v1.get", "v1.get_many"]


async def opened(*ids: int, dark: DarkReads | None = None, **options: Any) -> Repository[Any, Any]:
    """A repository whose entities are in both collections, and that compares every read from now on."""
    dark = dark or DarkReads(1, timeout_s=LONG_S)
    share, dark.share = dark.share, 0
    migration = options.pop("migration", None) or people()
    repository = memory_repository(migration, dark_reads=dark, **({"clock": TestClock()} | options))
    if ids:
        await repository.collections.v1.insert_many([ada_v1(id) for id in ids])
        for id in ids:
            await repository.exists(id)
            await calls_of(memory_beside(repository)).route.read(id)
    dark.share = share
    return repository


def memory_beside(repository: Repository[Any, Any]) -> Repository[Any, Any]:
    """Another process on the same collections, without dark reads."""
    v1, v2 = repository.collections
    return Repository(people(), v1=v1, v2=v2, phase=Phase.COEXIST)


async def counted(repository: Repository[Any, Any]) -> dict[str, int]:
    """What the dark reads have counted once they are done, without zeros."""
    await calls_of(repository).drain()
    assert repository.dark_reads is not None
    return {name: count for name, count in repository.dark_reads.counts.items() if count}


async def logged(repository: Repository[Any, Any]) -> list[Mismatch]:
    """The mismatches in the control collection."""
    control = Control(repository.collections.v2.database["lazymig_control"])
    return [one async for page in parts_of(control).mismatches.find_pages("people") for one in page]


async def damage(repository: Repository[Any, Any], id: int = 1, age: int = 37) -> None:
    """Change V2 behind lazymig's back."""
    await repository.collections.v2.update_one({"_id": id}, {"$set": {"age": age}})


async def call(repository: Repository[Any, Any], case: str, id: int = 1) -> Any:
    """One of the reads that are compared."""
    door: Any = repository.v1 if case.startswith("v1") else repository
    return await (door.get_many([id]) if case.endswith("many") else door.get(id))


@pytest.mark.parametrize("serve", ["v1", "v2"])
@pytest.mark.parametrize("case", CASES)
async def test_each_read_is_compared_and_answers_as_before(case: str, serve: Any) -> None:
    """Both doors, one entity and many, with either side as the control."""
    repository = await opened(1, 2, dark=DarkReads(1, serve=serve, timeout_s=LONG_S))
    assert await call(repository, case) == await call(memory_beside(repository), case)
    assert await counted(repository) == {"compared": 1, "matched": 1}
    await damage(repository)
    await call(repository, case)
    assert await counted(repository) == {"compared": 2, "matched": 1, "mismatched": 1}
    [mismatch] = await logged(repository)
    assert (mismatch.id, mismatch.verdict, mismatch.source) == (1, Verdict.DIFFERENT, "dark read")
    assert [difference.path for difference in mismatch.differences] == ["age"]


@pytest.mark.parametrize("serve", ["v1", "v2"])
async def test_the_side_that_serves_answers_although_the_other_differs(serve: Any) -> None:
    """With "v1" the answer lacks what only V2 holds, and no read brings an entity to V2."""
    repository = await opened(1, dark=DarkReads(1, serve=serve, timeout_s=LONG_S))
    await damage(repository)
    assert (await repository.get(1)).age == (36 if serve == "v1" else 37)
    assert (await repository.get_many([1]))[1].age == (36 if serve == "v1" else 37)
    await repository.insert(ada(2, note="kept"))
    assert (await repository.get(2)).note == (None if serve == "v1" else "kept")
    await repository.collections.v1.insert_one(ada_v1(3))
    assert await repository.get(3) == ada(3)
    assert await repository.collections.v2.count_documents({"_id": 3}) == (0 if serve == "v1" else 1)
    counts = await counted(repository)
    assert (counts["mismatched"], counts["matched"]) == (2, 1 if serve == "v1" else 2)
    assert counts.get("missing", 0) == (1 if serve == "v1" else 0)


@pytest.mark.parametrize("serve", ["v1", "v2"])
@pytest.mark.parametrize("case", ["get", "v1.get"])
async def test_the_controls_exception_reaches_the_caller(case: str, serve: Any) -> None:
    """As it is, and the comparison finds no more than that V2 lacks the entity."""
    repository = await opened(dark=DarkReads(1, serve=serve, timeout_s=LONG_S))
    await repository.collections.v1.insert_one({"_id": 1, "name": "Cher" if case == "get" else 5})
    with pytest.raises(ConversionError) as expected:
        await call(memory_beside(repository), case)
    with pytest.raises(ConversionError) as raised:
        await call(repository, case)
    assert str(raised.value) == str(expected.value)
    assert await counted(repository) == {"missing": 1}


async def test_a_control_that_cannot_reach_its_server_is_not_compared() -> None:
    """The caller gets the driver's own error object."""
    repository = await opened(1, 2)
    gone = AutoReconnect("gone")

    async def lost(*_: Any) -> Any:
        raise gone

    calls_of(repository).pair.bodies.find = lost  # type: ignore[method-assign]
    with pytest.raises(AutoReconnect) as raised:
        await repository.get(1)
    assert raised.value is gone
    assert await counted(repository) == {}


async def test_a_candidate_that_fails_is_only_counted(caplog: pytest.LogCaptureFixture) -> None:
    """One log line per class of error; every caller has its entity."""
    repository = await opened(1, 2)
    never_sent(calls_of(repository).pair.v1, "find")
    assert [await repository.get(id) for id in (1, 2, 1)] == [ada(1), ada(2), ada(1)]
    assert await counted(repository) == {"failed": 3}
    assert caplog.messages == ["a dark read failed: AutoReconnect (further ones are only counted)"]


async def test_a_candidate_that_hangs_holds_nobody_up() -> None:
    """The caller has its entity before the candidate has begun, and the candidate is given up in time."""
    repository = await opened(1, dark=DarkReads(1, timeout_s=0.05))
    held = Held(calls_of(repository).pair.v1, "find")
    assert await repository.get(1) == ada()
    assert not held.reached.is_set()
    await asyncio.wait_for(held.reached.wait(), 30)
    assert await counted(repository) == {"failed": 1}
    assert repository.dark_reads is not None
    assert repository.dark_reads.latency["control"].count == 1
    assert repository.dark_reads.latency["candidate"].count == 1


async def test_above_the_bound_reads_are_dropped_and_never_queued() -> None:
    """The bound counts entities, those of `get_many` as well."""
    repository = await opened(*range(10), dark=DarkReads(1, in_flight_max=4, timeout_s=LONG_S))
    held = Held(calls_of(repository).pair.v1, "find")
    for id in (1, 2, 3):
        assert await repository.get(id) == ada(id)
    assert len(await repository.get_many(range(10))) == 10
    assert await repository.get(1) == ada(1)
    held.go()
    assert await counted(repository) == {"compared": 4, "matched": 4, "dropped": 10}
    await repository.get(1)
    assert await counted(repository) == {"compared": 5, "matched": 5, "dropped": 10}


async def test_above_the_rate_reads_are_dropped() -> None:
    """A moment later some more are compared."""
    clock = TestClock()
    repository = await opened(*range(10), dark=DarkReads(1, rate_max=40, timeout_s=LONG_S), clock=clock)
    assert len(await repository.get_many(range(10))) == 10
    await repository.get(1)
    assert await counted(repository) == {"compared": 4, "matched": 4, "dropped": 7}
    clock.time += timedelta(seconds=0.06)
    await repository.get_many(range(10))
    assert await counted(repository) == {"compared": 6, "matched": 6, "dropped": 15}


async def test_any_part_of_a_batch_may_be_compared() -> None:
    """Where a bound drops the rest: the ids at its end as well, and around the end."""
    compared: list[int] = []
    dark = DarkReads(1, in_flight_max=4, on_mismatch=lambda mismatch: compared.append(mismatch.id))
    clock = TestClock()
    repository = await opened(*range(10), dark=dark, clock=clock)
    await repository.collections.v2.update_many({}, {"$set": {"age": 1}})
    for drawn in (0.0, 0.5, 0.99):
        clock.random = lambda drawn=drawn: drawn  # type: ignore[method-assign, misc]
        await repository.get_many(range(10))
        await counted(repository)
    assert [sorted(compared[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3], [5, 6, 7, 8], [0, 1, 2, 9]]


async def test_a_caller_may_change_its_entity() -> None:
    """The documents are compared, and a second look reads them anew."""

    @define
    class Box:
        id: int
        info: dict[str, Any] = field(factory=dict)

    migration: Migration[Any, Any] = Migration(
        name="boxes", v1=Box, v2=Box, upgrade=lambda box: box, downgrade=lambda box: box
    )
    repository = memory_repository(migration, dark_reads=DarkReads(1, timeout_s=LONG_S), clock=TestClock())
    await repository.insert(Box(1, {"inner": {"a": 1}}))
    box = await repository.get(1)
    box.info["inner"]["a"] = 2
    box.info.clear()
    assert await counted(repository) == {"compared": 1, "matched": 1}


async def test_a_write_between_both_reads_is_no_mismatch() -> None:
    """The candidate reads V1 after a write; the second look finds both sides at the new revision."""
    repository = await opened(1)
    held = Held(calls_of(repository).pair.v1, "find")
    assert await repository.get(1) == ada()
    await held.reached.wait()
    await memory_beside(repository).update(1, lambda person: evolve(person, age=50))
    held.go()
    assert await counted(repository) == {"compared": 1, "matched": 1}


async def test_a_cancelled_caller_starts_no_comparison() -> None:
    """Its read never ended."""
    repository = await opened(1)
    task = await Held(calls_of(repository).pair.bodies, "find").until(repository.get(1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await counted(repository) == {}


async def test_leaving_the_repository_waits_for_comparisons_and_cancels_late_ones() -> None:
    """What hangs is cancelled after the time of one comparison; nothing runs afterwards."""
    repository = await opened(1, dark=DarkReads(1, timeout_s=30))
    async with repository:
        await repository.get(1)
    assert repository.tally.counts["lazymig.dark_reads.matched"] == 1
    hanging, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: Any) -> None:
        try:
            await hanging.wait()
        except asyncio.CancelledError:
            cancelled.set()
            await hanging.wait()

    watch: Any = calls_of(repository).route.watch  # type: ignore[attr-defined]
    watch._background.start(hang(None))
    with standing_loop() as time:
        draining = asyncio.create_task(watch.drain())
        await settle()
        assert not cancelled.is_set()
        time.move(61)
        await cancelled.wait()
        hanging.set()
        await draining
    assert not watch._background._running


# Reports


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_hook_gets_each_mismatch(is_async: bool) -> None:
    """Sync or async, with the id as entities hold it, and without contents."""
    found: list[Mismatch] = []

    async def later(mismatch: Mismatch) -> None:
        found.append(mismatch)

    repository = await opened(1, 2, dark=DarkReads(1, on_mismatch=later if is_async else found.append))
    await damage(repository)
    for id in (1, 2, 1):
        await repository.get(id)
    await counted(repository)
    assert [(one.id, one.verdict, one.check) for one in found] == [(1, Verdict.DIFFERENT, "upgrade")] * 2
    assert "Lovelace" not in repr(found)


async def test_a_hook_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback and counted, and the log has the mismatch."""

    def refuse(_: Mismatch) -> None:
        raise RuntimeError("no")

    repository = await opened(1, dark=DarkReads(1, on_mismatch=refuse, timeout_s=LONG_S))
    await damage(repository)
    assert (await repository.get(1)).age == 37
    assert await counted(repository) == {"compared": 1, "mismatched": 1, "unreported": 1}
    [record] = [record for record in caplog.records if record.exc_info]
    assert (record.levelno, record.exc_info and record.exc_info[0]) == (logging.ERROR, RuntimeError)
    assert len(await logged(repository)) == 1


async def test_a_log_that_cannot_be_written_hurts_nobody() -> None:
    """The hook is called all the same."""
    found: list[Mismatch] = []
    control: Any = Control(memory_repository(people()).collections.v1)
    never_sent(parts_of(control).mismatches, "record")
    repository = await opened(1, dark=DarkReads(1, control=control, on_mismatch=found.append, timeout_s=LONG_S))
    await damage(repository)
    assert (await repository.get(1)).age == 37
    assert await counted(repository) == {"compared": 1, "mismatched": 1, "unreported": 1}
    assert len(found) == 1


@pytest.mark.parametrize("log_max", [0, 2])
async def test_the_log_is_bounded(log_max: int) -> None:
    """Entities that are in it stay up to date; others are counted only, also by the next process."""
    repository = await opened(*range(5), dark=DarkReads(1, log_max=log_max))
    for id in range(5):
        await damage(repository, id)
        await repository.get(id)
        await counted(repository)
    assert (await counted(repository))["mismatched"] == 5
    assert [one.id for one in await logged(repository)] == list(range(log_max))
    v1, v2 = repository.collections
    other = Repository(
        people(), v1=v1, v2=v2, phase=Phase.COEXIST, dark_reads=DarkReads(1, log_max=log_max), clock=TestClock()
    )
    for id in range(5):
        await damage(other, id, age=38)
        await other.get(id)
        await counted(other)
    assert [one.id for one in await logged(repository)] == list(range(log_max))


async def test_a_damaged_entity_that_is_read_often_is_recorded_seldom() -> None:
    """Each read is counted; the row is written again when something changes, or some seconds later."""
    clock = TestClock()
    control: Any = Control(memory_repository(people()).collections.v1)
    rows, written = parts_of(control).mismatches, []
    record = rows.record

    async def noting(migration: str, found: Any) -> None:
        written.append(found[0].signature)
        await record(migration, found)

    rows.record = noting  # type: ignore[method-assign]
    repository = await opened(1, dark=DarkReads(1, control=control, timeout_s=LONG_S), clock=clock)
    for age, elapsed_s in ((37, 0), (37, 0), (37, 1), (38, 0), (38, 0), (38, 6)):
        clock.time += timedelta(seconds=elapsed_s)
        await damage(repository, age=age)
        await repository.get(1)
        await counted(repository)
    assert (await counted(repository))["mismatched"] == 6
    assert len(written) == 3
    assert len(set(written)) == 2


async def test_an_entity_leaves_the_log_when_both_sides_are_equal_again() -> None:
    """Also when another process had recorded it, a minute later at most."""
    clock = TestClock()
    repository = await opened(1, 2, clock=clock)
    v1, v2 = repository.collections
    other = Repository(
        people(), v1=v1, v2=v2, phase=Phase.COEXIST, dark_reads=DarkReads(1, timeout_s=LONG_S), clock=clock
    )
    await other.get(1)
    assert await counted(other) == {"compared": 1, "matched": 1}
    for id in (1, 2):
        await damage(repository, id)
        await repository.get(id)
    await counted(repository)
    assert sorted(one.id for one in await logged(repository)) == [1, 2]
    for id in (1, 2):
        await damage(repository, id, age=36)
    await repository.get(1)
    await other.get(2)
    await counted(other)
    await counted(repository)
    assert [one.id for one in await logged(repository)] == [2]
    clock.time += timedelta(seconds=61)
    await other.get(2)
    await counted(other)
    assert await logged(repository) == []


async def test_what_a_verification_recorded_is_left_to_it() -> None:
    """A dark read neither replaces nor removes it: a verification may check more."""
    control = Control(memory_repository(people()).collections.v1)
    rows = parts_of(control).mismatches
    verified = Mismatch(1, Verdict.MISSING, check="theirs", signature="s", confirmed=True)
    await rows.record("people", [verified])
    repository = await opened(1, dark=DarkReads(1, control=control, timeout_s=LONG_S))
    await repository.get(1)
    await counted(repository)
    await damage(repository)
    await repository.get(1)
    await counted(repository)
    held = await rows.find("people", 1)
    assert held is not None
    assert (held.check, held.source, held.confirmed) == ("theirs", "verify", True)


async def test_a_mismatch_that_has_stood_is_confirmed() -> None:
    """Ten seconds unchanged; another difference starts again."""
    clock = TestClock()
    repository = await opened(1, clock=clock)
    await damage(repository)
    seen = []
    for age in (37, 37, 37, 38, 38):
        await damage(repository, age=age)
        await repository.get(1)
        await counted(repository)
        seen += [one.confirmed for one in await logged(repository)]
        clock.time += timedelta(seconds=6)
    assert seen == [False, False, True, False, False]


# V1 with V1


async def test_an_a_a_run_finds_no_mismatch_and_does_not_look_at_v2() -> None:
    """Whatever V2 holds; both latencies are those of V1."""
    repository = await opened(1, 2, dark=DarkReads(1, serve="v1", aa=True))
    await damage(repository)
    never_sent(calls_of(repository).pair.bodies, "find")
    assert await repository.get(1) == ada(1)
    assert await repository.v1.get(1) is not None
    assert await repository.get(9) is None
    assert len(await repository.get_many([1, 2])) == 2
    assert await counted(repository) == {"compared": 5, "matched": 5}
    assert repository.dark_reads is not None
    assert [repository.dark_reads.latency[side].count for side in ("control", "candidate")] == [3, 3]


async def test_an_a_a_run_shows_what_moves() -> None:
    """V1 changes between the two reads, with or without its revision: looked at again, and then equal."""
    repository = await opened(1, dark=DarkReads(1, serve="v1", aa=True))
    changes = itertools.count(40)
    find = calls_of(repository).pair.v1.find

    async def move(id: Any) -> Any:
        await repository.collections.v1.update_one({"_id": 1}, {"$set": {"age": next(changes)}})
        return await find(id)

    calls_of(repository).pair.v1.find = move  # type: ignore[method-assign]
    await repository.get(1)
    assert await counted(repository) == {"moved": 1}


async def test_an_a_a_run_shows_an_upgrade_that_is_not_pure() -> None:
    """It would look like damage in V2 otherwise."""
    counter = itertools.count()
    migration: Migration[Any, Any] = people(upgrade=lambda v1: ada(v1.id, note=str(next(counter))))
    found: list[Mismatch] = []
    dark = DarkReads(1, serve="v1", aa=True, on_mismatch=found.append)
    repository = await opened(dark=dark, migration=migration)
    await repository.collections.v1.insert_one(ada_v1())
    await repository.get(1)
    assert await counted(repository) == {"compared": 1, "mismatched": 1}
    assert (found[0].check, found[0].reason) == (
        "a/a",
        "`upgrade` made two different entities of one V1 document: make it pure",
    )


async def test_a_batch_is_read_by_one_statement_for_each_side() -> None:
    """Of the sampled ids, what the call has read is not read again."""
    repository = await opened(1, 2, 3)
    pair: Any = calls_of(repository).pair
    sent: list[tuple[str, list[Any]]] = []

    def note(name: str, store: Any) -> Callable[..., Any]:
        find_many = store.find_many

        async def noting(ids: Any) -> Any:
            sent.append((name, list(ids)))
            return await find_many(ids)

        return noting

    pair.v1.find_many, pair.bodies.find_many = note("v1", pair.v1), note("v2", pair.bodies)
    await repository.get_many([1, 2, 3])
    assert await counted(repository) == {"compared": 3, "matched": 3}
    assert sent == [("v2", [1, 2, 3]), ("v1", [1, 2, 3])]


async def test_the_log_is_in_the_control_collection_that_is_followed() -> None:
    """The gates of the next step look there, also where it stands in another database."""
    repository = await opened(1)
    elsewhere = Control(repository.collections.v1.database["elsewhere"])
    await damage(repository)
    await parts_of(elsewhere).phases("people").begin(Phase.COEXIST, by="me", why="a test")
    v1, v2 = repository.collections
    async with Repository(
        people(), v1=v1, v2=v2, phase=elsewhere, dark_reads=DarkReads(1, timeout_s=LONG_S)
    ) as steered:
        await steered.get(1)
    assert [one.id async for one in elsewhere.mismatches("people")] == [1]
    assert await logged(repository) == []
