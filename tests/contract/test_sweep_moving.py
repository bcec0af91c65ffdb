"""A sweep moves everything that V2 lacks, and nothing else."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.raw_bson import RawBSONDocument

from lazymig import Phase, PhaseError, Sweeper
from lazymig.control import Control
from lazymig.sweeping import remainder
from lazymig.sweeping.retry import retry_dead
from tests.sweeps import WRITES, by_id, letters, moved, passes, repository, stored, sweeper, thing

SEED = 20_240_501
ALLOWED = [
    *(1, 7, Int64(2**40), "a", "b" * 2000, b"bytes", ObjectId("0123456789abcdef01234567")),
    Binary.from_uuid(UUID(int=5)),
]
#: What no migration takes for an id; each is a dead letter.
REFUSED = [2.5, datetime(2024, 1, 1), {"a": 1}, {"a": {"b": [1, 2]}}]
#: These the in-memory Mongo cannot hold beside the others, or cannot sort.
SERVER_ONLY = [
    True,
    Decimal128("8.5"),
    float("nan"),
    None,
    MinKey(),
    MaxKey(),
    Timestamp(1, 2),
    Code("x"),
    Binary(b"z", 9),
]

#: How a sweep looks at what the collections are.
LOOKS = {"listCollections", "listIndexes"}


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three ids, so that few documents make many pages."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 3)


async def test_everything_is_moved(database: Any) -> None:
    """Over many pages and partitions V2 ends with each entity once, at V1's revision, and V1 is not touched."""
    documents = [thing(id, id * 2, **({"_lazymig_rev": 3} if id % 5 == 0 else {})) for id in range(57)]
    await database["v1"].insert_many(documents)
    report = await sweeper(database).run()
    assert await stored(database["v2"]) == by_id(moved(i, i * 2, 0 if i % 5 else 3) for i in range(57))
    assert await stored(database["v1"]) == by_id(documents)
    assert (report.total, report.scanned, report.migrated, report.present, report.dead) == (57, 57, 57, 0, 0)
    assert report.finished
    assert not report.needs_person


async def test_migrated_entities_are_left_alone(database: Any, small_pages: None) -> None:
    """What reads and writes have moved stays byte for byte, with what V1 cannot express and with tombstones."""
    repo = repository(database)
    await database["v1"].insert_many([thing(id) for id in range(40)])
    await repo.get_many(range(0, 40, 2))
    await repo.update(4, lambda thing: evolve(thing, note="kept", count=9))
    await repo.delete(6)
    before = await stored(database["v2"])
    report = await sweeper(database).run()
    after = await stored(database["v2"])
    assert {id: after[id] for id in before} == before
    assert after == before | by_id(moved(id) for id in range(1, 40, 2))
    assert (report.scanned, report.migrated, report.present) == (39, 20, 19)


@pytest.mark.parametrize("premigrated", [0, 99])
async def test_ids_of_every_type(database: Any, driver: str, small_pages: None, premigrated: int) -> None:
    """Ids of all BSON types are found, whatever their order; those of a type that the migration refuses are told."""
    numbered = list(range(100, 100 + premigrated))
    allowed, refused = [*ALLOWED, *numbered], [*REFUSED, *(SERVER_ONLY if driver != "mock" else [])]
    print("seed", SEED)
    everything = [*allowed, *refused]
    random.Random(SEED).shuffle(everything)
    for id in everything:
        await database["v1"].insert_one(thing(id))
    await repository(database).get_many(numbered)
    report = await sweeper(database, batch_size=1, partition_size=7).run()
    assert await stored(database["v2"]) == by_id(moved(id, by="read" if id in numbered else "sweep") for id in allowed)
    assert set(await letters(database)) == {repr(id) for id in refused}
    assert (report.scanned, report.migrated) == (len(everything), len(ALLOWED))
    assert report.dead == report.dead_letters == len(refused)
    assert report.needs_person


async def test_native_uuids(server_clients: Any, server_database: Any) -> None:
    """A client that returns native UUIDs sweeps, checkpoints and dead-letters them like any other id."""
    options = server_database.codec_options.with_options(uuid_representation=4)
    native = server_database.client.get_database(server_database.name, codec_options=options)
    ids = [UUID(int=number) for number in range(9)]
    await native["v1"].insert_many([thing(id, -1 if id.int == 4 else 1) for id in ids])
    report = await sweeper(native, batch_size=2, partition_size=3).run()
    assert (report.migrated, report.dead) == (8, 1)
    assert sorted([document["_id"] async for document in native["v2"].find({})]) == [*ids[:4], *ids[5:]]


async def test_a_second_run_changes_nothing(database: Any) -> None:
    """A second run finds all present and leaves V2 as it is."""
    await database["v1"].insert_many([thing(id) for id in range(23)])
    await sweeper(database).run()
    before = await stored(database["v2"])
    report = await sweeper(database).run()
    assert await stored(database["v2"]) == before
    assert (report.scanned, report.present, report.migrated, report.moved_by_clients) == (23, 23, 0, 0)


async def test_one_sweeper_may_run_twice(database: Any) -> None:
    """A sweeper object counts each of its runs from nothing."""
    await database["v1"].insert_many([thing(id) for id in range(5)])
    twice = sweeper(database)
    assert (await twice.run()).migrated == 5
    await database["v1"].insert_one(thing(99))
    second = await twice.run()
    assert (second.scanned, second.migrated, second.present) == (6, 1, 5)


@pytest.mark.parametrize("same", [False, True], ids=["by another", "by the same"])
async def test_a_second_run_reads_ids_only(watched: Any, small_pages: None, same: bool) -> None:
    """Over a finished collection no statement asks V1 for more than ids, and none writes to V2, whoever sweeps it."""
    await watched.database["v1"].insert_many([thing(id) for id in range(23)])
    first = sweeper(watched.database)
    await first.run()
    with watched.sent() as sent:
        await (first if same else sweeper(watched.database)).run()
    asked = [event.command for event in sent if event.command.get("find") == "v1"]
    assert len(asked) > 7
    # The check of the collections looks whether V1's first documents were a V2 once.
    projections = [dict(command["projection"]) for command in asked]
    assert projections.count({"_lazymig.rev": 1}) == 1
    assert [one for one in projections if one not in ({"_id": 1}, {"_lazymig.rev": 1})] == []
    writing = [event for event in sent if event.command_name in WRITES - {"createIndexes"} and not _only_reads(event)]
    assert {event.command[event.command_name] for event in writing} == {"lazymig_control"}
    assert {event.command_name for event in sent if event.command[event.command_name] == "v1"} <= {
        *("find", "getMore", "count", "aggregate", "listIndexes")
    }


def _only_reads(event: Any) -> bool:
    """Whether this is an aggregation without output: a sample, or a count."""
    stages = event.command.get("pipeline", [])
    return event.command_name == "aggregate" and not any("$out" in stage or "$merge" in stage for stage in stages)


async def test_nearly_finished(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where V2 lacks one in a hundred, V1's whole documents are read for these only."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 50)
    await watched.database["v1"].insert_many([thing(id) for id in range(300)])
    await repository(watched.database).get_many([id for id in range(300) if id % 100 != 7])
    with watched.sent() as sent:
        report = await sweeper(watched.database, partition_size=1000).run()
    assert (report.scanned, report.migrated, report.present) == (300, 3, 297)
    whole = [c.command for c in sent if c.command.get("find") == "v1" and "projection" not in c.command]
    assert sorted(id for command in whole for id in command["filter"]["_id"]["$in"]) == [7, 107, 207]
    assert len(await stored(watched.database["v2"])) == 300


async def test_hardly_begun(watched: Any) -> None:
    """Where V2 lacks everything, only the sweep's first page asks for ids first, whatever the number of partitions."""
    await watched.database["v1"].insert_many([thing(id) for id in range(300)])
    with watched.sent() as sent:
        report = await sweeper(watched.database, partition_size=50).run()
    assert (report.scanned, report.migrated) == (300, 300)
    assert (await passes(watched.database).current())["partitions"] > 3
    asked = [event.command for event in sent if event.command.get("find") == "v1" and "limit" in event.command]
    scans = [command for command in asked if command.get("projection") == {"_id": 1} and command["limit"] > 1]
    assert [command["limit"] for command in scans] == [4]


async def test_dry_run_writes_nothing(watched: Any) -> None:
    """A dry run converts everything, tells what would fail, and sends no statement that writes."""
    await watched.database["v1"].insert_many([thing(id, -1 if id == 3 else 1) for id in range(23)])
    with watched.sent() as sent:
        report = await sweeper(watched.database, dry_run=True).run()
    assert (report.scanned, report.migrated, report.dead, report.dead_letters) == (23, 22, 1, 1)
    assert report.needs_person
    assert {event.command_name for event in sent} <= {*LOOKS, "find", "getMore", "count", "aggregate"}
    assert all(_only_reads(event) for event in sent if event.command_name == "aggregate")
    assert await watched.database.list_collection_names() == ["v1"]


async def test_dry_run_of_a_shard(database: Any) -> None:
    """The shards of a dry run cover all together, each once."""
    await database["v1"].insert_many([thing(id) for id in range(40)])
    counts = [(await sweeper(database, dry_run=True, shard=(i, 3)).run()).scanned for i in range(3)]
    assert sum(counts) == 40
    assert max(counts) < 40


async def test_nothing_to_do(database: Any) -> None:
    """An empty V1 is finished at once."""
    report = await sweeper(database).run()
    assert (report.finished, report.total, report.scanned) == (True, 0, 0)


async def test_large_documents(server_database: Any) -> None:
    """Documents of a megabyte are moved, by pages of whole ones and by ids, a reply's worth at a time."""
    await server_database["v1"].insert_many([thing(id, code="x" * 1_000_000) for id in range(40)])
    await repository(server_database).get_many(range(0, 40, 2))
    report = await sweeper(server_database, batch_size=1000).run()
    assert (report.migrated, report.present) == (20, 20)
    assert await server_database["v2"].count_documents({"code": "x" * 1_000_000}) == 40


async def test_an_undecodable_document(server_database: Any) -> None:
    """A document that Python cannot hold (a date after the year 9999) is a dead letter and does not stop the rest."""
    await server_database["v1"].insert_many([thing(id) for id in range(12)])
    far = b"\x09when\x00" + (10**15).to_bytes(8, "little")
    body = b"\x10_id\x00" + (99).to_bytes(4, "little") + far
    await server_database["v1"].insert_one(RawBSONDocument((len(body) + 5).to_bytes(4, "little") + body + b"\x00"))
    report = await sweeper(server_database).run()
    assert (report.scanned, report.migrated, report.dead) == (13, 12, 1)
    assert set(await letters(server_database)) == {"99"}


@pytest.mark.parametrize(
    ("phase", "why"),
    [(Phase.V1_ONLY, "V2 is not used"), (Phase.PREPARE, "V2 must stay empty"), (Phase.V2_ONLY, "V1 is stale")],
)
@pytest.mark.parametrize("driver", ["mock"])
async def test_phases_in_which_v1_must_not_fill_v2_are_refused(database: Any, phase: Phase, why: str) -> None:
    """A sweep or a retry there is refused before anything is sent, with the reason."""
    with pytest.raises(PhaseError, match=f"^a sweep runs only where V2 is filled from V1. In the phase {phase} {why}"):
        Sweeper(repository(database, phase=phase))
    with pytest.raises(PhaseError, match=f"^a retry runs only where V2 is filled from V1. In the phase {phase} {why}"):
        await retry_dead(repository(database, phase=phase), Control(database["control"]))


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.V2_PRIMARY])
@pytest.mark.parametrize("driver", ["mock"])
async def test_phases_beside_coexist_are_swept(database: Any, phase: Phase) -> None:
    """V2 is filled in every phase in which all writes are announced and V1 is the truth."""
    await database["v1"].insert_many([thing(id) for id in range(3)])
    assert (await Sweeper(repository(database, phase=phase)).run()).migrated == 3
    assert await database["v2"].count_documents({}) == 3
