"""Listings: which entities, in which order, over pages, in each phase and layout on every driver."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve, frozen
from bson import ObjectId

from lazymig import ConfigurationError, ConversionError, Criteria, Migration, NotFound, Phase, Repository
from lazymig.repository import calls_of
from tests.layouts import META, ONE_DOCUMENT, REV, TWO_COLLECTIONS, Layout, settle
from tests.people import PersonV1, PersonV2, ada, ada_v1, people
from tests.tasks import own_tasks

#: The phases that list by V2's fields.
BY_V2 = (Phase.V2_PRIMARY, Phase.V2_ONLY)
ADAS = Criteria(v1={"name": {"$regex": "^Ada "}}, v2={"first": "Ada"})


@pytest.fixture
def repository(database: Any, phase: Phase, open_repository: Callable[..., Any]) -> Repository[PersonV1, PersonV2]:
    """People, in one of the phases."""
    return open_repository(database, phase=phase)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages of three, so that a few entities take several."""
    for size in ("FIRST_PAGE", "PAGE"):
        monkeypatch.setattr(f"lazymig.protocol.listing.{size}", 3)
    return 3


async def ids(listing: Any) -> list[Any]:
    """The ids that a listing meets, in its order."""
    return [entity.id async for entity in listing]


@frozen
class Anything:
    """An entity with an id of any type."""

    id: Any
    value: Any = None


ANYTHING: Migration[Anything, Anything] = Migration(
    name="anything", v1=Anything, v2=Anything, upgrade=lambda v1: v1, downgrade=lambda v2: v2
)


async def test_lists_entities_with_v2s_bodies(repository: Any, database: Any, small_pages: int, layout: Layout) -> None:
    """V1 decides which there are; V2's body wherever its revision is V1's, else V1's, converted."""
    await database["v1"].insert_many([ada_v1(id) for id in range(8)])
    await repository.get_many([0, 1, 4])
    await repository.update(5, lambda person: evolve(person, note="only V2 has it"))
    await repository.delete(6)
    if layout is Layout.ONE:
        note = None if repository.phase is Phase.V1_ONLY else "only V2 has it"
        # A program that does not know lazymig changed it: V2's part is behind.
        await database["v1"].update_one({"_id": 4}, {"$set": {"age": 99}})
        listed = {entity.id: entity async for entity in repository.list()}
        assert listed == {id: ada(id) for id in (0, 1, 2, 3, 7)} | {4: ada(4, age=99), 5: ada(5, note=note)}
        return
    if repository.phase is Phase.COEXIST:
        # An open announcement: the body is still V1's revision.
        await database["v2"].update_one({"_id": 1}, {"$inc": {f"{META}.intent": 1}})
        # A body that is behind: its writer died.
        await database["v1"].update_one({"_id": 4}, {"$set": {REV: 1, "age": 99}})
        await database["v2"].update_one({"_id": 4}, {"$inc": {f"{META}.intent": 1}})
        listed = {entity.id: entity async for entity in repository.list()}
        assert list(listed) == [0, 1, 2, 3, 4, 5, 7]
        assert listed[4] == ada(4, age=99)
        assert listed[5] == ada(5, note="only V2 has it")
        assert listed[1] == ada(1)
        return
    assert [entity async for entity in repository.list()] == [ada(id) for id in (0, 1, 2, 3, 4, 5, 7)]


@pytest.mark.parametrize("phase", BY_V2, ids=str)
@ONE_DOCUMENT
async def test_a_listing_by_v2s_fields_goes_by_what_stands(repository: Any, database: Any) -> None:
    """An entity whose V2 part is behind is found by the values before, and answered as it is; a read catches up."""
    await database["v1"].insert_many([ada_v1(id) for id in range(3)])
    assert await ids(repository.list(ADAS)) == []  # nothing has read or swept them
    await repository.get_many(range(3))
    await database["v1"].update_one({"_id": 1}, {"$set": {"name": "Grace Hopper"}})
    await settle(repository)
    eves = Criteria(v1={"name": {"$regex": "^Grace "}}, v2={"first": "Grace"})
    assert (await repository.count(ADAS), await repository.count(eves)) == (3, 0)
    assert [person async for person in repository.list(ADAS)] == [ada(0), ada(1, first="Grace", last="Hopper"), ada(2)]
    await settle(repository)
    assert [await ids(repository.list(ADAS)), await ids(repository.list(eves))] == [[0, 2], [1]]


async def test_an_empty_collection_lists_nothing(repository: Any) -> None:
    """No page, no entity."""
    assert await ids(repository.list()) == []
    assert await repository.count() == 0


@pytest.mark.parametrize("total", [2, 3, 4, 6, 7])
@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_pages_neither_repeat_nor_lose_an_entity(
    repository: Any, database: Any, small_pages: int, total: int
) -> None:
    """Each entity exactly once, at and around the ends of pages."""
    await database["v1"].insert_many([ada_v1(id) for id in range(total)])
    assert await ids(repository.list()) == list(range(total))
    await repository.get_many(range(total))
    assert await ids(repository.list()) == list(range(total))
    assert await ids(repository.list(sort="-id")) == list(reversed(range(total)))


async def test_a_listing_takes_more_than_one_page_of_its_own_size(server_database: Any, open_repository: Any) -> None:
    """Pages of a thousand, half of the entities migrated: 2,500 entities in order."""
    await server_database["v1"].insert_many([ada_v1(id) for id in range(2500)])
    repository = open_repository(server_database)
    await repository.get_many(range(0, 2500, 2))
    assert await ids(repository.list()) == list(range(2500))


async def test_criteria_choose(repository: Any, database: Any, small_pages: int, layout: Layout) -> None:
    """Only what matches, on every page, and counted alike."""
    names = ["Ada Lovelace", "Grace Hopper"]
    await database["v1"].insert_many([ada_v1(id, name=names[id % 2]) for id in range(12)])
    if repository.phase in BY_V2:
        await layout.fill(database, people())
    assert await ids(repository.list(ADAS)) == [0, 2, 4, 6, 8, 10]
    assert await ids(repository.list(ADAS, after=4)) == [6, 8, 10]
    assert await ids(repository.v1.list(ADAS, sort="-id")) == [10, 8, 6, 4, 2, 0]
    assert (await repository.count(ADAS), await repository.count()) == (6, 12)


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, []), (1, [0]), (3, [0, 1, 2]), (5, [0, 1, 2, 3, 4]), (9, [*range(8)])]
)
@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_limit(repository: Any, database: Any, small_pages: int, limit: int, expected: list[int]) -> None:
    """At most so many entities, on, within and beyond a page."""
    await database["v1"].insert_many([ada_v1(id) for id in range(8)])
    assert await ids(repository.list(limit=limit)) == expected
    assert await ids(repository.v1.list(limit=limit)) == expected


async def test_after_goes_on_behind_an_entity(repository: Any, database: Any, small_pages: int) -> None:
    """`after` is the id of the last entity that was seen; by id, that one may be gone."""
    await database["v1"].insert_many([ada_v1(id, age=id % 2) for id in range(8)])
    assert await ids(repository.list(after=3)) == [4, 5, 6, 7]
    assert await ids(repository.list(sort="-id", after=3)) == [2, 1, 0]
    assert await ids(repository.list(sort="age", after=6)) == [1, 3, 5, 7]
    assert await ids(repository.list(sort="-age", after=5, limit=3)) == [3, 1, 6]
    assert await ids(repository.list(after=7)) == []
    assert await ids(repository.list(after=99)) == []
    with pytest.raises(NotFound):
        await ids(repository.list(sort="age", after=99))


@pytest.mark.parametrize("sort", ["age", "-age", ("age", "age"), ("-age", "-age")])
async def test_nulls_and_missing_fields_sort_together(
    repository: Any, database: Any, small_pages: int, sort: Any
) -> None:
    """A missing field sorts as null, first when ascending and last when descending, ties by id."""
    ages = [5, None, 3, None, 5, 3, None, 8, None]
    documents = [ada_v1(id, age=age) for id, age in enumerate(ages)]
    for document in documents[1:4:2]:
        del document["age"]
    await database["v1"].insert_many(documents)
    expected = [
        row["_id"]
        async for row in database["v1"]
        .find()
        .sort([("age", -1 if "-" in sort[0] else 1), ("_id", -1 if "-" in sort[0] else 1)])
    ]
    assert await ids(repository.list(sort=sort)) == expected
    assert sorted(expected) == list(range(9))


async def test_a_pair_of_names_sorts_by_a_field_that_both_shapes_spell_differently(
    repository: Any, database: Any, small_pages: int, layout: Layout
) -> None:
    """(V1's name, V2's name), in either direction; V1's decides while V1 decides the order."""
    names = ["Cleo X", "Ada X", "Bob X", "Eve X", "Dan X"]
    await database["v1"].insert_many([ada_v1(id, name=name) for id, name in enumerate(names)])
    if repository.phase in BY_V2:
        await layout.fill(database, people())
    assert await ids(repository.list(sort=("name", "first"))) == [1, 2, 0, 4, 3]
    assert await ids(repository.list(sort=("-name", "-first"))) == [3, 4, 0, 2, 1]


async def test_ids_of_several_types_are_all_listed(
    database: Any, phase: Phase, layout: Layout, small_pages: int
) -> None:
    """A listing does not end at the first type's last id."""
    repository = layout.open(database, ANYTHING, phase=phase)
    hexes = [ObjectId(f"{number:024x}") for number in range(4)]
    entities = [3, 1, "b", "a", *hexes, 2, "c", b"\1", b"\0", -5, UUID(int=3), UUID(int=2)]
    random.Random(7).shuffle(entities)
    for id in entities:
        await repository.insert(Anything(id, None))
    expected = [-5, 1, 2, 3, "a", "b", "c", b"\0", b"\1", UUID(int=2), UUID(int=3), *hexes]
    assert [entity.id async for entity in repository.list()] == expected
    assert [entity.id async for entity in repository.list(sort="-id")] == expected[::-1]


@TWO_COLLECTIONS
async def test_an_entity_deleted_while_a_page_is_read_is_left_out(
    database: Any, open_repository: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an error nor a ghost: it is left out, as a listing that started later would."""
    repository = open_repository(database)
    await database["v1"].insert_many([ada_v1(id) for id in range(4)])
    await repository.get_many([0, 1])
    find = calls_of(repository).pair.v1.find_each

    async def find_later(wanted: Any) -> Any:
        await repository.delete(3)
        return await find(wanted)

    monkeypatch.setattr(calls_of(repository).pair.v1, "find_each", find_later)
    assert await ids(repository.list()) == [0, 1, 2]


async def test_a_document_that_does_not_convert_stops_a_listing(repository: Any, database: Any) -> None:
    """`ConversionError` at the first document that does not convert, after those before it."""
    await database["v1"].insert_many([ada_v1(0), ada_v1(1), ada_v1(2, name="Plato"), ada_v1(3)])
    await repository.get(0)
    listing = repository.list()
    assert [(await anext(listing)).id for _ in range(2)] == [0, 1]
    with pytest.raises(ConversionError) as caught:
        await anext(listing)
    assert caught.value.id == 2


async def test_a_v2_body_that_no_longer_decodes_stops_a_listing(
    database: Any, open_repository: Any, layout: Layout
) -> None:
    """The error says on which side to look."""
    repository = open_repository(database)
    await repository.insert(ada(1))
    await layout.spoil(database, 1, first=5)
    with pytest.raises(ConversionError) as caught:
        await ids(repository.list())
    assert (caught.value.id, caught.value.direction, caught.value.path) == (1, "read", "first")
    assert caught.value.side == "V2"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"criteria": {"first": "Ada"}}, TypeError, "in both shapes"),
        ({"limit": -1}, TypeError, "limit"),
        ({"limit": "3"}, TypeError, "limit"),
        ({"limit": True}, TypeError, "limit"),
        ({"after": "x"}, TypeError, "an id of people is int"),
        ({"after": {"$gt": 0}}, TypeError, "an id of people is int"),
        ({"sort": "name"}, ConfigurationError, "V2 has no field 'name'"),
        ({"sort": "first"}, ConfigurationError, "V1 has no field 'first'"),
        ({"sort": ("name",)}, ConfigurationError, "one field name, or a pair"),
        ({"sort": ("name", "first", "last")}, ConfigurationError, "one field name, or a pair"),
        ({"sort": "-"}, ConfigurationError, "one field name, or a pair"),
        ({"sort": (1, 2)}, ConfigurationError, "one field name, or a pair"),
        ({"sort": ("-name", "first")}, ConfigurationError, "same direction"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("driver", ["mock"])
async def test_bad_arguments_are_refused_by_both_doors(
    repository: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    """The error says what to pass."""
    for door in (repository, repository.v1):
        with pytest.raises(error, match=message):
            await ids(door.list(**arguments))


@pytest.mark.parametrize("side", ["v1", "v2"])
def test_criteria_need_both_sides(side: str) -> None:
    """One question in both shapes: half of it, or something that is no filter, is refused."""
    with pytest.raises(TypeError, match="required keyword-only argument"):
        Criteria(**{side: {}})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"Criteria.{side}: pass a MongoDB filter"):
        Criteria(**({"v1": {}, "v2": {}} | {side: "all"}))  # type: ignore[arg-type]


@TWO_COLLECTIONS
async def test_a_page_of_which_v2_is_behind_takes_one_statement_more(
    database: Any, open_repository: Any, small_pages: int
) -> None:
    """Bodies that are behind, by however many and wherever in the page, are V1's; the others stay V2's."""
    await database["v1"].insert_many([ada_v1(id) for id in range(7)])
    repository = open_repository(database, phase=Phase.COEXIST)
    await repository.get_many(range(7))
    await repository.update(2, lambda person: evolve(person, note="only V2 has it"))
    for id in (1, 4, 5):  # their writers died
        await database["v1"].update_one({"_id": id}, {"$set": {REV: 1, "age": 99}})
        await database["v2"].update_one({"_id": id}, {"$inc": {f"{META}.intent": 1}})
    listed = [entity async for entity in repository.list()]
    expected = [ada(id, age=99) if id in (1, 4, 5) else ada(id) for id in range(7)]
    expected[2] = ada(2, note="only V2 has it")
    assert listed == expected


async def test_ids_that_are_equal_numbers_are_one_entity(server_database: Any) -> None:
    """V1 may hold 5.0 where V2 holds 5: the same id to MongoDB, and to a listing."""
    repository = Repository(ANYTHING, v1=server_database["v1"], v2=server_database["v2"], phase=Phase.COEXIST)
    await server_database["v1"].insert_one({"_id": 5.0, "value": "V1's", REV: 1})
    await server_database["v2"].insert_one({"_id": 5, "value": "V2's", META: {"rev": 1, "intent": 1}})
    assert [entity.value async for entity in repository.list()] == ["V2's"]


async def test_a_listing_that_is_left_early_leaves_nothing_running(
    server_database: Any, open_repository: Any, small_pages: int
) -> None:
    """The page that was fetched ahead is given up with it."""
    await server_database["v1"].insert_many([ada_v1(id) for id in range(20)])
    repository = open_repository(server_database)
    for listed in (repository.list(), repository.v1.list()):
        with own_tasks() as started:
            async with aclosing(listed):
                async for entity in listed:
                    assert entity.id == 0
                    break
        assert started
        assert all(task.done() for task in started)


async def test_others_get_their_turn_during_a_listing(database: Any, open_repository: Any) -> None:
    """Not even a long page keeps the event loop to itself."""
    await database["v1"].insert_many([ada_v1(id) for id in range(300)])
    repository, turns = open_repository(database), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    listed = [(entity.id, turns) async for entity in repository.list(limit=100)]
    task.cancel()
    assert [id for id, _ in listed] == list(range(100))
    assert listed[-1][1] > listed[0][1]
