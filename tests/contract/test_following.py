"""Following V1 on a real replica set: what programs outside change is healed; lazymig's own writes are not counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve
from pymongo import DeleteOne, InsertOne, UpdateOne

from lazymig import ConfigurationError, ConversionError, Follower, Phase, PhaseError
from lazymig.following import follow
from lazymig.verifying.options import VerifyOptions
from tests.following import find_wrong, followed, recorded, repairing_after
from tests.sweeps import ThingV1, ThingV2, control, letters, repository, sweeper, thing, unique_codes

FIRST = pytest.mark.parametrize("driver", ["pymongo"])
BOTH = pytest.mark.parametrize("driver", ["pymongo", "motor"])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers soon that nothing happened."""
    monkeypatch.setattr(follow, "_IDLE_S", 0.02)


async def replace_without(v1: Any) -> None:
    await v1.replace_one({"_id": 1}, {"n": 7})


async def replace_with_revision(v1: Any) -> None:
    await v1.replace_one({"_id": 1}, {**await v1.find_one({"_id": 1}), "n": 7})


async def replace_with_old_revision(v1: Any) -> None:
    await v1.replace_one({"_id": 1}, {**await v1.find_one({"_id": 1}), "n": 7, "_lazymig_rev": 1})


async def set_back(v1: Any) -> None:
    await v1.update_one({"_id": 1}, {"$set": {"n": 7, "_lazymig_rev": 1}})


async def delete_and_insert(v1: Any) -> None:
    await v1.delete_one({"_id": 1})
    await v1.insert_one({"_id": 1, "n": 7})


async def in_bulk(v1: Any) -> None:
    changes = [UpdateOne({"_id": 1}, {"$set": {"n": 6}}), UpdateOne({"_id": 1}, {"$inc": {"n": 1}})]
    await v1.bulk_write([*changes, DeleteOne({"_id": 3}), InsertOne({"_id": 3, "n": 7})])


ROGUE: dict[str, tuple[Callable[[Any], Awaitable[Any]], dict[str, int]]] = {
    "update": (lambda v1: v1.update_one({"_id": 1}, {"$set": {"n": 7}}), {"update": 1}),
    "pipeline": (lambda v1: v1.update_one({"_id": 1}, [{"$set": {"n": 7}}]), {"update": 1}),
    "unset": (lambda v1: v1.update_one({"_id": 1}, {"$set": {"n": 7}, "$unset": {"_lazymig_rev": 1}}), {"update": 1}),
    "ahead": (lambda v1: v1.update_one({"_id": 1}, {"$set": {"n": 7, "_lazymig_rev": 99}}), {"update": 1}),
    "no number": (lambda v1: v1.update_one({"_id": 1}, {"$set": {"n": 7, "_lazymig_rev": "x"}}), {"update": 1}),
    "set back": (set_back, {"update": 1}),
    "replace": (replace_without, {"replace": 1}),
    "replace with the revision": (replace_with_revision, {"replace": 1}),
    "replace with an old revision": (replace_with_old_revision, {"replace": 1}),
    "life": (delete_and_insert, {"delete": 1, "insert": 1}),
    "bulk": (in_bulk, {"update": 2, "delete": 1, "insert": 1}),
}


@FIRST
@pytest.mark.parametrize("name", ROGUE)
async def test_rogue_changes_are_healed(database: Any, name: str) -> None:
    """Each way to change an entity behind lazymig is noticed and counted; reads return what V1 holds."""
    change, counts = ROGUE[name]
    repo = repository(database)
    await database["v1"].insert_many([thing(1), thing(2), thing(3)])
    for _ in range(2):
        await repo.update(1, lambda v2: evolve(v2, count=v2.count + 1, note="only V2"))
    await repo.get(3)
    async with followed(database) as watched:
        await change(database["v1"])
        report = await watched.settled()
        assert (await repo.get(1)).count == 7
        stored = await database["v2"].find_one({"_id": 1})
        assert stored["count"] == 7
        # What only V2 holds survives, unless another entity has the id now.
        assert stored["note"] == (None if name == "life" else "only V2")
    assert await find_wrong(database) == {}
    assert report.rogue == counts
    assert (await recorded(database)).count_since(control(database)._parts.clock.now()) == counts
    assert await database["v2"].find_one({"_id": 2}) is None


@BOTH
async def test_rogue_deletes_are_healed(database: Any) -> None:
    """An entity that a program deletes is gone for reads, whether V2 had it or not."""
    repo = repository(database)
    await database["v1"].insert_many([thing(1), thing(2)])
    await repo.get(1)
    async with followed(database) as watched:
        await database["v1"].delete_many({})
        report = await watched.settled()
    assert [await repo.get(1), await repo.get(2)] == [None, None]
    # A reader that still holds the second one cannot store it.
    assert [(await database["v2"].find_one({"_id": id}))["_lazymig"]["gone"] for id in (1, 2)] == [True, True]
    assert report.rogue == {"delete": 2}


@FIRST
async def test_deleted_entities_that_come_back(database: Any) -> None:
    """A document that lazymig deleted and a program restores as it was is V1's again, and V2 follows."""
    repo = repository(database)
    await database["v1"].insert_one(thing(1))
    await repo.update(1, lambda v2: evolve(v2, count=5))
    backup = await database["v1"].find_one({"_id": 1})
    async with followed(database) as watched:
        await repo.delete(1)
        await database["v1"].insert_one(backup)
        report = await watched.settled()
    assert report.rogue == {"insert": 1}
    assert (await database["v2"].find_one({"_id": 1}))["count"] == 5
    assert await find_wrong(database) == {}


@BOTH
async def test_rogue_changes_of_what_v2_lacks_are_stored(database: Any) -> None:
    """A reader that converts what V1 held before a change cannot store that afterwards."""
    repo = repository(database)
    await database["v1"].insert_one(thing(1))
    async with followed(database) as watched:
        await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
        await database["v1"].insert_one(thing(2, 8))
        await watched.settled()
    documents = [await database["v2"].find_one({"_id": id}) for id in (1, 2)]
    assert [one["count"] for one in documents] == [7, 8]
    assert await database["v1"].count_documents({"_lazymig_rev": {"$exists": True}}) == 0
    assert (await repo.get(1)).count == 7


@BOTH
async def test_own_writes_are_not_rogue(database: Any) -> None:
    """Updates, inserts, deletes, replaces, the V1 door, sweeps and heals are announced: none is counted."""
    repo, behind = repository(database), repository(database, write_behind=True)
    await database["v1"].insert_many([thing(id) for id in range(30)])
    async with followed(database) as watched:
        async with behind:
            for store in (repo, behind):
                for id in range(10):
                    await store.update(id, lambda v2: evolve(v2, count=v2.count + 1))
                    await store.replace(ThingV2(id, 5, None, "n"))
                    await store.v1.update(id, lambda v1: evolve(v1, n=v1.n + 1))
                    await store.delete(id)
                    await store.insert(ThingV2(id, 1))
                    await store.v1.delete(id)
                    await store.v1.insert(ThingV1(id, 2))
        # Marks of writers that died: half of them are overtaken by writes, the rest is healed by the sweep.
        mark = {"$inc": {"_lazymig.intent": 1}, "$set": {"_lazymig.at": datetime(2020, 1, 1)}}
        await database["v2"].update_many({"_lazymig.gone": {"$exists": False}}, mark)
        for id in range(5):
            await repo.update(id, lambda v2: evolve(v2, count=3))
        assert (await sweeper(database).run()).healed == 5
        report = await watched.settled()
    assert report.events == 2 * 10 * 7 + 5 + 5
    assert report.rogue == {}
    assert (await recorded(database)).rogue_by_hour == {}
    assert await find_wrong(database) == {}


@BOTH
async def test_own_transactions_are_not_rogue(database: Any) -> None:
    """Announcement and write of a transaction become visible together."""
    repo = repository(database)
    await database["v1"].insert_many([thing(id) for id in range(3)])
    await repo.get(0)
    client = database.client
    session = client.start_session()
    session = await session if not hasattr(session, "end_session") else session

    async def work(session: Any) -> None:
        bound = repo.with_session(session)
        await bound.update(0, lambda v2: evolve(v2, count=5))
        await bound.update(1, lambda v2: evolve(v2, count=5))
        await bound.delete(2)
        await bound.insert(ThingV2(3, 4))

    async with followed(database) as watched:
        await session.with_transaction(work)
        report = await watched.settled()
        await session.end_session()
    assert report.events == 4
    assert report.rogue == {}


@FIRST
async def test_what_does_not_convert(database: Any) -> None:
    """It gets a dead letter, stops no other, and reads raise instead of returning what V1 held before."""
    repo = repository(database)
    await database["v1"].insert_many([thing(1), thing(2), thing(3)])
    for id in (1, 2):
        await repo.get(id)
    async with followed(database) as watched:
        await database["v1"].update_many({}, {"$set": {"n": -1}})
        await database["v1"].update_one({"_id": 2}, {"$set": {"n": 5}})
        report = await watched.settled()
        assert report.dead >= 2
        assert (await repo.get(2)).count == 5
        for id in (1, 3):
            with pytest.raises(ConversionError):
                await repo.get(id)
        assert set(await letters(database)) == {"1", "3"}
        # No healer trusts the old body either.
        await sweeper(database).run()
        with pytest.raises(ConversionError):
            await repo.get(1)
        await database["v1"].update_many({}, {"$set": {"n": 6}})
        await watched.settled()
    assert [(await repo.get(id)).count for id in (1, 2, 3)] == [6, 6, 6]
    assert await letters(database) == {}


@FIRST
async def test_what_v2_refuses(database: Any, driver: str) -> None:
    """A body that V2 will never take gets a dead letter, and reads return what V1 holds."""
    await unique_codes(database, driver)
    repo = repository(database)
    await database["v1"].insert_many([thing(1, code="a"), thing(2, code="b")])
    await repo.get_many([1, 2])
    async with followed(database) as watched:
        await database["v1"].update_one({"_id": 2}, {"$set": {"code": "a"}})
        report = await watched.settled()
    assert (report.healed, report.dead, report.needs_person) == (0, 1, True)
    assert set(await letters(database)) == {"2"}
    assert (await repo.get(2)).code == "a"


@FIRST
async def test_ids_that_no_entity_has(database: Any) -> None:
    """A document whose id cannot be an entity's is left alone, and nothing else waits for it."""
    repo = repository(database)
    await database["v1"].insert_one(thing(1))
    await repo.get(1)
    async with followed(database) as watched:
        await database["v1"].insert_many([{"_id": {"a": 1}}, {"_id": 1.5}])
        await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
        report = await watched.settled()
    assert report.rogue == {"update": 1}
    assert await database["v2"].count_documents({}) == 1


@FIRST
async def test_first_start_verifies(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed before the first start is found by a verification, and the position is older than that."""
    repo = repository(database)
    await database["v1"].insert_many([thing(1), thing(2)])
    await repo.get(1)
    await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
    monkeypatch.setattr(VerifyOptions, "to_repair", repairing_after(0.1))
    async with followed(database, catch_up=True) as watched:
        report = await watched.settled()
    assert report.catch_ups == 1
    assert (await repo.get(1)).count == 7
    assert (await database["v2"].find_one({"_id": 1}))["count"] == 7


@FIRST
async def test_refusals(database: Any) -> None:
    """A phase that does not fill V2, and options that cannot work, are refused."""
    for phase in (Phase.V1_ONLY, Phase.PREPARE, Phase.V2_ONLY):
        with pytest.raises(PhaseError, match=f"^a follower runs only where V2 is filled from V1. In the phase {phase}"):
            Follower(repository(database, phase=phase))
    with pytest.raises(ConfigurationError, match="batch_size"):
        Follower(repository(database), batch_size=0)


@FIRST
async def test_a_probe_pauses(database: Any) -> None:
    """While the user's probe says that the server is not well, nothing is healed, and the report says why."""
    repo, well, asked = repository(database), asyncio.Event(), asyncio.Event()
    well.set()

    async def probe() -> bool:
        if not well.is_set():
            asked.set()
        return well.is_set()

    await database["v1"].insert_one(thing(1))
    await repo.get(1)
    async with followed(database, repo=repo, probe=probe) as watched:
        await watched.settled()
        well.clear()
        await asked.wait()  # from here on no batch is read
        await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
        asked.clear()
        await asked.wait()
        assert (await database["v2"].find_one({"_id": 1}))["count"] == 1
        well.set()
        assert (await watched.settled()).healed == 1
    assert (await repo.get(1)).count == 7


@FIRST
async def test_a_failing_probe_does_not_end_it(database: Any) -> None:
    """An exception of the probe is an unknown signal: the follower goes on, and says so."""

    async def probe() -> bool:
        raise OSError

    repo = repository(database)
    await database["v1"].insert_one(thing(1))
    await repo.get(1)
    async with followed(database, repo=repo, probe=probe) as watched:
        await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
        report = await watched.settled()
    assert report.throttle == "the probe fails"
    assert (await repo.get(1)).count == 7
