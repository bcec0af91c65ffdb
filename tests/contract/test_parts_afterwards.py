"""Parts of documents on a real replica set: the follower, the seal, the watch, and V1's end by fields."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bson
import pytest
from attrs import evolve

from lazymig import Migration, Phase, PhaseError, Repository, Retirement, WatchReport
from lazymig.control import parts_of
from lazymig.following import follow
from lazymig.protocol import sealing
from lazymig.protocol.seals import Fleet, Terms
from lazymig.repository import calls_of
from lazymig.retiring import watching
from lazymig.stores.field_removal import FieldRemoval
from tests.contract.test_retirement import Counting, Killed
from tests.following import followed
from tests.people import PersonV2, ada, ada_v1, people
from tests.retiring import record, retirement
from tests.sweeps import LaterClock, control

FIRST = pytest.mark.parametrize("driver", ["pymongo"])
BOTH = pytest.mark.parametrize("driver", ["pymongo", "mock"])
PART = "_lazymig_part"
NAMES = ("name", "age", "tags")
UNSET = {"$unset": dict.fromkeys(NAMES, "")}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers soon that nothing happened."""
    monkeypatch.setattr(follow, "_IDLE_S", 0.02)
    for name, seconds in (("IDLE_S", 0.02), ("_SAVE_EVERY_S", 0.0), ("_SAMPLE_EVERY_S", 0.0)):
        monkeypatch.setattr(watching, name, seconds)


def opened(database: Any, phase: Phase = Phase.COEXIST, **options: Any) -> Repository[Any, PersonV2]:
    """The people, as parts of documents."""
    return Repository(people(part=True), v1=database["v1"], v2=database["v2"], phase=phase, **options)


def as_part(id: int, **changed: Any) -> dict[str, Any]:
    """A person as a part of a document, beside which another migration has its revision."""
    return {**ada_v1(id), "mail": "x", PART: {"another": 7}} | changed


# ---- the follower ---------------------------------------------------------------------------------------------------

#: What a program does that is no change of the entity.
ELSEWHERE: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "another field": lambda v1: v1.update_one({"_id": 1}, {"$set": {"mail": "y"}, "$inc": {"logins": 1}}),
    "another field removed": lambda v1: v1.update_one({"_id": 1}, {"$unset": {"mail": ""}}),
    "another migration": lambda v1: v1.update_one({"_id": 1}, {"$set": {f"{PART}.another": 8}}),
    "another one's end": lambda v1: v1.update_one({"_id": 1}, {"$unset": {f"{PART}.another": ""}}),
    "another one's first revision": lambda v1: v1.update_one({"_id": 4}, {"$set": {f"{PART}.another": 8}}),
    "another document": lambda v1: v1.insert_one({"_id": 9, "mail": "z"}),
}
#: What it does to the entities of these ids, and what that counts as.
CHANGES: dict[int, tuple[Callable[[Any], Awaitable[Any]], str]] = {
    11: (lambda v1: v1.update_one({"_id": 11}, {"$set": {"age": 7}}), "update"),
    12: (lambda v1: v1.update_one({"_id": 12}, {"$push": {"tags": "x"}}), "update"),
    13: (lambda v1: v1.update_one({"_id": 13}, [{"$set": {"tags": []}}]), "update"),
    14: (lambda v1: v1.update_one({"_id": 14}, UNSET), "update"),
    15: (lambda v1: v1.update_one({"_id": 15}, {"$set": {"name": "Bo Bo"}}), "update"),
    16: (lambda v1: v1.update_one({"_id": 16}, {"$set": {f"{PART}.people": 1}}), "update"),
    17: (lambda v1: v1.insert_one(as_part(17)), "insert"),
    18: (lambda v1: v1.delete_one({"_id": 18}), "delete"),
    19: (lambda v1: v1.replace_one({"_id": 19}, as_part(19, age=8)), "replace"),
}
#: The entities that V1 lacks at first.
NEW = (15, 17)


async def agreed(database: Any, ids: Iterable[int]) -> None:
    """Both sides of these entities agree, as a read finds that trusts V2, and one that compares."""
    for id in ids:
        assert await opened(database).get(id) == await opened(database, checked=True).get(id), id


@FIRST
async def test_the_follower_heals_changes_of_the_part(database: Any) -> None:
    """Whatever a program does to the declared fields, or the document around them, is noticed, counted and healed."""
    await database["v1"].insert_many([as_part(id) for id in CHANGES if id not in NEW] + [{"_id": 15, "mail": "x"}])
    repo = opened(database)
    for id in CHANGES:
        if id not in NEW:
            for _ in range(2):
                await repo.update(id, lambda person: evolve(person, age=(person.age or 0) + 1, note="only V2"))
    async with followed(database, repo=repo) as watched:
        for change, _ in CHANGES.values():
            await change(database["v1"])
        report = await watched.settled()
    assert report.rogue == Counter(kind for _, kind in CHANGES.values())
    await agreed(database, CHANGES)
    notes = {id: person.note for id, person in (await repo.get_many(CHANGES)).items()}
    assert notes == {id: None if id in NEW else "only V2" for id in CHANGES if id not in (14, 18)}


@FIRST
async def test_the_follower_sees_no_change_elsewhere(database: Any) -> None:
    """Other fields, migrations and documents are nobody's concern here; lazymig's own writes count as nothing."""
    await database["v1"].insert_many([as_part(1), as_part(2), {"_id": 4, "mail": "x"}, {"_id": 5, "mail": "x"}])
    await database["v1"].insert_many([as_part(6), {**ada_v1(7), "mail": "x"}])
    repo = opened(database)
    await repo.get(1)
    before = await database["v2"].find_one({"_id": 1})
    async with followed(database, repo=repo) as watched:
        for change in ELSEWHERE.values():
            await change(database["v1"])
        report = await watched.settled()
        assert (report.events, report.healed) == (0, 0)
        assert await database["v2"].find_one({"_id": 1}) == before
        await repo.update(2, lambda person: evolve(person, age=50))
        await repo.insert(ada(4))
        await repo.delete(4)
        await repo.insert(ada(4, age=1))
        await repo.insert(ada(5))
        for id in (6, 7):  # which lazymig has never written
            await repo.delete(id)
        report = await watched.settled()
    assert (report.events, report.rogue, report.healed) == (7, {}, 0)
    await agreed(database, (1, 2, 4, 5, 6, 7, 9))


# ---- the seal -------------------------------------------------------------------------------------------------------


async def sealed(database: Any) -> Any:
    """What became of a seal, with nobody in the fleet."""

    async def hold() -> float:
        return 0.0

    async def switch() -> bool:
        return True

    pair = calls_of(opened(database, Phase.V2_PRIMARY)).pair
    fleet = Fleet(hold=hold, switch=switch, release=hold)
    return await sealing.seal(pair, sealing.fences_of(pair), fleet, Terms(key="k"))


@FIRST
async def test_the_seal_leaves_v1_to_others(database: Any) -> None:
    """V2 is fenced; other programs go on writing V1, and an insert that was announced before is refused there."""
    await database["v1"].insert_many([as_part(1), {"_id": 2, "mail": "x"}])
    await database["v2"].insert_one({"_id": 5})
    await database["v2"].delete_one({"_id": 5})
    repo = opened(database, Phase.COEXIST)
    await repo.get(1)
    pair = calls_of(repo).pair
    late = await pair.ledger.vacant_ticket(2, 100)
    assert late is not None
    made = await sealed(database)
    assert (made.sealed, made.fenced, made.buried) == (True, True, 1), made.why
    assert await pair.v1.insert(2, {"name": "Late Late"}, late.intent) is False
    with pytest.raises(PhaseError):
        await repo.update(1, lambda person: evolve(person, age=1))
    await database["v1"].update_one({"_id": 2}, {"$set": {"mail": "y"}})
    stored = await database["v1"].find_one({"_id": 2})
    assert (stored["mail"], "name" in stored) == ("y", False)
    options = (await database.command("listCollections", filter={"name": "v1"}))["cursor"]["firstBatch"][0]["options"]
    assert "validator" not in options
    alone = opened(database, Phase.V2_ONLY)
    await alone.insert(ada(2))
    assert [await alone.get(1), await alone.get(2)] == [ada(), ada(2)]


# ---- V1's end -------------------------------------------------------------------------------------------------------


async def filled(database: Any) -> None:
    """V1 in use by others, with two parts, one document without, and what a delete and the seal have left."""
    repo = opened(database, Phase.V2_ONLY)
    for id in (1, 2):
        await repo.insert(ada(id))
    await database["v1"].insert_many(
        [as_part(1, **{PART: {"another": 7, "people": 3}}), as_part(2), {"_id": 3, "mail": "x"}]
    )
    await database["v1"].insert_many([{"_id": 4, "mail": "x", PART: {}}, {"_id": 5, PART: {"people": 9}}])


def retiring(database: Any, **options: Any) -> Retirement[Any, Any]:
    """The retirement of the part."""
    return retirement(database, repo=opened(database, Phase.V2_ONLY), **options)


async def kept(database: Any) -> list[Any]:
    """V1's documents as they are."""
    return [row async for row in database["v1"].find().sort("_id")]


GONE = [
    {"_id": 1, "shoe_size": 38, "mail": "x", PART: {"another": 7}},
    {"_id": 2, "shoe_size": 38, "mail": "x", PART: {"another": 7}},
    {"_id": 3, "mail": "x"},
    {"_id": 4, "mail": "x"},
    {"_id": 5},
]


@pytest.mark.parametrize("driver", ["pymongo", "motor", "mock"])
async def test_v1_ends_by_its_fields(database: Any) -> None:
    """Report, archive, drop, reduce, finish: the fields and revisions are gone, and the documents stay."""
    await filled(database)
    ending = retiring(database)
    report = await ending.report()
    assert (report.stage, report.next, report.part, report.blocked) == ("serving", "drop", True, False)
    assert "name, age, tags and the revisions, in about 2 documents" in report.goes[0]
    report = await ending.archive("people_of_old")
    archived = [row async for row in database["people_of_old"].find().sort("_id")]
    assert archived == [{"_id": id, "name": "Ada Lovelace", "age": 36, "tags": ["math"]} for id in (1, 2)]
    report = await ending.drop(confirm="people")
    assert (report.stage, report.next, report.interrupted) == ("dropped", "reduce", "")
    assert await kept(database) == GONE
    await ending.reduce(grace_s=0)
    report = await ending.finish()
    assert report.stage == "retired"
    finished = Migration.finished("people", v2=PersonV2)
    async with Repository(finished, v2=database["v2"], phase=Phase.V2_ONLY) as repo:
        assert await repo.update(1, lambda person: evolve(person, age=40)) == ada(1, age=40)


@BOTH
async def test_the_collection_stays(database: Any) -> None:
    """Quarantine and restore are refused with the remedy, and nothing changes."""
    await filled(database)
    before = await kept(database)
    for step in (retiring(database).quarantine, retiring(database).restore):
        with pytest.raises(PhaseError, match="lazymig retire drop removes them"):
            await step()
    assert await kept(database) == before


@BOTH
async def test_an_archive_in_a_file_and_a_change_after_it(database: Any, tmp_path: Path) -> None:
    """The file holds ids and fields; what changes later than it is not dropped, and it can be made again."""
    await filled(database)
    first, second = tmp_path / "old.bson.gz", tmp_path / "new.bson.gz"
    ending = retiring(database)
    await ending.archive(first)
    assert {row["_id"] for row in bson.decode_all(gzip.decompress(first.read_bytes()))} == {1, 2}
    await database["v1"].update_one({"_id": 1}, {"$set": {"mail": "others may"}})
    await database["v1"].update_one({"_id": 1}, {"$set": {"age": 99}})
    with pytest.raises(PhaseError, match="changed since they were archived"):
        await ending.drop(confirm="people")
    assert (await database["v1"].find_one({"_id": 1}))["age"] == 99
    await ending.archive(second)
    await ending.drop(confirm="people")
    assert await database["v1"].count_documents({"name": {"$exists": True}}) == 0
    assert {row["age"] for row in bson.decode_all(gzip.decompress(second.read_bytes()))} == {99, 36}


@BOTH
async def test_a_drop_that_is_stopped_goes_on(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is recorded how far it is; the next run removes the rest, beside a program that writes other fields."""
    monkeypatch.setattr("lazymig.retiring.fields._BATCH", 3)
    await filled(database)
    await database["v1"].insert_many([as_part(id) for id in range(10, 30)])
    ending, remove = retiring(database), FieldRemoval.remove

    async def stopping(store: FieldRemoval, ids: Any) -> int:
        await database["v1"].update_many({}, {"$inc": {"logins": 1}})
        if 12 in ids:
            ending.stop()
        return await remove(store, ids)

    monkeypatch.setattr(FieldRemoval, "remove", stopping)
    report = await ending.drop(confirm="people")
    assert (report.stage, report.interrupted, report.next) == ("serving", "drop", "drop")
    left = await database["v1"].count_documents({"name": {"$exists": True}})
    assert 0 < left < 22
    report = await retiring(database).drop(confirm="people")
    assert (report.stage, report.interrupted) == ("dropped", "")
    assert await database["v1"].count_documents({"name": {"$exists": True}}) == 0
    assert await database["v1"].count_documents({"logins": {"$gte": 5}}) == 25


@FIRST
async def test_killed_at_any_statement_it_resumes(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any statement, the same step again brings it to the same end; the fields are in V1 or in the archive."""
    monkeypatch.setattr("lazymig.retiring.fields._BATCH", 2)
    counting, kills, into = Counting(monkeypatch), 0, tmp_path / "old.bson"
    await filled(database)
    steps: dict[str, Callable[[Retirement[Any, Any]], Awaitable[Any]]] = {
        "serving": lambda one: one.archive(into),
        "dropped": lambda one: one.drop(confirm="people"),
        "reduced": lambda one: one.reduce(grace_s=0),
        "retired": lambda one: one.finish(),
    }
    for stage, step in steps.items():
        at, finished = 1, False
        while not finished:
            counting.left = at
            try:
                await step(retiring(database))
                finished = True
            except Killed:
                kills, at = kills + 1, at + 1
            except PhaseError:  # the step before was killed behind its last statement
                finished = at > 1 and not (await record(database)).doing
                assert finished
            counting.left = -1
            in_v1 = {row["_id"] async for row in database["v1"].find({"name": {"$exists": True}})}
            archived = {row["_id"] for row in bson.decode_all(into.read_bytes())} if into.exists() else set()
            assert in_v1 | archived == {1, 2}
            assert (
                await database["v1"].count_documents({"_id": {"$in": [1, 2]}, "mail": "x", f"{PART}.another": 7}) == 2
            )
        assert (await record(database)).stage == stage
    assert kills > 20
    assert await kept(database) == GONE


@BOTH
async def test_a_drop_is_refused_while_programs_write_the_fields(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fields that come back behind it each time end it with the remedy, and it can be called again."""
    await filled(database)
    remove = FieldRemoval.remove

    async def writing(store: FieldRemoval, ids: Any) -> int:
        count = await remove(store, ids)
        await database["v1"].update_one({"_id": 1}, {"$set": {"age": 1}})
        return count

    with monkeypatch.context() as patched:
        patched.setattr(FieldRemoval, "remove", writing)
        with pytest.raises(PhaseError, match="programs go on writing name, age, tags"):
            await retiring(database).drop(confirm="people")
    assert (await retiring(database).drop(confirm="people")).stage == "dropped"
    assert await kept(database) == GONE


@asynccontextmanager
async def watching_v1(database: Any, *, changes: int = 0) -> AsyncIterator[list[WatchReport]]:
    """A watch that has begun, and what it reports; it ends once it has seen this many changes."""
    ending, turn = retiring(database), asyncio.Event()
    reports: list[WatchReport] = []

    def note(report: WatchReport) -> None:
        reports.append(report)
        turn.set()

    async def until(holds: Callable[[WatchReport], bool]) -> None:
        while not reports or not holds(reports[-1]):
            turn.clear()
            await turn.wait()

    task = asyncio.ensure_future(ending.watch(on_progress=note))
    try:
        await until(lambda report: report.since is not None)
        yield reports
        await until(lambda report: sum(report.changes.values()) >= changes)
        ending.stop()
        reports.append(await task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@FIRST
async def test_the_watch_counts_writes_of_the_fields(database: Any) -> None:
    """Others' fields, documents and deletions do not count, and it says what it cannot see."""
    await filled(database)
    async with watching_v1(database, changes=4) as reports:
        v1 = database["v1"]
        await v1.update_one({"_id": 1}, {"$set": {"mail": "y"}})
        await v1.insert_one({"_id": 8, "mail": "z"})
        await v1.delete_one({"_id": 3})
        await v1.replace_one({"_id": 4}, {"mail": "w"})
        await v1.update_one({"_id": 1}, {"$set": {"age": 5}})
        await v1.insert_one({"_id": 9, "name": "New New"})
        await v1.replace_one({"_id": 5}, {"tags": []})
        await v1.update_one({"_id": 2}, UNSET)
    assert reports[-1].changes == {"insert": 1, "replace": 1, "update": 2}
    assert (reports[-1].reads, reports[-1].writes, reports[-1].needs_person) == (0, 0, True)
    assert "reads of the fields" in reports[-1].limits[0]
    report = await retiring(database, unwatched=False, soak_s=3600.0).report()
    quiet = next(one for one in report.conditions if one.name == "quiet V1")
    assert (quiet.holds, "refused writes and reads cannot be seen" in quiet.evidence) == (False, True)


@FIRST
async def test_the_watch_ends_with_the_fields(database: Any) -> None:
    """What the retirement removes is no stray write: the watch returns by itself and has counted nothing."""
    await filled(database)
    clock = LaterClock()
    async with watching_v1(database) as reports:
        assert (await retiring(database, clock=clock).drop(confirm="people")).stage == "dropped"
    assert (reports[-1].changes, reports[-1].needs_person) == ({}, False)
    assert (await parts_of(control(database)).retirement("people").find()).stage == "dropped"
