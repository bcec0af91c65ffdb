"""A server-side sweep beside clients: while the server holds what it read of V1, they read, write and delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, OperationFailure, WriteConcernError

from lazymig import Verifier
from lazymig.protocol import bodies
from lazymig.stores.server_upgrade import ServerUpgrade
from lazymig.sweeping import server_side
from tests.conftest import TIMEOUT, only_database
from tests.server_side import server_things
from tests.sweeps import ThingV2, letters, repository, stored, sweeper, thing

#: Where the server waits with documents of V1 in its hands, before it stores them.
HANG = "hangWhileBuildingDocumentSourceMergeBatch"


@pytest.fixture
async def fallible_database(fallible: Any) -> AsyncIterator[Any]:
    """An empty database on a server that may be made to wait."""
    async with only_database(AsyncMongoClient(fallible.uri, **TIMEOUT)) as database:
        yield database


@asynccontextmanager
async def held(database: Any) -> AsyncIterator[Any]:
    """The server waits in each `$merge` into V2; yields what waits until one has come there."""
    admin, data = database.client.admin, {"nss": f"{database.name}.v2"}
    begun = await admin.command({"configureFailPoint": HANG, "mode": "alwaysOn", "data": data})

    async def wait() -> None:
        await admin.command({"waitForFailPoint": HANG, "timesEntered": begun["count"] + 1, "maxTimeMS": 30_000})

    try:
        yield wait
    finally:
        await admin.command({"configureFailPoint": HANG, "mode": "off"})


async def agreeing(repo: Any) -> int:
    """How many entities both sides hold, all of them equal."""
    report = await Verifier(repo).run()
    assert report.match == report.compared
    return report.match


async def test_clients_between_the_servers_read_and_its_store(fallible_database: Any) -> None:
    """Whatever clients did meanwhile stands, and nothing that the server had read before comes over it."""
    database = fallible_database
    repo = repository(database, migration=server_things())
    await database["v1"].insert_many([thing(id, id) for id in range(12)])
    async with held(database) as wait:
        sweeping = asyncio.create_task(sweeper(database, repo=repo, batch_size=100, partition_size=1000).run())
        await wait()
        await repo.update(1, lambda one: evolve(one, count=101))
        await repo.v1.update(2, lambda one: evolve(one, n=102))
        await repo.delete(3)
        await repo.delete(4)
        await repo.insert(ThingV2(4, 104))
        assert await repo.get(5) == ThingV2(5, 5)
        await repo.insert(ThingV2(99, 199))
    report = await sweeping
    found = {id: one.get("count") for id, one in (await stored(database["v2"])).items()}
    changed = {"1": 101, "2": 102, "3": None, "4": 104, "99": 199}
    assert found == {str(id): id for id in range(12)} | changed
    assert [await repo.get(3), await repo.get(4)] == [None, ThingV2(4, 104)]
    assert await agreeing(repo) == 12
    assert (report.on_server, report.moved_by_clients, report.dead) == (7, 5, 0)
    assert await letters(database) == {}


async def test_a_process_that_dies_while_the_server_works(fallible_database: Any) -> None:
    """The server may finish what a dead process had asked for; the next sweep finds the rest, and both sides agree."""
    database = fallible_database
    repo = repository(database, migration=server_things())
    await database["v1"].insert_many([thing(id, id) for id in range(12)])
    async with held(database) as wait:
        sweeping = asyncio.create_task(sweeper(database, repo=repo, batch_size=100, partition_size=1000).run())
        await wait()
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await repo.update(1, lambda one: evolve(one, count=101))
        await repo.delete(2)
    # Another owner: the dead one's lease is not waited for.
    await sweeper(database, repo=repo, where={"n": {"$gte": 0}}).run()
    assert await agreeing(repo) == 11
    assert (await repo.get(1)).count == 101
    assert await repo.get(2) is None


@pytest.fixture
def merge_failing(fallible_database: Any, failpoint: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the server answer each `$merge`, and nothing else, as it is asked to."""

    def fail(**answer: Any) -> None:
        class Failing(ServerUpgrade):
            async def merge(self, ids: Any, **options: Any) -> Any:
                with failpoint({"failCommands": ["aggregate"], "namespace": f"{fallible_database.name}.v1", **answer}):
                    return await super().merge(ids, **options)

        monkeypatch.setattr(server_side, "ServerUpgrade", Failing)

    return fail


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        ({"errorCode": 13}, OperationFailure),
        ({"errorCode": 11602}, AutoReconnect),
        ({"closeConnection": True}, AutoReconnect),
        ({"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}, WriteConcernError),
    ],
    ids=["no rights", "stepping down", "no connection", "not durable"],
)
async def test_what_says_nothing_about_documents_ends_the_sweep(
    fallible_database: Any, merge_failing: Any, answer: dict[str, Any], raised: type[Exception]
) -> None:
    """The server's trouble is raised, and no checkpoint is ahead of what is durable."""
    repo = repository(fallible_database, migration=server_things())
    await fallible_database["v1"].insert_many([thing(id, id) for id in range(12)])
    merge_failing(**answer)
    with pytest.raises(raised):
        await sweeper(fallible_database, repo=repo, partition_size=100).run()
    row = await fallible_database["lazymig_control"].find_one({"bracket": {"$exists": True}})
    assert (row["position"], row["state"] == "done") == (None, False)


async def test_a_statement_that_takes_too_long_is_left_to_python(fallible_database: Any, merge_failing: Any) -> None:
    """The server ends it by its bound, Python converts what is missing, and the report says so."""
    repo = repository(fallible_database, migration=server_things())
    await fallible_database["v1"].insert_many([thing(id, id) for id in range(12)])
    merge_failing(errorCode=50)
    report = await sweeper(fallible_database, repo=repo, batch_size=100, partition_size=1000).run()
    assert (report.migrated, report.on_server, report.finished) == (12, 0, True)
    assert ["MaxTimeMSExpired (1)" in warning for warning in report.warnings] == [True]


async def test_live_writers(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers of all kinds beside a sweep lose nothing: both sides are equal afterwards, and hold what was written."""
    database, count = server_database, 200
    repo = repository(database, migration=server_things())
    await database["v1"].insert_many([thing(id, 0) for id in range(count)])
    expected = dict.fromkeys(range(count), 0)

    async def write(first: int) -> None:
        for turn, id in enumerate(range(first, count, 4)):
            number = turn + 1
            if turn % 5 == 0:
                await repo.delete(id)
                del expected[id]
            elif turn % 5 == 1:
                await repo.v1.update(id, lambda one, number=number: evolve(one, n=number))
                expected[id] = number
            elif turn % 5 == 2:
                await repo.insert(ThingV2(count + id, number))
                expected[count + id] = number
            else:
                await repo.update(id, lambda one, number=number: evolve(one, count=number))
                expected[id] = number

    sweep = sweeper(database, repo=repo, batch_size=20, partition_size=100)
    report, *_ = await asyncio.gather(sweep.run(), *map(write, range(4)))
    assert report.finished
    assert {id: one.count for id, one in (await repo.get_many(range(2 * count))).items()} == expected
    # A busy machine may leave out the last step of a write. What is open is old enough to be healed at once.
    monkeypatch.setattr(bodies, "HEAL_AFTER", timedelta(0))
    await sweeper(database, repo=repo).run()
    assert await agreeing(repo) == len(expected)
    assert {one["_lazymig"]["by"] for one in (await stored(database["v2"])).values()} >= {"sweep", "write"}


async def test_content_and_revision_of_one_moment(server_database: Any) -> None:
    """Beside a writer whose content shows the revision, each document that the server stores has both of one moment."""
    database = server_database
    await database["v1"].insert_many([{"_id": id, "n": 1, "_lazymig_rev": 1} for id in range(50)])
    upgrade = ServerUpgrade(database["v1"], database["v2"], server_things().upgrade_pipeline, 1)
    running = True

    async def write() -> int:
        n = 1
        while running:
            n += 1
            await database["v1"].update_many({}, {"$set": {"n": n, "_lazymig_rev": n}})
        return n

    writing = asyncio.create_task(write())
    seen = set()
    for _ in range(8):
        await upgrade.merge(list(range(50)), keeping=False, within_s=30)
        for one in (await stored(database["v2"])).values():
            assert one["_lazymig"]["rev"] == one["_lazymig"]["intent"] == one["count"]
            seen.add(one["count"])
        await database["v2"].delete_many({})
    running = False
    assert await writing >= max(seen)
    assert len(seen) > 1
