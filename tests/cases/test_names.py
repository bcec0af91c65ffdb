"""Under which names fields are stored: written right at every level, or refused when the migration is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import bson
import pytest
from attrs import evolve, field, frozen, make_class
from bson import DBRef, ObjectId
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.gen.typeddicts import make_dict_structure_fn as typed_dict_structure_fn
from cattrs.gen.typeddicts import make_dict_unstructure_fn as typed_dict_unstructure_fn
from cattrs.strategies import include_subclasses

from lazymig import ConfigurationError, ConversionError, Migration, Phase, Repository, Sweeper, make_converter

#: Names that no path of an update can name, and those that mean something to the server or to lazymig.
NO_STEPS = ["e.mail", ".", "a.", "$name", "$", "$set", "a.$b", ""]
ODD = [*NO_STEPS, "a$b", "0", "_id", "$ref", "$id", "$literal", "$$ROOT", "_lazymig", "é", " "]


@frozen
class Card:
    mail: str
    phone: int = 0


class Row(TypedDict):
    mail: str
    phone: int


@dataclass
class Plain:
    mail: str
    phone: int = 0


@frozen
class Person:
    id: int
    mail: Any
    name: str = "x"


def renamed(cls: Any, own: Converter | None = None, **names: str) -> Converter:
    """A converter that stores the attributes of a class under these names."""
    own = own or make_converter()
    overrides: dict[str, Any] = {name: override(rename=stored) for name, stored in names.items()}
    if cls is Row:
        own.register_structure_hook(cls, typed_dict_structure_fn(cls, own, **overrides))
        own.register_unstructure_hook(cls, typed_dict_unstructure_fn(cls, own, **overrides))
    else:
        own.register_structure_hook(cls, make_dict_structure_fn(cls, own, **overrides))
        own.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, own, **overrides))
    return own


def itself(cls: Any, own: Converter | None = None, **changed: Any) -> Migration[Any, Any]:
    """A migration of a class to itself, with the converter on both sides."""
    same: dict[str, Any] = {"upgrade": lambda v1: v1, "downgrade": lambda v2: v2}
    return Migration(**{"name": "m", "v1": cls, "v2": cls, "v1_converter": own, "v2_converter": own} | same | changed)


def opened(database: Any, migration: Migration[Any, Any]) -> Repository[Any, Any]:
    """A repository on the database's collections."""
    return Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)


@pytest.mark.parametrize("side", ["v1", "v2"])
@pytest.mark.parametrize("name", [*NO_STEPS, "a\0b", "_id", "_lazymig", "_lazymig_rev", "_lazymig2"])
def test_case_5_a_field_at_the_top_under_a_name_that_is_no_step_is_refused(name: str, side: str) -> None:
    """The migration is not built; the error names the field, its stored name, and what to do."""
    both: dict[str, Any] = {"v1_converter": None, "v2_converter": None}
    own = renamed(Person, mail=name)
    with pytest.raises(ConfigurationError, match=rf"{side}: Person\.mail is stored as .*rename it"):
        itself(Person, **both | {f"{side}_converter": own})


def test_case_5_an_alias_counts_as_the_stored_name() -> None:
    """Where a converter stores fields by their aliases, of one class or of all."""
    aliased = make_class("Aliased", {"id": field(type=int), "mail": field(type=str, alias="_id")})
    itself(aliased)
    one = make_converter()
    one.register_structure_hook(aliased, make_dict_structure_fn(aliased, one, _cattrs_use_alias=True))
    one.register_unstructure_hook(aliased, make_dict_unstructure_fn(aliased, one, _cattrs_use_alias=True))
    for own in (one, Converter(use_alias=True)):
        with pytest.raises(ConfigurationError, match=r"Aliased\.mail is stored as '_id'"):
            itself(aliased, own)


@pytest.mark.parametrize("name", NO_STEPS)
async def test_case_5_a_hook_that_writes_such_a_name_is_refused_at_every_write(server_database: Any, name: str) -> None:
    """`ConversionError` before anything is announced: what a user's own function writes cannot be known earlier."""
    own = make_converter()
    own.register_unstructure_hook(Person, lambda one: {"id": one.id, name: one.mail, "name": one.name})
    own.register_structure_hook(Person, lambda document, _: Person(document["_id"], document[name], document["name"]))
    repo = opened(server_database, itself(Person, own))
    for call in (repo.insert, repo.replace, repo.v1.insert, repo.v1.replace):
        with pytest.raises(ConversionError) as caught:
            await call(Person(1, "a"))
        assert "reserved name" in str(caught.value.cause)
    assert [await server_database[one].find_one() for one in ("v1", "v2")] == [None, None]


async def see(repo: Repository[Any, Any], database: Any, first: Any, second: Any, stored: Callable[[Any], Any]) -> None:
    """Bring two values through every write of both doors and a sweep, and look at both collections after each."""
    cls = repo.migration.v2

    async def stands(value: Any) -> None:
        for side in ("v1", "v2"):
            assert (await database[side].find_one({"_id": 1}))["mail"] == stored(value), side
        assert (await repo.get(1)).mail == (await repo.v1.get(1)).mail == value

    await repo.insert(cls(1, first))
    await stands(first)
    await repo.update(1, lambda one: evolve(one, mail=second))
    await stands(second)
    await repo.v1.update(1, lambda one: evolve(one, mail=first))
    await stands(first)
    await repo.replace(cls(1, second))
    await stands(second)
    await repo.v1.replace(cls(1, first))
    await stands(first)
    await repo.update(1, lambda one: evolve(one, name="other"))
    await stands(first)
    await database["v2"].drop()
    assert (await Sweeper(repo).run()).migrated == 1
    await stands(first)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((Card, name) for name in ODD),
        *((kind, name) for kind in (Row, Plain) for name in ("e.mail", "$name", "", "$ref")),
    ],
    ids=str,
)
async def test_case_5_below_the_top_every_name_is_written_as_it_is(server_database: Any, name: str, kind: Any) -> None:
    """In attrs classes, TypedDicts and dataclasses, in a list too; a path is never made of such a name."""
    cls = make_class(
        "Holder", {"id": field(type=int), "mail": field(type=dict[str, list[kind] | kind]), "name": field(default="x")}
    )
    repo = opened(server_database, itself(cls, renamed(kind, mail=name)))
    make: Any = (lambda mail, phone: {"mail": mail, "phone": phone}) if kind is Row else kind
    first = {"one": make("a", 1), "many": [make("b", 2)]}
    second = {"one": make("a", 2), "many": [make("c", 2), make("d", 3)], "more": make("e", 1)}

    def stored(value: Any) -> Any:
        if isinstance(value, list):
            return [stored(one) for one in value]
        if isinstance(value, kind if kind is not Row else dict) and (kind is not Row or "phone" in value):
            mail, phone = (value["mail"], value["phone"]) if kind is Row else (value.mail, value.phone)
            return {name: mail, "phone": phone}
        return {key: stored(one) for key, one in value.items()}

    await see(repo, server_database, first, second, stored)


@pytest.mark.parametrize("key", ODD)
async def test_case_5_keys_that_are_data_are_written_as_they_are(server_database: Any, key: str) -> None:
    """At every level of a mapping, beside other keys and alone, changed whole and in part."""
    cls = make_class(
        "Holder", {"id": field(type=int), "mail": field(type=dict[str, Any]), "name": field(type=str, default="x")}
    )
    repo = opened(server_database, itself(cls))
    first = {"plain": {key: {"z": 1, key: 2}}, key: 1, "list": [{key: 1}]}
    second = {"plain": {key: {"z": 1, key: 3}}, key: 2, "list": [{key: {key: {}}}]}
    await see(repo, server_database, first, second, lambda value: value)


@pytest.mark.parametrize("inner", [{"a\0b": 1}, {"$ref": "x", "$id": 1}, {"$id": 1, "$ref": "x", "more": 2}], ids=repr)
async def test_case_5_keys_that_bson_or_the_driver_takes_for_another_thing_are_refused(
    server_database: Any, inner: Any
) -> None:
    """A NUL ends a key, and the driver makes a `DBRef` of `$ref` beside `$id`: neither is written."""
    repo = opened(server_database, itself(Person))
    for call in (repo.insert, repo.v1.insert):
        with pytest.raises(ConversionError):
            await call(Person(1, {"deep": [inner]}))
    assert [await server_database[one].find_one() for one in ("v1", "v2")] == [None, None]
    await repo.insert(Person(2, DBRef("x", 1)))
    assert (await repo.get(2)).mail == DBRef("x", 1)


def test_case_5_such_names_of_a_nested_class_are_refused_when_built() -> None:
    """A NUL, `$ref` beside `$id`, and two attributes under one name."""
    cls = make_class("Holder", {"id": field(type=int), "cards": field(type=list[Card])})
    for names in ({"mail": "a\0"}, {"mail": "$ref", "phone": "$id"}):
        with pytest.raises(ConfigurationError, match=r"Holder\.cards: stored names cannot contain NUL"):
            itself(cls, renamed(Card, **names))
    with pytest.raises(ConfigurationError, match=r"Holder\.cards: mail and phone are both stored as 'phone'"):
        itself(cls, renamed(Card, mail="phone"))


@pytest.mark.parametrize("key", ODD)
async def test_case_5_a_pipeline_keeps_every_name_below_the_top(server_database: Any, key: str) -> None:
    """A body that is brought as one literal is stored byte for byte: V2's exact bodies rest on that."""
    body = {"mail": {key: 1, "list": [{key: {key: "$name", "z": "$$ROOT"}}]}, "name": "$_id"}
    whole = {"$mergeObjects": [{"_id": "$_id"}, {"$literal": body}, {"_lazymig": {"rev": 2}}]}
    for before in ({}, {"mail": {"old": 1}, "older": 2}):
        await server_database["v2"].replace_one({"_id": 1}, before, upsert=True)
        await server_database["v2"].update_one({"_id": 1}, [{"$replaceWith": whole}])
        found = await server_database["v2"].find_one()
        assert bson.encode(found) == bson.encode({"_id": 1, **body, "_lazymig": {"rev": 2}})


@frozen
class Tweet:
    id: ObjectId
    tweet_id: str
    text: str = ""


OID = ObjectId("0123456789abcdef01234567")


def test_case_8_two_fields_under_the_name_of_the_id_are_refused() -> None:
    """What is stored as `id`, where the id is called so; and any two fields under one name."""
    with pytest.raises(ConfigurationError, match=r"v1: Tweet: id and tweet_id are both stored as 'id'; rename one"):
        itself(Tweet, renamed(Tweet, tweet_id="id"))
    with pytest.raises(ConfigurationError, match=r"tweet_id and text are both stored as 'text'"):
        itself(Tweet, renamed(Tweet, tweet_id="text"))
    with pytest.raises(ConfigurationError, match=r"Tweet\.tweet_id is stored as '_id'"):
        itself(Tweet, renamed(Tweet, tweet_id="_id"))
    underscore = make_class("Underscore", {"id": field(type=int), "_id": field(type=int, alias="other")})
    with pytest.raises(ConfigurationError, match=r"Underscore\._id uses a reserved name"):
        itself(underscore)


async def test_case_8_a_field_stored_as_id_works_where_the_id_is_stored_as_underscore_id(server_database: Any) -> None:
    """Reads give its own value through both doors, and updates reach V1."""
    repo = opened(server_database, itself(Tweet, renamed(Tweet, id="_id", tweet_id="id")))
    await server_database["v1"].insert_one({"_id": OID, "id": "77", "text": "x"})
    assert await repo.get(OID) == await repo.v1.get(OID) == Tweet(OID, "77", "x")
    await repo.update(OID, lambda one: evolve(one, tweet_id="78"))
    await repo.v1.update(OID, lambda one: evolve(one, text="y"))
    assert await repo.get(OID) == await repo.v1.get(OID) == Tweet(OID, "78", "y")
    await repo.insert(Tweet(ObjectId(), "79"))
    for side in ("v1", "v2"):
        assert {one["id"] for one in await server_database[side].find().to_list(None)} == {"78", "79"}


@frozen
class Note:
    id: ObjectId
    text: str


async def test_case_8_a_key_of_the_ids_name_that_no_class_knows_stays_in_v1(server_database: Any) -> None:
    """The id is `_id`, and the other is as unknown as any key."""
    repo = opened(server_database, itself(Note))
    await server_database["v1"].insert_one({"_id": OID, "id": "77", "text": "x"})
    await repo.update(OID, lambda one: evolve(one, text="y"))
    await repo.v1.update(OID, lambda one: evolve(one, text=one.text + "!"))
    assert await repo.get(OID) == await repo.v1.get(OID) == Note(OID, "y!")
    assert (await server_database["v1"].find_one())["id"] == "77"


async def test_case_8_the_id_may_be_an_attribute_of_that_very_name(server_database: Any) -> None:
    """`id_field="_id"` is as good as any, beside a field called `id`."""
    cls = make_class("Own", {"_id": field(type=int, alias="key"), "id": field(type=str)}, frozen=True)
    repo = opened(server_database, itself(cls, id_field="_id"))
    await repo.insert(cls(1, "a"))
    await repo.update(1, lambda one: evolve(one, id="b"))
    assert await repo.get(1) == await repo.v1.get(1) == cls(1, "b")
    assert (await server_database["v1"].find_one())["id"] == "b"


async def test_case_8_a_hook_of_ones_own_is_never_given_the_wrong_id(server_database: Any) -> None:
    """Where a document has both and only the hook knows which it wants, reads fail with what to do."""
    own = make_converter()
    own.register_structure_hook(Note, lambda document, _: Note(document["id"], document["text"]))
    repo = opened(server_database, itself(Note, own))
    other = ObjectId()
    await server_database["v1"].insert_many(
        [{"_id": OID, "id": "77", "text": "x"}, {"_id": other, "text": "y"}, {"_id": 5, "id": 5, "text": "z"}]
    )
    assert await repo.get(other) == Note(other, "y")
    with pytest.raises(ConversionError) as caught:
        await repo.v1.get(OID)
    assert "make_dict_structure_fn" in str(caught.value.cause)


@frozen
class Car:
    wheels: int


@frozen
class Truck(Car):
    load: int


@frozen
class Owner:
    id: int
    nick: str | None
    car: Car


def leaving_out() -> Converter:
    """Stores `nick` as `nickName` and leaves it out where it is None; a `Car` may be a `Truck`."""
    own = make_converter()
    include_subclasses(Car, own)
    plain = make_dict_unstructure_fn(Owner, own)

    def unstructure(owner: Owner) -> dict[str, Any]:
        document = plain(owner)
        nick = document.pop("nick")
        return document | ({} if nick is None else {"nickName": nick})

    own.register_unstructure_hook(Owner, unstructure)
    own.register_structure_hook(
        Owner,
        lambda document, _: Owner(document["id"], document.get("nickName"), own.structure(document["car"], Car)),
    )
    return own


async def test_case_6_what_a_hook_leaves_out_leaves_v1(server_database: Any) -> None:
    """The key goes with its value, and a Truck that becomes a Car keeps nothing of it, by either door."""
    repo = opened(server_database, itself(Owner, leaving_out()))
    used: list[Any] = [repo, repo.v1]
    for door in used:
        await door.insert(Owner(1, "Bob", Truck(6, 900)))
        await door.update(1, lambda one: evolve(one, nick=None, car=Car(4)))
        assert await repo.v1.get(1) == Owner(1, None, Car(4))
        stored = await server_database["v1"].find_one()
        assert {key: value for key, value in stored.items() if key[0] != "_"} == {"car": {"wheels": 4}}
        await door.delete(1)
