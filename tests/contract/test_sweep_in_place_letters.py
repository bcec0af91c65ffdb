"""Bad documents among those with both shapes: each is one dead letter, the rest is moved, and a change ends it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from lazymig import Repository
from lazymig.cli.explaining import explanation
from lazymig.sweeping.retry import retry_dead
from tests.places import filled, noted, place_repository, place_sweeper
from tests.sweeps import ThingV1, ThingV2, by_id, control, letters, stored, thing, things

SECRET = 271_828_182
SERVER = pytest.mark.parametrize("driver", ["pymongo", "mock"])


async def test_a_document_that_does_not_convert(database: Any) -> None:
    """One dead letter per document with step, error class and path and no contents; V1's part stays, the rest moves."""
    bad: dict[int, dict[str, Any]] = {3: {"n": -SECRET}, 5: {"n": f"secret {SECRET}"}, 11: {"n": None}, 12: {"note": 1}}
    documents = [thing(id) | bad.get(id, {}) for id in range(20)]
    await database["both"].insert_many(documents)
    report = await place_sweeper(database).run()
    assert await stored(database["both"]) == by_id(one if one["_id"] in bad else filled(one) for one in documents)
    found = await letters(database)
    assert {id: (one.direction, one.error, one.path, one.attempts) for id, one in found.items()} == {
        "3": ("upgrade", "ValueError", "", 1),
        "5": ("read", "TypeError", "n", 1),
        "11": ("read", "TypeError", "n", 1),
        "12": ("upgrade", "Rejected", "note", 1),
    }
    assert "would overwrite" in found["12"].message
    assert str(SECRET) not in str(await database["lazymig_control"].find({}).to_list(None))
    assert (report.migrated, report.dead, report.dead_letters, report.remaining) == (16, 4, 4, 4)
    assert (report.finished, report.needs_person) == (True, True)


async def test_letters_are_let_go(database: Any) -> None:
    """Each sweep tries again; a corrected, a deleted and a migrated entity need nobody any more."""
    await database["both"].insert_many([thing(id, -1) for id in range(4)])
    await place_sweeper(database).run()
    await place_sweeper(database).run()
    assert {letter.attempts for letter in (await letters(database)).values()} == {2}
    await database["both"].update_one({"_id": 0}, {"$set": {"n": 5}})
    await database["both"].delete_one({"_id": 1})
    await database["both"].update_one({"_id": 2}, {"$set": {"n": 6}})
    await place_repository(database).update(2, noted("by a client"))
    report = await place_sweeper(database).run()
    assert set(await letters(database)) == {"3"}
    assert await database["both"].find_one({"_id": 0}) == filled(thing(0, 5))
    assert (report.migrated, report.present, report.dead, report.dead_letters) == (1, 1, 1, 1)


async def test_a_waiver_ends_with_v1s_part(database: Any) -> None:
    """A waived failure needs no person until another program changes V1's fields; other fields do not count."""
    await database["both"].insert_many([thing(id, -1) for id in range(2)])
    await place_sweeper(database).run()
    assert await control(database).waive("things", 0, "a test record")
    await database["both"].update_one({"_id": 0}, {"$set": {"colour": "blue"}})
    assert (await place_sweeper(database).run()).dead_letters == 1
    await database["both"].update_one({"_id": 0}, {"$set": {"n": -2}})
    report = await place_sweeper(database).run()
    assert (report.dead, report.dead_letters) == (2, 2)
    assert {letter.waived for letter in (await letters(database)).values()} == {None}


@SERVER
async def test_a_retry_insists(database: Any) -> None:
    """A retry tries all letters, or those that are named, also where V1's part has not changed; what fails stays."""
    await database["both"].insert_many([thing(id, -1) for id in range(4)])
    await place_sweeper(database).run()
    corrected = place_repository(database, migration=things(upgrade=_take_all))
    assert await retry_dead(corrected, control(database), [2]) == 1
    assert set(await letters(database)) == {"0", "1", "3"}
    assert await retry_dead(place_repository(database), control(database)) == 0
    assert {letter.attempts for letter in (await letters(database)).values()} == {2}
    assert await retry_dead(corrected, control(database)) == 3
    assert [one["count"] for one in (await stored(database["both"])).values()] == [1, 1, 1, 1]
    assert await letters(database) == {}


def _take_all(v1: ThingV1) -> ThingV2:
    return ThingV2(v1.id, abs(v1.n), v1.code)


async def test_a_unique_index_refuses(database: Any) -> None:
    """What another unique index on V2's part refuses is a dead letter with the index's fields as reason."""
    await database["both"].create_index("count", unique=True, sparse=True)
    await database["both"].insert_many([thing(id, 7 if id in (4, 6) else id + 100) for id in range(12)])
    report = await place_sweeper(database).run()
    (letter,) = (await letters(database)).values()
    assert (letter.direction, letter.error) == ("store", "DuplicateKeyError")
    assert "unique index" in letter.message
    assert (report.moved_by_clients, report.dead) == (0, 1)
    assert report.migrated == report.scanned - 1
    document = await database["both"].find_one({"_id": letter.id})
    assert "count" not in document
    await database["both"].update_one({"_id": letter.id}, {"$set": {"n": 1000}})
    assert (await place_sweeper(database).run()).dead_letters == 0


async def test_a_validator_refuses(server_database: Any) -> None:
    """What the collection's validator refuses is a dead letter; the rest of its batch is stored."""
    await server_database.create_collection("both", validator={"$nor": [{"count": {"$gt": 100}}]})
    await server_database["both"].insert_many([thing(id, 500 if id == 2 else id) for id in range(9)])
    report = await place_sweeper(server_database).run()
    letter = (await letters(server_database))["2"]
    assert (letter.direction, letter.error) == ("store", "WriteError")
    assert "validator" in letter.message
    assert (report.migrated, report.dead, report.moved_by_clients) == (8, 1, 0)


@frozen
class OfInt:
    """A V1 shape of numbers."""

    id: int
    n: int


@frozen
class Grown:
    """A V2 shape that grows beyond what MongoDB holds."""

    id: int
    body: str


@pytest.mark.parametrize("size", [16_776_000, 17_000_000], ids=["with V1's part", "alone"])
async def test_a_document_too_large(server_database: Any, size: int) -> None:
    """A V2 part with which the document would exceed 16 MB is a dead letter, and the rest of its batch is stored."""

    def grow(v1: OfInt) -> Grown:
        return Grown(v1.id, "x" * (size if v1.n == 9 else 10))

    migration = things(v1=OfInt, v2=Grown, upgrade=grow, downgrade=lambda v2: OfInt(v2.id, 1))
    documents = [{"_id": id, "n": 9 if id == 5 else 1, "x": "y" * 2000} for id in range(9)]
    await server_database["both"].insert_many(documents)
    repo: Repository[Any, Any] = place_repository(server_database, migration=migration)
    report = await place_sweeper(server_database, repo=repo, batch_size=100).run()
    (letter,) = (await letters(server_database)).values()
    assert (letter.id, letter.direction) == (5, "store")
    assert "larger than MongoDB allows" in letter.message
    assert (report.migrated, report.dead) == (8, 1)
    assert sorted([one["_id"] async for one in server_database["both"].find({"body": {"$exists": True}})]) == [
        *range(5), *range(6, 9)
    ]  # fmt: skip
    found = await repo.get_many(range(9))
    assert len(found) == 9  # a reader's statement that stores many fails for none of them


@SERVER
async def test_an_explanation(database: Any) -> None:
    """What a person asks about one letter is answered from the document as it is now."""
    await database["both"].insert_many([thing(1, -1), thing(2, -2), thing(3, -3), thing(4), thing(5, -5)])
    repo = place_repository(database)
    await repo.get(4)
    await place_sweeper(database).run()
    found = await letters(database)
    assert "ValueError: -1 is negative" in await explanation(repo, found["1"])
    await database["both"].update_one({"_id": 2}, {"$set": {"n": 2}})
    assert "retry moves it" in await explanation(repo, found["2"])
    await database["both"].delete_one({"_id": 3})
    assert "no longer holds" in await explanation(repo, found["3"])
    await database["both"].update_one({"_id": 5}, {"$set": {"_lazymig": 5}})
    assert "unset it" in await explanation(repo, found["5"])
