"""Writes that make V2's part of a document the truth, and the end of V1's: what they keep, hold, and refuse."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve, frozen
from cattrs import Converter

from lazymig import ConversionError, Migration, Phase, Repository, make_converter
from lazymig.protocol.in_place.composing import hold_v1
from lazymig.repository import calls_of
from lazymig.retiring.conditions import NotMet
from lazymig.stores.whole_counts import count_wholes
from tests.contract.test_retirement_in_place import CONFIRMED, begun, retirement
from tests.people import PersonV1, PersonV2, ada, ada_v1, people
from tests.whole_people import META, WITHIN, whole

on_both = pytest.mark.parametrize("driver", ["pymongo", "mock"])
on_server = pytest.mark.parametrize("driver", ["pymongo"])


@frozen
class Place:
    """What both shapes share: a sub-document."""

    city: str
    code: str = ""


@frozen
class HouseV1:
    """The old shape."""

    id: int
    line: str
    place: Place


@frozen
class HouseV2:
    """The new shape."""

    id: int
    street: str
    place: Place
    note: str = ""


@frozen
class LabelledV2:
    """Another design of the new shape."""

    id: int
    street: str
    place: Place
    label: str = ""


def houses(**changed: Any) -> Migration[HouseV1, Any]:
    """The migration."""
    return Migration(**{
        "name": "people", "v1": HouseV1, "v2": HouseV2, "upgrade": lambda v1: HouseV2(v1.id, v1.line, v1.place),
        "downgrade": lambda v2: HouseV1(v2.id, v2.street, v2.place),
    } | changed)  # fmt: skip


def opaque_v1() -> Converter:
    """A converter whose hook does not reveal which names it stores."""
    converter, plain = make_converter(), make_converter()
    converter.register_structure_hook(PersonV1, lambda document, cls: plain.structure(document, cls))
    converter.register_unstructure_hook(PersonV1, lambda person: dict(plain.unstructure(person)))
    return converter


def renaming_v2() -> Converter:
    """A converter whose hook stores V2's first name as `given`, and does not reveal it."""
    converter, plain, given = make_converter(), make_converter(), "".join(["gi", "ven"])

    def store(person: PersonV2) -> dict[str, Any]:
        stored = plain.unstructure(person)
        return {given if name == "first" else name: value for name, value in stored.items()}

    def read(document: dict[str, Any], cls: type[PersonV2]) -> PersonV2:
        return plain.structure({"first" if name == given else name: value for name, value in document.items()}, cls)

    converter.register_structure_hook(PersonV2, read)
    converter.register_unstructure_hook(PersonV2, store)
    return converter


async def put_house(database: Any, **place: Any) -> dict[str, Any]:
    """A house whose place has a field that no class knows."""
    inner = {"city": "Rome", "code": "1", "geo": [41, 12]} | place
    await database["people"].insert_one({"_id": 1, "line": "Corso", "place": inner})
    return inner


@on_both
async def test_what_no_class_knows_inside_a_shared_field_stays(database: Any) -> None:
    """A write of another field leaves it, and so does one of the shared field beside it, as V1's writes do."""
    inner = await put_house(database)
    repo: Repository[Any, HouseV2] = whole(database, Phase.V2_ONLY, migration=houses())
    for _ in range(2):  # the first write counts V1's part out
        await repo.update(1, lambda house: evolve(house, note=house.note + "x"))
        assert (await database["people"].find_one())["place"] == inner
    await repo.update(1, lambda house: evolve(house, place=evolve(house.place, city="Ostia")))
    stored = await database["people"].find_one()
    assert (stored["place"], stored["note"]) == (inner | {"city": "Ostia"}, "xx")


@on_both
async def test_the_end_of_v1s_fields_keeps_what_no_class_knows_inside_a_shared_field(database: Any) -> None:
    """Also of a document that must be converted for it."""
    inner = await put_house(database)
    await begun(database)
    assert (await retirement(database, migration=houses()).reduce(**CONFIRMED)).reduced == 1
    stored = await database["people"].find_one()
    stored.pop(META)
    assert stored == {"_id": 1, "street": "Corso", "place": inner, "note": ""}


@on_both
async def test_a_shared_field_that_v2_cannot_read_is_replaced(database: Any) -> None:
    """By what the caller stores: nothing of it is V2's."""
    await put_house(database)
    repo: Repository[Any, HouseV2] = whole(database, Phase.V2_ONLY, migration=houses())
    await repo.update(1, lambda house: house)
    await database["people"].update_one({"_id": 1}, {"$set": {"place": {"code": "no city"}}})
    await repo.replace(HouseV2(1, "Corso", Place("Ostia")))
    assert await repo.get(1) == HouseV2(1, "Corso", Place("Ostia"))
    assert (await database["people"].find_one())["place"] == {"city": "Ostia", "code": ""}


@on_server
async def test_a_large_shared_field_can_be_held(database: Any) -> None:
    """A write that leaves it does not send it twice, which a statement has no room for."""
    text = "x" * 9_000_000
    await database["people"].insert_one({"_id": 1, "line": "Corso", "place": {"city": text, "code": ""}})
    repo: Repository[Any, HouseV2] = whole(database, Phase.V2_ONLY, migration=houses())
    await repo.update(1, lambda house: evolve(house, note="x"))
    found = await repo.get(1)
    assert found is not None
    assert (found.place.city == text, found.note) == (True, "x")


@on_server
async def test_names_that_are_no_path_stop_no_write_and_stay(database: Any) -> None:
    """Where V1's converter hides its names, all count as V1's; a filter or an update could name others by these."""
    update = {"q": {"_id": 1}, "u": [{"$replaceWith": {"$setField": {"field": "a.b", "input": "$$ROOT", "value": 1}}}]}
    await database["people"].insert_one(ada_v1() | {"a": {"b": 2}})
    await database.command("update", "people", updates=[update])
    migration = people(v1_converter=opaque_v1(), **WITHIN)
    repo: Repository[Any, PersonV2] = whole(database, Phase.V2_ONLY, migration=migration)
    await repo.update(1, lambda person: evolve(person, note="x"))
    assert (await repo.get(1)) == ada(note="x")
    await begun(database)
    await retirement(database, migration=migration).reduce(**CONFIRMED)
    stored = await database["people"].find_one()
    assert (stored["note"], stored["a.b"], "a" in stored, "shoe_size" in stored) == ("x", 1, False, False)


@on_both
async def test_a_declared_field_that_is_missing_is_held_also_where_the_converter_hides_its_names(
    database: Any,
) -> None:
    """Another program that sets it meanwhile must win: from the first write on, V1's part is not read."""
    document = ada_v1()
    del document["age"]
    await database["people"].insert_one(document)
    repo: Repository[Any, PersonV2] = whole(
        database, Phase.V2_ONLY, migration=people(v1_converter=opaque_v1(), **WITHIN)
    )
    written = False

    async def change(person: PersonV2) -> PersonV2:
        nonlocal written
        if not written:
            written = True
            await database["people"].update_one({"_id": 1}, {"$set": {"age": 99}})
        return evolve(person, note="x")

    await repo.update(1, change)
    assert await repo.get(1) == ada(age=99, note="x")
    place = calls_of(repo).place
    assert place is not None
    stored = await place.store.find(1)
    assert stored is not None
    assert hold_v1(place, stored).keys() == {"name", "age", "tags", "shoe_size"}


@on_both
async def test_no_name_is_lifted_that_nobody_would_read(database: Any) -> None:
    """At the top only the class's names are V2's, so the end of V1's fields, and a new entity, refuse others."""
    migration = people(v2_converter=renaming_v2(), **WITHIN)
    repo: Repository[Any, PersonV2] = whole(database, Phase.V2_PRIMARY, migration=migration)
    await repo.insert(ada())
    before = await database["people"].find_one()
    await begun(database)
    with pytest.raises(NotMet, match="names: V2's converter stores 1 names"):
        await retirement(database, migration=migration).reduce(**CONFIRMED)
    assert await database["people"].find_one() == before
    finished: Migration[Any, PersonV2] = Migration.finished("people", v2=PersonV2, converter=renaming_v2())
    last = Repository.in_place(finished, database["others"], phase=Phase.V2_ONLY)
    with pytest.raises(ConversionError, match=r"field 'given'.*would be lost"):
        await last.insert(ada())
    assert not await database["others"].count_documents({})


@on_both
async def test_no_migration_trusts_what_another_one_has_left(database: Any) -> None:
    """Of an earlier design of V2, say, whose fields need not be there: what it lacks would be answered by defaults."""
    await put_house(database)
    assert await whole(database, Phase.COEXIST, migration=houses()).get(1) == HouseV2(1, "Corso", Place("Rome", "1"))
    again = houses(
        name="again", v2=LabelledV2, upgrade=lambda v1: LabelledV2(v1.id, v1.line, v1.place, f"{v1.line}!"),
    )  # fmt: skip
    second: Repository[Any, LabelledV2] = whole(database, Phase.COEXIST, migration=again)
    for _ in range(2):
        assert await second.get(1) == LabelledV2(1, "Corso", Place("Rome", "1"), "Corso!")
    assert await whole(database, Phase.COEXIST, migration=houses()).get(1) == HouseV2(1, "Corso", Place("Rome", "1"))


@frozen
class PersonV3:
    """What the next migration of the collection makes of V2."""

    id: int
    first: str
    last: str
    initials: str = "??"


@frozen
class PersonV2Then:
    """V2 as the next migration declares it, which calls it V1."""

    id: int
    first: str
    last: str


@on_both
@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY])
async def test_the_next_migration_takes_no_word_of_the_last_one(database: Any, phase: Phase) -> None:
    """A document that is V2's alone to one migration is V1's to the next, which converts it and keeps its own word."""
    await database["people"].insert_one(
        {"_id": 1, **{name: value for name, value in ada_v1(1).items() if name != "_id"}}
    )
    last = Repository.in_place(people(), database["people"], phase=Phase.V2_ONLY)
    await last.update(1, lambda person: evolve(person, first="Augusta"))
    stored = await database["people"].find_one({"_id": 1})
    assert stored[META]["alone"] == "people"

    following = Migration(
        name="initials", v1=PersonV2Then, v2=PersonV3,
        upgrade=lambda one: PersonV3(one.id, one.first, one.last, one.first[0] + one.last[0]),
        downgrade=lambda one: PersonV2Then(one.id, one.first, one.last),
    )  # fmt: skip
    repo = Repository.in_place(following, database["people"], phase=phase)
    counted = await count_wholes(calls_of(repo).place.store, "initials")  # type: ignore[union-attr]
    assert (counted.documents, counted.lacking, counted.alone) == (1, 1, 0)
    assert await repo.get(1) == PersonV3(1, "Augusta", "Lovelace", "AL")
    assert await repo.update(1, lambda one: evolve(one, last="King")) == PersonV3(1, "Augusta", "King", "AL")
    meta = (await database["people"].find_one({"_id": 1}))[META]
    assert meta.get("alone") == ("initials" if phase is Phase.V2_ONLY else None)
