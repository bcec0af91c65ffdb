"""Faults: a server that is gone, steps that fail, callers that are cancelled. The next read is right every time."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import evolve
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, NetworkTimeout, PyMongoError

from lazymig import NotFound, Repository
from lazymig.protocol import heal
from lazymig.repository import calls_of
from lazymig.stores.drivers import await_if_needed
from lazymig.testing import Server
from tests.contract.conftest import KINDS, Watched
from tests.interrupting import Interrupted
from tests.layouts import Layout
from tests.people import PersonV1, PersonV2, TestClock, ada, ada_v1

REV, META = "_lazymig_rev", "_lazymig"
People = Repository[PersonV1, PersonV2]


@pytest.fixture
def layout() -> Layout:
    """The steps between two collections, each of which may fail."""
    return Layout.TWO


def older(person: PersonV2) -> PersonV2:
    """A change."""
    return evolve(person, age=(person.age or 0) + 1)


@pytest.fixture
def open_repository(open_repository: Any) -> Any:
    """As elsewhere, but nobody really waits for a writer that is dead."""
    clock = TestClock()
    return lambda database, **options: open_repository(database, **({"clock": clock} | options))


#: Every call that takes a step, with the number of steps that it takes on a migrated and on an unmigrated entity.
CALLS: dict[str, Callable[[People], Any]] = {
    "get": lambda people: people.get(1),
    "get_many": lambda people: people.get_many([1, 2]),
    "update": lambda people: people.update(1, older),
    "replace": lambda people: people.replace(ada(1, last="King")),
    "delete": lambda people: people.delete(1),
    "insert": lambda people: people.insert(ada(9)),
    "insert a taken id": lambda people: people.insert(ada(1)),
    "v1.update": lambda people: people.v1.update(1, lambda person: evolve(person, age=50)),
    "v1.insert": lambda people: people.v1.insert(PersonV1(9, "Grace Hopper")),
    "heal": lambda people: heal(calls_of(people).pair, 1),
}


def interrupt(repository: People, fatal: int, error: BaseException, *, after: bool) -> list[str]:
    """Interrupt this repository at one of its statements; returns the list that their names will be in."""
    statements: list[str] = []
    pair = calls_of(repository).pair
    v1, v2 = (Interrupted(store, statements, fatal, error, after=after) for store in (pair.v1, pair.bodies))
    repository._calls = calls_of(repository).with_pair(evolve(pair, v1=v1, ledger=v2, bodies=v2))
    return statements


async def right(database: Any, open_repository: Any) -> None:
    """A repository of another process answers what V1 holds, by every kind of read, and can go on writing."""
    repository = open_repository(database)
    expected = {row["_id"]: (row["name"], row["age"]) async for row in database["v1"].find({}, {"name": 1, "age": 1})}

    def shown(person: PersonV2) -> tuple[Any, ...]:
        return f"{person.first} {person.last}", person.age

    for _ in range(2):
        for id in (1, 2, 9):
            person = await repository.get(id)
            assert (shown(person) if person else None) == expected.get(id)
            assert await repository.exists(id) is (id in expected)
        assert {id: shown(person) for id, person in (await repository.get_many([1, 2, 9])).items()} == expected
        assert {person.id: shown(person) async for person in repository.list()} == expected
    for id in expected:
        changed = await repository.update(id, older)
        assert await repository.get(id) == changed
        v1, v2 = await database["v1"].find_one({"_id": id}), await database["v2"].find_one({"_id": id})
        assert (v1["name"], v1["age"]) == shown(changed)
        # An insert that died is remembered until V1 is past its ticket; it holds nobody up.
        meta = {name: value for name, value in v2[META].items() if name != "inserts"}
        assert meta == {"rev": v1[REV], "intent": v1[REV], "by": v2[META]["by"]}
    for id in {1, 9} - set(expected):
        await repository.insert(ada(id))
        assert await repository.get(id) == ada(id)


@pytest.mark.parametrize(
    ("driver", "call"), [*(("mock", call) for call in CALLS), ("pymongo", "update"), ("motor", "insert")]
)
@pytest.mark.parametrize("migrated", [True, False], ids=["migrated", "unmigrated"])
async def test_a_call_may_be_cancelled_at_every_await(
    database: Any, open_repository: Any, call: str, migrated: bool
) -> None:
    """Cancelled before or after each of its statements: whatever was reached, the next read is right."""
    fatal, reached = 0, True
    while reached:
        fatal += 1
        for after in (False, True):
            for name in ("v1", "v2"):
                await database[name].delete_many({})
            await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
            if migrated:
                await open_repository(database).get_many([1, 2])
            repository = open_repository(database)
            statements = interrupt(repository, fatal, asyncio.CancelledError(), after=after)
            try:
                await CALLS[call](repository)
            except asyncio.CancelledError:
                # Only one statement may follow: the announcement of a write that was not sent is taken back.
                assert statements[fatal:] in ([], ["withdraw"])
            except (NotFound, ValueError):
                assert len(statements) < fatal
            reached = len(statements) >= fatal
            await right(database, open_repository)
    assert fatal >= 2


@pytest.mark.parametrize("call", ["update", "delete", "insert", "v1.update"])
@pytest.mark.parametrize("after", [False, True], ids=["not sent", "answer lost"])
@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_a_v2_step_that_fails_after_v1_is_no_error(
    database: Any, open_repository: Any, call: str, after: bool
) -> None:
    """V1 has the write: the caller sees success, the failure is counted, and the next read is right."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await open_repository(database).get_many([1, 2])
    repository = open_repository(database)
    last = 4 if call == "v1.update" else 3
    statements = interrupt(repository, last, AutoReconnect("gone"), after=after)
    await CALLS[call](repository)
    assert statements[-1] in ("apply", "bury")
    assert repository.tally.counts["lazymig.left_dirty"] == 1
    await right(database, open_repository)


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
@pytest.mark.parametrize("call", ["update", "delete", "insert"])
async def test_a_task_may_be_cancelled_while_the_server_works(
    watched: Watched, open_repository: Any, call: str
) -> None:
    """The same by the event loop's own means: the task is cancelled while the server works on a statement."""
    cancelled = 0
    for fatal in range(1, 5):
        for name in ("v1", "v2"):
            await watched.database[name].delete_many({})
        await watched.database["v1"].insert_many([ada_v1(1), ada_v1(2)])
        repository = open_repository(watched.database, coalesce=False)
        task = asyncio.ensure_future(CALLS[call](repository))
        watched.watch.then = _cancel_at(fatal, task, watched.database.name)
        await asyncio.wait([task])
        watched.watch.then = None
        cancelled += task.cancelled()
        await right(watched.database, open_repository)
    assert cancelled


def _cancel_at(fatal: int, task: asyncio.Future[Any], database: str) -> Callable[[Any], None]:
    """Cancel the task a few turns of the loop after its fatal command: it then waits for the server's answer.

    Not at once: `asyncio.wait_for` of Python 3.11, by which PyMongo sends, loses a cancellation that comes while the
    sending is just done.
    """
    seen = 0

    def turn(left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(turn, left - 1)
        else:
            task.cancel()

    def then(event: Any) -> None:
        nonlocal seen
        seen += event.database_name == database
        if seen == fatal:
            turn(4)

    return then


@pytest.mark.parametrize("call", ["get", "get_many"])
async def test_a_read_that_cannot_store_still_answers(database: Any, open_repository: Any, call: str) -> None:
    """A body that V2 did not take is counted; the answer is V1's."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repository = open_repository(database)
    interrupt(repository, 3, AutoReconnect("gone"), after=False)
    assert await CALLS[call](repository) in (ada(1), {1: ada(1), 2: ada(2)})
    assert repository.tally.counts == {"lazymig.left_dirty": 1}
    assert await database["v2"].count_documents({}) == 0
    await right(database, open_repository)


@pytest.mark.parametrize("call", ["update", "delete", "insert"])
async def test_a_ticket_that_fails_is_the_callers_error(database: Any, open_repository: Any, call: str) -> None:
    """Nothing has been written: the driver's error comes through unchanged."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    error = AutoReconnect("gone")
    repository = open_repository(database)
    interrupt(repository, 1, error, after=False)
    with pytest.raises(AutoReconnect) as caught:
        await CALLS[call](repository)
    assert caught.value is error
    assert await database["v1"].find().to_list(None) == [ada_v1(1), ada_v1(2)]
    await right(database, open_repository)


@pytest.mark.parametrize("after", [False, True], ids=["not sent", "answer lost"])
async def test_a_v1_step_that_fails_leaves_the_next_read_right(
    database: Any, open_repository: Any, after: bool
) -> None:
    """The driver's error: the write may or may not have happened, and the next read tells."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await open_repository(database).get_many([1, 2])
    repository = open_repository(database)
    interrupt(repository, 2, AutoReconnect("gone"), after=after)
    with pytest.raises(AutoReconnect):
        await repository.update(1, older)
    found = await open_repository(database).get(1)
    assert found is not None
    assert found.age == (37 if after else 36)
    await right(database, open_repository)


async def test_a_body_that_fails_behind_the_caller_is_counted(database: Any, open_repository: Any) -> None:
    """With `write_behind` the failure has no caller left, and is no error of the drain either."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    async with open_repository(database, write_behind=True) as repository:
        interrupt(repository, 3, AutoReconnect("gone"), after=False)
        assert await repository.get(1) == ada(1)
    assert repository.tally.counts == {"lazymig.left_dirty": 1}
    await right(database, open_repository)


@pytest.fixture(params=KINDS)
async def unreachable(request: pytest.FixtureRequest, closed_port: int) -> AsyncIterator[Any]:
    """A database at a port where nobody listens."""
    client = KINDS[request.param](f"mongodb://127.0.0.1:{closed_port}/", serverSelectionTimeoutMS=300)
    yield client["nowhere"]
    await await_if_needed(client.close())


@pytest.mark.parametrize("timeout_s", [0.1, 60, None], ids=["the repository's", "the client's", "no other"])
async def test_a_server_that_is_gone_is_the_drivers_error_in_time(
    unreachable: Any, open_repository: Any, timeout_s: float | None
) -> None:
    """Every call raises the driver's error once `timeout_s` or the client's own time-out is over."""
    repository = open_repository(unreachable, timeout_s=timeout_s)
    calls = [*CALLS.values(), lambda people: people.count(), lambda people: anext(people.list())]
    began = time.monotonic()
    results = await asyncio.gather(
        *(call(repository) for call in calls if call is not CALLS["heal"]), return_exceptions=True
    )
    assert [isinstance(result, PyMongoError) for result in results] == [True] * len(results)
    assert time.monotonic() - began < 25  # less than the driver alone takes
    assert repository.tally.counts == {}


async def test_a_server_that_is_killed_and_comes_back(open_repository: Any) -> None:
    """During the outage calls fail in time; afterwards the same client and repository go on, and read right."""
    with Server() as server:
        client = KINDS["pymongo"](server.uri)
        database = client["killed"]
        await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
        repository = open_repository(database, timeout_s=20)
        await repository.update(1, older)
        hurried = open_repository(database, timeout_s=0.5)
        server.kill()
        for call in ("get", "update", "insert", "delete"):
            with pytest.raises(PyMongoError):
                await CALLS[call](hurried)
        await asyncio.to_thread(server.restart)
        assert await repository.get(1) == ada(1, age=37)
        assert await repository.get(9) is None
        await right(database, open_repository)
        await client.close()


@pytest.fixture
async def server_database(fallible: Any) -> AsyncIterator[Any]:
    """An empty async database on the server that may be made to fail."""
    async with AsyncMongoClient(fallible.uri) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield client[name]
        await client.drop_database(name)


@pytest.mark.parametrize(
    "failure", [{"errorCode": 8000}, {"closeConnection": True}], ids=["an error", "a lost connection"]
)
async def test_a_server_that_fails_v2s_apply(
    server_database: Any, open_repository: Any, failpoint: Any, failure: dict[str, Any]
) -> None:
    """The real server refuses every update of V2: the caller sees success all the same, and the next read is right."""
    await server_database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await open_repository(server_database).get_many([1, 2])
    repository = open_repository(server_database, timeout_s=1)
    data = {"failCommands": ["update"], "namespace": f"{server_database.name}.v2"} | failure
    with failpoint(data):
        assert await repository.update(1, older) == ada(1, age=37)
    assert repository.tally.counts == {"lazymig.left_dirty": 1}
    assert await open_repository(server_database).get(1) == ada(1, age=37)
    await right(server_database, open_repository)


async def test_a_connection_lost_once_is_the_drivers_to_retry(
    server_database: Any, open_repository: Any, failpoint: Any
) -> None:
    """Each step is a retryable statement of one document, so one lost connection at any of them is not even seen."""
    await server_database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repository = open_repository(server_database)
    for command in ("find", "insert", "findAndModify", "update", "delete"):
        with failpoint({"failCommands": [command], "closeConnection": True}, times=1):
            await repository.get(1)
            await repository.update(1, older)
            await repository.insert(ada(9))
            await repository.delete(9)
    assert await repository.get(1) == ada(1, age=41)
    assert repository.tally.counts["lazymig.left_dirty"] == 0
    await right(server_database, open_repository)


async def test_a_v1_write_that_is_not_acknowledged_in_time(
    server_database: Any, open_repository: Any, failpoint: Any
) -> None:
    """The deadline ends a call whose server hangs; the write may have happened, and the next read tells."""
    await server_database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await open_repository(server_database).get(1)
    repository = open_repository(server_database, timeout_s=0.5)
    data = {"failCommands": ["update"], "blockConnection": True, "blockTimeMS": 1500}
    with failpoint(data | {"namespace": f"{server_database.name}.v1"}), pytest.raises(NetworkTimeout):
        await repository.update(1, older)
    await right(server_database, open_repository)


@pytest.mark.parametrize("call", ["get", "update"])
async def test_a_v2_that_hangs_costs_time_and_no_error(
    server_database: Any, open_repository: Any, failpoint: Any, call: str
) -> None:
    """Whoever has V1's answer, or has written V1, is not told of a V2 body that comes too late."""
    await server_database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await open_repository(server_database).get(2)
    repository = open_repository(server_database, timeout_s=1)
    data = {"failCommands": ["insert", "update"], "blockConnection": True, "blockTimeMS": 1500}
    with failpoint(data | {"namespace": f"{server_database.name}.v2"}):
        if call == "get":
            assert await repository.get(1) == ada(1)
        else:
            assert await repository.update(2, older) == ada(2, age=37)
    assert repository.tally.counts == {"lazymig.left_dirty": 1}
    await right(server_database, open_repository)
