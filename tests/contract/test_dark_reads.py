"""Dark reads on every driver: what they find and store, what a failing side costs, and live clients beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import evolve
from bson import Int64
from pymongo import AsyncMongoClient
from pymongo.errors import NetworkTimeout, OperationFailure

from lazymig import Control, ConversionError, DarkReads, Phase, Repository, Verdict
from lazymig.cli.status import looked_up
from lazymig.cli.status import show as _render
from lazymig.control import control_beside, parts_of
from lazymig.repository import calls_of
from tests.clocks import settle, standing_loop
from tests.contract.conftest import KINDS
from tests.layouts import Layout
from tests.people import PersonV1, PersonV2, ada, ada_v1, people
from tests.widening import WIDENING

META = "_lazymig"
#: Time enough for a loaded machine, where every comparison shall come to its end.
LONG_S = 20
People = Repository[PersonV1, PersonV2]


@pytest.fixture
def layout() -> Layout:
    """Reads of both collections, compared."""
    return Layout.TWO


async def counted(repository: People) -> dict[str, int]:
    """What the dark reads have counted once they are done, without zeros."""
    await calls_of(repository).drain()
    assert repository.dark_reads is not None
    return {name: count for name, count in repository.dark_reads.counts.items() if count}


#: What is planted in V2 and in V1 (None: deleted), and what a read must find: verdict, and fields with their types.
PLANTED: dict[int, tuple[Any, Any, Verdict | None, list[tuple[str, str, str]]]] = {
    1: ({"$set": {"age": 37}}, {}, Verdict.DIFFERENT, [("age", "int32", "int32")]),
    2: ({"$set": {"age": Int64(36)}}, {}, Verdict.DIFFERENT, [("age", "int32", "int64")]),
    3: ({"$set": {"tags": []}}, {}, Verdict.DIFFERENT, [("tags[0]", "string", "missing")]),
    4: ({}, {"$set": {"name": "Ada King"}}, Verdict.DIFFERENT, [("last", "string", "string")]),
    5: ({}, {"$set": {"_lazymig_rev": 9}}, Verdict.STALE, []),
    6: ({}, None, Verdict.ORPHAN, []),
    7: ({"$inc": {f"{META}.intent": 1}}, {}, None, []),
    8: (None, {}, None, []),
    9: ({}, {}, None, []),
}


async def test_planted_defects_are_found_by_reading(database: Any, open_repository: Callable[..., People]) -> None:
    """Each once, by its verdict, its field and its types; what was written and read by lazymig is never named."""
    await database["v1"].insert_many([ada_v1(id) for id in PLANTED])
    await open_repository(database).get_many(PLANTED)
    for id, (v2, v1, _, _) in PLANTED.items():
        for name, update in (("v2", v2), ("v1", v1)):
            if update is None:
                await database[name].delete_one({"_id": id})
            elif update:
                await database[name].update_one({"_id": id}, update)
    repository = open_repository(database, dark_reads=DarkReads(1, timeout_s=LONG_S))
    for id in PLANTED:
        await repository.get(id)
    counts = await counted(repository)
    control = parts_of(control_beside(calls_of(repository).pair.bodies))
    found = {one.id: one async for page in control.mismatches.find_pages("people") for one in page}
    assert {id: one.verdict for id, one in found.items()} == {
        id: verdict for id, (_, _, verdict, _) in PLANTED.items() if verdict is not None
    }
    for id, one in found.items():
        fields = [(each.path, each.expected, each.found) for each in one.differences]
        if one.verdict is Verdict.DIFFERENT:
            assert fields == PLANTED[id][3]
        assert one.source == "dark read"
    assert "Lovelace" not in repr(found)
    assert (counts["mismatched"], counts["moved"]) == (len(found), 1)
    assert counts["compared"] == counts["mismatched"] + counts["matched"] == 8


@pytest.mark.parametrize("serve", ["v1", "v2"])
async def test_answers_are_those_of_a_repository_without(
    database: Any, open_repository: Callable[..., People], serve: Any
) -> None:
    """Entities, None and exceptions; and V1 is read and never written."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2) | {"name": "Cher"}])
    before = await database["v1"].find().to_list(None)
    repository = open_repository(database, dark_reads=DarkReads(1, serve=serve, timeout_s=LONG_S))
    for _ in range(2):
        assert await repository.get(1) == ada(1)
        assert await repository.get(3) is None
        with pytest.raises(ConversionError):
            await repository.get(2)
        assert list(await repository.get_many([1, 2, 3], on_error="skip")) == [1]
        assert await repository.v1.get(1) == PersonV1(1, "Ada Lovelace", 36, ["math"])
    counts = await counted(repository)
    assert "mismatched" not in counts
    assert "failed" not in counts
    assert await database["v1"].find().to_list(None) == before


# Live clients


@pytest.fixture(params=KINDS)
async def live_database(request: pytest.FixtureRequest, server_clients: dict[str, Any]) -> AsyncIterator[Any]:
    """An empty database on the real server, by both real drivers."""
    from tests.conftest import fresh_database

    async with fresh_database(server_clients[request.param]) as database:
        yield database


@pytest.mark.parametrize("serve", ["v1", "v2"])
async def test_live_clients_cause_no_false_mismatch(
    live_database: Any, open_repository: Callable[..., People], serve: Any
) -> None:
    """Sixteen clients of two processes write and read eight entities, all of them compared."""
    clients, calls = 16, 600 if WIDENING.full else 60
    await live_database["v1"].insert_many([ada_v1(id) for id in range(8)])
    darks = [DarkReads(1, serve=serve, timeout_s=LONG_S, in_flight_max=64, rate_max=None) for _ in range(2)]
    processes = [open_repository(live_database, dark_reads=dark) for dark in darks]

    async def work(client: int) -> None:
        repository = processes[client % 2]
        for call in range(calls):
            id = (client * 5 + call * 3) % 8
            if call % 6 == 0:
                await repository.update(id, lambda person: evolve(person, age=(person.age or 0) + 1))
            elif call % 6 == 1:
                await repository.v1.update(id, lambda person: evolve(person, age=(person.age or 0) + 1))
            elif call % 6 == 2:
                await repository.get_many(range(8))
            else:
                await repository.get(id)

    await asyncio.gather(*(work(client) for client in range(clients)))
    counts = [await counted(process) for process in processes]
    print(counts)
    assert [dark.consistency for dark in darks] == [1.0, 1.0]
    assert all("mismatched" not in each and "failed" not in each and each["compared"] > clients for each in counts)
    for process, before in zip(processes, counts, strict=True):  # and when nothing moves, nothing is left out
        await process.get_many(range(8))
        assert (await counted(process))["matched"] == before["matched"] + 8


# A side that fails


@pytest.fixture
async def failing_database(fallible: Any) -> AsyncIterator[Any]:
    """An empty database on the server that may be made to fail."""
    async with AsyncMongoClient(fallible.uri) as client:
        yield client["dark_reads"]
        await client.drop_database("dark_reads")


FAILURES = {
    "hangs": {"blockConnection": True, "blockTimeMS": 5000},
    "refuses": {"errorCode": 8000},
    "closes its connections": {"closeConnection": True},
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("serve", ["v1", "v2"])
async def test_a_failing_candidate_never_touches_the_control(
    fallible: Any, failing_database: Any, open_repository: Any, failpoint: Any, serve: Any, failure: str
) -> None:
    """Each call answers at once, while each candidate fails, and is right again afterwards.

    A lost connection is an exception where both sides share a client: the driver then looks for the server again.
    """
    await failing_database["v1"].insert_many([ada_v1(id) for id in range(10)])
    await open_repository(failing_database).get_many(range(10))
    candidate = "v2" if serve == "v1" else "v1"
    other: Any = AsyncMongoClient(fallible.uri)
    theirs = other["dark_reads"] if "closeConnection" in FAILURES[failure] else failing_database
    dark = DarkReads(1, serve=serve, timeout_s=LONG_S)
    repository = open_repository(failing_database, dark_reads=dark, **{candidate: theirs[candidate]})
    await repository.check()
    data = {"failCommands": ["find"], "namespace": f"dark_reads.{candidate}", **FAILURES[failure]}
    with failpoint(data), standing_loop() as time:
        for id in range(10):  # a call that waited for a candidate that hangs would hang too
            assert await repository.get(id) == ada(id)
        await settle()
        time.move(LONG_S)
        assert await counted(repository) == {"failed": 10}
    assert await repository.get(1) == ada(1)
    assert await counted(repository) == {"failed": 10, "compared": 1, "matched": 1}
    assert dark.latency["candidate"].count == 11
    await other.close()


@pytest.mark.parametrize(
    ("failure", "raised"), [("refuses", OperationFailure), ("hangs", NetworkTimeout)], ids=["refuses", "hangs"]
)
@pytest.mark.parametrize("serve", ["v1", "v2"])
async def test_a_failing_control_fails_as_without_dark_reads(
    failing_database: Any, open_repository: Any, failpoint: Any, serve: Any, failure: str, raised: Any
) -> None:
    """The healthy candidate does not stand in, and nothing is compared."""
    await failing_database["v1"].insert_one(ada_v1())
    await open_repository(failing_database).get(1)
    dark = DarkReads(1, serve=serve, timeout_s=LONG_S)
    repository = open_repository(failing_database, dark_reads=dark, timeout_s=0.3 if failure == "hangs" else LONG_S)
    with standing_loop():
        await repository.check()
    data = {"failCommands": ["find"], "namespace": f"dark_reads.{serve}", **FAILURES[failure]}
    with failpoint(data), pytest.raises(raised):
        await repository.get(1)
    assert await counted(repository) == {}


async def test_status_shows_the_log(
    database: Any, open_repository: Callable[..., People], capsys: pytest.CaptureFixture[str]
) -> None:
    """How many entities the log holds and since when; nothing while it is empty."""
    await database["v1"].insert_many([ada_v1(id) for id in (1, 2, 3)])
    repository = open_repository(database, dark_reads=DarkReads(1, timeout_s=LONG_S))
    await repository.get_many([1, 2, 3])
    await counted(repository)
    _render(await looked_up(repository, exact=True))
    assert "dark reads" not in capsys.readouterr().out
    await database["v2"].update_many({"_id": {"$in": [1, 2]}}, {"$set": {"age": 1}})
    await repository.get_many([1, 2, 3])
    await counted(repository)
    found = await looked_up(repository, exact=True)
    assert found.dark_reads.mismatches == 2
    oldest = found.dark_reads.oldest
    assert oldest is not None
    _render(found)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"In the log of dark reads: 2, the oldest found at {oldest:%Y-%m-%d %H:%M:%S} UTC" in shown


async def test_the_log_is_where_the_gates_look(database: Any) -> None:
    """A repository that follows a control collection logs there, wherever that is."""
    control = Control(database["steering"])
    await parts_of(control).phases("people").begin(Phase.COEXIST, by="me", why="")
    await database["v1"].insert_one(ada_v1(1))
    repo = Repository(
        people(), v1=database["v1"], v2=database["v2"], phase=control, coalesce=False,
        dark_reads=DarkReads(share=1, timeout_s=LONG_S),
    )  # fmt: skip
    await repo.get(1)
    await calls_of(repo).drain()
    await database["v2"].update_one({"_id": 1}, {"$set": {"age": 99}})
    await repo.get(1)
    await calls_of(repo).drain()
    assert [one.id async for one in control.mismatches("people", source="dark read")] == [1]
    assert "lazymig_control" not in await database.list_collection_names()
    await calls_of(repo).close()
