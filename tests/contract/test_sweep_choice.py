"""A sweep of a part of V1, and one that begins with the newest: what they move, leave, and say of it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from lazymig import ConfigurationError
from lazymig.stores.raw import decode_for_id
from lazymig.stores.records import Partition
from lazymig.stores.scans import Scan
from lazymig.sweeping import remainder
from lazymig.sweeping.options import FILTERED, NEWEST_FIRST
from tests.contract.test_sweep_moving import ALLOWED, REFUSED, SEED, SERVER_ONLY
from tests.sweeps import (
    LaterClock,
    StandingClock,
    ThingV1,
    ThingV2,
    by_id,
    control,
    letters,
    moved,
    passes,
    renamed,
    repository,
    stored,
    sweeper,
    thing,
    things,
)
from tests.widening import WIDENING

#: What is sent differs between drivers in nothing that these tests are about, but memory has its own sorting.
DRIVERS = ["pymongo", "motor", "mock"] if WIDENING.full else ["pymongo"]
SORTING = sorted({*DRIVERS, "mock"})

COUNT = 60
EVERYTHING = by_id(moved(id) for id in range(COUNT))
#: Every third document is red.
RED = {"colour": "red"}


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Any:
    """The driver of a test."""
    return request.param


@pytest.fixture
async def filled(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A database whose V1 holds `COUNT` documents, every third of them red, read by small pages."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 4)
    await database["v1"].insert_many([thing(id, colour="blue" if id % 3 else "red") for id in range(COUNT)])
    return database


def red(ids: Any = range(COUNT)) -> dict[Any, Any]:
    """The red ones in V2."""
    return by_id(moved(id) for id in ids if not id % 3)


# A filter


@pytest.mark.parametrize("premigrated", [0, 30])
@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_filter_moves_what_it_finds(filled: Any, premigrated: int, newest_first: bool) -> None:
    """Only the documents that match are moved, whatever V2 has; the report counts these, and says what it left."""
    before = by_id(moved(id, by="read") for id in range(premigrated))
    if before:
        await filled["v2"].insert_many(list(before.values()))
    report = await sweeper(filled, where=RED, newest_first=newest_first).run()
    assert await stored(filled["v2"]) == red() | before
    assert (report.finished, report.total, report.scanned) == (True, 20, 20)
    assert (report.migrated, report.present) == (20 - premigrated // 3, premigrated // 3)
    assert report.remaining == COUNT - len(red() | before)
    assert report.limits == ((FILTERED, NEWEST_FIRST) if newest_first else (FILTERED,))


async def test_a_filtered_sweep_is_no_full_pass(filled: Any) -> None:
    """It leaves no mark of a full pass, and the next full sweep looks at everything; its run says what it was."""
    await sweeper(filled, where=RED).run()
    assert await passes(filled).current() is None
    (run,) = await control(filled).history("things")
    assert (run.finished, run.counts["filtered"]) == (True, 1)
    report = await sweeper(filled).run()
    assert (report.scanned, report.migrated, report.present, report.limits) == (COUNT, 40, 20, ())
    assert (await control(filled).history("things", 1))[0].counts["filtered"] == 0


@pytest.mark.parametrize("other", [{"where": RED}, {"newest_first": True}, {"where": RED, "newest_first": True}])
async def test_checkpoints_are_apart(filled: Any, other: dict[str, Any]) -> None:
    """A sweep of another choice neither continues nor ends the pass that was begun; that one goes on where it was."""
    first = sweeper(filled, on_progress=lambda _: first.stop())
    begun = await first.run()
    assert 0 < begun.scanned < COUNT
    between = await sweeper(filled, **other).run()
    assert between.finished
    assert between.scanned == (20 if "where" in other else COUNT)
    last = await sweeper(filled).run()
    assert (last.finished, last.scanned) == (True, COUNT - begun.scanned)
    assert await stored(filled["v2"]) == EVERYTHING


async def test_a_filtered_sweep_continues_its_own(filled: Any) -> None:
    """Stopped, it goes on behind its checkpoint; with another filter it begins anew."""
    first = sweeper(filled, where=RED, on_progress=lambda _: first.stop(), concurrency=1)
    begun = await first.run()
    assert 0 < begun.scanned < 20
    assert (await sweeper(filled, where={"_id": {"$lt": 3}}).run()).scanned == 3
    second = await sweeper(filled, where=RED).run()
    assert (second.finished, second.scanned) == (True, 20 - begun.scanned)
    assert await stored(filled["v2"]) == red() | by_id(moved(id) for id in range(3))


async def test_a_filter_leaves_marks_and_letters(database: Any) -> None:
    """Marks of deletes and letters of others stay for a sweep without a filter; what it cannot move gets a letter."""
    await database["v1"].insert_many([thing(1, -1), thing(2, -1, colour="blue"), thing(3)])
    old = LaterClock(-7200).now()
    await database["v2"].insert_one({"_id": 9, "_lazymig": {"rev": 1, "intent": 1, "gone": True, "at": old}})
    report = await sweeper(database, where=RED).run()
    assert (report.dead, report.purged, set(await letters(database))) == (1, 0, {"1"})
    await database["v1"].update_one({"_id": 1}, {"$set": {"n": 1, "_lazymig_rev": 1}})
    report = await sweeper(database, where={"colour": "blue"}).run()
    assert (report.dead, set(await letters(database))) == (1, {"1", "2"})
    assert "9" in await stored(database["v2"])
    report = await sweeper(database).run()
    assert (report.purged, set(await letters(database))) == (1, {"2"})


async def test_older_bodies_of_other_documents_are_left(filled: Any) -> None:
    """Where the conversion's revision was raised, only bodies of documents that match are made anew."""
    await sweeper(filled).run()
    repo = repository(filled, migration=things(revision=2))
    report = await sweeper(filled, repo=repo, where=RED).run()
    assert report.reconverted == 20
    made = {document["_id"] async for document in filled["v2"].find({"_lazymig.conv": 2})}
    assert made == set(range(0, COUNT, 3))


async def test_a_document_that_stops_matching_is_left(filled: Any) -> None:
    """One that a client changes between its id and its document being read is not moved."""
    await filled["v2"].insert_many([moved(id) for id in range(3, COUNT, 3)])  # so that ids are read first
    one: Any = sweeper(filled, where=RED, partition_size=1000)
    one._sweep._work._flow._lean = True
    begin, wait = one._sweep._work._flow.begin, one._sweep._throttle.wait_for_documents

    def lean() -> None:
        begin()
        one._sweep._work._flow._lean = True

    async def changed(count: int) -> bool:
        await filled["v1"].update_one({"_id": 0}, {"$set": {"colour": "blue"}})
        return bool(await wait(count))

    one._sweep._work._flow.begin, one._sweep._throttle.wait_for_documents = lean, changed
    await one.run()
    assert "0" not in await stored(filled["v2"])


async def test_a_dry_run_takes_the_same_choice(filled: Any) -> None:
    """A rehearsal counts what matches, and writes nothing."""
    report = await sweeper(filled, where=RED, newest_first=True, dry_run=True).run()
    assert (report.migrated, report.scanned, report.total) == (20, 20, 20)
    assert await stored(filled["v2"]) == {}
    assert await stored(filled["lazymig_control"]) == {}


@pytest.mark.parametrize(
    ("options", "text"), [({"where": [1]}, "where"), ({"where": RED, "adopt": True}, "leave out where")]
)
async def test_what_cannot_be_chosen_is_refused(filled: Any, options: dict[str, Any], text: str) -> None:
    """The message names the option, and nothing is swept."""
    with pytest.raises(ConfigurationError, match=text):
        sweeper(filled, **options)


# The newest first


@pytest.mark.parametrize("dry_run", [False, True])
async def test_the_newest_come_first(filled: Any, dry_run: bool) -> None:
    """Documents are moved from the highest id down, over all partitions."""
    seen: list[Any] = []

    def noting(v1: ThingV1, previous: ThingV2 | None = None) -> ThingV2:
        seen.append(v1.id)
        return renamed(v1, previous)

    repo = repository(filled, migration=things(upgrade=noting))
    one = sweeper(filled, repo=repo, newest_first=True, concurrency=1, dry_run=dry_run)
    report = await one.run()
    assert report.limits == (NEWEST_FIRST,)
    # Whole partitions first; within a batch the order is that of the scan.
    assert [id // 10 for id in seen] == sorted((id // 10 for id in range(COUNT)), reverse=True)
    assert seen[0] == COUNT - 1
    assert (report.finished, report.migrated) == (True, COUNT)
    assert await stored(filled["v2"]) == ({} if dry_run else EVERYTHING)


@pytest.mark.parametrize("driver", SORTING)
async def test_ids_of_every_type_downwards(database: Any, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of all BSON types are found from the highest down, NaN and null too, each once."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 3)
    refused = [*REFUSED, *(SERVER_ONLY if driver != "mock" else [])]
    everything = [*ALLOWED, *range(100, 130), *refused]
    print("seed", SEED)
    random.Random(SEED).shuffle(everything)
    for id in everything:
        await database["v1"].insert_one(thing(id))
    report = await sweeper(database, batch_size=1, partition_size=7, newest_first=True).run()
    assert (report.scanned, report.dead) == (len(everything), len(refused))
    assert await stored(database["v2"]) == by_id(moved(id) for id in [*ALLOWED, *range(100, 130)])
    assert set(await letters(database)) == {repr(id) for id in refused}


@pytest.mark.parametrize("driver", SORTING)
async def test_a_partition_is_read_downwards_as_upwards(database: Any, driver: str) -> None:
    """For every position and bounds, both directions find each id of a partition once, in opposite order."""
    server_only = [None, float("nan")] if driver != "mock" else []
    ids = [*server_only, -3, 0, 2.5, 7, 9, 12, "a", "b", True]
    for id in ids:
        await database["v1"].insert_one({"_id": id})
    up, down = Scan(database["v1"]), Scan(database["v1"], descending=True)
    bounds = [*server_only, 0, 7, 12] if server_only else [None, 0, 7, 12]
    for low, high in [(low, high) for i, low in enumerate(bounds) for high in [None, *bounds[i + 1 :]]]:
        partition = Partition("int", low, high)
        above = [one async for one in _walk(up, partition, low)]
        below = [one async for one in _walk(down, partition, None)]
        assert list(map(repr, below)) == list(map(repr, reversed(above))), (low, high)
    for bracket, held in (("string", ["b", "a"]), ("bool", [True]), *([("null", [None])] if server_only else [])):
        assert [one async for one in _walk(down, Partition(bracket, None, None), None)] == held


async def _walk(scan: Scan, partition: Partition, position: Any) -> Any:
    """The ids of a partition, one per page."""
    while found := await scan.find_ids(scan.within(partition, position), 1):
        position = decode_for_id(found[0])["_id"]
        again = await scan.find_ids(scan.within(partition, None if scan._order[0][1] < 0 else partition.low, position))
        assert repr(decode_for_id(again[-1])["_id"]) == repr(position)
        yield position
        if partition.bracket in {"null"}:
            return


async def test_stopped_it_continues_downwards(filled: Any) -> None:
    """A stopped run continues below its checkpoint, without looking at anything twice."""
    first = sweeper(filled, newest_first=True, on_progress=lambda _: first.stop(), concurrency=1)
    begun = await first.run()
    assert 0 < begun.scanned < COUNT
    assert min(map(int, await stored(filled["v2"]))) == COUNT - begun.migrated
    second = await sweeper(filled, newest_first=True).run()
    assert (second.finished, second.scanned) == (True, COUNT - begun.scanned)
    assert await stored(filled["v2"]) == EVERYTHING


async def test_a_killed_process_is_taken_over_downwards(filled: Any) -> None:
    """The next one continues below the checkpoint of a process that was killed, once its lease is over."""
    clock = StandingClock()
    began_at = clock.time
    rows = passes(filled, clock)
    rows = type(rows)(rows._rows, rows._clock, "things", "sweep newest-first")
    number = await rows.claim_planning("dead")
    assert await rows.open_pass(number, [Partition("int", 20, None), Partition("int", None, 20)], descending=True)
    lease = await rows.acquire(number, "dead", (0, 1))
    assert (lease.position, lease.partition.low) == (None, 20)
    await rows.checkpoint(lease, 50, 10)
    report = await sweeper(filled, clock=clock, newest_first=True).run()
    assert 19 <= (clock.time - began_at).total_seconds() < 25
    assert (report.finished, report.scanned) == (True, 50)
    assert sorted(map(int, await stored(filled["v2"]))) == list(range(50))


async def test_a_failure_loses_nothing_downwards(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of the driver, the next run moves exactly what was not stored."""
    failing = sweeper(filled, newest_first=True, partition_size=1000)
    put_many, calls = failing._sweep._work._pair.bodies.put_many, []

    async def flaky(documents: Any, *, durable: bool = False) -> Any:
        calls.append(len(documents))
        if len(calls) == 4:
            raise AutoReconnect("the server went away")
        return await put_many(documents, durable=durable)

    monkeypatch.setattr(failing._sweep._work._pair.bodies, "put_many", flaky)
    with pytest.raises(AutoReconnect):
        await failing.run()
    held = len(await stored(filled["v2"]))
    report = await sweeper(filled, newest_first=True).run()
    assert (report.finished, report.migrated) == (True, COUNT - held)
    assert 0 < report.scanned < COUNT
    assert await stored(filled["v2"]) == EVERYTHING


async def test_processes_share_it(filled: Any) -> None:
    """Two at once, and shards, move everything once."""
    clock = LaterClock(moving=False)
    reports = await asyncio.gather(*(sweeper(filled, clock=clock, newest_first=True).run() for _ in range(2)))
    assert sum(report.scanned for report in reports) == sum(report.migrated for report in reports) == COUNT
    shards = [await sweeper(filled, newest_first=True, shard=(number, 3)).run() for number in range(3)]
    assert sum(report.present for report in shards) == COUNT
    assert all(0 < report.scanned < COUNT for report in shards)


async def test_what_is_inserted_meanwhile(database: Any) -> None:
    """The service's own inserts are in V2 at once; those of other programs with higher ids wait for the next sweep."""
    repo = repository(database)
    await database["v1"].insert_many([thing(ObjectId(f"{id:024x}")) for id in range(20)])
    high, higher = ObjectId("f" * 24), ObjectId("e" * 24)
    inserted: list[Any] = []

    def page(_: Any) -> None:
        if not inserted:
            inserted.append(asyncio.ensure_future(database["v1"].insert_one(thing(higher))))

    await repo.insert(ThingV2(high, 1))
    report = await sweeper(database, newest_first=True, on_progress=page).run()
    await asyncio.gather(*inserted)
    assert report.finished
    held = await stored(database["v2"])
    assert repr(high) in held
    assert repr(higher) not in held
    assert (await sweeper(database, newest_first=True).run()).migrated == 1
