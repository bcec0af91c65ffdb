"""Cases 3, 10, 14b, 14g and 50, attacked: nobody overtakes a body that is known to come, or takes a note away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, evolve, frozen
from pymongo.errors import AutoReconnect

from lazymig import Migration, Phase, Repository
from lazymig.protocol import bodies
from lazymig.repository import calls_of
from tests.people import PersonV1, PersonV2, ada, ada_v1, people
from tests.statements import Held, never_sent


def opened(database: Any, migration: Any = None, **options: Any) -> Repository[Any, Any]:
    """A repository on the database's collections `v1` and `v2`, as one process has it."""
    made = migration or people()
    return Repository(made, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


# ---- what only V2 holds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", ["V1 update", "V1 replace", "new conversion"])
async def test_case_3_an_insert_in_doubt_takes_no_note_from_the_one_that_stands(database: Any, later: str) -> None:
    """An insert of a taken id dies before V1 is asked; a note that is written afterwards stays."""
    await database["v1"].insert_one(ada_v1(1))
    dying, repository = opened(database), opened(database)
    never_sent(calls_of(dying).pair.v1, "insert")
    with pytest.raises(AutoReconnect):
        await dying.insert(ada(1))
    await repository.update(1, lambda person: evolve(person, note="kept"))
    if later == "V1 update":
        await repository.v1.update(1, lambda person: evolve(person, age=40))
    elif later == "V1 replace":
        await repository.v1.replace(PersonV1(1, "Ada King", 40))
    else:
        repository = opened(database, people(revision=2))
    assert (await repository.get(1)).note == "kept"


def until_waited_for(repository: Any, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let V2's bodies stay behind until a call of this process waits for them; others' waits are short."""
    # Short, and enough of them for a write that has V1 already to put its body behind its caller.
    monkeypatch.setattr(bodies, "WRITER_WAITS_S", (0.005,) * 50)
    behind, apply, go = calls_of(repository).pair.behind, calls_of(repository).pair.bodies.apply, asyncio.Event()
    wait_for = behind.wait_for

    async def late(*arguments: Any, **options: Any) -> Any:
        await go.wait()
        return await apply(*arguments, **options)

    async def waiting(*arguments: Any) -> None:
        go.set()
        await wait_for(*arguments)

    calls_of(repository).pair.bodies.apply = late
    monkeypatch.setattr(type(behind), "wait_for", lambda _, *arguments: waiting(*arguments))
    return go


@pytest.mark.parametrize("door", ["V2", "V1"])
async def test_case_14b_two_writes_at_once_keep_each_others_notes(
    database: Any, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is on its way already when the first one's body is put behind its caller: it waits for that body."""
    repository = opened(database, write_behind=True)
    async with repository:
        await repository.insert(ada(1))
    go = until_waited_for(repository, monkeypatch)
    first = repository.update(1, lambda person: evolve(person, note="important"))
    view = repository if door == "V2" else repository.v1
    async with repository:
        await asyncio.gather(first, view.update(1, lambda person: evolve(person, age=40)))
        go.set()
    found = await repository.get(1)
    assert (found.note, found.age) == ("important", 40)


@pytest.mark.parametrize("door", ["V2", "V1"])
async def test_case_14b_a_session_waits_for_the_bodies_behind_its_repository(
    server_database: Any, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction does not overtake what the same repository has acknowledged outside of it."""
    await server_database.create_collection("v1")
    repository = opened(server_database, write_behind=True)
    async with repository:
        await repository.insert(ada(1))
    go = until_waited_for(repository, monkeypatch)
    async with repository:
        await repository.update(1, lambda person: evolve(person, note="important"))
        async with server_database.client.start_session() as session, await session.start_transaction():
            bound = repository.with_session(session)
            view = bound if door == "V2" else bound.v1
            await view.update(1, lambda person: evolve(person, age=40))
        go.set()
    found = await repository.get(1)
    assert (found.note, found.age) == ("important", 40)


async def test_case_50_bodies_that_hang_hold_up_many_reads_once(
    server_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of many whose bodies are all behind waits for them together, not for each after the other."""
    monkeypatch.setattr(bodies, "WRITER_WAITS_S", (0.2,))
    repository, ids = opened(server_database, write_behind=True), list(range(200))
    await server_database["v1"].insert_many([ada_v1(id) for id in ids])
    storing = Held(calls_of(repository).pair.bodies, "apply")
    for id in ids:
        await repository.update(id, lambda person: evolve(person, age=40))
    async with asyncio.timeout(30):  # one after the other, until their bodies are given up after twice as long
        found = await repository.get_many(ids)
    assert {person.age for person in found.values()} == {40}
    storing.go()
    await calls_of(repository).pair.behind.drain()


# ---- sessions -------------------------------------------------------------------------------------------------------


async def test_case_3_a_transaction_inserts_where_a_delete_died_half_way(server_database: Any) -> None:
    """It finds the remainder by looking, not by a duplicate key, which would end the transaction."""
    repository = opened(server_database)
    await repository.insert(ada(1, note="of the dead"))
    never_sent(calls_of(repository).pair.bodies, "bury")
    await repository.delete(1)
    async with server_database.client.start_session() as session, await session.start_transaction():
        await opened(server_database).with_session(session).v1.insert(PersonV1(1, "Grace Hopper"))
    assert await repository.get(1) == PersonV2(1, "Grace", "Hopper")


# ---- outside writers ------------------------------------------------------------------------------------------------


@define
class LooseV1:
    """One field holds anything."""

    id: int
    tags: Any = None


@define
class ListedV2:
    """The same, declared; a conversion passes V1's own list on."""

    id: int
    tags: list[str]


LISTED: Migration[Any, Any] = Migration(
    name="listed", v1=LooseV1, v2=ListedV2,
    upgrade=lambda v1: ListedV2(v1.id, v1.tags), downgrade=lambda v2: LooseV1(v2.id, v2.tags),
)  # fmt: skip


@pytest.mark.parametrize("checked", [False, True], ids=["trusting", "checked"])
async def test_case_14g_a_change_in_place_leaves_v1s_document_alone(database: Any, checked: bool) -> None:
    """V2's class holds nothing of any type, but its list is V1's, which the compare-and-set compares with."""
    await database["v1"].insert_one({"_id": 1, "tags": ["a"]})
    repository = opened(database, LISTED, checked=checked, max_attempts=2)

    def add(entity: ListedV2) -> ListedV2:
        entity.tags.append("b")
        return entity

    assert (await repository.update(1, add)).tags == ["a", "b"]
    assert (await database["v1"].find_one({"_id": 1}))["tags"] == ["a", "b"]


@frozen
class Loose:
    """The same class in both collections."""

    id: int
    value: Any = None


SAME: Migration[Any, Any] = Migration(name="same", v1=Loose, v2=Loose, upgrade=lambda v: v, downgrade=lambda v: v)


@pytest.mark.parametrize(
    ("before", "outside"),
    [("a", {"$set": {"value": ["a", "b"]}}), (None, {"$unset": {"value": ""}}), (None, {"$set": {"value": [None]}})],
    ids=["an array that holds it", "missing for null", "an array that holds null"],
)
@pytest.mark.parametrize("door", ["V2", "V1"])
async def test_case_10_what_equals_it_to_a_filter_is_another_value(
    database: Any, before: Any, outside: Any, door: str
) -> None:
    """An outside write between the read and the compare-and-set is seen, though a filter takes it for the same."""
    await database["v1"].insert_one({"_id": 1, "value": before})
    repository, seen = opened(database, SAME, checked=True), []

    async def change(entity: Loose) -> Loose:
        if not seen:
            await database["v1"].update_one({"_id": 1}, outside)
        seen.append(entity.value)
        return evolve(entity, value="mine")

    await (repository if door == "V2" else repository.v1).update(1, change)
    assert len(seen) == 2
