"""Cases 10 and 14a: in checked mode V1 wins in every read and write, whatever V2 says of itself."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve

from lazymig import Phase, Repository
from lazymig.errors import NotFound
from lazymig.repository import calls_of
from tests.people import PersonV2, ada, ada_v1, people

META = "_lazymig"


def opened(database: Any, **options: Any) -> Repository[Any, Any]:
    """A repository of people in checked mode."""
    options = {"checked": True, "phase": Phase.COEXIST, "v1": database["v1"], "v2": database["v2"], **options}
    return Repository(options.pop("migration", None) or people(), **options)


async def stale(database: Any, id: int = 1) -> Repository[Any, Any]:
    """A repository whose V2 is clean at age 36 while an outsider has made it 46 in V1."""
    await database["v1"].insert_one(ada_v1(id))
    repository = opened(database)
    await repository.get(id)
    await database["v1"].update_one({"_id": id}, {"$inc": {"age": 10}})
    return repository


async def got(repository: Any) -> Any:
    return await repository.get(1)


async def got_many(repository: Any) -> Any:
    return (await repository.get_many([1]))[1]


async def listed(repository: Any) -> Any:
    return await anext(repository.list())


@pytest.mark.parametrize("read", [got, got_many, listed])
async def test_case_10_reads_answer_what_an_outsider_wrote(database: Any, read: Any) -> None:
    """`get`, `get_many` and `list`: 46, at once and again."""
    repository = await stale(database)
    assert [(await read(repository)).age for _ in range(3)] == [46, 46, 46]


async def test_case_10_an_update_starts_from_what_an_outsider_wrote(database: Any) -> None:
    """Adding one gives 47, in both collections; the fields of others stay."""
    repository = await stale(database)
    await database["v1"].update_one({"_id": 1}, {"$set": {"shoe_size": 40}})
    changed = await repository.update(1, lambda person: evolve(person, age=person.age + 1))
    assert changed.age == 47
    v1, v2 = await database["v1"].find_one({"_id": 1}), await database["v2"].find_one({"_id": 1})
    assert (v1["age"], v1["shoe_size"], v2["age"]) == (47, 40, 47)


async def test_case_10_an_outside_write_between_read_and_write_is_not_lost(database: Any) -> None:
    """The outsider's increment comes while `change` runs: the update starts again from it."""
    repository = await stale(database)

    async def grow(person: PersonV2) -> PersonV2:
        if person.age == 46:
            await database["v1"].update_one({"_id": 1}, {"$inc": {"age": 100}})
        return evolve(person, age=person.age + 1)

    assert (await repository.update(1, grow)).age == 147
    assert (await database["v1"].find_one({"_id": 1}))["age"] == 147


async def test_case_10_an_outside_delete_is_seen(database: Any) -> None:
    """Every call takes the entity for gone, and another process in plain mode does so too once it was read."""
    repository = await stale(database)
    await database["v1"].delete_one({"_id": 1})
    assert await repository.get(1) is None
    assert await repository.exists(1) is False
    assert await repository.get_many([1]) == {}
    with pytest.raises(NotFound):
        await repository.update(1, lambda person: person)
    assert await opened(database, checked=False).get(1) is None
    await repository.insert(ada(1, age=1))
    assert (await repository.get(1)).age == 1


async def test_case_10_an_outside_replacement_that_drops_the_revision_is_seen(database: Any) -> None:
    """A legacy client replaces the document whole; what only V2 holds of it stays."""
    repository = opened(database)
    await repository.insert(ada(note="kept"))
    await database["v1"].replace_one({"_id": 1}, {"_id": 1, "name": "Ada King", "age": 50, "tags": []})
    assert await repository.get(1) == ada(last="King", age=50, tags=[], note="kept")
    assert (await repository.update(1, lambda person: evolve(person, age=51))).last == "King"
    assert (await database["v1"].find_one({"_id": 1}))["name"] == "Ada King"


@pytest.mark.parametrize("old", [False, True], ids=["young mark", "old mark"])
async def test_case_14a_a_dirty_v2_never_wins(database: Any, old: bool) -> None:
    """A mark left by a dead writer, then an outside write: each read gives V1's value, and healing stores it."""
    repository = await stale(database)
    await calls_of(repository).pair.ledger.ticket(1)
    if old:
        await database["v2"].update_one({"_id": 1}, {"$set": {f"{META}.at": datetime(2024, 1, 1)}})
    ages = [person.age for person in await asyncio.gather(*(repository.get(1) for _ in range(5)))]
    ages += [(await repository.get(1)).age for _ in range(3)]
    assert ages == [46] * 8
    assert (await database["v2"].find_one({"_id": 1}))["age"] == 46


async def test_case_14a_a_mark_of_a_change_that_raised_hides_no_outside_write(database: Any) -> None:
    """The case as it was found: 46, again and again."""
    repository = await stale(database)

    def refuse(person: PersonV2) -> PersonV2:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await repository.update(1, refuse)
    assert [(await repository.get(1)).age for _ in range(3)] == [46, 46, 46]


async def test_case_14a_a_heal_that_fails_is_no_error_of_the_read(database: Any) -> None:
    """The read has its answer; V2 refuses the body for good."""
    repository = await stale(database)

    async def refused(*_: Any, **__: Any) -> Any:
        from pymongo.errors import AutoReconnect

        raise AutoReconnect("gone")

    calls_of(repository).pair.ledger.ticket = refused  # type: ignore[method-assign]
    assert (await repository.get(1)).age == 46


async def test_a_checked_read_heals_nothing_where_both_agree(database: Any) -> None:
    """NaN and the order of sets are no differences: V2 stays as it is."""
    await database["v1"].insert_one(ada_v1())
    repository = opened(database)
    await repository.get(1)
    before = await database["v2"].find_one({"_id": 1})
    assert [await repository.get(1) for _ in range(2)] == [ada(), ada()]
    assert await database["v2"].find_one({"_id": 1}) == before
    assert "lazymig.mismatched" not in repository.tally.counts
