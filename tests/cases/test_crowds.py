"""Crowds: as many ids as one likes, and as many calls at once."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from inspect import signature
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from lazymig import ConfigurationError, Control, NotFound, Phase, Repository, Sweeper
from lazymig.control import parts_of
from lazymig.loop.clock import SystemClock
from lazymig.loop.in_flight import InFlight
from lazymig.repository import calls_of
from lazymig.stores.chunks import BYTES_MAX, COUNT_MAX, split_ids
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.testing import memory_repository
from tests.clocks import standing_loop
from tests.conftest import only_database
from tests.people import PersonV2, ada, ada_v1, people
from tests.sweeps import repository as things_repository
from tests.sweeps import thing
from tests.watching import Watch, steps
from tests.widening import WIDENING


def repository(database: Any, **options: Any) -> Repository[Any, PersonV2]:
    return Repository(people(), **({"v1": database["v1"], "v2": database["v2"], "phase": Phase.COEXIST} | options))


@asynccontextmanager
async def watched_database(uri: str) -> AsyncIterator[tuple[Any, Watch]]:
    watch = Watch()
    async with only_database(AsyncMongoClient(uri, event_listeners=[watch])) as database:
        yield database, watch


def older(person: PersonV2) -> PersonV2:
    return evolve(person, age=(person.age or 0) + 1)


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# ---- ids in parts ---------------------------------------------------------------------------------------------------

IDS = st.lists(
    st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.integers(1, 5).map(lambda n: "é" * (n * BYTES_MAX // 9))
    | st.integers(1, 5).map(lambda n: {"dead": "x", "id": b"x" * (n * BYTES_MAX // 4)}),
    max_size=12,
)


@given(ids=IDS, times=st.sampled_from([1, 90, 300]))
def test_case_30_parts_hold_everything_and_not_too_much(ids: list[Any], times: int) -> None:
    """In order, none empty, none above the count; above the bytes only where it is one id."""
    large = [id for id in ids if not isinstance(id, int) and len(str(id)) > 100]
    ids = ids + [id for id in ids if id not in large] * times
    parts = list(split_ids(ids))
    assert [id for part in parts for id in part] == ids
    for part in parts:
        assert 0 < len(part) <= COUNT_MAX
        assert len(part) == 1 or sum(map(size, part)) <= BYTES_MAX


def size(id: Any) -> int:
    if isinstance(id, dict):
        return sum(map(size, id.values()))
    return len(id.encode()) if isinstance(id, str) else len(id) if isinstance(id, bytes) else 8


async def test_case_30_get_many_of_900_000_ids(lazymig_server: Any) -> None:
    """Of which few exist: the answer, by both doors, and no statement names more than a thousand ids."""
    async with watched_database(lazymig_server.uri) as (database, watch):
        await database["v1"].insert_many([ada_v1(id) for id in range(0, 900_000, 9_000)])
        repo = repository(database, timeout_s=None)
        with watch.sent(database) as sent:
            found = await repo.get_many(range(900_000))
        assert list(found) == list(range(0, 900_000, 9_000))
        assert {"v1 find", "v2 find", "v2 insert"} <= set(steps(sent))
        # Without those of the check before the first call.
        asked = [event.command["filter"].get("_id") for event in sent if event.command.get("find") in ("v1", "v2")]
        finds = [one["$in"] for one in asked if one is not None]
        assert max(map(len, finds)) <= 1000
        assert len(await repo.v1.get_many(range(0, 900_000, 3_000))) == 100


@pytest.mark.parametrize("phase", [Phase.COEXIST, Phase.V1_ONLY], ids=str)
async def test_case_30_get_many_of_large_ids(server_database: Any, phase: Phase) -> None:
    """Twenty ids of two megabytes are more than a statement holds; all come back, through both doors."""
    ids = [f"{number:02d}" + "x" * 2_000_000 for number in range(20)]
    await server_database["v1"].insert_many([thing(id) for id in ids])
    repo = things_repository(server_database, phase=phase)
    for door in (repo, repo.v1):
        assert list(await door.get_many(ids)) == ids
        assert [entity.id async for entity in door.list()] == ids
        found = await asyncio.gather(*map(door.get, ids))
        assert [entity.id for entity in found] == ids


@pytest.mark.parametrize("store", [V1Store, V2Store])
async def test_case_30_the_stores_take_any_number_of_ids(server_database: Any, store: Any) -> None:
    """`find_many` and `find_each`, of none too."""
    meta = {"_lazymig": {"rev": 0, "intent": 0}}
    await server_database["c"].insert_many([{"_id": id, **meta} for id in range(2_500)])
    port = store(server_database["c"], *([[]] if store is V2Store else []))
    for ids in ([], [1], range(5_000)):
        expected = [id for id in ids if id < 2_500]
        assert sorted(await port.find_many(list(ids))) == expected
        each = await port.find_each(list(ids))
        assert sorted(stored.id for stored in each) == sorted(each.ids) == expected
        assert len(each) == len(each.at_once()) == len(each.keys) == len(expected)


async def test_case_30_sweeps_of_large_ids(server_database: Any) -> None:
    """Large ids are swept whether pages are read by whole documents or by ids first."""
    ids = [f"{number:02d}" + "x" * 2_000_000 for number in range(20)]
    await server_database["v1"].insert_many([thing(id) for id in ids])
    repo = things_repository(server_database)
    for left in (20, 8):
        report = await Sweeper(repo, batch_size=1000).run()
        assert (report.finished, report.migrated) == (True, left)
        await server_database["v2"].delete_many({"_id": {"$lt": "08"}})


async def test_case_30_dead_letters_are_resolved_in_any_number(server_database: Any) -> None:
    """More than a statement can name, in one call."""
    control = Control(server_database["control"])
    ids = [f"{number:03d}" + "x" * 100_000 for number in range(200)]
    rows = [{"_id": {"dead": "things", "id": id}, "kind": "dead", "migration": "things"} for id in ids[:50]]
    await server_database["control"].insert_many(rows)
    assert await parts_of(control).letters.remove("things", ids) == 50
    assert await parts_of(control).letters.remove("things", []) == 0


# ---- calls in flight ------------------------------------------------------------------------------------------------


async def test_case_52_a_gather_of_more_updates_than_there_is_time_for(server_database: Any) -> None:
    """Each is acknowledged, none is out of time, no mark is left open, and the loop goes on meanwhile."""
    assert signature(Repository).parameters["max_in_flight"].default == 500
    bound, count = (500, 15_000) if WIDENING.full else (100, 3_000)  # the same with less to do
    await server_database["v1"].insert_many([ada_v1(id) for id in range(500)])
    await repository(server_database).get_many(range(500))
    # As many as are in flight have time enough, and all of them have not.
    timeout_s = 8.0
    repo = repository(server_database, timeout_s=timeout_s, max_in_flight=bound)
    open_marks, done = [], asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            marks = await server_database["v2"].count_documents({"_lazymig.at": {"$exists": True}})
            open_marks.append(marks)

    async def update(id: int) -> None:
        await repo.update(id, older)
        loop_time.move(1 / bound)

    looking = asyncio.create_task(look())
    with standing_loop() as loop_time:
        began_s = loop_time()
        results = await asyncio.gather(*(update(id % 500) for id in range(count)), return_exceptions=True)
        elapsed_s = loop_time() - began_s
    done.set()
    await looking
    assert results == [None] * count
    assert elapsed_s > 3 * timeout_s
    ages = await server_database["v1"].aggregate([{"$group": {"_id": None, "sum": {"$sum": "$age"}}}])
    assert [row["sum"] async for row in ages] == [36 * 500 + count]
    assert await server_database["v2"].count_documents({"_lazymig.at": {"$exists": True}}) == 0
    assert max(open_marks) <= bound


@pytest.mark.parametrize("call", ["update", "insert", "replace", "delete"])
async def test_case_52_no_more_than_the_bound_are_under_way(lazymig_server: Any, call: str) -> None:
    """Of each kind of write, through both doors: those that wait have sent nothing yet."""
    async with watched_database(lazymig_server.uri) as (database, watch):
        repo = repository(database, max_in_flight=3)
        if call != "insert":
            await database["v1"].insert_many([ada_v1(id) for id in range(20)])
            await repo.get_many(range(20))
        calls = {
            "update": lambda id: repo.update(id, older),
            "insert": lambda id: repo.insert(ada(id)),
            "replace": lambda id: repo.replace(ada(id, age=1)),
            "delete": lambda id: repo.delete(id),
        }
        under_way: set[Any] = set()
        most = 0

        def look(event: Any) -> None:
            nonlocal most
            command = event.command
            if event.command_name == "findAndModify":
                under_way.add(command["query"]["_id"])
            elif event.command_name in ("update", "insert", "delete"):  # of one or of many
                under_way.update(one["q"]["_id"] for one in (*command.get("updates", ()), *command.get("deletes", ())))
                under_way.update(one["_id"] for one in command.get("documents", ()))
            most = max(most, len(under_way - finished))

        finished: set[Any] = set()

        async def one(id: int) -> None:
            await calls[call](id)
            finished.add(id)

        watch.then = look
        await asyncio.gather(*map(one, range(20)))
        assert (len(finished), most) == (20, 3)


class Slow:
    """A change that waits until it is let go, and remembers who began."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.first = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, person: PersonV2) -> PersonV2:
        self.began.append(person.id)
        self.first.set()
        await self.go.wait()
        return older(person)


async def filled(count: int, **options: Any) -> Repository[Any, PersonV2]:
    """A repository in memory with people."""
    repo = memory_repository(people(), **options)
    for id in range(count):
        await repo.insert(ada(id))
    return repo


async def test_case_52_first_come_first_served() -> None:
    """Those that wait begin in the order in which they were called, as places become free."""
    repo, slow = await filled(9, max_in_flight=2), Slow()
    tasks = [asyncio.ensure_future(repo.update(id, slow)) for id in (5, 3, 8, 1, 0)]
    await turns()
    assert slow.began == [5, 3]
    slow.go.set()
    assert [person.age for person in await asyncio.gather(*tasks)] == [37] * 5
    assert slow.began == [5, 3, 8, 1, 0]


async def test_case_52_a_deadline_starts_when_its_call_does() -> None:
    """What waits for its turn longer than `timeout_s` is not out of time."""
    repo = await filled(1, max_in_flight=1, timeout_s=1)
    with standing_loop() as loop_time:
        async with calls_of(repo).in_flight.place():
            # In a context of its own: this test's place is not its caller's.
            waiting = asyncio.get_running_loop().create_task(repo.update(0, older), context=contextvars.Context())
            await turns()
            loop_time.move(1.3)
            await turns()
            assert not waiting.done()
        assert (await waiting).age == 37


async def test_case_52_cancelled_while_waiting_leaves_nothing_behind() -> None:
    """No announcement, no write, no place lost: at each moment of its waiting."""
    repo, slow = await filled(9, max_in_flight=1), Slow()
    tasks = [asyncio.ensure_future(repo.update(id, slow)) for id in range(5)]
    await turns()
    before = [await calls_of(repo).pair.bodies.find(id) for id in (1, 3)]
    tasks[1].cancel()
    await turns()
    tasks[3].cancel()
    slow.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [False, True, False, True, False]
    assert [await calls_of(repo).pair.bodies.find(id) for id in (1, 3)] == before
    assert slow.began == [0, 2, 4]
    assert (await repo.update(8, older)).age == 37


@pytest.mark.parametrize("comes", [False, True], ids=["it waits", "its turn comes"])
async def test_case_52_closed_while_it_waits(comes: bool) -> None:
    """A call that is closed gives its place to the next, as a cancelled one does."""
    bound = InFlight(1)
    await bound.take()
    waiting = bound.take()
    waiting.send(None)
    if comes:
        bound.give_back()
    waiting.close()
    if not comes:
        bound.give_back()
    async with asyncio.timeout(60):
        await bound.take()


async def test_case_52_cancelled_just_as_its_turn_comes() -> None:
    """The place goes to the next."""
    bound = InFlight(1)
    entered: list[int] = []

    async def work(number: int, go: asyncio.Event) -> None:
        async with bound.place():
            entered.append(number)
            await go.wait()

    events = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.ensure_future(work(number, event)) for number, event in enumerate(events)]
    await turns()
    events[0].set()
    # The first leaves and hands its place over; before the second wakes, it is cancelled.
    while not tasks[0].done():
        await asyncio.sleep(0)
        if bound._waiting and len(bound._waiting) < 2:
            break
    tasks[1].cancel()
    await turns()
    assert entered == [0, 2]
    events[2].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with bound.place():
        entered.append(9)
    assert entered == [0, 2, 9]


async def test_case_52_a_change_may_write_on_its_way() -> None:
    """Calls of the repository within a change do not wait for places that their callers hold."""
    repo = await filled(20, max_in_flight=2)

    async def nested(person: PersonV2) -> PersonV2:
        await asyncio.gather(*(repo.update(person.id + 10, older) for _ in range(3)))
        await repo.v1.update(person.id + 10, lambda other: evolve(other, age=other.age + 1))
        return older(person)

    people_now = await asyncio.gather(*(repo.update(id, nested) for id in range(10)))
    assert [person.age for person in people_now] == [37] * 10
    assert [(await repo.get(id)).age for id in range(10, 20)] == [40] * 10


async def test_case_52_two_repositories_that_call_each_other() -> None:
    """Neither waits for the other's places."""
    first, second = await filled(10, max_in_flight=1), await filled(10, max_in_flight=1)

    def within(other: Any) -> Any:
        async def change(person: PersonV2) -> PersonV2:
            await turns()
            await other.update(person.id + 5, older)
            return older(person)

        return change

    calls = [first.update(id, within(second)) for id in range(5)] + [
        second.update(id, within(first)) for id in range(5)
    ]
    await asyncio.gather(*calls)
    assert [(await repo.get(id)).age for repo in (first, second) for id in range(10)] == [37] * 20


async def test_case_52_a_task_that_outlives_its_change_waits_like_any_other() -> None:
    """Being started within a change is no free pass for ever."""
    repo, slow = await filled(9, max_in_flight=1), Slow()
    background: list[Any] = []
    go = asyncio.Event()

    async def write_later() -> None:
        await go.wait()
        await repo.update(5, slow)

    def start(person: PersonV2) -> PersonV2:
        background.append(asyncio.ensure_future(write_later()))
        return older(person)

    await repo.update(1, start)
    blocker = asyncio.ensure_future(repo.update(2, slow))
    await turns()
    go.set()
    await turns()
    assert slow.began == [2]
    slow.go.set()
    await asyncio.gather(blocker, *background)
    assert slow.began == [2, 5]


async def test_case_52_errors_give_the_place_back() -> None:
    """Whatever a write raises."""
    repo = await filled(2, max_in_flight=1)

    def fail(person: PersonV2) -> PersonV2:
        raise KeyError(person.id)

    for _ in range(3):
        with pytest.raises(KeyError):
            await repo.update(1, fail)
        with pytest.raises(NotFound):
            await repo.delete(99)
    assert (await repo.update(1, older)).age == 37


async def test_case_52_a_session_does_not_wait(server_database: Any) -> None:
    """What holds a transaction open must not wait for those that wait for its documents."""
    await server_database["v1"].insert_many([ada_v1(id) for id in range(3)])
    repo, slow = repository(server_database, max_in_flight=1), Slow()
    blocker = asyncio.ensure_future(repo.update(0, slow))
    await slow.first.wait()
    async with server_database.client.start_session() as session, await session.start_transaction():
        assert (await repo.with_session(session).update(1, older)).age == 37
    slow.go.set()
    await blocker


@pytest.mark.parametrize("bound", [0, -1])
def test_case_52_a_bound_is_a_number_of_writes(bound: int) -> None:
    """Or None, for none."""
    with pytest.raises(ConfigurationError, match="max_in_flight"):
        memory_repository(people(), max_in_flight=bound)


async def test_case_52_without_a_bound_all_begin_at_once() -> None:
    """As before."""
    repo, slow = await filled(9, max_in_flight=None), Slow()
    tasks = [asyncio.ensure_future(repo.update(id, slow)) for id in range(9)]
    await turns(20)
    assert len(slow.began) == 9
    slow.go.set()
    await asyncio.gather(*tasks)


async def test_case_52_a_gather_of_20_000_reads(lazymig_server: Any) -> None:
    """Migrated or not: they share their statements, and none is out of time."""
    ids: Sequence[int] = range(20_000)
    async with watched_database(lazymig_server.uri) as (database, watch):
        await database["v1"].insert_many([ada_v1(id) for id in [*ids, *range(-2_000, 0)]])
        begun_s = time.perf_counter()
        await asyncio.gather(*map(repository(database, timeout_s=None).get, range(-2_000, 0)))
        # A tenth of them: by this machine's speed, with room for a busier one.
        repo = repository(database, timeout_s=max(30.0, 100 * (time.perf_counter() - begun_s)))
        await repo.check()
        for statements_max in (80, 20):
            with watch.sent(database) as sent:
                found = await asyncio.gather(*map(repo.get, ids))
            assert [person.id for person in found] == list(ids)
            assert len(sent) <= statements_max


class Late(SystemClock):
    """A clock by which every read takes seconds between V1's answer and V2's."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def monotonic(self) -> float:
        self.elapsed_s += 5
        return super().monotonic() + self.elapsed_s


async def test_case_52_late_reads_look_again_together(lazymig_server: Any) -> None:
    """First reads that store late share the statement that asks whether V1 has changed, and it is right for each."""
    async with watched_database(lazymig_server.uri) as (database, watch):
        await database["v1"].insert_many([ada_v1(id) for id in range(20)])
        repo = repository(database, clock=Late())
        await repo.check()
        put_many = calls_of(repo).pair.bodies.put_many

        async def put_after_others(documents: Any) -> Any:
            put = await put_many(documents)
            await database["v1"].delete_one({"_id": 3})
            await database["v1"].update_one({"_id": 5}, {"$set": {"age": 99, "_lazymig_rev": 1}})
            return put

        calls_of(repo).pair.bodies.put_many = put_after_others  # type: ignore[method-assign]
        with watch.sent(database) as sent:
            await asyncio.gather(*map(repo.get, range(20)))
        assert steps(sent).count("v1 find") == 2 + 1  # of all, of all again, and of the two that are healed together
        assert await repo.get(3) is None
        assert (await repo.get(5)).age == 99
        assert [(await repo.get(id)).age for id in (4, 6)] == [36, 36]
