"""Dead letters: what they name, how they are grouped, what recording and keeping many of them costs in statements."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import attrs
import pytest
from bson import Decimal128
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from lazymig import Control
from lazymig.control import parts_of
from lazymig.control.dead_letters import LETTERS_PER_PAGE
from lazymig.repository import calls_of
from lazymig.status.letters import grouped
from lazymig.stores.records import DeadLetter
from lazymig.sweeping import failures
from lazymig.sweeping.retry import retry_dead
from tests.people import TestClock
from tests.sweeps import (
    StandingClock,
    ThingV1,
    ThingV2,
    control,
    letters,
    moved,
    repository,
    stored,
    sweeper,
    thing,
    things,
)
from tests.watching import Watch

SECRET = 271_828_182


def three_faults(v1: ThingV1) -> ThingV2:
    """Three ways to fail with one class of error."""
    if v1.n == 1:
        raise ValueError(f"{SECRET} one")
    if v1.n == 2:
        raise ValueError(f"{SECRET} two")
    return ThingV2(v1.id, int(v1.code or "x"))


async def test_case_40_three_faults_of_one_function_are_told_apart(database: Any) -> None:
    """Each dead letter names the line that raised; grouped, three faults are three groups with their counts."""
    documents = [thing(1, 1), thing(2, 2), thing(3, 2), thing(4, 3), thing(5, 3, code="7"), thing(6, 3) | {"n": "x"}]
    await database["v1"].insert_many(documents)
    await sweeper(database, repo=repository(database, migration=things(upgrade=three_faults))).run()
    found = await letters(database)
    lines = {id: letter.line for id, letter in found.items()}
    assert lines["2"] == lines["3"]
    assert len({lines[id] for id in ("1", "2", "4", "6")}) == 4
    assert all(line.endswith("in three_faults") for id, line in lines.items() if id != "6")
    assert all(line.startswith("test_dead_letters.py:") for id, line in lines.items() if id != "6")
    assert (lines["6"], found["6"].direction, found["6"].path) == ("", "read", "n")
    largest = grouped(list(found.values()))[0]
    assert (largest.count, largest.line) == (2, lines["2"])
    assert sorted(group.count for group in grouped(list(found.values()))) == [1, 1, 1, 2]
    assert str(SECRET) not in str(await database["lazymig_control"].find({}).to_list(None))


async def test_case_40_a_letter_of_an_earlier_release_has_no_line(database: Any) -> None:
    """A row without the field is read, with an empty line, and gets one with its next failure."""
    await database["v1"].insert_one(thing(1, -1))
    await sweeper(database).run()
    await database["lazymig_control"].update_one({"kind": "dead"}, {"$unset": {"line": ""}})
    assert (await letters(database))["1"].line == ""
    await sweeper(database).run()
    assert (await letters(database))["1"].line.endswith("in renamed")


async def test_case_40_a_rehearsal_names_what_does_not_convert(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run's report names the first documents that fail, up to a bound, and counts all; it stores none."""
    monkeypatch.setattr(failures, "NAMED_AT_MOST", 5)
    await database["v1"].insert_many([thing(id, -1 if id % 2 else 1) for id in range(30)])
    sweeping = sweeper(database, dry_run=True)
    report = await sweeping.run()
    assert (report.dead, report.dead_letters) == (15, 15)
    assert [(one.id, one.error, one.line.rpartition(" ")[2]) for one in report.not_movable] == [
        (id, "ValueError", "renamed") for id in (1, 3, 5, 7, 9)
    ]
    assert await database.list_collection_names() == ["v1"]
    assert len((await sweeping.run()).not_movable) == 5
    assert (await sweeper(database).run()).not_movable == ()


async def test_case_35_what_clients_moved_is_no_loss(database: Any) -> None:
    """The counter of entities that a client moved in the same moment is called so, in progress and in the report."""
    await database["v1"].insert_many([thing(id) for id in range(8)])
    repo, progress = repository(database), []
    put_many = calls_of(repo).pair.bodies.put_many

    async def late(documents: Any, *, durable: bool = False) -> Any:
        await repository(database).get(documents[0]["_id"])
        return await put_many(documents, durable=durable)

    calls_of(repo).pair.bodies.put_many = late  # type: ignore[method-assign]
    report = await sweeper(database, repo=repo, on_progress=progress.append).run()
    assert (report.moved_by_clients, report.migrated) == (2, 6)
    assert progress[-1].moved_by_clients == 2
    assert "lost" not in {field.name for kind in (type(report), type(progress[-1])) for field in attrs.fields(kind)}
    runs = await control(database).history("things")
    assert runs[0].counts["moved_by_clients"] == 2


@pytest.fixture
async def watched(lazymig_server: Any, server_database: Any) -> Any:
    """The database by a client whose commands are seen."""
    watch = Watch()
    async with AsyncMongoClient(lazymig_server.uri, event_listeners=[watch]) as client:
        yield client[server_database.name], watch


def sent(events: list[Any]) -> Counter[str]:
    """How many commands went to which collection."""
    return Counter(f"{event.command[event.command_name]} {event.command_name}" for event in events)


async def test_case_51_a_batchs_letters_are_one_statement(watched: Any) -> None:
    """Recording 600 failures in batches of 200 costs three statements, and the next sweep's new attempts as many."""
    database, watch = watched
    await database["v1"].insert_many([thing(id, -1) for id in range(600)])
    for attempts in (1, 2):
        with watch.sent(database) as events:
            # By a clock that stands: batches that take long are followed by smaller ones.
            options: Any = {"batch_size": 200, "partition_size": 1000, "live_slowdown": None}
            report = await sweeper(database, clock=StandingClock(), **options).run()
        burials = [event for event in events if event.command_name == "update" and _buries(event.command)]
        assert [len(event.command["updates"]) for event in burials] == [200, 200, 200]
        assert (report.dead, report.dead_letters) == (600, 600)
        assert {letter.attempts for letter in (await letters(database)).values()} == {attempts}


def _buries(command: Any) -> bool:
    return command["update"] == "lazymig_control" and any("dead" in str(one["q"]["_id"]) for one in command["updates"])


async def test_case_51_standing_letters_cost_three_statements_a_page(watched: Any) -> None:
    """A sweep looks at the letters of a page together: the page, V2, V1, whatever their number."""
    database, watch = watched
    count = LETTERS_PER_PAGE + 200
    rows = [DeadLetter("things", id, 0, "upgrade", "ValueError", "-", "n") for id in range(count)]
    await parts_of(control(database)).letters.record(rows)
    await database["v1"].insert_many([thing(id, -1) for id in range(count)])
    repo = repository(database)
    with watch.sent(database) as events:
        # As a sweep does it: entities whose V1 is as it was are not tried again.
        from lazymig.sweeping.dead_letters import PairReview, review_letters
        from lazymig.sweeping.moving import Mover

        mover = Mover(calls_of(repo).pair, control(database), Counter(), dry_run=False)
        review = PairReview(calls_of(repo).pair, mover, timedelta(hours=1))
        settled = await review_letters(review, control(database))
    assert settled == 0
    assert sent(events) == {"lazymig_control find": 2, "v1 find": 2, "v2 find": 2}


async def test_case_51_a_retry_of_many_goes_in_bulk(watched: Any) -> None:
    """Trying 500 letters again, half of which are well by now, costs a handful of statements."""
    database, watch = watched
    await database["v1"].insert_many([thing(id, -1) for id in range(500)])
    await sweeper(database, batch_size=500, partition_size=1000, live_slowdown=None).run()
    await database["v1"].update_many({"_id": {"$lt": 250}}, {"$set": {"n": 7}})
    with watch.sent(database) as events:
        assert await retry_dead(repository(database), control(database)) == 250
    assert sum(sent(events).values()) <= 12
    assert sorted(map(int, await letters(database))) == list(range(250, 500))
    assert {letter.attempts for letter in (await letters(database)).values()} == {2}
    assert len(await stored(database["v2"])) == 250


async def test_case_51_bulk_keeps_each_letters_history(server_database: Any) -> None:
    """In bulk as alone: the first time is kept, attempts are counted, a waiver ends when V1 has another revision."""
    clock = TestClock()
    rows = Control(server_database["control"], clock)

    def letter(id: Any, revision: int = 0, error: str = "ValueError") -> DeadLetter:
        return DeadLetter("m", id, revision, "upgrade", error, "$message", "$n", line="$line")

    first = clock.time
    await parts_of(rows).letters.record([letter(1), letter("$2"), letter(Decimal128("3")), letter(1)])
    assert await rows.waive("m", 1, "known")
    assert await rows.waive("m", "$2", "known")
    clock.time += timedelta(hours=1)
    await parts_of(rows).letters.record([letter(1), letter("$2", 5, "KeyError")])
    one, two = await rows.dead_letter("m", 1), await rows.dead_letter("m", "$2")
    assert one is not None
    assert two is not None
    assert (one.attempts, one.first_at, one.last_at, one.waived) == (3, first, clock.time, "known")
    assert (two.attempts, two.first_at, two.waived, two.error, two.revision) == (2, first, None, "KeyError", 5)
    assert (two.message, two.path, two.line) == ("$message", "$n", "$line")
    assert await rows.dead_count("m") == 2
    await parts_of(rows).letters.record([])
    assert await rows.dead_count("m") == 2


Step = tuple[str, int, int]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["fail", "waive"]), st.integers(0, 2), st.integers(0, 2)), max_size=6),
        max_size=5,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_case_51_in_bulk_and_in_memory_mean_the_same(bursts: list[list[Step]]) -> None:
    """The one statement of a server and the steps in memory leave the same letters, whatever came before."""

    async def played(rows: Control, clock: TestClock) -> list[DeadLetter]:
        for burst in bursts:
            failed = [_letter(id, revision) for kind, id, revision in burst if kind == "fail"]
            await parts_of(rows).letters.record(failed)
            for kind, id, _ in burst:
                if kind == "waive":
                    await rows.waive("m", id, "known")
            clock.time += timedelta(minutes=1)
        return [letter async for letter in rows.dead_letters("m")]

    async def both() -> None:
        from mongomock_motor import AsyncMongoMockClient

        uri = _URI[0]
        memory, clock = AsyncMongoMockClient()["m"]["c"], TestClock()
        async with AsyncMongoClient(uri) as client:
            try:
                on_server = await played(Control(client["bulk_and_memory"]["c"], TestClock()), TestClock())
            finally:
                await client.drop_database("bulk_and_memory")
        in_memory = await played(Control(memory, TestClock()), clock)
        assert _by_id(on_server) == _by_id(in_memory)

    asyncio.run(both())


def _letter(id: int, revision: int) -> DeadLetter:
    return DeadLetter("m", id, revision, "upgrade", "ValueError", "-", "", line="model.py:1 in upgrade")


def _by_id(found: list[DeadLetter]) -> dict[Any, DeadLetter]:
    return {letter.id: letter for letter in found}


_URI: list[str] = []


@pytest.fixture(autouse=True)
def address(lazymig_server: Any) -> None:
    """For the test that runs its own event loops."""
    _URI[:] = [lazymig_server.uri]


async def test_case_51_a_failed_record_keeps_the_checkpoint_back(
    server_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkpoint passes an entity whose dead letter could not be stored: the next run finds it again."""
    await server_database["v1"].insert_many([thing(id, -1) for id in range(4)])
    rows = control(server_database)

    async def broken(self: Any, letters: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        # On the class: a sweep makes parts of its own, with rows that wait while the server reports overload.
        patched.setattr(type(parts_of(rows).letters), "record", broken)
        with pytest.raises(OSError, match="no space left"):
            await sweeper(server_database, control=rows).run()
    assert await letters(server_database) == {}
    report = await sweeper(server_database).run()
    assert (report.scanned, report.dead, report.dead_letters) == (4, 4, 4)


async def test_case_51_a_batch_waits_for_letters_that_another_stores() -> None:
    """A batch whose failure another batch is storing goes on only once that is done, and does it itself if it fails."""
    gate, calls, stores = asyncio.Event(), [], [OSError("lost"), None]

    class Rows:
        async def record(self, letters: list[DeadLetter]) -> None:
            calls.append(len(letters))
            await gate.wait()
            if error := stores.pop(0):
                raise error

    noted: Any = failures.Failures(Rows(), "m", Counter())  # type: ignore[arg-type]
    noted.note(1, 0, "upgrade", "ValueError", "-", "")
    noted.note(2, 0, "upgrade", "ValueError", "-", "")
    first, second = asyncio.create_task(noted.flush()), asyncio.create_task(noted.flush())
    for _ in range(5):
        await asyncio.sleep(0)
    assert calls == [2]
    assert not second.done()
    gate.set()
    with pytest.raises(OSError, match="lost"):
        await first
    await second
    assert calls == [2, 2]


async def test_case_34_no_cursor_outlives_its_page(watched: Any) -> None:
    """Letters come in pages found by their key: each is one whole reply, and what is written meanwhile does no harm."""
    database, watch = watched
    clock = StandingClock()
    rows = control(database, clock)
    for burst in range(3):
        await parts_of(rows).letters.record([_numbered(id) for id in range(burst * 10, burst * 10 + 10)])
        clock.time += timedelta(seconds=1)
    seen: list[Any] = []
    with watch.sent(database) as events:
        async for page in parts_of(rows).letters.find_pages("things", size=7):
            seen += [letter.id for letter in page]
            await parts_of(rows).letters.record([_numbered(id) for id in seen])
            await parts_of(rows).letters.remove("things", seen[:3])
    assert seen == list(range(30))
    assert "getMore" not in {event.command_name for event in events}
    assert [event.command["limit"] for event in events if event.command_name == "find"] == [7] * 5


def _numbered(id: int) -> DeadLetter:
    return DeadLetter("things", id, 0, "upgrade", "ValueError", "-", "n")


async def test_case_34_pages_use_an_index_for_their_order(server_database: Any) -> None:
    """A page of letters is found and sorted by an index, however many there are."""
    rows = control(server_database)
    await parts_of(rows).ensure_indexes()
    await parts_of(rows).letters.record([_numbered(id) for id in range(50)])
    where = {"kind": "dead", "migration": "things"}
    plan = await server_database["lazymig_control"].find(where).sort([("first_at", 1), ("_id", 1)]).limit(5).explain()
    assert "SORT" not in str(plan["queryPlanner"]["winningPlan"]).replace("SORT_KEY", "")


async def test_case_34_a_slow_look_at_letters_outlives_cursors(server_database: Any) -> None:
    """Every cursor of the server may be gone between two pages, and the letters go on where they were."""
    rows = control(server_database)
    await parts_of(rows).letters.record([_numbered(id) for id in range(20)])
    seen: list[Any] = []
    async for page in parts_of(rows).letters.find_pages("things", size=6):
        seen += [letter.id for letter in page]
        status = await server_database.client.admin.command("serverStatus")
        assert status["metrics"]["cursor"]["open"]["noTimeout"] == 0
        found = await server_database.client.admin.aggregate(
            [{"$currentOp": {"idleCursors": True}}, {"$match": {"type": "idleCursor", "ns": rows.collection.full_name}}]
        )
        assert await found.to_list(None) == []
    assert seen == list(range(20))


async def test_a_letter_behind_foreign_documents(server_database: Any) -> None:
    """A document in V2 that is not lazymig's neither settles its entity's letter nor stops the others."""
    await server_database["v1"].insert_many([thing(1, -1), thing(2, -1)])
    await sweeper(server_database).run()
    await server_database["v2"].insert_one({"_id": 1, "count": 5})
    await server_database["v1"].update_many({}, {"$set": {"n": 3, "_lazymig_rev": 1}})
    assert await retry_dead(repository(server_database), control(server_database)) == 1
    assert set(await letters(server_database)) == {"1"}
    assert (await stored(server_database["v2"]))["2"] == moved(2, 3, rev=1)
