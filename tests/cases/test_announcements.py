"""Cases 3 and 54, attacked: announcements are taken back by those who made them, and by nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import WriteError

from lazymig import Phase, Repository
from lazymig.repository import calls_of
from tests.people import ada, ada_v1, people
from tests.statements import Held, never_sent

META = "_lazymig"


def opened(database: Any, migration: Any = None, **options: Any) -> Repository[Any, Any]:
    """A repository on the database's collections `v1` and `v2`, as one process has it."""
    made = migration or people()
    return Repository(made, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


async def refusing(database: Any) -> None:
    """V1 takes nobody who is 200."""
    await database.create_collection("v1", validator={"age": {"$ne": 200}})


async def test_case_3_a_refused_insert_takes_back_its_own_announcement_only(server_database: Any) -> None:
    """V1's validator speaks before anyone sees that the id is taken: the update beside it stays announced."""
    await refusing(server_database)
    await server_database["v1"].insert_one(ada_v1(1))
    writer, other = opened(server_database), opened(server_database)
    never_sent(calls_of(writer).pair.bodies, "apply")
    moving = Held(calls_of(writer).pair.v1, "compare_and_set")
    update = await moving.until(writer.update(1, lambda person: evolve(person, age=40)))
    with pytest.raises(WriteError):
        await other.insert(ada(1, age=200))
    assert (await other.get(1)).age == 36
    moving.go()
    await update
    assert (await other.get(1)).age == 40


@pytest.mark.parametrize("left", ["nothing", "a tombstone", "a delete that died half way"])
async def test_case_54_a_refused_insert_leaves_no_mark(server_database: Any, left: str) -> None:
    """V2 is as it was: nothing where it had nothing, and otherwise a tombstone without an open announcement."""
    await refusing(server_database)
    repository = opened(server_database)
    if left != "nothing":
        await repository.insert(ada(1))
        if left != "a tombstone":
            never_sent(calls_of(repository).pair.bodies, "bury")
        await repository.delete(1)
    with pytest.raises(WriteError):
        await opened(server_database).insert(ada(1, age=200))
    row = await server_database["v2"].find_one({"_id": 1})
    assert (row is None) is (left == "nothing")
    assert row is None or (row[META]["rev"] == row[META]["intent"] and row[META]["gone"] and "inserts" not in row[META])


async def test_case_54_a_failed_change_leaves_no_mark_beside_a_reader(database: Any) -> None:
    """A reader brings the body between the announcement and its end: what is left is clean."""
    await database["v1"].insert_one(ada_v1(1))
    writer, reader = opened(database), opened(database)

    async def failing(person: Any) -> Any:
        await reader.get(1)
        raise KeyError

    with pytest.raises(KeyError):
        await writer.update(1, failing)
    meta = (await database["v2"].find_one({"_id": 1}))[META]
    assert (meta["rev"], meta["intent"], "at" in meta) == (0, 0, False)


async def test_case_3_a_late_tombstone_keeps_what_others_raised(database: Any) -> None:
    """Two writers share a number: a late tombstone does not let one take it back while the other moves V1 to it."""
    await database["v1"].insert_one(ada_v1(1))
    sharing, failing, deleting, inserting, other = (opened(database) for _ in range(5))
    looking, moving = Held(calls_of(sharing).pair.v1, "find_local"), Held(calls_of(sharing).pair.v1, "compare_and_set")
    never_sent(calls_of(sharing).pair.bodies, "apply")
    update = await looking.until(sharing.update(1, lambda person: evolve(person, age=40)))
    burying, storing = Held(calls_of(deleting).pair.bodies, "bury"), Held(calls_of(inserting).pair.bodies, "apply")
    delete = await burying.until(deleting.delete(1))
    insert = await storing.until(inserting.insert(ada(1)))
    announced, give_up = asyncio.Event(), asyncio.Event()

    async def gives_up(person: Any) -> Any:
        announced.set()
        await give_up.wait()
        raise KeyError

    failed = asyncio.create_task(failing.update(1, gives_up))
    await announced.wait()
    looking.go()
    await moving.reached.wait()
    for held, task in ((burying, delete), (storing, insert)):
        held.go()
        await task
        give_up.set()
        await asyncio.wait([failed])
    assert isinstance(failed.exception(), KeyError)
    assert (await other.get(1)).age == 36
    moving.go()
    await update
    assert (await other.get(1)).age == 40
