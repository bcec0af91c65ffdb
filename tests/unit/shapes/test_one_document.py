"""How one document carries both shapes: whose each name is, the fingerprint of V1's part, and filters of V2's."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import attrs
import bson
import pydantic
import pytest
from attrs import frozen
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from mongomock_motor import AsyncMongoMockClient

from lazymig import ConfigurationError, Migration, Phase, Repository, make_converter, rename, upcasters
from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.fields import Rejected
from lazymig.shapes.one_document import OneDocument
from lazymig.shapes.sharing import share_document
from lazymig.stores.decoding import decode
from lazymig.stores.documents import META_FIELD, REVISION_FIELD
from lazymig.stores.keyset import Order
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.records import StoredWhole
from lazymig.stores.whole_documents import spell_whole
from tests.people import PersonV2, people

T = TypeVar("T")


def shape_of(v1: Any, v2: Any, **options: Any) -> OneDocument:
    """How one document carries these two classes."""
    migration: Migration[Any, Any] = Migration(
        name="m", v1=v1, v2=v2, upgrade=lambda one: one, downgrade=lambda one: one, **options
    )
    conversions = conversions_for(migration, v1_aware=False, v2_aware=False)
    return share_document(migration, conversions.v1, conversions.v2)


def shape(v1: str, **changed: Any) -> OneDocument:
    """A layout with these names of V1, one by each letter."""
    return OneDocument(tuple(sorted(v1)), **({"v2": frozenset("xy"), "shared": frozenset()} | changed))


# ---- names ----------------------------------------------------------------------------------------------------------


@frozen
class Old:
    id: int
    name: str
    age: int | None = None


@dataclasses.dataclass(frozen=True)
class New:
    id: int
    first: str
    age: int | None = None


class NewModel(pydantic.BaseModel):
    id: int
    first: str
    years: int | None = pydantic.Field(default=None, alias="age")


@pytest.mark.parametrize("new", [New, NewModel])
def test_what_both_classes_declare_alike_is_shared(new: Any) -> None:
    """By the stored name and the type, whatever library the classes are of; an alias is a stored name."""
    found = shape_of(Old, new)
    assert (found.v1, found.v2, found.shared) == (("age", "name"), {"first", "age"}, {"age"})
    assert found.v2_own == {"first"}


@frozen
class Renamed:
    id: int
    title: str
    age: int | None = None


rename(Renamed, title="name")


@frozen
class Typed:
    id: int
    name: str
    age: float | None = None


@frozen
class Inner:
    street: str


@frozen
class InnerToo:
    street: str
    city: str = ""


class Place(TypedDict):
    lat: float
    lon: NotRequired[float]


class PlaceToo(TypedDict):
    lat: float
    lon: NotRequired[float | None]


@frozen
class Placed:
    id: int
    place: Place | None


@frozen
class PlacedToo:
    id: int
    place: PlaceToo | None


@frozen
class Nested:
    id: int
    inner: Inner
    by_key: dict[str, list[Inner]] = attrs.Factory(dict)


@frozen
class NestedToo:
    id: int
    inner: InnerToo
    by_key: dict[str, list[Inner]] = attrs.Factory(dict)


@frozen
class DeepToo:
    id: int
    inner: Inner
    by_key: dict[str, list[InnerToo]] = attrs.Factory(dict)


@frozen
class Box(Generic[T]):
    id: int
    content: T


@frozen
class OfText(Box[str]):
    """A box whose content is text."""


@frozen
class OfNumber(Box[int]):
    """A box whose content is a number."""


@frozen
class Kind:
    id: int
    kind: Literal["a", "b"]


@frozen
class KindToo:
    id: int
    kind: Literal["a", "c"]


CONFLICTS = {
    "another type": (Old, Typed, "age"),
    "a field of a nested class": (Nested, NestedToo, "inner"),
    "a field of a class in a mapping of lists": (Nested, DeepToo, "by_key"),
    "another argument of a generic class": (OfText, OfNumber, "content"),
    "a key of a typed dictionary": (Placed, PlacedToo, "place"),
    "another literal": (Kind, KindToo, "kind"),
}


@pytest.mark.parametrize("kind", CONFLICTS)
def test_a_name_that_means_two_things_is_refused(kind: str) -> None:
    """The error names the field and both classes, and says what to do; in a sub-document it is no conflict."""
    v1, v2, name = CONFLICTS[kind]
    with pytest.raises(ConfigurationError, match=rf"{name}.*{v1.__name__} and {v2.__name__}.*v2_within") as caught:
        shape_of(v1, v2)
    assert "store one of them under another name" in str(caught.value)
    found = shape_of(v1, v2, v2_within="new")
    assert (found.shared, found.v2_own) == (frozenset(), {"new"})
    assert name in found.v2


@pytest.mark.parametrize(
    ("v1", "v2"), [(Old, Renamed), (Nested, Nested), (OfText, OfText), (Kind, Kind), (Placed, Placed)]
)
def test_a_type_that_is_the_same_throughout_is_shared(v1: Any, v2: Any) -> None:
    """Also where one class calls it otherwise, and in nested and generic classes."""
    found = shape_of(v1, v2)
    assert found.shared == found.v2 == frozenset(found.v1 or ())
    assert found.v2_own == frozenset()


def test_a_converters_own_names_count() -> None:
    """What a cattrs converter renames is known by its stored name."""
    converter = make_converter()
    names = {"first": override(rename="name"), "_cattrs_use_alias": False}
    converter.register_unstructure_hook(New, make_dict_unstructure_fn(New, converter, **names))
    converter.register_structure_hook(New, make_dict_structure_fn(New, converter, first=override(rename="name")))
    assert {"name", "age"} <= shape_of(New, New, v2_converter=converter, v2_within="x").v2
    with pytest.raises(ConfigurationError, match=r"'name' means two things|does not reveal"):
        shape_of(Old, New, v2_converter=converter)


@pytest.mark.parametrize("side", ["v1_converter", "v2_converter"])
def test_a_converter_that_hides_its_names_needs_a_sub_document(side: str) -> None:
    """Nobody could see whose a field is; with one, every field that is not V2's counts as V1's."""
    converter = make_converter()
    cls = Old if side == "v1_converter" else New
    converter.register_unstructure_hook(cls, attrs.asdict if cls is Old else dataclasses.asdict)
    converter.register_structure_hook(cls, lambda value, _: cls(**value))
    with pytest.raises(ConfigurationError, match=r"does not reveal the names.*v2_within"):
        shape_of(Old, New, **{side: converter})
    found = shape_of(Old, New, **{side: converter}, v2_within="new")
    if side == "v1_converter":
        assert found.v1 is None
        document = {"_id": 1, "name": "x", "other": 1, "new": {}, META_FIELD: {}, REVISION_FIELD: 3}
        same = {"other": 1, "name": "x"}
        assert found.fingerprint(document) == found.fingerprint(same) != found.fingerprint({"name": "x"})


def test_with_upcasters_every_field_counts_that_is_not_v2s() -> None:
    """Documents of older versions have fields that the class does not declare."""
    chain = upcasters({1: lambda document: document}, field="version")

    @frozen
    class Versioned:
        id: int
        name: str
        version: int = 2

    found = shape_of(Versioned, New, upcasters=chain)
    assert found.v1 is None
    one, other = {"full": "x", "first": "a"}, {"full": "y", "first": "a"}
    assert found.fingerprint(one) != found.fingerprint(other)
    assert found.fingerprint(one) == found.fingerprint(one | {"first": "b"})


@pytest.mark.parametrize("name", ["", "a.b", "$a", "_id", META_FIELD, REVISION_FIELD, "a\0b", "\ud800"], ids=repr)
def test_a_sub_document_needs_a_plain_name(name: str) -> None:
    """It says what to pass."""
    with pytest.raises(ConfigurationError, match=r"v2_within: pass a plain field name"):
        shape_of(Old, New, v2_within=name)


def test_a_sub_document_may_not_be_called_as_a_field_of_v1() -> None:
    """V1's class has it already."""
    with pytest.raises(ConfigurationError, match="v2_within: Old has a field 'name'; choose another name"):
        shape_of(Old, New, v2_within="name")


def test_a_finished_migration_has_v2s_names_only() -> None:
    """Nobody knows V1's any more."""
    migration = Migration.finished("people", v2=PersonV2)
    conversions = conversions_for(migration, v1_aware=False, v2_aware=False)
    found = share_document(migration, conversions.v1, conversions.v2)
    assert found.shared == found.v2 == {"first", "last", "age", "tags", "note"}


# ---- parts ----------------------------------------------------------------------------------------------------------

STORED = StoredWhole(
    1, 3, {"_id": 1, "a": 1, "s": 2, "x": 3, "other": 4, META_FIELD: spell_whole(3, b"")}, b"", known=True
)
PLAIN = OneDocument(("a", "s"), frozenset("sxy"), frozenset("s"))
WITHIN = OneDocument(("a", "s"), frozenset("sxy"), frozenset(), "v")


def test_each_part_has_its_fields() -> None:
    """V1's keeps what no class knows; V2's has only its own and what is shared."""
    assert PLAIN.v1_part(STORED.document) == {"_id": 1, "a": 1, "s": 2, "other": 4}
    assert PLAIN.v2_part(STORED) == {"_id": 1, "s": 2, "x": 3}
    inside = STORED._replace(document={"_id": 1, "a": 1, "s": 2, "v": {"s": 9, "x": 8}})
    assert WITHIN.v1_part(inside.document) == {"_id": 1, "a": 1, "s": 2}
    assert WITHIN.v2_part(inside) == {"_id": 1, "s": 9, "x": 8}
    assert WITHIN.v2_part(STORED._replace(lifted=True)) == {"_id": 1, "s": 2, "x": 3}
    for odd in (5, None, []):
        assert WITHIN.v2_part(inside._replace(document={"_id": 1, "v": odd})) == {"_id": 1}


def test_placing_a_body_leaves_what_is_shared_to_v1() -> None:
    """Its own fields are set, those that it no longer has are unset; in a sub-document it is stored whole."""
    assert PLAIN.place({"s": 5, "y": 6}, STORED) == ({"y": 6}, ["x"])
    assert PLAIN.place({"s": 5, "y": 6}, STORED, whole=True) == ({"s": 5, "y": 6}, ["x"])
    assert WITHIN.place({"s": 5, "y": 6}, STORED) == ({"v": {"s": 5, "y": 6}}, [])
    assert WITHIN.place({"s": 5, "y": 6}, STORED._replace(lifted=True)) == ({"s": 5, "y": 6}, ["x"])
    assert (PLAIN.remove(STORED), WITHIN.remove(STORED)) == (["x"], [])


def test_a_body_with_a_strange_name_is_refused() -> None:
    """It could be another program's field, but not within the sub-document."""
    WITHIN.check_names({"strange": 1})
    with pytest.raises(Rejected, match=r"does not declare.*v2_within") as caught:
        PLAIN.check_names({"x": 1, "strange": 1})
    assert caught.value.path == "strange"


# ---- filters --------------------------------------------------------------------------------------------------------

TRANSLATED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"x": 1}, {"v.x": 1}),
    ({"_id": 1, "x.y.0": 1}, {"_id": 1, "v.x.y.0": 1}),
    ({"_id.a": 1}, {"_id.a": 1}),
    ({"x": {"$not": {"$gt": 5}}}, {"v.x": {"$not": {"$gt": 5}}}),
    ({"x": {"$elemMatch": {"y": 1, "z": {"$lt": 2}}}}, {"v.x": {"$elemMatch": {"y": 1, "z": {"$lt": 2}}}}),
    ({"x": {"$in": [{"$or": 1}]}}, {"v.x": {"$in": [{"$or": 1}]}}),
    (
        {"$or": [{"x": 1}, {"$and": ({"y": 2}, {"$nor": [{"_id": 3}]})}], "$comment": "why"},
        {"$or": [{"v.x": 1}, {"$and": [{"v.y": 2}, {"$nor": [{"_id": 3}]}]}], "$comment": "why"},
    ),
    ({"$or": "what the server refuses"}, {"$or": "what the server refuses"}),
]


@pytest.mark.parametrize(("given", "expected"), TRANSLATED[:-1], ids=repr)
def test_a_filter_is_asked_of_the_sub_document(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """Paths get its name, at any depth of $and, $or and $nor; what stands behind a path stays."""
    assert WITHIN.translate(given) == expected
    assert PLAIN.translate(given) is given


@pytest.mark.parametrize("name", ["$expr", "$where", "$text", "$jsonSchema", "$or", "$and"])
@pytest.mark.parametrize("depth", [0, 1])
def test_what_cannot_be_asked_of_a_sub_document_is_refused(name: str, depth: int) -> None:
    """It would be asked of V1's fields: the error says to name the fields."""
    criteria: dict[str, Any] = {name: "secret"}
    with pytest.raises(ConfigurationError, match=rf"criteria: \{name} cannot be asked.*'v'; name the fields") as caught:
        WITHIN.translate({"$and": [criteria]} if depth else criteria)
    assert "secret" not in str(caught.value)


def test_an_order_goes_by_the_path() -> None:
    """Ids stay where they are."""
    assert WITHIN.translate_order(Order("x", -1)) == Order("v.x", -1)
    assert WITHIN.translate_order(Order("_id", 1)) == Order("_id", 1)
    assert PLAIN.translate_order(Order("x", -1)) == Order("x", -1)


# ---- fingerprint ----------------------------------------------------------------------------------------------------

OID, DAY = ObjectId("0123456789abcdef01234567"), dt.datetime(2024, 5, 1, 12, 0, 0, 123_000)
#: Values of which each pair is stored differently.
VALUES: list[Any] = [
    None, True, 0, 1, 1.0, Int64(1), Decimal128("1"), Decimal128("1.0"), -0.0, 0.0, float("nan"), float("inf"), "", "1",
    b"", b"1", Binary(b"1", 5), [], [1], [[1]], [None], {}, {"a": 1}, {"a": 1.0}, {"a": 1, "b": 2}, {"b": 2, "a": 1},
    {"a": {"b": [1, {"c": None}]}}, {"a": {"b": [1, {"c": 0}]}}, OID, DAY, DAY.replace(microsecond=124_000),
    Binary.from_uuid(uuid.UUID(int=1)),
    Binary.from_uuid(uuid.UUID(int=2)), Timestamp(1, 1), Timestamp(1, 2), Regex("a"), Regex("a", "i"), MinKey(),
    MaxKey(), Code("x"), Code("x", {}), DBRef("c", 1), DBRef("c", 2),
]  # fmt: skip


def test_each_stored_value_has_its_own_fingerprint() -> None:
    """Types, signs, the order in sub-documents, and missing against null; none is the empty one."""
    found = [shape("a").fingerprint({"_id": 1, "a": value}) for value in VALUES] + [shape("a").fingerprint({"_id": 1})]
    assert len(set(found)) == len(VALUES) + 1
    assert {len(each) for each in found} == {16}
    again = [shape("a").fingerprint({"_id": 2, "a": value, "x": 5, META_FIELD: {"rev": 9}}) for value in VALUES]
    assert again == found[:-1]


def test_the_order_of_fields_at_the_top_does_not_count() -> None:
    """Updates put new fields at the end, wherever a class has them."""
    document = {"_id": 1, "b": 1, "a": 2, "c": 3}
    assert shape("abc").fingerprint(document) == shape("abc").fingerprint(dict(reversed(document.items())))
    assert shape("abc").fingerprint({"a": 1, "b": 2}) != shape("abc").fingerprint({"a": 2, "b": 1})
    assert shape("abc").fingerprint({"a": 1}) != shape("abc").fingerprint({"b": 1})


def test_any_change_of_v1s_fields_changes_it() -> None:
    """And a change of any other field does not."""
    draw = random.Random(12)
    values = [None, 0, 1, 1.0, "", "a", [1], {"a": 1}]
    for _ in range(2_000):
        document = {name: draw.choice(values) for name in "abcdxyz" if draw.random() < 0.7}
        name = draw.choice("abcdxyz")
        other = {key: value for key, value in document.items() if key != name}
        if draw.random() < 0.8:
            other[name] = draw.choice(values)
        same = all(repr(document.get(key, "missing")) == repr(other.get(key, "missing")) for key in "abcd")
        assert (shape("abcd").fingerprint(document) == shape("abcd").fingerprint(other)) == same, (document, other)


def unreadable(value: Any, spoil: tuple[bytes, bytes]) -> Mapping[str, Any]:
    """A document with a value that Python cannot hold, as the stores decode it."""
    raw = bson.encode({"_id": 1, "a": value, "b": 1})
    assert spoil[0] in raw
    return decode(raw.replace(*spoil), bson.CodecOptions(document_class=dict))


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: {"in": [text]}, lambda text: {text: 1}])
def test_what_python_cannot_hold_has_a_fingerprint_too(wrap: Any) -> None:
    """A field that no conversion reads may have such a value, and it may change."""
    found = [
        shape("ab").fingerprint(unreadable(wrap("spoiled"), (b"spoiled", spoilt)))
        for spoilt in (b"spoil\xffd", b"spoil\xfed")
    ]
    assert len({*found, shape("ab").fingerprint({"_id": 1, "a": wrap("spoiled"), "b": 1})}) == 3
    assert found[0] == shape("ab").fingerprint(unreadable(wrap("spoiled"), (b"spoiled", b"spoil\xffd")))


@frozen
class Wide:
    """A class with a field of each type that a converter stores."""

    id: int
    v: Any
    when: dt.datetime
    day: dt.date
    amount: Decimal
    uid: uuid.UUID
    tags: frozenset[str]
    pair: tuple[int, str]
    raw: bytes
    ratio: float
    big: int
    deep: dict[str, list[Inner]]


WIDE = Wide(
    1, {"x": [1.0, Int64(2)]}, dt.datetime(2024, 5, 1, 12, 0, 0, 123_000), dt.date(2024, 5, 1), Decimal("1.50"),
    uuid.UUID(int=7), frozenset({"b", "a"}), (1, "x"), b"\0", 1.0, 2**40, {"k": [Inner("s")]},
)  # fmt: skip


async def test_what_is_stored_has_the_fingerprint_of_what_was_sent(server_database: Any) -> None:
    """A write makes it of what it sends, and the next reader of what the server returns: the V2 part is trusted."""
    migration: Migration[Wide, Wide] = Migration(
        name="wide", v1=Wide, v2=Wide, upgrade=lambda one: one, downgrade=lambda one: one, v2_within="new"
    )
    repo = Repository.in_place(migration, server_database["c"], phase=Phase.COEXIST)
    await repo.insert(WIDE)
    read = await repo.get(1)
    assert read is not None
    await repo.update(1, lambda one: attrs.evolve(one, ratio=2.0, when=one.when + dt.timedelta(milliseconds=1)))
    before = await server_database["c"].find_one()
    stored = await WholeStore(server_database["c"]).find(1)
    assert stored is not None
    conversions = conversions_for(migration, v1_aware=False, v2_aware=False)
    found = share_document(migration, conversions.v1, conversions.v2)
    assert found.fingerprint(stored.document) == stored.of == before[META_FIELD]["of"]
    await repo.get(1)
    assert await server_database["c"].find_one() == before
    assert repo.tally.counts == {}


# ---- what cannot work -----------------------------------------------------------------------------------------------


def test_two_collections_refuse_a_sub_document() -> None:
    """`v2_within` means nothing there: the error says how to open it."""
    database = AsyncMongoMockClient()["db"]
    with pytest.raises(ConfigurationError, match=r"v2_within.*Repository\.in_place\(migration, collection.*or leave"):
        Repository(people(v2_within="new"), v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"migration": None}, "pass a lazymig.Migration"),
        ({"collection": None}, r"collection: .*is not an async collection|collection: pass"),
        ({"collection": "users"}, "collection: .*is not an async collection"),
        ({"phase": Phase.PREPARE}, r"in this layout there are Phase\.V1_ONLY, Phase\.SHADOW"),
        ({"phase": "nothing"}, r"in this layout there are"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"migration": Migration.upcasting(
            "m", Old, upcasters({1: lambda document: document}, field="age"))}, r"Repository\(\.\.\., v1=collection\)"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_work_is_refused_when_it_is_built(given: dict[str, Any], message: str) -> None:
    """`ConfigurationError` says what to pass."""
    arguments = {"migration": people(), "collection": AsyncMongoMockClient()["db"]["c"], "phase": Phase.COEXIST} | given
    with pytest.raises(ConfigurationError, match=message):
        Repository.in_place(arguments.pop("migration"), arguments.pop("collection"), **arguments)


def test_raw_documents_have_parts_too() -> None:
    """Whatever mapping a document comes as, its fields are the same."""
    document = RawBSONDocument(bson.encode({"_id": 1, "a": 1, "x": 2}))
    assert PLAIN.fingerprint(document) == PLAIN.fingerprint({"a": 1})
    assert PLAIN.v1_part(document) == {"_id": 1, "a": 1}
