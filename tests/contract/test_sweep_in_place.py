"""A sweep over documents with both shapes: it stores the V2 parts that are missing or behind, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import AutoReconnect, OperationFailure

from lazymig import ConfigurationError, Follower, Phase, PhaseError, Rewriter, Sweeper
from lazymig.control import parts_of
from lazymig.protocol.in_place.parts import Parts
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.records import Partition
from lazymig.stores.whole_documents import parse_whole
from lazymig.sweeping.in_place.moving import PlaceMover
from tests.contract.test_sweep_moving import ALLOWED, REFUSED, SERVER_ONLY
from tests.places import deciding, filled, noted, place_of, place_repository, place_sweeper
from tests.sweeps import WRITES, LaterClock, by_id, control, letters, passes, renamed, stored, thing, things

SERVER = pytest.mark.parametrize("driver", ["pymongo", "mock"])


async def test_everything_is_filled(database: Any) -> None:
    """Over many pages and partitions each document gets its V2 part; V1's fields and what no class knows stay."""
    documents = [thing(id, id * 2) for id in range(57)]
    await database["both"].insert_many(documents)
    report = await place_sweeper(database).run()
    assert await stored(database["both"]) == by_id(filled(one) for one in documents)
    assert (report.total, report.scanned, report.migrated, report.present, report.dead) == (57, 57, 57, 0, 0)
    assert (report.remaining, report.dirty, report.purged) == (0, 0, 0)
    assert report.finished
    assert report.in_place
    assert not report.needs_person


async def test_a_second_run_changes_nothing(database: Any) -> None:
    """What reads, writes and an earlier sweep have stored stays byte for byte, with what V1 cannot express."""
    await database["both"].insert_many([thing(id) for id in range(23)])
    repo = place_repository(database)
    await repo.get_many(range(0, 23, 4))
    await repo.update(5, noted("kept"))
    assert (await place_sweeper(database).run()).migrated == 23 - 6 - 1
    before = await stored(database["both"])
    report = await place_sweeper(database).run()
    assert await stored(database["both"]) == before
    assert before["5"]["note"] == "kept"
    assert {document["_lazymig"]["by"] for document in before.values()} == {"read", "write", "sweep"}
    assert (report.scanned, report.present, report.migrated, report.moved_by_clients) == (23, 23, 0, 0)


async def test_a_second_run_writes_to_control_only(watched: Any) -> None:
    """Over a finished collection no statement writes a document, and each document is read once."""
    await watched.database["both"].insert_many([thing(id) for id in range(23)])
    await place_sweeper(watched.database).run()
    with watched.sent() as sent:
        await place_sweeper(watched.database).run()
    writing = {event.command[event.command_name] for event in sent if event.command_name in WRITES - {"createIndexes"}}
    assert writing - {"both"} == {"lazymig_control"}
    assert {event.command_name for event in sent if event.command[event.command_name] == "both"} <= {
        *("find", "getMore", "count", "aggregate", "listIndexes", "createIndexes", "killCursors")
    }
    pages = [event.command for event in sent if event.command.get("find") == "both" and event.command.get("hint")]
    whole = [page for page in pages if not page.get("projection")]
    assert 23 // 4 <= len(whole) <= 23 // 4 + 8  # one page more per partition shows its end


async def test_ids_of_every_type(database: Any, driver: str) -> None:
    """Ids of all BSON types are found; those of a type that the migration refuses get a dead letter, in each run."""
    refused = [*REFUSED, *(SERVER_ONLY if driver != "mock" else [])]
    for id in [*ALLOWED, *refused]:
        await database["both"].insert_one(thing(id))
    for attempts in (1, 2):
        report = await place_sweeper(database, batch_size=2, partition_size=7).run()
        found = await letters(database)
        assert set(found) == {repr(id) for id in refused}
        assert {letter.attempts for letter in found.values()} == {attempts}
        assert (report.scanned, report.dead) == (len(ALLOWED) + len(refused), len(refused))
    held = await stored(database["both"])
    assert {id for id, document in held.items() if "count" in document} == {repr(id) for id in ALLOWED}


async def test_what_is_behind_is_converted_again(database: Any) -> None:
    """A V2 part of other V1 fields, and one of an older conversion, are made again, each from the V2 part before it."""
    await database["both"].insert_many([thing(id) for id in range(12)])
    repo = place_repository(database)
    await place_sweeper(database).run()
    await repo.update(3, noted("three"))
    await repo.update(4, noted("four"))
    await database["both"].update_many({"_id": {"$in": [3, 7]}}, {"$set": {"n": 50}})
    report = await place_sweeper(database).run()
    after = await stored(database["both"])
    assert after["3"] == filled(thing(3, 50), rev=after["3"]["_lazymig"]["rev"], note="three")
    assert after["7"] == filled(thing(7, 50))
    assert (report.healed, report.migrated, report.present) == (2, 0, 10)
    newer = place_repository(database, migration=things(revision=2, upgrade=_more))
    report = await place_sweeper(database, repo=newer).run()
    after = await stored(database["both"])
    assert (after["4"]["count"], after["4"]["note"], after["4"]["_lazymig"]["conv"]) == (1001, "four", 2)
    assert (report.reconverted, report.healed, report.present) == (12, 0, 0)


def _more(v1: Any, previous: Any = None) -> Any:
    """Convert so that one sees which conversion it was."""
    made = renamed(v1, previous)
    return evolve(made, count=made.count + 1000)


@SERVER
async def test_a_newer_release_and_the_truth_are_left(database: Any) -> None:
    """Parts of a newer conversion stay, also where V1 has changed since; so do documents whose V2 part is the truth."""
    await database["both"].insert_many([thing(id) for id in range(6)])
    newer = place_repository(database, migration=things(revision=2, upgrade=_more))
    await newer.get_many([0, 1])
    await database["both"].update_one({"_id": 1}, {"$set": {"n": 5}})
    await place_repository(database, phase=Phase.V2_ONLY).update(2, noted("alone"))
    await database["both"].update_one({"_id": 2}, {"$set": {"n": 9}})
    before = await stored(database["both"])
    report = await place_sweeper(database).run()
    after = await stored(database["both"])
    assert {id: after[id] for id in "012"} == {id: before[id] for id in "012"}
    assert (report.present, report.migrated) == (3, 3)


Between = Callable[[Any], Awaitable[Any]]


async def _outside(database: Any) -> None:
    await database["both"].update_one({"_id": 1}, {"$set": {"n": 99, "colour": "blue"}})


async def _by_v2(database: Any) -> None:
    await place_repository(database).update(1, noted("between"))


async def _by_v1(database: Any) -> None:
    await place_repository(database).v1.update(1, lambda thing: evolve(thing, n=99))


async def _deleted(database: Any) -> None:
    await place_repository(database).delete(1)


async def _born_again(database: Any) -> None:
    await _deleted(database)
    await place_repository(database).v1.insert(await _one_more(database))


async def _one_more(database: Any) -> Any:
    return evolve((await place_repository(database).v1.get(0)), id=1, n=99)


async def _swept(database: Any, monkeypatch: pytest.MonkeyPatch, between: Between) -> Any:
    """Sweep two documents, the second of which somebody writes after it was read; return the report."""
    await database["both"].insert_many([thing(0), thing(1)])
    store = PlaceMover._store

    async def late(mover: Any, batch: Any) -> None:
        await between(database)
        await store(mover, batch)

    with monkeypatch.context() as patch:
        patch.setattr(PlaceMover, "_store", late)
        return await place_sweeper(database).run()


async def test_an_outside_write_in_between_counts(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another program changes between reading and storing stays, is read at once, and is stored by the next."""
    report = await _swept(database, monkeypatch, _outside)
    document = await database["both"].find_one({"_id": 1})
    assert (document["n"], document["colour"], "count" in document) == (99, "blue", False)
    assert (report.migrated, report.moved_by_clients) == (1, 1)
    place = place_of(place_repository(database))
    assert Parts(place, parse_whole(document)).trusted() is None
    report = await place_sweeper(database).run()
    assert await database["both"].find_one({"_id": 1}) == filled(thing(1, 99, colour="blue"))
    assert report.migrated == 1


@pytest.mark.parametrize(
    ("between", "count", "note"),
    [(_by_v2, 1, "between"), (_by_v1, 99, None), (_born_again, 99, None), (_deleted, None, None)],
)
@SERVER
async def test_a_client_in_between_wins(
    database: Any, monkeypatch: pytest.MonkeyPatch, between: Between, count: int | None, note: str | None
) -> None:
    """What a client of lazymig writes between reading and storing stays as it is, also a delete and a new life."""
    report = await _swept(database, monkeypatch, between)
    document = await database["both"].find_one({"_id": 1})
    assert (document and (document["count"], document["note"])) == (None if count is None else (count, note))
    assert document is None or document["_lazymig"]["rev"] > 0
    assert (report.migrated, report.moved_by_clients, report.finished) == (1, 1, True)


async def test_who_waits_and_who_is_left(database: Any) -> None:
    """Documents that wait and those that are left get no V2 part but the decision, which the next run leaves."""
    codes = {1: "wait", 2: "leave", 5: "leave"}
    await database["both"].insert_many([thing(id, code=codes.get(id)) for id in range(7)])
    repo = place_repository(database, migration=deciding())
    report = await place_sweeper(database, repo=repo).run()
    assert (report.migrated, report.waiting, report.left, report.dead) == (4, 1, 2, 0)
    document = (await stored(database["both"]))["1"]
    assert "count" not in document
    assert (document["_lazymig"]["unmoved"], document["_lazymig"]["reason"]) == ("waiting", "no colour")
    again = await place_sweeper(database, repo=repo).run()
    assert (again.present, again.waiting, again.left, again.remaining) == (7, 0, 0, 0)
    store = place_of(repo).store
    assert [one.id for one in await store.unmoved("left", 1)] == [2]
    assert [one.id for one in await store.unmoved("left", 10, 2)] == [5]
    assert [(one.unmoved.reason, len(one.document)) for one in await store.unmoved("waiting", 9) if one.unmoved] == [
        ("no colour", 2)
    ]


async def test_waiting_ends(database: Any) -> None:
    """What a user supplies, and what another program fills in, ends the waiting; a sweep finds the second."""
    await database["both"].insert_many([thing(id, code="wait") for id in range(3)])
    repo = place_repository(database, migration=deciding())
    await place_sweeper(database, repo=repo).run()
    await repo.supply(0, evolve(await _made(database, repo), count=7, note="by its user"))
    await database["both"].update_one({"_id": 1}, {"$set": {"code": "red"}})
    report = await place_sweeper(database, repo=repo).run()
    after = await stored(database["both"])
    assert (after["0"]["count"], after["0"]["note"], after["0"]["n"]) == (7, "by its user", 7)
    assert after["1"] == filled(thing(1, code="red"))
    assert (report.migrated, report.waiting, report.present) == (1, 0, 2)


async def _made(database: Any, repo: Any) -> Any:
    v1 = await repo.v1.get(0)
    return renamed(evolve(v1, code="given"))


async def test_a_part_of_the_documents(database: Any) -> None:
    """A filter by V1's fields moves what it finds, and ends no full pass."""
    await database["both"].insert_many([thing(id, id, code="a" if id % 3 else "b") for id in range(20)])
    report = await place_sweeper(database, where={"code": "b"}).run()
    assert [id for id, one in (await stored(database["both"])).items() if "_lazymig" in one] == [
        repr(id) for id in range(0, 20, 3)
    ]
    assert (report.total, report.scanned, report.migrated, report.remaining) == (7, 7, 7, 13)
    assert await passes(database).current() is None


@SERVER
async def test_the_newest_first(database: Any) -> None:
    """The highest ids come first, and a stopped pass continues below them."""
    await database["both"].insert_many([thing(id) for id in range(30)])
    one = place_sweeper(database, newest_first=True, concurrency=1)
    await _stop_after(one, 9)
    done = {document["_id"] for document in await database["both"].find({"_lazymig": {"$exists": True}}).to_list(None)}
    assert done == set(range(30 - len(done), 30))
    assert 9 <= len(done) < 30
    report = await place_sweeper(database, newest_first=True).run()
    assert (report.finished, report.scanned, report.migrated) == (True, 30 - len(done), 30 - len(done))


async def _stop_after(one: Sweeper[Any, Any], scanned: int) -> None:
    """Run until so many documents are done."""

    def stop(progress: Any) -> None:
        if progress.scanned >= scanned:
            one.stop()

    one._sweep._options = evolve(one._sweep._options, on_progress=stop)
    assert not (await one.run()).finished


async def test_a_stopped_run_continues(database: Any) -> None:
    """The next run begins after the checkpoint: each document is looked at once in both."""
    await database["both"].insert_many([thing(id) for id in range(40)])
    one = place_sweeper(database, concurrency=1)
    await _stop_after(one, 13)
    done = len([one for one in (await stored(database["both"])).values() if "_lazymig" in one])
    assert 13 <= done < 40
    report = await place_sweeper(database).run()
    assert (report.finished, report.scanned, report.migrated, report.total) == (True, 40 - done, 40 - done, 40)
    assert set(await stored(database["both"])) == {repr(id) for id in range(40)}


@SERVER
async def test_shards_share_a_pass(database: Any) -> None:
    """Two shards do the whole pass between them."""
    await database["both"].insert_many([thing(id) for id in range(60)])
    parts = [await place_sweeper(database, shard=(number, 2)).run() for number in (0, 1)]
    assert sum(part.migrated for part in parts) == 60
    assert all(part.migrated for part in parts)


async def test_a_dry_run_writes_nothing(database: Any) -> None:
    """A dry run counts what a sweep would do, names what does not convert, and writes nothing at all."""
    await database["both"].insert_many([thing(id, -1 if id == 3 else 1) for id in range(9)])
    before = await stored(database["both"])
    report = await place_sweeper(database, dry_run=True).run()
    assert (report.migrated, report.dead, [one.id for one in report.not_movable]) == (8, 1, [3])
    assert await stored(database["both"]) == before
    assert await stored(database["lazymig_control"]) == {}


@SERVER
async def test_a_rate_holds_for_what_is_read(database: Any) -> None:
    """Documents wait for the rate before they are read."""
    await database["both"].insert_many([thing(id) for id in range(12)])
    one, waited = place_sweeper(database, rate_limit=100_000, batch_size=4), []
    throttle = one._sweep._throttle
    wait = throttle.wait_for_documents

    async def counting(count: int) -> bool:
        waited.append((count, len([d for d in (await stored(database["both"])).values() if "_lazymig" in d])))
        return await wait(count)

    throttle.wait_for_documents = counting  # type: ignore[method-assign]
    assert (await one.run()).migrated == 12
    assert [count for count, _ in waited][:3] == [4, 4, 4]
    assert waited[0][1] == 0


@SERVER
async def test_what_is_recorded(database: Any) -> None:
    """The run and the conversion revision are recorded beside the collection, and an older release is warned."""
    await database["both"].insert_many([thing(id) for id in range(3)])
    newer = place_repository(database, migration=things(revision=2))
    await place_sweeper(database, repo=newer).run()
    (run,) = await control(database).history("things", 5, kind="sweep")
    assert (run.finished, run.counts["migrated"], run.counts["total"]) == (True, 3, 3)
    known = await parts_of(control(database)).conversions.find("things")
    assert known is not None
    assert known.revision == 2
    (warning,) = (await place_sweeper(database).run()).warnings
    assert "conversion revision 2" in warning


async def test_an_index_finds_who_waits(server_database: Any) -> None:
    """A sweep creates the sparse index that finds and counts who waits, and none that each write would pay for."""
    await server_database["both"].insert_many([thing(1)])
    await place_sweeper(server_database).run()
    indexes = await server_database["both"].index_information()
    assert set(indexes) == {"_id_", "lazymig_unmoved"}
    assert indexes["lazymig_unmoved"]["sparse"]


async def test_what_cannot_be(database: Any) -> None:
    """Adopting, following and rewriting are refused with the reason; the phases that fill no V2 part are as ever."""
    repo = place_repository(database)
    with pytest.raises(ConfigurationError, match="adopt: there is nothing to adopt"):
        Sweeper(repo, adopt=True)
    with pytest.raises(ConfigurationError, match="fingerprint shows every reader at once"):
        Follower(repo)
    with pytest.raises(ConfigurationError, match="gains nothing where one document carries both shapes"):
        Rewriter(repo)
    for phase in (Phase.V1_ONLY, Phase.V2_ONLY):
        with pytest.raises(PhaseError):
            Sweeper(place_repository(database, phase=phase))
    Sweeper(place_repository(database, timeout_s=7200))  # grace_s is about deletes, of which nothing remains here


@SERVER
async def test_overload_is_waited_for(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server reports overload, a sweep stores its page again, and every document gets its V2 part."""
    await database["both"].insert_many([thing(id) for id in range(9)])
    fill_each, refused = WholeStore.fill_each, list[int]()

    async def overloaded(store: Any, changes: Any, *, durable: bool = False) -> Any:
        assert durable
        if len(refused) < 3:
            refused.append(len(changes))
            error = OperationFailure("too much to do", 1)
            error._add_error_label("SystemOverloadedError")
            raise error
        return await fill_each(store, changes, durable=durable)

    monkeypatch.setattr(WholeStore, "fill_each", overloaded)
    report = await place_sweeper(database, clock=LaterClock()).run()
    assert (len(refused), report.migrated, report.finished) == (3, 9, True)


@SERVER
async def test_a_failure_loses_nothing(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a page cannot be stored, the run fails and its checkpoint is before that page: the next run does it."""
    await database["both"].insert_many([thing(id) for id in range(20)])
    fill_each, calls = WholeStore.fill_each, list[int]()

    async def failing(store: Any, changes: Any, *, durable: bool = False) -> Any:
        calls.append(len(changes))
        if len(calls) == 3:
            raise AutoReconnect("the server went away")
        return await fill_each(store, changes, durable=durable)

    with monkeypatch.context() as patch:
        patch.setattr(WholeStore, "fill_each", failing)
        with pytest.raises(AutoReconnect):
            await place_sweeper(database, concurrency=1, partition_size=1000).run()
    report = await place_sweeper(database).run()
    assert (report.finished, report.scanned, report.migrated) == (True, 12, 12)
    assert all("count" in document for document in (await stored(database["both"])).values())


@SERVER
async def test_a_dead_sweeps_partition_is_taken_over(database: Any) -> None:
    """A process that died in the middle of a partition is waited for, and another continues after its checkpoint."""
    await database["both"].insert_many([thing(id) for id in range(20)])
    rows = passes(database)
    number = await rows.claim_planning("dead", None)
    assert number is not None
    await rows.open_pass(number, [Partition("number", None, None)])
    lease = await rows.acquire(number, "dead", (0, 1))
    assert lease is not None
    assert await rows.checkpoint(lease, 11, 12)
    await place_repository(database).get_many(range(12))
    report = await place_sweeper(database, clock=LaterClock(61)).run()
    assert (report.finished, report.scanned, report.migrated) == (True, 8, 8)
