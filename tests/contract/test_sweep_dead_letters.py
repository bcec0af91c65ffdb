"""Bad documents: each one dead letter, the rest moved; retried by themselves, gone once mended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from attrs import frozen

from lazymig.repository import calls_of
from lazymig.sweeping.retry import retry_dead
from tests.sweeps import (
    LaterClock,
    StandingClock,
    control,
    letters,
    moved,
    repository,
    stored,
    sweeper,
    thing,
    things,
    unique_codes,
)

SECRET = 271_828_182


async def test_a_document_that_does_not_convert(database: Any) -> None:
    """One dead letter per document with id, revision, step, error class and path, no contents; the rest is moved."""
    clock = StandingClock()
    bad = {3: {"n": -SECRET}, 5: {"n": f"secret {SECRET}"}, 11: {"n": None, "_lazymig_rev": 4}}
    documents = [thing(id) | bad.get(id, {}) for id in range(20)]
    await database["v1"].insert_many(documents)
    report = await sweeper(database, clock=clock).run()
    assert sorted(map(int, await stored(database["v2"]))) == [id for id in range(20) if id not in bad]
    assert list((await stored(database["v1"])).values()) == documents
    found = await letters(database)
    assert {id: (one.revision, one.direction, one.error, one.path, one.attempts) for id, one in found.items()} == {
        "3": (0, "upgrade", "ValueError", "", 1),
        "5": (0, "read", "TypeError", "n", 1),
        "11": (4, "read", "TypeError", "n", 1),
    }
    assert {one.first_at for one in found.values()} == {clock.time}
    assert str(SECRET) not in str(await database["lazymig_control"].find({}).to_list(None))
    assert (report.scanned, report.migrated, report.dead, report.dead_letters) == (20, 17, 3, 3)
    assert (report.finished, report.needs_person) == (True, True)


async def test_attempts_are_counted_and_the_mended_are_let_go(database: Any) -> None:
    """Each sweep tries again by itself; a mended, a deleted and a migrated entity need nobody any more."""
    clock = StandingClock()
    await database["v1"].insert_many([thing(id, -1) for id in range(4)])
    await sweeper(database, clock=clock).run()
    first_at = clock.time
    clock.time = datetime(2024, 6, 1)
    await sweeper(database, clock=clock).run()
    again = (await letters(database))["0"]
    assert (again.attempts, again.first_at, again.last_at) == (2, first_at, clock.time)
    await database["v1"].update_one({"_id": 0}, {"$set": {"n": 5}})
    await database["v1"].delete_one({"_id": 1})
    await database["v1"].update_one({"_id": 2}, {"$set": {"n": 6}})
    await repository(database).get(2)
    report = await sweeper(database, clock=clock).run()
    assert set(await letters(database)) == {"3"}
    assert await stored(database["v2"]) == {"0": moved(0, 5), "2": moved(2, 6, by="read")}
    assert (report.migrated, report.dead, report.dead_letters) == (1, 1, 1)


@pytest.mark.parametrize("driver", ["pymongo", "motor", "mock"])
async def test_a_unique_index_refuses(database: Any, driver: str) -> None:
    """A body that another unique index refuses is distinguished from a lost race, with the index's fields as reason."""
    await unique_codes(database, driver)
    await database["v1"].insert_many([thing(id, code="twin" if id in (4, 7) else f"c{id}") for id in range(12)])
    report = await sweeper(database).run()
    (letter,) = (await letters(database)).values()
    assert letter.id in (4, 7)
    assert (letter.direction, letter.error) == ("store", "DuplicateKeyError")
    assert "unique index" in letter.message
    assert driver == "mock" or "code" in letter.message
    assert "twin" not in letter.message
    assert (report.migrated, report.moved_by_clients, report.dead) == (11, 0, 1)
    other = 11 - letter.id
    await database["v1"].update_one({"_id": letter.id}, {"$set": {"code": "own"}})
    assert (await sweeper(database).run()).dead_letters == 0
    assert {(await stored(database["v2"]))[str(id)]["code"] for id in (letter.id, other)} == {"own", "twin"}


async def test_a_validator_refuses(server_database: Any) -> None:
    """A body that V2's validator refuses is a dead letter; the rest of its batch is stored."""
    await server_database.create_collection("v2", validator={"$or": [{"_lazymig.gone": True}, {"count": {"$lt": 100}}]})
    await server_database["v1"].insert_many([thing(id, 500 if id == 2 else id) for id in range(9)])
    report = await sweeper(server_database).run()
    letter = (await letters(server_database))["2"]
    assert (letter.direction, letter.error) == ("store", "WriteError")
    assert "validator" in letter.message
    assert (report.migrated, report.dead) == (8, 1)
    assert len(await stored(server_database["v2"])) == 8


@frozen
class Grown:
    """A V2 shape that grows beyond what MongoDB holds."""

    id: int
    body: str


async def test_a_document_too_large(server_database: Any) -> None:
    """A body above 16 MB is a dead letter, found by halving its batch, whose rest is stored."""

    def grow(v1: Any) -> Grown:
        return Grown(v1.id, "x" * (17_000_000 if v1.n == 9 else 10))

    migration = things(v1=ThingOfInt, v2=Grown, upgrade=grow, downgrade=lambda v2: ThingOfInt(v2.id, 1))
    await server_database["v1"].insert_many([thing(id, 9 if id == 5 else 1) for id in range(9)])
    repo = repository(server_database, migration=migration)
    report = await sweeper(server_database, repo=repo, batch_size=100).run()
    (letter,) = (await letters(server_database)).values()
    assert (letter.id, letter.direction, letter.error) == (5, "store", "DocumentTooLarge")
    assert "16 MB" in letter.message
    assert sorted(map(int, await stored(server_database["v2"]))) == [0, 1, 2, 3, 4, 6, 7, 8]
    assert (report.dead, report.migrated + report.moved_by_clients) == (1, 8)


@frozen
class ThingOfInt:
    """V1 of the migration that grows."""

    id: int
    n: int


async def test_waived_until_v1_changes(database: Any) -> None:
    """A waived failure is tried again but not counted, until its V1 document has another revision."""
    await database["v1"].insert_many([thing(1, -1), thing(2)])
    assert (await sweeper(database).run()).needs_person
    await control(database).waive("things", 1, "will be deleted")
    report = await sweeper(database).run()
    assert (report.dead, report.dead_letters, report.needs_person) == (1, 0, False)
    assert (await letters(database, waived=True))["1"].attempts == 2
    await database["v1"].update_one({"_id": 1}, {"$set": {"n": -2, "_lazymig_rev": 1}})
    report = await sweeper(database).run()
    assert (report.dead_letters, report.needs_person) == (1, True)


async def test_a_lost_race_is_no_failure(database: Any) -> None:
    """An entity that a client moves between the sweep's look and its insert is counted as the client's, and kept."""
    await database["v1"].insert_many([thing(id) for id in range(4)])
    repo = repository(database)
    put_many = calls_of(repo).pair.bodies.put_many

    async def late(documents: Any, *, durable: bool = False) -> Any:
        await repo.get(2)
        await database["v2"].update_one({"_id": 2}, {"$set": {"note": "a client's"}})
        return await put_many(documents, durable=durable)

    calls_of(repo).pair.bodies.put_many = late  # type: ignore[method-assign]
    report = await sweeper(database, repo=repo).run()
    assert (report.migrated, report.moved_by_clients, report.dead, report.dead_letters) == (3, 1, 0, 0)
    assert (await stored(database["v2"]))["2"] == moved(2, by="read", note="a client's")


async def test_a_resumed_pass_looks_at_letters_behind_it(database: Any) -> None:
    """A letter behind the checkpoint is tried again by the next run when its V1 document has a new revision."""
    await database["v1"].insert_many([thing(id, -1 if id == 0 else 1) for id in range(40)])
    first = sweeper(database, partition_size=1000, concurrency=1, on_progress=lambda progress: first.stop())
    assert not (await first.run()).finished
    await database["v1"].update_one({"_id": 0}, {"$set": {"n": 7, "_lazymig_rev": 1}})
    report = await sweeper(database, partition_size=1000).run()
    assert report.scanned < 40
    assert await letters(database) == {}
    assert (await stored(database["v2"]))["0"] == moved(0, 7, rev=1)


async def test_retry(database: Any) -> None:
    """Letters are tried again one by one: absent and dirty entities both, and those that fail once more stay."""
    clock = LaterClock(7200)
    await database["v1"].insert_many([thing(1, -1), thing(2, -1), thing(3, -1, _lazymig_rev=1)])
    await database["v2"].insert_one(
        moved(3) | {"_lazymig": {"rev": 0, "intent": 1, "at": datetime(2024, 1, 1)}},
    )
    await sweeper(database, clock=clock).run()
    assert set(await letters(database)) == {"1", "2", "3"}
    await database["v1"].update_many({"_id": {"$in": [1, 3]}}, {"$set": {"n": 4}})
    repo, rows = repository(database, clock=clock), control(database)
    assert await retry_dead(repo, rows, [2]) == 0
    assert (await letters(database))["2"].attempts == 2
    assert await retry_dead(repo, rows, [1, 99]) == 1
    assert await retry_dead(repo, rows) == 1
    assert set(await letters(database)) == {"2"}
    assert await stored(database["v2"]) == {"3": moved(3, 4, rev=1, by=None), "1": moved(1, 4)}


async def test_a_read_still_tells_its_error(database: Any) -> None:
    """A dead letter changes nothing for clients, and an entity that they mend needs nobody after the next sweep."""
    await database["v1"].insert_one(thing(1, -1))
    await sweeper(database).run()
    repo = repository(database)
    with pytest.raises(ValueError, match="cannot upgrade the entity with id 1"):
        await repo.get(1)
    await repo.v1.update(1, lambda v1: type(v1)(v1.id, 5))
    assert (await sweeper(database).run()).dead_letters == 0
