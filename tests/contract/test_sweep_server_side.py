"""A sweep with `Migration(upgrade_pipeline=...)` stores what a sweep without it stores, or stops."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from bson import Decimal128, Int64
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from lazymig import LEAVE, ConfigurationError, NotYet, UpgradeDiffers, Verifier
from lazymig.fleet.jobs import sum_reports
from lazymig.stores import server_upgrade
from lazymig.stores.server_upgrade import ServerUpgrade
from lazymig.sweeping import remainder, server_side
from tests.server_side import PIPELINE, server_things, upgrade_fresh
from tests.sweeps import LaterClock, by_id, letters, moved, repository, stored, sweeper, thing, things, unique_codes


def serving(database: Any, *stages: Any, **options: Any) -> Any:
    """A repository of a migration with an aggregation."""
    migration = options.pop("migration", None) or server_things(*stages)
    return repository(database, migration=migration, **options)


def is_merge(event: Any) -> bool:
    """Whether this statement may write V2."""
    return any("$merge" in stage for stage in event.command.get("pipeline", []))


async def raw(collection: Any) -> list[bytes]:
    """A collection's documents as bytes, by id."""
    options = collection.codec_options.with_options(document_class=RawBSONDocument)
    return [one.raw for one in await collection.with_options(options).find({}).sort("_id", 1).to_list(None)]


async def test_the_same_bytes_as_by_python(watched: Any) -> None:
    """The server stores byte for byte what Python stores, at V1's revision, and V1 is not touched."""
    database = watched.database
    documents = [thing(id, id * 2, **({"_lazymig_rev": 3} if id % 5 == 0 else {})) for id in range(57)]
    await database["v1"].insert_many(documents)
    with watched.sent() as sent:
        report = await sweeper(database, repo=serving(database), grace_s=40).run()
    assert await stored(database["v2"]) == by_id(moved(i, i * 2, 0 if i % 5 else 3) for i in range(57))
    assert await stored(database["v1"]) == by_id(documents)
    assert (report.scanned, report.migrated, report.on_server, report.dead) == (57, 57, 57, 0)
    assert (report.finished, report.warnings, report.limits) == (True, (), ())
    by_server = await raw(database["v2"])
    await database["v2"].drop()
    assert (await sweeper(database).run()).on_server == 0
    assert await raw(database["v2"]) == by_server
    merging = [event.command for event in sent if is_merge(event)]
    # A dead primary's answer must not enter V2, and a checkpoint must not be ahead of what is durable.
    assert {command["readConcern"]["level"] for command in merging} == {"majority"}
    assert {command["writeConcern"]["w"] for command in merging} == {"majority"}
    # What it read of V1 must not be stored once V2 may have forgotten a delete, also where this process dies.
    assert {command["maxTimeMS"] for command in merging if command["pipeline"][0]["$match"]["_id"]["$in"]} == {20_000}
    assert [event for event in sent if event.command_name == "insert" and event.command["insert"] == "v2"] == []


async def test_what_the_stages_leave_out_is_converted_by_python(server_database: Any) -> None:
    """Documents that do not convert, wait or are left have what Python says of them, and the rest is the server's."""

    def decide(v1: Any) -> Any:
        if v1.code == "wait":
            raise NotYet("no colour")
        return LEAVE if v1.code == "leave" else upgrade_fresh(v1)

    migration = server_things({"$match": {"code": {"$nin": ["wait", "leave"]}}}, upgrade=decide)
    codes = {3: "wait", 5: "leave"}
    await server_database["v1"].insert_many([thing(i, -1 if i == 7 else i, code=codes.get(i)) for i in range(20)])
    report = await sweeper(server_database, repo=serving(server_database, migration=migration)).run()
    assert (report.migrated, report.on_server, report.waiting, report.left, report.dead) == (17, 17, 1, 1, 1)
    assert set(await letters(server_database)) == {"7"}
    assert {id: one["_lazymig"].get("unmoved") for id, one in (await stored(server_database["v2"])).items()} == {
        str(i): {3: "waiting", 5: "left"}.get(i) for i in range(20) if i != 7
    }


async def test_what_v2_has_is_never_changed(server_database: Any) -> None:
    """What reads and writes have moved stays byte for byte, with V2's own values and with tombstones."""
    repo = serving(server_database)
    await server_database["v1"].insert_many([thing(id) for id in range(40)])
    await repo.get_many(range(0, 40, 2))
    await repo.update(4, lambda thing: evolve(thing, note="kept", count=9))
    await repo.delete(6)
    before = await stored(server_database["v2"])
    report = await sweeper(server_database, repo=repo).run()
    after = await stored(server_database["v2"])
    assert after == before | by_id(moved(id) for id in range(1, 40, 2))
    assert (report.scanned, report.migrated, report.on_server, report.present) == (39, 20, 20, 19)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_difference_stops_the_sweep(server_database: Any, dry_run: bool) -> None:
    """The error names the id, the field and the kinds of its values, and no contents; nothing is stored."""
    await server_database["v1"].insert_many([thing(id, 77_001) for id in range(20)])
    repo = serving(server_database, {"$set": {"count": {"$toLong": "$count"}}})
    with pytest.raises(UpgradeDiffers, match=r"count is int32 by upgrade and int64 by the pipeline\. ") as caught:
        await sweeper(server_database, repo=repo, dry_run=dry_run).run()
    assert caught.value.id in range(20)
    assert "77" not in str(caught.value)
    assert await server_database["v2"].count_documents({}) == 0


async def test_a_difference_in_one_document_of_a_page_stops_it_before_any_is_stored(
    server_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is stored only after its sample agrees; pages before it stay."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 5)
    monkeypatch.setattr(server_side, "COMPARED_ONE_IN", 1)
    await server_database["v1"].insert_many([thing(id, 5, code="odd" if id == 13 else None) for id in range(20)])
    odd = {"$set": {"note": {"$cond": [{"$eq": ["$code", "odd"]}, "", {"$literal": None}]}}}
    with pytest.raises(UpgradeDiffers, match="id 13: note is null by upgrade and empty string by the pipeline"):
        await sweeper(server_database, repo=serving(server_database, odd), partition_size=100, concurrency=1).run()
    assert set(await stored(server_database["v2"])) == {str(id) for id in range(10)}


@pytest.mark.parametrize("upgrade", ["fails", "waits", "leaves"])
async def test_a_body_where_upgrade_makes_none_stops_the_sweep(server_database: Any, upgrade: str) -> None:
    """The stages must leave out what `upgrade` does not convert."""

    def decide(v1: Any) -> Any:
        if upgrade == "waits":
            raise NotYet("no colour")
        return LEAVE if upgrade == "leaves" else upgrade_fresh(v1)

    stages = [{"$set": {"n": {"$abs": "$n"}}}, *PIPELINE]
    await server_database["v1"].insert_one(thing(1, -5 if upgrade == "fails" else 5))
    migration = server_things(upgrade=decide, upgrade_pipeline=stages)
    with pytest.raises(UpgradeDiffers, match="and the pipeline makes a body"):
        await sweeper(server_database, repo=serving(server_database, migration=migration)).run()
    assert await server_database["v2"].count_documents({}) == 0


async def test_a_dry_run_compares_all_documents_and_writes_nothing(watched: Any) -> None:
    """Each document is compared, and no statement writes."""
    await watched.database["v1"].insert_many([thing(id, -1 if id == 3 else 1) for id in range(230)])
    with watched.sent() as sent:
        report = await sweeper(watched.database, repo=serving(watched.database), dry_run=True, batch_size=100).run()
    assert (report.scanned, report.migrated, report.on_server, report.dead) == (230, 229, 229, 1)
    assert [event for event in sent if is_merge(event)] == []
    assert await watched.database.list_collection_names() == ["v1"]
    odd = {"$set": {"note": {"$cond": [{"$eq": ["$count", 7]}, "", {"$literal": None}]}}}
    await watched.database["v1"].update_one({"_id": 207}, {"$set": {"n": 7}})
    with pytest.raises(UpgradeDiffers, match="id 207"):
        await sweeper(watched.database, repo=serving(watched.database, odd), dry_run=True, batch_size=100).run()


async def test_one_in_fifty_is_compared(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run's first page a hundred are compared, drawn from all of it, and of each other page one in fifty."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 300)
    compared: list[list[int]] = []
    convert = ServerUpgrade.convert

    async def noting(self: Any, ids: Any) -> Any:
        compared.append(list(ids))
        return await convert(self, ids)

    monkeypatch.setattr(ServerUpgrade, "convert", noting)
    await server_database["v1"].insert_many([thing(id) for id in range(900)])
    await sweeper(server_database, repo=serving(server_database), partition_size=1000, concurrency=1).run()
    assert [len(ids) for ids in compared] == [100, 6, 6]
    for first, ids in zip((0, 300, 600), compared, strict=True):
        step = 300 // len(ids)
        assert [(id - first) // step for id in ids] == list(range(len(ids)))


async def test_a_client_that_is_faster_wins(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client stores between the sweep's look and its statement stays, and the others are moved."""
    repo = serving(server_database)
    merge, keepings = ServerUpgrade.merge, []

    async def raced(self: Any, ids: Any, *, keeping: bool, within_s: float) -> Any:
        if not keeping:
            await repo.update(ids[1], lambda one: evolve(one, note="mine"))
        keepings.append(keeping)
        return await merge(self, ids, keeping=keeping, within_s=within_s)

    monkeypatch.setattr(ServerUpgrade, "merge", raced)
    await server_database["v1"].insert_many([thing(id) for id in range(10)])
    report = await sweeper(server_database, repo=repo, batch_size=10, partition_size=100).run()
    assert keepings == [False, True]
    found = await stored(server_database["v2"])
    assert {id: one["note"] for id, one in found.items()} == {str(id): "mine" if id == 1 else None for id in range(10)}
    assert (report.migrated, report.on_server, report.moved_by_clients, report.scanned) == (9, 9, 1, 10)
    by_server = (await raw(server_database["v2"]))[2:]
    await server_database["v2"].drop()
    await sweeper(server_database, where={"n": 1}).run()
    assert (await raw(server_database["v2"]))[2:] == by_server


async def test_what_v2_refuses_is_a_dead_letter(server_database: Any) -> None:
    """A unique index refuses one document: it has its letter, the others are moved, and the report says why."""
    await unique_codes(server_database, "pymongo")
    codes = {4: "same", 6: "same"}
    await server_database["v1"].insert_many([thing(id, code=codes.get(id, f"c{id}")) for id in range(10)])
    report = await sweeper(server_database, repo=serving(server_database)).run()
    assert set(await letters(server_database)) == {"6"}
    assert set(await stored(server_database["v2"])) == {str(id) for id in range(10) if id != 6}
    assert (report.migrated, report.dead) == (9, 1)
    assert ["DuplicateKey (1)" in warning for warning in report.warnings] == [True]


@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_fails_the_stages_is_converted_by_python(server_database: Any, dry_run: bool) -> None:
    """A document on which an expression fails stops nothing: Python converts it, and the report says so."""
    stages = [{"$set": {"n": {"$add": ["$n", {"$toInt": {"$ifNull": ["$zero", 0]}}]}}}, *PIPELINE]
    repo = serving(server_database, migration=server_things(upgrade_pipeline=stages))
    await server_database["v1"].insert_many([thing(i, **({"zero": "x"} if i == 5 else {})) for i in range(10)])
    report = await sweeper(server_database, repo=repo, dry_run=dry_run).run()
    assert (report.migrated, report.dead, report.finished) == (10, 0, True)
    assert 0 < report.on_server < 10
    assert ["ConversionFailure" in warning for warning in report.warnings] == [True]
    assert set(await stored(server_database["v2"])) == (set() if dry_run else {str(id) for id in range(10)})


async def test_stages_that_the_server_refuses(server_database: Any) -> None:
    """The sweep is refused before anything is stored, with the server's reason."""
    await server_database["v1"].insert_one(thing(1))
    repo = serving(server_database, {"$set": {"note": {"$nothing": 1}}})
    with pytest.raises(ConfigurationError, match=r"^upgrade_pipeline: the server refuses it: .*\$nothing"):
        await sweeper(server_database, repo=repo).run()
    assert await server_database["v2"].count_documents({}) == 0


async def test_a_deleted_entity_does_not_come_back(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a statement took long, V1 is looked at again: an entity that was deleted meanwhile does not answer."""
    clock = LaterClock()
    repo = serving(server_database, clock=clock)
    merge = ServerUpgrade.merge

    async def slow(self: Any, ids: Any, **options: Any) -> Any:
        merged = await merge(self, ids, **options)
        # As if V1 had been read before the delete, and stored after the tombstone was purged.
        await server_database["v1"].delete_one({"_id": ids[0]})
        clock.ahead_s += 2
        return merged

    monkeypatch.setattr(ServerUpgrade, "merge", slow)
    await server_database["v1"].insert_many([thing(id) for id in range(3)])
    await sweeper(server_database, repo=repo, clock=clock).run()
    found = await stored(server_database["v2"])
    assert [one["_lazymig"]["intent"] > one["_lazymig"]["rev"] for one in found.values()] == [True, False, False]
    assert [await repo.get(id) is None for id in range(3)] == [True, False, False]


async def test_revisions_of_every_kind(server_database: Any) -> None:
    """Each document has the revision that reads find in it, whatever converts it."""
    revisions = [0, 1, Int64(2**40), Int64(3), -4, 2.0, 0.0, None, "x", float("nan"), Int64(-1), True]
    await server_database["v1"].insert_many([thing(i, _lazymig_rev=one) for i, one in enumerate(revisions)])
    repo = serving(server_database)
    report = await sweeper(server_database, repo=repo).run()
    by_server = await raw(server_database["v2"])
    assert (report.migrated, report.on_server) == (len(revisions), 6)
    await server_database["v2"].drop()
    await sweeper(server_database).run()
    assert await raw(server_database["v2"]) == by_server


async def test_unusable_revisions_and_ids_are_dead_letters(server_database: Any) -> None:
    """What Python refuses, the server does not get."""
    bad = [thing(2.5), thing({"a": 1}), thing(None), thing(3, _lazymig_rev=[1]), thing(4, _lazymig_rev=Decimal128("1"))]
    await server_database["v1"].insert_many([thing(1), *bad])
    report = await sweeper(server_database, repo=serving(server_database)).run()
    assert (report.migrated, report.on_server, report.dead) == (1, 1, 5)
    assert set(await stored(server_database["v2"])) == {"1"}


async def test_large_documents_are_converted_by_python(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server converts only what it can return beside its source."""
    monkeypatch.setattr(server_upgrade, "_BYTES_MAX", 1000)
    await server_database["v1"].insert_many([thing(id, code="x" * 2000 if id == 3 else None) for id in range(6)])
    report = await sweeper(server_database, repo=serving(server_database)).run()
    assert (report.migrated, report.on_server) == (6, 5)


@pytest.mark.parametrize("options", [{"where": {"n": 2}}, {"newest_first": True}, {"rate_limit": 10_000}], ids=str)
async def test_options_of_sweeps(server_database: Any, options: dict[str, Any]) -> None:
    """Filters, directions and rates work as in every sweep."""
    await server_database["v1"].insert_many([thing(id, 1 + id % 2) for id in range(30)])
    report = await sweeper(server_database, repo=serving(server_database), **options).run()
    expected = [id for id in range(30) if "where" not in options or id % 2]
    assert await stored(server_database["v2"]) == by_id(moved(id, 1 + id % 2) for id in expected)
    assert report.on_server == len(expected)


async def test_processes_that_share_a_sweep(server_database: Any) -> None:
    """Their reports add up, and what one of them warns about is not lost."""
    await server_database["v1"].insert_many([thing(i, **({"zero": "x"} if i == 5 else {})) for i in range(60)])
    stages = [{"$set": {"n": {"$add": ["$n", {"$toInt": {"$ifNull": ["$zero", 0]}}]}}}, *PIPELINE]
    repo = serving(server_database, migration=server_things(upgrade_pipeline=stages))
    reports = [await sweeper(server_database, repo=repo, shard=(place, 2)).run() for place in range(2)]
    summed = sum_reports(sorted(reports, key=lambda one: len(one.warnings)))
    assert summed.on_server == sum(one.on_server for one in reports) > 0
    assert (summed.migrated, len(summed.warnings)) == (60, 1)


async def test_a_verification_finds_all_equal(server_database: Any) -> None:
    """Both sides agree after a server-side sweep, each checked in both directions."""
    await server_database["v1"].insert_many([thing(id, id, code=None if id % 3 else str(id)) for id in range(60)])
    repo = serving(server_database)
    await sweeper(server_database, repo=repo).run()
    report = await Verifier(repo).run()
    assert (report.match, report.compared) == (60, 60)


@pytest.mark.parametrize("driver", ["mock"])
async def test_in_memory_python_converts(database: Any) -> None:
    """There is no server to do it, which the report says."""
    await database["v1"].insert_many([thing(id) for id in range(9)])
    report = await sweeper(database, repo=serving(database)).run()
    assert (report.migrated, report.on_server) == (9, 0)
    assert report.limits == (server_side.IN_MEMORY,)
    assert (await sweeper(database, repo=repository(database)).run()).limits == ()


async def test_two_clients_are_refused(lazymig_server: Any, server_database: Any) -> None:
    """A `$merge` cannot leave its cluster: the sweep is refused when it is made, and says what to do."""
    async with AsyncMongoClient(lazymig_server.uri) as other:
        repo = serving(server_database, v2=other[server_database.name]["v2"])
        with pytest.raises(ConfigurationError, match="open both collections by one client"):
            sweeper(server_database, repo=repo)
        sweeper(server_database, repo=repository(server_database, migration=things(), v2=other["x"]["v2"]))
