"""The repository's calls, in each phase and layout on every driver, by what stands in the collections afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import bson
import pytest
from attrs import evolve
from pymongo.errors import DuplicateKeyError

from lazymig import AlreadyExists, ConversionError, NotFound, Phase, Repository
from tests.layouts import META, ONE_DOCUMENT, REV, TWO_COLLECTIONS, Layout
from tests.people import PersonV1, PersonV2, ada, ada_v1, join, join_on, people

People = Repository[PersonV1, PersonV2]
COEXIST_ONLY = pytest.mark.parametrize("phase", [Phase.COEXIST], ids=str)


@pytest.fixture
def repository(database: Any, phase: Phase, open_repository: Callable[..., People]) -> People:
    """People, in one of the phases."""
    return open_repository(database, phase=phase)


def body(person: PersonV2) -> dict[str, Any]:
    """The body that V2 stores of a person."""
    stored = attrs.asdict(person)
    del stored["id"]
    return stored


async def test_get_answers_v1s_entity_in_v2s_type(repository: People, database: Any, layout: Layout) -> None:
    """A V1 document that lazymig never touched is read as a V2 entity, and V1 is not changed by it."""
    await database["v1"].insert_one(ada_v1())
    assert await repository.get(1) == ada()
    assert await repository.get(1) == ada()
    assert await layout.find_v1(database) == [ada_v1()]


async def test_get_answers_none_for_a_missing_entity(repository: People, database: Any) -> None:
    """None, and nothing is stored for it."""
    assert await repository.get(1) is None
    for name in ("v1", "v2"):
        assert await database[name].count_documents({}) == 0


@COEXIST_ONLY
async def test_v2_tells_who_brought_an_entity(repository: People, database: Any, layout: Layout) -> None:
    """Reads of one and of many, writes, and what comes after them: whoever was first stands in V2."""
    await database["v1"].insert_many([ada_v1(id) for id in (1, 2, 3, 4)])
    await repository.get(1)
    await repository.get_many([2, 3])
    await repository.update(4, lambda person: evolve(person, age=1))
    await repository.insert(ada(5))
    for id in (1, 3, 5):
        await repository.update(id, lambda person: evolve(person, age=2))
        await repository.get(id)
    found = await layout.find_bringers(database)
    assert found == {1: "read", 2: "read", 3: "read", 4: "write", 5: "write"}


@TWO_COLLECTIONS
@COEXIST_ONLY
async def test_get_migrates_on_the_way(repository: People, database: Any) -> None:
    """The first read stores V2's document at V1's revision, clean."""
    await database["v1"].insert_one(ada_v1() | {REV: 4})
    await repository.get(1)
    assert await database["v2"].find().to_list(None) == [
        {"_id": 1, **body(ada()), META: {"rev": 4, "intent": 4, "by": "read"}}
    ]
    assert repository.tally.counts == {"lazymig.migrated": 1}


@ONE_DOCUMENT
async def test_get_completes_the_document(repository: People, database: Any) -> None:
    """The first read adds V2's part, its fingerprint and no revision; V1's fields keep their places."""
    await database["v1"].insert_one(ada_v1())
    await repository.get(1)
    (stored,) = await database["v1"].find().to_list(None)
    if repository.phase is Phase.V1_ONLY:
        assert stored == ada_v1()
        return
    of = stored[META].pop("of")
    assert stored == {**ada_v1(), **body(ada()), META: {"rev": 0, "by": "read"}}
    assert list(stored)[:5] == list(ada_v1())
    assert (type(of), len(of)) == (bytes, 16)
    assert repository.tally.counts == {"lazymig.migrated": 1}


@ONE_DOCUMENT
async def test_whoever_changes_v1s_fields_is_seen_by_the_next_read(repository: People, database: Any) -> None:
    """A program that does not know lazymig changes V1's fields; every call sees that at once, and V2's note stays."""
    await repository.insert(ada(note="hers"))
    note = None if repository.phase is Phase.V1_ONLY else "hers"
    if repository.phase is Phase.V2_ONLY:
        await database["v1"].update_one({"_id": 1}, {"$set": {"name": "Some Body"}})
        assert await repository.get(1) == ada(note="hers")  # V2's part is the truth
        return
    for number, (call, changed) in enumerate(
        [
            (lambda: repository.get(1), {"age": 1}),
            (lambda: repository.get_many([1]), {"name": "Ada King"}),
            (lambda: repository.update(1, lambda person: evolve(person, age=person.age + 1)), {"age": 7}),
        ]
    ):
        await database["v1"].update_one({"_id": 1}, {"$set": changed})
        expected = ada(age=1, note=note), ada(age=1, last="King", note=note), ada(age=8, last="King", note=note)
        found = await call()
        assert (found[1] if isinstance(found, dict) else found) == expected[number]
        assert await repository.get(1) == expected[number]


@pytest.mark.parametrize("phase", [Phase.V1_ONLY], ids=str)
async def test_v1_only_never_touches_v2(repository: People, database: Any, layout: Layout) -> None:
    """In `v1_only` V2 holds nothing, whatever is called."""
    await database["v1"].insert_one(ada_v1())
    await repository.get_many([1])
    await repository.update(1, lambda person: evolve(person, age=37))
    await repository.insert(ada(2))
    await repository.delete(1)
    await repository.v1.delete(2)
    assert await layout.find_bodies(database) == {}
    assert await repository.get_many([1, 2]) == {}


async def test_get_many_answers_by_id_in_the_order_asked(repository: People, database: Any) -> None:
    """The entities by id, in the order of `ids`; missing ids are left out."""
    await database["v1"].insert_many([ada_v1(id) for id in range(1, 6)])
    await repository.get(2)
    await repository.update(3, lambda person: evolve(person, age=1))
    found = await repository.get_many(iter([5, 3, 99, 2, 5]))
    assert list(found.items()) == [(5, ada(5)), (3, ada(3, age=1)), (2, ada(2))]


@COEXIST_ONLY
async def test_get_many_migrates_on_the_way(repository: People, database: Any, layout: Layout) -> None:
    """What V2 lacked is stored in it, clean."""
    await database["v1"].insert_many([ada_v1(id) for id in range(5)])
    await repository.get_many(range(5))
    assert await layout.find_bodies(database) == {id: body(ada(id)) for id in range(5)}
    assert await layout.find_v1(database) == [ada_v1(id) for id in range(5)]
    assert repository.tally.counts == {"lazymig.migrated": 5}


@pytest.mark.parametrize("door", ["repository", "v1"])
async def test_get_many_returns_good_and_bad(repository: People, database: Any, door: str) -> None:
    """With "return" an error stands in its entity's place; "skip" leaves it out, a function is given each."""
    bad = {"name": "Plato"} if door == "repository" else {"age": "old"}
    await database["v1"].insert_many([ada_v1(1), ada_v1(2) | bad, ada_v1(3) | bad])
    reader: Any = repository if door == "repository" else repository.v1
    good = ada(1) if door == "repository" else join(ada(1))
    found = await reader.get_many([3, 1, 2, 9], on_error="return")
    assert list(found) == [3, 1, 2]
    assert found[1] == good
    assert [(type(found[id]), found[id].id) for id in (2, 3)] == [(ConversionError, 2), (ConversionError, 3)]
    assert await reader.get_many([1, 2], on_error="skip") == {1: good}
    met: list[ConversionError] = []
    assert await reader.get_many([1, 2, 3], on_error=met.append) == {1: good}

    async def later(error: ConversionError) -> None:
        met.append(error)

    assert await reader.get_many([2, 1], on_error=later) == {1: good}
    assert [error.id for error in met] == [2, 3, 2]
    with pytest.raises(ExceptionGroup) as caught:
        await reader.get_many([1, 2, 3], on_error="raise")
    assert sorted(error.id for error in caught.value.exceptions) == [2, 3]


async def test_get_many_refuses_what_it_cannot_do_with_an_error(
    repository: People, database: Any, layout: Layout
) -> None:
    """It is refused before anything is read, whether or not a document fails."""
    await database["v1"].insert_one(ada_v1(1))
    for wrong in ("ignore", None, 1):
        with pytest.raises(TypeError, match='on_error: pass "raise", "skip", "return", or'):
            await repository.get_many([1], on_error=wrong)  # type: ignore[call-overload]
    assert await layout.find_bodies(database) == {}


async def test_get_many_names_each_document_that_does_not_convert(
    repository: People, database: Any, layout: Layout
) -> None:
    """An exception group of conversion errors; the others are migrated."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2, name="Plato"), ada_v1(3), ada_v1(4, age="old")])
    with pytest.raises(ExceptionGroup, match="2 of 4 documents") as caught:
        await repository.get_many([1, 2, 3, 4])
    assert [(error.id, error.direction, error.path) for error in caught.value.exceptions] == [
        (2, "upgrade", ""),
        (4, "read", "age"),
    ]
    stored = [] if repository.phase in (Phase.V1_ONLY, Phase.PREPARE) else [1, 3]
    assert sorted(await layout.find_bodies(database)) == stored


async def test_exists_tells_whether_the_entity_stands(repository: People, database: Any) -> None:
    """Whether the entity exists, migrated or not, deleted or never there; nothing is converted."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2), ada_v1(3, name="Plato")])
    await repository.get(1)
    await repository.delete(2)
    assert [await repository.exists(id) for id in (1, 2, 3, 4)] == [True, False, True, False]


async def test_insert_stores_in_both_shapes(repository: People, database: Any, layout: Layout) -> None:
    """A new entity is V1's and, in the phases that fill it, V2's, at one revision."""
    assert await repository.insert(ada(note="hers")) == ada(note="hers")
    name = {} if repository.phase is Phase.V2_ONLY else {"name": "Ada Lovelace"}
    assert await layout.find_v1(database) == [{"_id": 1, **name, "age": 36, "tags": ["math"]}]
    if repository.phase in (Phase.V1_ONLY, Phase.PREPARE):
        assert await layout.find_bodies(database) == {}
        return
    assert await layout.find_bodies(database) == {1: body(ada(note="hers"))}
    if layout is Layout.TWO:
        rev = await layout.find_revision(database, 1)
        assert (await database["v2"].find_one({"_id": 1}))[META] == {"rev": rev, "intent": rev, "by": "write"}
    else:
        meta = (await database["v1"].find_one({"_id": 1}))[META]
        alone = {"alone": "people"} if repository.phase is Phase.V2_ONLY else {"of": meta.get("of")}
        assert meta == {"rev": meta["rev"], "by": "write", **alone}
    if layout is Layout.ONE or repository.phase is Phase.COEXIST:
        assert await repository.get(1) == ada(note="hers")


@pytest.mark.parametrize("migrated", [False, True])
async def test_insert_refuses_a_taken_id(repository: People, database: Any, migrated: bool, layout: Layout) -> None:
    """`AlreadyExists`, whether V2 knows the entity yet or not; it stays as it is, and clean or unknown in V2."""
    await database["v1"].insert_one(ada_v1())
    if migrated:
        await repository.get(1)
    with pytest.raises(AlreadyExists) as caught:
        await repository.insert(ada(age=1))
    assert caught.value.id == 1
    assert await layout.find_v1(database) == [ada_v1()]
    assert await repository.get(1) == ada()
    async for stored in database["v2"].find():
        rev = stored[META]["rev"]
        assert stored[META] == {"rev": rev, "intent": rev, "by": "read" if migrated else "write"}


async def test_an_entity_can_be_inserted_again_after_its_delete(
    repository: People, database: Any, layout: Layout
) -> None:
    """Insert, delete, insert: the second life is at a higher revision and shows nothing of the first."""
    await repository.insert(ada(note="first life"))
    first = await layout.find_revision(database, 1)
    await repository.delete(1)
    assert await repository.get(1) is None
    await repository.insert(ada(age=None))
    assert await repository.get(1) == ada(age=None)
    second = await layout.find_revision(database, 1)
    assert second != first
    # Without a tombstone, the second life's revision is drawn.
    assert second > first or layout is Layout.ONE or repository.phase is Phase.V1_ONLY


@pytest.mark.parametrize("migrated", [False, True])
async def test_update_changes_both_shapes(repository: People, database: Any, migrated: bool, layout: Layout) -> None:
    """The new entity stands in both shapes at one revision, whether V2 knew the entity before or not."""
    await database["v1"].insert_one(ada_v1())
    if migrated:
        await repository.get(1)
    assert await repository.update(1, lambda person: evolve(person, last="King", note="n")) == ada(
        last="King", note="n"
    )
    name = "Ada Lovelace" if repository.phase is Phase.V2_ONLY else "Ada King"
    assert await layout.find_v1(database) == [ada_v1(name=name)]
    if repository.phase in (Phase.V1_ONLY, Phase.PREPARE):
        return
    assert await layout.find_bodies(database) == {1: body(ada(last="King", note="n"))}
    assert await layout.find_bringers(database) == {1: "read" if migrated else "write"}
    await layout.assert_written(database, 1, 1)
    if layout is Layout.TWO:
        assert (await database["v2"].find_one({"_id": 1}))[META].items() >= {"rev": 1, "intent": 1}.items()
    if layout is Layout.ONE or repository.phase is Phase.COEXIST:
        assert await repository.get(1) == ada(last="King", note="n")


async def test_update_takes_an_async_change(repository: People, database: Any) -> None:
    """`change` may be a coroutine function."""
    await database["v1"].insert_one(ada_v1())

    async def older(person: PersonV2) -> PersonV2:
        await asyncio.sleep(0)
        return evolve(person, age=37)

    assert await repository.update(1, older) == ada(age=37)
    assert (await database["v1"].find_one({"_id": 1}))["age"] == 37


async def test_update_replace_and_delete_of_a_missing_entity(repository: People, database: Any) -> None:
    """`NotFound`, with the id, and V1 holds nothing for it."""
    for write in (lambda: repository.update(1, lambda person: person), lambda: repository.delete(1)):
        with pytest.raises(NotFound) as caught:
            await write()
        assert caught.value.id == 1
    with pytest.raises(NotFound):
        await repository.replace(ada())
    assert await database["v1"].count_documents({}) == 0
    assert await repository.get(1) is None
    await repository.insert(ada())
    assert await repository.get(1) == ada()


async def test_whatever_change_raises_comes_through_and_nothing_was_written(
    repository: People, database: Any, layout: Layout
) -> None:
    """The change's own exception; V1 stays byte for byte, and the next read is right."""
    await database["v1"].insert_one(ada_v1())
    await repository.get(1)

    def refuse(person: PersonV2) -> PersonV2:
        raise PermissionError("not yours")

    with pytest.raises(PermissionError, match="not yours"):
        await repository.update(1, refuse)
    assert await layout.find_v1(database) == [ada_v1()]
    assert await repository.get(1) == ada()


@pytest.mark.parametrize("change", [lambda person: None, lambda person: person.id], ids=["None", "another class"])
async def test_a_change_must_return_the_entity(repository: People, database: Any, change: Any, layout: Layout) -> None:
    """The error names what to return, and nothing was written."""
    await database["v1"].insert_one(ada_v1())
    with pytest.raises(TypeError, match="return the changed PersonV2"):
        await repository.update(1, change)
    assert await layout.find_v1(database) == [ada_v1()]


async def test_a_change_must_keep_the_id(repository: People, database: Any, layout: Layout) -> None:
    """An entity keeps its id for life."""
    await database["v1"].insert_one(ada_v1())
    with pytest.raises(ValueError, match="keeps its id"):
        await repository.update(1, lambda person: evolve(person, id=2))
    assert await layout.find_v1(database) == [ada_v1()]


async def test_replace_puts_an_entity_in_the_place_of_the_stored_one(
    repository: People, database: Any, layout: Layout
) -> None:
    """The last write wins, yet V1 and V2 agree."""
    await database["v1"].insert_one(ada_v1())
    other = PersonV2(1, "Grace", "Hopper", None, [], "navy")
    assert await repository.replace(other) == other
    name = "Ada Lovelace" if repository.phase is Phase.V2_ONLY else "Grace Hopper"
    assert await layout.find_v1(database) == [ada_v1(name=name, age=None, tags=[])]
    if repository.phase not in (Phase.V1_ONLY, Phase.PREPARE):
        assert (layout is Layout.TWO and repository.phase is Phase.SHADOW) or await repository.get(1) == other
        assert await layout.find_bodies(database) == {1: body(other)}
        await layout.assert_written(database, 1, 1)


@pytest.mark.parametrize("migrated", [False, True])
async def test_delete_deletes_from_both(repository: People, database: Any, migrated: bool, layout: Layout) -> None:
    """V1 holds nothing afterwards; V2's own collection holds a tombstone without a body, for reads in flight."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    if migrated:
        await repository.get(1)
    await repository.delete(1)
    assert await layout.find_v1(database) == [ada_v1(2)]
    assert await repository.get(1) is None
    if layout is Layout.TWO and repository.phase is Phase.COEXIST:
        (tombstone,) = await database["v2"].find().to_list(None)
        assert set(tombstone) == {"_id", META}
        assert tombstone[META]["gone"] is True
    with pytest.raises(NotFound):
        await repository.delete(1)


async def test_a_field_that_vanishes_from_v1s_shape_is_unset(
    database: Any, phase: Phase, open_repository: Any, layout: Layout
) -> None:
    """With a converter that leaves fields out, V1's document loses them when the entity does."""
    from cattrs.gen import make_dict_unstructure_fn

    from lazymig import make_converter

    sparse = make_converter()
    sparse.register_unstructure_hook(PersonV1, make_dict_unstructure_fn(PersonV1, sparse, _cattrs_omit_if_default=True))
    repository = open_repository(database, phase=phase, migration=people(v1_converter=sparse))
    await database["v1"].insert_one(ada_v1())
    await repository.update(1, lambda person: evolve(person, age=None))
    expected = ada_v1()
    if phase is Phase.V2_ONLY:
        expected["age"] = None  # both shapes share the field, and V2's converter stores it
    else:
        del expected["age"]
    assert await layout.find_v1(database) == [expected]


async def test_unknown_v1_fields_survive_every_write(repository: People, database: Any, layout: Layout) -> None:
    """A field that no class knows stays as it is, in value, type and place, through every kind of write."""
    unknown = {"shoe_size": 38, "deep": {"b": 1, "a": [{}]}}
    await database["v1"].insert_one(ada_v1() | unknown)
    view = repository.v1
    writes: list[Callable[[], Any]] = [
        lambda: repository.update(1, lambda person: evolve(person, age=1)),
        lambda: view.update(1, lambda person: evolve(person, age=2)),
        lambda: repository.replace(ada(age=3)),
        lambda: view.replace(PersonV1(1, "Ada Byron", 4)),
        lambda: repository.update(1, lambda person: person),
    ]
    for number, write in enumerate(writes, 1):
        await write()
        (stored,) = await layout.find_v1(database)
        assert {key: stored[key] for key in unknown} == unknown
        assert list(stored) == ["_id", "name", "age", "tags", "shoe_size", "deep"]
        await layout.assert_written(database, 1, number)
    assert stored["name"] == "Ada Lovelace" if repository.phase is Phase.V2_ONLY else "Ada Byron"
    assert await repository.get(1) == ada(last="Byron", age=4, tags=[])


async def test_fields_that_did_not_change_stay_byte_for_byte(
    server_database: Any, open_repository: Any, layout: Layout
) -> None:
    """An update writes what it changes and nothing else, even where the conversions would spell it differently."""
    repository = open_repository(server_database)
    # A double where ints are usual, in an order of fields that nobody chose.
    await server_database["v1"].insert_one(
        {"tags": ["b", "a"], "_id": 1, "age": bson.Int64(36), "name": "Ada Lovelace"}
    )
    await repository.update(1, lambda person: evolve(person, last="King"))
    raw = server_database["v1"].with_options(
        codec_options=bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    )
    stored = await raw.find_one({"_id": 1})
    expected = {"_id": 1, "tags": ["b", "a"], "age": bson.Int64(36), "name": "Ada King"}
    # V2's own fields come behind them, in an order that means nothing.
    before = stored.raw if layout is Layout.TWO else bson.encode(dict(list(stored.items())[:4]))
    assert before == bson.encode(expected | ({REV: 1} if layout is Layout.TWO else {}))


async def test_a_unique_index_of_v1_refuses_a_write(repository: People, database: Any, phase: Phase) -> None:
    """The driver's `DuplicateKeyError`, on insert and update alike; nothing was written, and the next read is right."""
    await database["v1"].create_index("name", unique=True)
    await database["v1"].insert_many([ada_v1(1), ada_v1(2, name="Grace Hopper")])
    await repository.get_many([1, 2])
    if phase is Phase.V2_ONLY:
        await repository.insert(ada(3))  # V1's name is not stored any more
        await repository.update(2, lambda person: evolve(person, first="Ada", last="Lovelace"))
        assert await repository.get_many([1, 2, 3]) == {id: ada(id) for id in (1, 2, 3)}
        return
    with pytest.raises(DuplicateKeyError):
        await repository.insert(ada(3))
    with pytest.raises(DuplicateKeyError):
        await repository.update(2, lambda person: evolve(person, first="Ada", last="Lovelace"))
    assert await repository.get_many([1, 2, 3]) == {1: ada(1), 2: ada(2, first="Grace", last="Hopper")}
    assert await repository.get(3) is None
    assert await database["v1"].count_documents({}) == 2


@TWO_COLLECTIONS
@COEXIST_ONLY
async def test_a_unique_index_of_v2_leaves_the_write_with_v1(repository: People, database: Any) -> None:
    """V1 has the write, V2 stays dirty, reads come from V1, and the refusal is counted."""
    await database["v2"].create_index("last", unique=True, sparse=True)
    await database["v1"].insert_many([ada_v1(1), ada_v1(2, name="Grace Hopper")])
    await repository.get_many([1, 2])
    changed = await repository.update(2, lambda person: evolve(person, last="Lovelace"))
    assert await repository.get(2) == changed == ada(2, first="Grace")
    assert (await database["v1"].find_one({"_id": 2}))["name"] == "Grace Lovelace"
    stored = await database["v2"].find_one({"_id": 2})
    assert (stored["last"], stored[META]["rev"], stored[META]["intent"]) == ("Hopper", 0, 1)
    assert repository.tally.counts["lazymig.refused"] >= 1


@ONE_DOCUMENT
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY], ids=str)
async def test_a_unique_index_of_v2s_fields_refuses_a_write(repository: People, database: Any) -> None:
    """One statement stores both shapes: the driver's `DuplicateKeyError`, nothing was written, reads stay right."""
    await database["v1"].create_index("last", unique=True, sparse=True)
    await database["v1"].insert_many([ada_v1(1), ada_v1(2, name="Grace Hopper")])
    await repository.get_many([1, 2])
    before = await database["v1"].find().to_list(None)
    with pytest.raises(DuplicateKeyError):
        await repository.update(2, lambda person: evolve(person, last="Lovelace"))
    with pytest.raises(DuplicateKeyError):
        await repository.insert(ada(3))
    assert await database["v1"].find().to_list(None) == before
    assert await repository.get_many([1, 2, 3]) == {1: ada(1), 2: ada(2, first="Grace", last="Hopper")}


@COEXIST_ONLY
async def test_a_unique_index_of_v2_leaves_a_first_read_with_v1(
    repository: People, database: Any, layout: Layout
) -> None:
    """The entity is answered although V2 will not have it, alone and among many."""
    await database["v2" if layout is Layout.TWO else "v1"].create_index("last", unique=True, sparse=True)
    await database["v1"].insert_many([ada_v1(1), ada_v1(2), ada_v1(3)])
    assert [await repository.get(id) for id in (1, 2)] == [ada(1), ada(2)]
    assert await repository.get_many([1, 2, 3]) == {1: ada(1), 2: ada(2), 3: ada(3)}
    assert list(await layout.find_bodies(database)) == [1]
    assert repository.tally.counts == {"lazymig.migrated": 1, "lazymig.refused": 3}


async def test_a_document_that_does_not_convert_is_left_untouched(
    repository: People, database: Any, layout: Layout
) -> None:
    """`ConversionError` for every call that needs it; V1 stays byte for byte, V2 gets no body."""
    bad = ada_v1(name="Plato")
    await database["v1"].insert_one(bad)
    calls: list[Callable[[], Any]] = [
        lambda: repository.get(1),
        lambda: repository.update(1, lambda person: person),
        lambda: repository.v1.update(1, lambda person: evolve(person, age=1)),
    ]
    for call in calls:
        with pytest.raises(ConversionError) as caught:
            await call()
        assert (caught.value.id, caught.value.direction) == (1, "upgrade")
    assert await database["v1"].find().to_list(None) == [bad]
    assert await layout.find_bodies(database) == {}


async def test_a_document_that_does_not_convert_can_be_deleted(repository: People, database: Any) -> None:
    """Deleting converts nothing."""
    await database["v1"].insert_one(ada_v1(name="Plato"))
    await repository.delete(1)
    assert await database["v1"].count_documents({}) == 0
    assert await repository.get(1) is None


async def test_a_downgrade_that_looks_at_v1_gets_the_present_entity(
    database: Any, phase: Phase, open_repository: Any, layout: Layout
) -> None:
    """`f(v2, current_v1)` sees what stands in V1 on update, and None on insert."""

    def join_beside(v2: PersonV2, current: PersonV1 | None) -> PersonV1:
        return evolve(join(v2), name=current.name if current else f"new {v2.last}")

    repository = open_repository(database, phase=phase, migration=people(downgrade=join_beside))
    await database["v1"].insert_one(ada_v1())
    await repository.get(1)
    await repository.update(1, lambda person: evolve(person, age=99, last="King"))
    assert await layout.find_v1(database) == [ada_v1(age=99)]
    await repository.insert(ada(2, age=50))
    name = (await database["v1"].find_one({"_id": 2})).get("name")
    assert name == (None if phase is Phase.V2_ONLY else "new Lovelace")


@ONE_DOCUMENT
async def test_a_conversion_may_not_change_what_both_shapes_share(
    database: Any, phase: Phase, open_repository: Any
) -> None:
    """It would be read back as another entity: the error says what to do, and nothing is written."""
    repository = open_repository(database, phase=phase, migration=people(downgrade=join_on))
    await database["v1"].insert_one(ada_v1())
    await repository.get(1)
    before = await database["v1"].find().to_list(None)
    if phase in (Phase.V1_ONLY, Phase.V2_ONLY):  # which store one shape alone
        await repository.update(1, lambda person: evolve(person, age=99))
        assert await repository.get(1) == ada(age=36 if phase is Phase.V1_ONLY else 99)
        return
    with pytest.raises(ConversionError, match=r"both shapes share this field.*v2_within") as caught:
        await repository.update(1, lambda person: evolve(person, age=99))
    assert (caught.value.id, caught.value.path) == (1, "age")
    assert "99" not in str(caught.value)
    assert await database["v1"].find().to_list(None) == before


@COEXIST_ONLY
async def test_what_only_v2_has_survives_a_write_in_v1s_shape(repository: People, database: Any) -> None:
    """`upgrade` gets the previous V2 entity, so a V1 client's write does not wipe the note."""
    await repository.insert(ada(note="kept"))
    await repository.v1.update(1, lambda person: evolve(person, age=40))
    assert await repository.get(1) == ada(age=40, note="kept")


async def test_concurrent_updates_are_all_counted(repository: People, database: Any, layout: Layout) -> None:
    """Ten increments at once, from two repositories, end in ten more: none is lost."""
    await database["v1"].insert_one(ada_v1(age=0))
    other = layout.open(database, repository.migration, phase=repository.phase)
    doors = [repository, other] * 5
    await asyncio.gather(*(door.update(1, lambda person: evolve(person, age=person.age + 1)) for door in doors))
    assert await repository.get(1) == ada(age=10)
    assert (await database["v1"].find_one({"_id": 1}))["age"] == 10


@TWO_COLLECTIONS
async def test_a_write_behind_body_is_there_after_the_with_statement(database: Any, open_repository: Any) -> None:
    """`async with repo` drains what is still behind."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    async with open_repository(database, write_behind=True) as repository:
        assert await repository.get(1) == ada(1)
        await repository.update(2, lambda person: evolve(person, note="n"))
        await repository.insert(ada(3))
    stored = {row["_id"]: row async for row in database["v2"].find()}
    inserted = (await database["v1"].find_one({"_id": 3}))[REV]
    assert {id: (row["note"], row[META]) for id, row in stored.items()} == {
        1: (None, {"rev": 0, "intent": 0, "by": "read"}),
        2: ("n", {"rev": 1, "intent": 1, "by": "write"}),
        3: (None, {"rev": inserted, "intent": inserted, "by": "write"}),
    }


@ONE_DOCUMENT
async def test_what_reads_store_behind_is_there_after_the_with_statement(
    database: Any, open_repository: Any, layout: Layout
) -> None:
    """Reads do not wait for it; writes of this process do, so that both are acknowledged at their first attempt."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2), ada_v1(3)])
    async with open_repository(database, write_behind=True) as repository:
        assert await repository.get(1) == ada(1)
        assert await repository.get(2) == ada(2)
        await repository.update(2, lambda person: evolve(person, note="n"))
        await repository.insert(ada(4))
    expected = {1: body(ada(1)), 2: body(ada(2, note="n")), 4: body(ada(4))}
    assert await layout.find_bodies(database) == expected
    assert repository.tally.counts == {"lazymig.migrated": 2}


@TWO_COLLECTIONS
async def test_a_checked_read_lets_v1_win_and_heals(database: Any, open_repository: Any) -> None:
    """What a client changed behind lazymig's back is answered, and V2 agrees afterwards."""
    repository = open_repository(database, checked=True)
    await database["v1"].insert_one(ada_v1())
    await repository.get(1)
    await repository.update(1, lambda person: evolve(person, note="n"))
    await database["v1"].update_one({"_id": 1}, {"$set": {"age": 99}})
    assert await repository.get(1) == ada(age=99, note="n")
    assert repository.tally.counts["lazymig.mismatched"] == 1
    assert await open_repository(database).get(1) == ada(age=99, note="n")
    assert await repository.get_many([1]) == {1: ada(age=99, note="n")}
    assert repository.tally.counts["lazymig.mismatched"] == 1


@TWO_COLLECTIONS
async def test_a_checked_read_notices_a_dropped_revision(database: Any, open_repository: Any) -> None:
    """A client that replaces the whole V1 document drops its revision; V1's content wins all the same, and heals."""
    repository = open_repository(database, checked=True)
    await repository.insert(ada())
    await database["v1"].replace_one({"_id": 1}, ada_v1(age=99))
    assert await repository.get(1) == ada(age=99)
    assert await open_repository(database).get(1) == ada(age=99)


@TWO_COLLECTIONS
async def test_a_checked_read_notices_a_delete(database: Any, open_repository: Any) -> None:
    """An entity that another client deleted from V1 is gone."""
    repository = open_repository(database, checked=True)
    await repository.insert(ada())
    await database["v1"].delete_one({"_id": 1})
    assert await repository.get(1) is None
    assert await repository.exists(1) is False
    assert await repository.get_many([1]) == {}


@TWO_COLLECTIONS
async def test_the_next_write_finds_what_a_client_outside_changed(database: Any, open_repository: Any) -> None:
    """A replaced V1 document without a revision: V1's content wins, and the new revision is above V2's."""
    repository = open_repository(database)
    await repository.insert(ada())
    await repository.update(1, lambda person: evolve(person, age=5))
    await database["v1"].replace_one({"_id": 1}, ada_v1(age=99))
    assert (await repository.update(1, lambda person: evolve(person, last="King"))).age == 99
    v1, v2 = await database["v1"].find_one({"_id": 1}), await database["v2"].find_one({"_id": 1})
    assert (v1["name"], v1["age"], v1["shoe_size"]) == ("Ada King", 99, 38)
    assert v2[META] == {"rev": v1[REV], "intent": v1[REV], "by": "write"}
    assert v1[REV] > 2


async def test_a_linearizable_repository_reads_and_writes(server_database: Any, open_repository: Any) -> None:
    """`read_concern="linearizable"` serves every call."""
    repository = open_repository(server_database, read_concern="linearizable")
    await server_database["v1"].insert_one(ada_v1())
    assert await repository.get(1) == ada()
    await repository.update(1, lambda person: evolve(person, age=1))
    assert await repository.get(1) == ada(age=1)
