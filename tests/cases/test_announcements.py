"""Cases 1, 3, 10, 14b and 14g, attacked: announcements that others share, and V2-only values beside failing writers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, evolve, frozen
from pymongo.errors import AutoReconnect, WriteError

from lazymig import Migration, Phase, Repository
from lazymig.protocol import bodies
from tests.people import PersonV1, PersonV2, ada, ada_v1, people

META = "_lazymig"


def opened(database: Any, migration: Any = None, **options: Any) -> Repository[Any, Any]:
    """A repository on the database's collections `v1` and `v2`, as one process has it."""
    made = migration or people()
    return Repository(made, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


class Held:
    """A store's statement that has not been sent yet."""

    def __init__(self, store: Any, statement: str) -> None:
        self.reached, self._go = asyncio.Event(), asyncio.Event()
        original = getattr(store, statement)

        async def late(*arguments: Any, **options: Any) -> Any:
            self.reached.set()
            await self._go.wait()
            return await original(*arguments, **options)

        setattr(store, statement, late)

    def go(self) -> None:
        """Send it."""
        self._go.set()

    async def until(self, call: Any) -> asyncio.Task[Any]:
        """Start a call, and return when it stands before the statement."""
        task = asyncio.create_task(call)
        await asyncio.wait_for(self.reached.wait(), 30)
        return task


def never_sent(store: Any, statement: str) -> None:
    """Let the store's statements of this kind never arrive."""

    async def lost(*_: Any, **__: Any) -> Any:
        raise AutoReconnect("gone")

    setattr(store, statement, lost)


# ---- announcements taken back ---------------------------------------------------------------------------------------


async def refusing(database: Any) -> None:
    """V1 takes nobody who is 200."""
    await database.create_collection("v1", validator={"age": {"$ne": 200}})


async def test_case_3_a_refused_insert_takes_back_its_own_announcement_only(server_database: Any) -> None:
    """V1's validator speaks before anyone sees that the id is taken: the update beside it stays announced."""
    await refusing(server_database)
    await server_database["v1"].insert_one(ada_v1(1))
    writer, other = opened(server_database), opened(server_database)
    never_sent(writer.pair.v2, "apply")
    moving = Held(writer.pair.v1, "compare_and_set")
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
            never_sent(repository.pair.v2, "bury")
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
    looking, moving = Held(sharing.pair.v1, "find_local"), Held(sharing.pair.v1, "compare_and_set")
    never_sent(sharing.pair.v2, "apply")
    update = await looking.until(sharing.update(1, lambda person: evolve(person, age=40)))
    burying, storing = Held(deleting.pair.v2, "bury"), Held(inserting.pair.v2, "apply")
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


# ---- what only V2 holds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", ["V1 update", "V1 replace", "new conversion"])
async def test_case_3_an_insert_in_doubt_takes_no_note_from_the_one_that_stands(database: Any, later: str) -> None:
    """An insert of a taken id dies before V1 is asked; a note that is written afterwards stays."""
    await database["v1"].insert_one(ada_v1(1))
    dying, repository = opened(database), opened(database)
    never_sent(dying.pair.v1, "insert")
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
    monkeypatch.setattr(bodies, "WRITER_WAITS_S", (0.001,))
    behind, apply, go = repository.pair.behind, repository.pair.v2.apply, asyncio.Event()
    settled = behind.settled

    async def late(*arguments: Any, **options: Any) -> Any:
        await go.wait()
        return await apply(*arguments, **options)

    async def waiting(*arguments: Any) -> None:
        go.set()
        await settled(*arguments)

    repository.pair.v2.apply = late
    monkeypatch.setattr(type(behind), "settled", lambda _, *arguments: waiting(*arguments))
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


# ---- sessions -------------------------------------------------------------------------------------------------------


async def test_case_3_a_transaction_inserts_where_a_delete_died_half_way(server_database: Any) -> None:
    """It finds the remainder by looking, not by a duplicate key, which would end the transaction."""
    repository = opened(server_database)
    await repository.insert(ada(1, note="of the dead"))
    never_sent(repository.pair.v2, "bury")
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
