"""What a client writes is what both doors read afterwards, or it is refused before V1 changes."""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import bson
import pytest
from attrs import define, evolve, field, frozen, make_class
from bson import DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union
from hypothesis import strategies as st

from lazymig import ConfigurationError, ConversionError, Migration, Phase, Repository, Sweeper, make_converter
from lazymig.testing import assert_laws
from tests.cases.drawing import Sub, SubSub

T = TypeVar("T")


@define
class Derived:
    a: int
    later: int = field(init=False, default=0)


@define(eq=False)
class ById:
    """Equal to everything of its class: an equality that compares nothing."""

    a: int
    hidden: int = field(init=False, default=0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById)

    __hash__ = None  # type: ignore[assignment]


class Row(TypedDict):
    price: Decimal
    day: dt.date


class Pair(NamedTuple):
    day: dt.date
    price: Decimal


@dataclass
class Plain:
    day: dt.date
    rows: list[Row]


@frozen
class Box(Generic[T]):
    value: T


@frozen
class Tree:
    leaf: str
    more: Tree | str | list[Tree] | None = None


class Knot(NamedTuple):
    day: dt.date
    more: list[Knot]


class Wide(TypedDict, total=False):
    day: dt.date
    more: list[Wide]


@frozen
class Boxed(Box[Decimal]):
    """A generic base with its argument."""


class Colour(enum.Enum):
    RED = "red"


class Odd(enum.Enum):
    WHEN = dt.date(2024, 1, 1)


def holder(kind: Any, name: str = "Holder") -> Any:
    """A class with an id and one field of this type."""
    return make_class(name, {"id": field(type=int), "field": field(type=kind), "name": field(type=str, default="x")})


def itself(kind: Any, **changed: Any) -> Migration[Any, Any]:
    """A migration of a class to itself."""
    cls = holder(kind)
    return Migration(
        **{"name": "holders", "v1": cls, "v2": cls, "upgrade": lambda v1: v1, "downgrade": lambda v2: v2} | changed
    )


def opened(database: Any, migration: Migration[Any, Any], **options: Any) -> Repository[Any, Any]:
    """A repository on the database's collections."""
    return Repository(migration, v1=database["v1"], v2=database["v2"], **{"phase": Phase.COEXIST} | options)


def derived_later() -> Derived:
    """What only `__init__` does not know."""
    made = Derived(1)
    made.later = 5
    return made


def hidden() -> ById:
    """A value that its own equality does not see."""
    made = ById(1)
    made.hidden = 5
    return made


LOSSES: dict[str, tuple[Any, Any]] = {
    "a subclass in a parent-typed field": (Sub, SubSub(1, 2)),
    "the same in a list": (list[Sub], [SubSub(1, 2)]),
    "the same in an optional": (Sub | None, SubSub(1, 2)),
    "the same in a union": (Sub | str, SubSub(1, 2)),
    "init=False": (Derived, derived_later()),
    "an equality that sees nothing": (ById, hidden()),
    "three in a pair": (tuple[int, int], (1, 2, 3)),
    "a text for a list": (list[str], "abc"),
    "a list for a tuple": (tuple[int, ...], [1]),
    "a tuple for a list": (list[int], (1,)),
    "a Decimal in Any": (Any, Decimal("1.0")),
    "a set in Any": (Any, {1, 2}),
    "a tuple in Any, deep": (Any, {"x": [(1,)]}),
    "a date in Any": (Any, dt.date(2024, 1, 1)),
    "a class in Any": (Any, Sub(1)),
    "a Decimal NaN in Any": (Any, {"x": Decimal("NaN")}),
    "a whole reference in Any": (Any, {"$ref": "x", "$id": 1}),
    "keys that are no text in Any": (Any, {1: "x"}),
    "keys that are no text": (dict[str, int], {1: 1}),
    "True in int": (int, True),
    "True in float": (float, True),
    "1 in bool": (bool, 1),
    "2**53 + 1 in float": (float, 2**53 + 1),
    "the same beside str": (float | str, 2**53 + 1),
    "2**63 in int": (int, 2**63),
    "None in str": (str, None),
    "None in a list": (list[int], [None]),
    "int in str": (str, 5),
    "a text in int": (int, "5"),
    "a datetime for a date": (dt.date, dt.datetime(2024, 1, 1)),
    "a date for a datetime": (dt.datetime, dt.date(2024, 1, 1)),
    "a microsecond": (dt.datetime, dt.datetime(2024, 1, 1, 0, 0, 0, 1)),
    "an aware datetime": (dt.datetime, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
    "another literal": (Literal["a"], "b"),
    "True for a literal 1": (Literal[1], True),
    "the value for the member": (Colour, "red"),
    "the member for its value": (str, Colour.RED),
    "35 digits": (Decimal, Decimal("1" * 35)),
    "a row without a key": (Row, {"price": Decimal(1)}),
    "a row with a text": (Row, {"price": "1", "day": dt.date(2024, 1, 1)}),
    "an empty Timestamp": (Timestamp, Timestamp(0, 0)),
    "a compiled pattern": (Regex, re.compile("x")),
    "another class": (Plain, Sub(1)),
    "of another argument": (Box[int], Box("x")),
}


async def everywhere(repo: Repository[Any, Any], entity: Any) -> list[BaseException | None]:
    """What inserting and replacing the entity through either door raises."""
    met: list[BaseException | None] = []
    writes: list[Callable[[], Any]] = [
        lambda: repo.insert(entity),
        lambda: repo.v1.insert(entity),
        lambda: repo.replace(entity),
        lambda: repo.v1.replace(entity),
    ]
    for write in writes:
        try:
            await write()
        except ConversionError as error:
            met.append(error)
        else:
            met.append(None)
    return met


@pytest.mark.parametrize("name", LOSSES)
async def test_case_9_a_value_that_would_be_read_back_as_another_is_refused(server_database: Any, name: str) -> None:
    """Insert and replace through both doors raise `ConversionError` before anything is announced."""
    kind, value = LOSSES[name]
    repo = opened(server_database, itself(kind))
    met = await everywhere(repo, holder_of(repo)(1, value))
    assert [type(error) for error in met] == [ConversionError] * 4, met
    for collection in ("v1", "v2"):
        assert await server_database[collection].find().to_list(None) == []


def holder_of(repo: Repository[Any, Any]) -> Any:
    """The class of a repository's entities."""
    return repo.migration.v2


@pytest.mark.parametrize("door", ["v1", "v2"])
@pytest.mark.parametrize(
    ("kind", "first", "loss"),
    [(Sub, Sub(1), SubSub(1, 2)), (Any, 1, Decimal(1)), (int, 1, True), (list[str], ["a"], "abc"), (str, "", None)],
    ids=str,
)
async def test_case_9_an_update_that_loses_changes_nothing(
    server_database: Any, door: str, kind: Any, first: Any, loss: Any
) -> None:
    """`ConversionError` with the id and the path; both doors go on with what stood."""
    repo = opened(server_database, itself(kind))
    entity = holder_of(repo)(1, first)
    await repo.insert(entity)
    used: Any = repo if door == "v2" else repo.v1
    with pytest.raises(ConversionError, match=r"field 'field"):
        await used.update(1, lambda one: evolve(one, field=loss))
    assert await repo.get(1) == await repo.v1.get(1) == entity
    assert type((await repo.get(1)).field) is type(first)


KEPT: dict[str, tuple[Any, Any]] = {
    "a TypedDict with Decimal and date": (Row, {"price": Decimal("1.50"), "day": dt.date(2024, 1, 1)}),
    "a NamedTuple": (Pair, Pair(dt.date(2024, 1, 1), Decimal("1.50"))),
    "a dataclass": (Plain, Plain(dt.date(2024, 1, 1), [{"price": Decimal(1), "day": dt.date(1, 1, 1)}])),
    "a generic class": (Box[dt.date], Box(dt.date(2024, 1, 1))),
    "a tree in unions": (Tree, Tree("a", [Tree("b", "c"), Tree("d", Tree("e"))])),
    "a NamedTuple that holds itself": (Knot, Knot(dt.date(2024, 1, 1), [Knot(dt.date(1, 1, 1), [])])),
    "a TypedDict that holds itself": (Wide, {"day": dt.date(2024, 1, 1), "more": [{}, {"day": dt.date(1, 1, 1)}]}),
    "an argument of a base": (Boxed, Boxed(Decimal("1.50"))),
    "NaN": (float, math.nan),
    "NaN in a list": (list[float], [math.nan, -0.0]),
    "NaN in Any": (Any, {"x": [math.nan]}),
    "NaN of Decimals": (dict[str, Decimal], {"x": Decimal("NaN"), "y": Decimal("-0.00")}),
    "12 in float": (float, 12),
    "12 in float | str": (float | str, 12),
    "an int64 in float | str": (float | str, 2**40),
    "a text in float | str": (float | str, "12"),
    "an int in int | float": (int | float, 12),
    "a double in int | float": (int | float, 12.0),
    "True in int | bool": (int | bool, True),
    "a set in a union": (set[dt.date] | str, {dt.date(2024, 1, 1)}),
    "a literal beside a type": (Literal["auto"] | int, "auto"),
    "None in a union of three": (int | str | None, None),
    "a Decimal in a union": (Decimal | int | None, Decimal("1.0")),
    "Decimal128": (Decimal128, Decimal128("1.50")),
    "Timestamp": (Timestamp, Timestamp(5, 6)),
    "Regex": (Regex, Regex("^a", 2)),
    "Int64": (Int64, Int64(5)),
    "a reference in a list in Any": (Any, [DBRef("x", 1)]),
    "an ObjectId in Any": (Any, {"x": ObjectId("0" * 24)}),
    "empty keys": (dict[str, int], {"": 1, ".": 2, "$x": 3, "a.b": 4}),
}


@pytest.mark.parametrize("name", KEPT)
async def test_case_9_what_is_not_refused_comes_back_by_both_doors(server_database: Any, name: str) -> None:
    """After insert, update and replace, from V2 and from V1, and from a sweep that converts V1's document anew."""
    kind, value = KEPT[name]
    repo = opened(server_database, itself(kind))
    entity = holder_of(repo)(1, value)
    await repo.insert(entity)
    await repo.update(1, lambda one: evolve(one, name="y"))
    await repo.v1.update(1, lambda one: evolve(one, name="z"))
    await repo.replace(await repo.v1.get(1))
    await server_database["v2"].drop()
    report = await Sweeper(repo).run()
    assert (report.migrated, report.dead) == (1, 0)
    for read in (await repo.get(1), await repo.v1.get(1), *[one async for one in repo.list()]):
        assert repr(read.field) == repr(
            float(value) if kind is float or (kind == float | str and value != "12") else value
        )
        assert read.name == "z"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (object, r"field: .* object .*declare Any"),
        (dt.date | dt.datetime, r"field: date and datetime cannot be distinguished"),
        (Colour | str, r"field: Colour and str cannot be distinguished"),
        (Literal[Colour.RED] | str, r"field: .* and str cannot be distinguished"),
        (Sub | dict[str, int], r"field: Sub and dict\[str, int\] cannot be distinguished"),
        (Sub | Row, r"field: Sub and Row cannot be distinguished"),
        (list[int] | set[int], r"field: list\[int\] and set\[int\] cannot be distinguished"),
        (Decimal | Decimal128, r"field: Decimal and Decimal128 cannot be distinguished"),
        (Sub | SubSub, r"field: Could not disambiguate"),
        (Box[int] | Box[str], r"field: .*Box"),
        (Any | int, r"field: .*Any and int cannot be distinguished"),
        (DBRef, r"field: .* DBRef .*declare a class"),
        (bson.Code, r"field: .* Code .*declare str"),
        (bson.DatetimeMS, r"field: .*declare datetime"),
        (re.Pattern, r"field: .*declare bson\.Regex"),
        (Path, r"field: .*declare str"),
        (bson.MinKey, r"field: .*declare a class with fields, or a type of the table"),
        (Sequence[int], r"field: .*declare list\[\.\.\.\] or tuple"),
        (Iterable[int], r"field: .*declare list\[\.\.\.\] or tuple"),
        (deque[int], r"field: .*declare list"),
        (OrderedDict[str, int], r"field: .*declare dict"),
        (defaultdict[str, int], r"field: .*declare dict"),
        (Odd, r"field: .*value of date .*declare values"),
        (Box, r"field\.value: .*as in Box\[int\]"),
        (Box[dt.time], r"field\.value: .* time .*declare an int"),
        (list[Row | None] | complex, r"field: .* complex .*declare two floats"),
        (tuple[Pair, list[dict[str, Plain | object]]], r"field: .*declare Any"),
        ("Nowhere", r"Nowhere"),
        (list["Nowhere"], r"Nowhere"),  # noqa: F821 - that is the point
    ],
    ids=str,
)
def test_case_20_a_type_that_cannot_be_exact_is_refused_when_the_migration_is_built(kind: Any, message: Any) -> None:
    """With the path of the field and what to declare instead, and not as one dead letter for each document."""
    with pytest.raises(ConfigurationError, match=message):
        itself(kind)


@pytest.mark.parametrize("within", ["dataclass", "TypedDict", "NamedTuple", "attrs", "list", "optional", "Annotated"])
def test_case_20_wherever_it_stands(within: str) -> None:
    """Inside of every kind of class and container; the path leads there."""
    from typing import Annotated

    kinds: dict[str, Any] = {
        "dataclass": dataclass(type("D", (), {"__annotations__": {"x": dt.time}})),
        "TypedDict": TypedDict("TD", {"x": dt.time}),
        "NamedTuple": NamedTuple("NT", [("x", dt.time)]),
        "attrs": holder(dt.time),
        "list": list[list[dt.time]],
        "optional": dt.time | None,
        "Annotated": Annotated[dt.time, "x"],
    }
    with pytest.raises(
        ConfigurationError, match=r"Holder\.field(\.x|\.field)?: BSON cannot hold time exactly; declare"
    ):
        itself(kinds[within])


async def test_case_20_a_hook_for_a_union_settles_what_cannot_be_told_apart(server_database: Any) -> None:
    """cattrs' tagged unions, say: registered on a converter that starts from lazymig's."""
    own = make_converter()
    configure_tagged_union(Sub | SubSub, own)
    repo = opened(server_database, itself(Sub | SubSub, v1_converter=own, v2_converter=own))
    for id, value in enumerate((Sub(1), SubSub(1, 2))):
        await repo.insert(holder_of(repo)(id, value))
        assert (await repo.get(id)).field == (await repo.v1.get(id)).field == value


def test_case_24_a_converter_of_ones_own_is_asked_for_every_hook() -> None:
    """One that lacks a hook says for which field, whether the hook for reading or for writing is missing."""
    for own in (Converter(), Converter(detailed_validation=False)):
        with pytest.raises(ConfigurationError, match=r"Holder\.field.*: .*Sub2|Decimal"):
            itself(list[Decimal], v1_converter=own)
    own = Converter()
    own.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    with pytest.raises(ConfigurationError, match=r"Holder\.field: the converter has no unstructure hook for Decimal"):
        itself(list[Decimal], v1_converter=own)
    own.register_unstructure_hook(Decimal, str)
    itself(list[Decimal], v1_converter=own)


def renaming(cls: Any, *, read: str | None, write: str | None, **options: Any) -> Converter:
    """A converter that stores the attribute `class_` under another name, one way or both."""
    own = make_converter()
    reading = {"class_": override(rename=read)} if read else {}
    writing = {"class_": override(rename=write)} if write else {}
    own.register_structure_hook(cls, make_dict_structure_fn(cls, own, **options, **reading))
    own.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, own, **writing))
    return own


@frozen
class Lesson:
    id: int
    class_: str
    note: str | None = None


def lessons(**changed: Any) -> Migration[Lesson, Lesson]:
    """A migration of lessons to themselves."""
    same: dict[str, Any] = {"upgrade": lambda v1: v1, "downgrade": lambda v2: v2}
    return Migration(**{"name": "lessons", "v1": Lesson, "v2": Lesson} | same | changed)


@pytest.mark.parametrize(("read", "write"), [("class", None), (None, "class"), ("class", "klass")])
def test_case_24_a_rename_in_one_direction_only_is_refused(read: str | None, write: str | None) -> None:
    """Every read would fail with a `KeyError` otherwise."""
    with pytest.raises(ConfigurationError, match=r"Lesson\.class_ is written as .* but read from .*the same rename"):
        lessons(v1_converter=renaming(Lesson, read=read, write=write))


async def test_case_23_extra_keys_may_be_forbidden(server_database: Any) -> None:
    """lazymig's own keys are none of them; a key that no class knows still is, by the user's wish."""
    strict = renaming(Lesson, read="class", write="class", _cattrs_forbid_extra_keys=True)
    repo = opened(server_database, lessons(v1_converter=strict, v2_converter=strict))
    await server_database["v1"].insert_many([{"_id": 1, "class": "a"}, {"_id": 2, "class": "b", "extra": 1}])
    for _ in range(3):
        assert await repo.get(1) == await repo.v1.get(1)
        await repo.update(1, lambda one: evolve(one, class_=one.class_ + "!"))
        await repo.v1.update(1, lambda one: evolve(one, note="n"))
    assert (await repo.get(1)) == Lesson(1, "a!!!", "n")
    with pytest.raises(ConversionError):
        await repo.get(2)
    assert (await server_database["v1"].find_one({"_id": 1}))["class"] == "a!!!"


@frozen
class Whale:
    id: int
    depth: float
    name: str


def lenient() -> Converter:
    """Reads an empty text for NaN, as many an importer stored it."""
    own = make_converter()
    own.register_structure_hook(float, lambda value, _: math.nan if value == "" else float(value))
    return own


@pytest.mark.parametrize("door", ["v1", "v2"])
@pytest.mark.parametrize("depth", ["", math.nan, "12.5", 12, Int64(12), [1.5, ""]], ids=repr)
async def test_case_7_a_field_that_did_not_change_is_never_rewritten(
    server_database: Any, door: str, depth: Any
) -> None:
    """Whatever a lenient converter makes of it, NaN above all, which is unlike itself."""
    kind: Any = list[float] if isinstance(depth, list) else float
    cls = make_class("Whale", {"id": field(type=int), "depth": field(type=kind), "name": field(type=str)}, frozen=True)
    migration: Migration[Any, Any] = Migration(
        name="whales", v1=cls, v2=cls, v1_converter=lenient(), upgrade=lambda v1: v1, downgrade=lambda v2: v2
    )
    repo = opened(server_database, migration)
    stored = {"_id": 1, "depth": depth, "name": "x"}
    await server_database["v1"].insert_one(dict(stored))
    used: Any = repo if door == "v2" else repo.v1
    for name in "yz":
        await used.update(1, lambda one, name=name: evolve(one, name=name))
    found = await server_database["v1"].find_one()
    assert bson.encode({"": found["depth"]}) == bson.encode({"": depth})
    assert found["name"] == "z"
    assert repr((await repo.get(1)).depth) == repr((await repo.v1.get(1)).depth)


@pytest.mark.parametrize("stored", [12, Int64(12), 12.0], ids=repr)
@pytest.mark.parametrize("kind", [float, float | str, float | None, list[float], dict[str, float | str]], ids=str)
async def test_case_21_every_float_takes_ints_and_gives_doubles(server_database: Any, kind: Any, stored: Any) -> None:
    """Alone, in a union or in a container, an int of either size is read as the double that it equals; V1 keeps it."""
    wrap: Callable[[Any], Any] = {
        "list[float]": lambda one: [one],
        "dict[str, float | str]": lambda one: {"x": one},
    }.get(str(kind), lambda one: one)
    repo = opened(server_database, itself(kind))
    await server_database["v1"].insert_one({"_id": 1, "field": wrap(stored), "name": "x"})
    await repo.update(1, lambda one: evolve(one, name="y"))
    for read in (await repo.get(1), await repo.v1.get(1)):
        assert repr(read.field) == repr(wrap(12.0))
    kept = (await server_database["v1"].find_one())["field"]
    assert bson.encode({"": kept}) == bson.encode({"": wrap(stored)})
    assert repr((await server_database["v2"].find_one())["field"]) == repr(wrap(12.0))
    await repo.update(1, lambda one: evolve(one, field=wrap(13)))
    assert repr((await server_database["v1"].find_one())["field"]) == repr(wrap(13.0))
    assert repr((await repo.get(1)).field) == repr(wrap(13.0))


@frozen
class Inner:
    a: int
    b: int = 5


@frozen
class Loose:
    id: int
    price: float
    inner: Inner
    rows: list[Inner]
    note: str | None = None


def test_case_22_the_laws_take_documents_as_they_are() -> None:
    """Missing optional fields, unknown keys and ints for doubles, at every depth: the repository keeps them."""
    same: dict[str, Any] = {"upgrade": lambda v1: v1, "downgrade": lambda v2: v2}
    loose = {
        "_id": 1,
        "price": 12,
        "inner": {"a": 1, "more": 2},
        "rows": [{"a": 1}, {"a": 1, "c": [1]}],
        "extra": {"x": 1},
    }
    assert_laws(Migration(name="loose", v1=Loose, v2=Loose, **same), v1=st.just(loose), examples=3)


@pytest.mark.parametrize("revision", [None, "7", -3, 3.0, 0.0, True, {"x": 1}, Int64(4), math.nan], ids=repr)
async def test_case_26_a_revision_that_another_client_spoilt(server_database: Any, revision: Any) -> None:
    """A whole double is the number it was, and what is no positive number is none: every call works as always."""
    repo = opened(server_database, itself(int))
    cls = holder_of(repo)
    await server_database["v1"].insert_many(
        [{"_id": id, "field": id, "name": "x", "_lazymig_rev": revision} for id in (1, 2, 3)]
    )
    assert await repo.get(1) == await repo.v1.get(1) == cls(1, 1)
    assert len([one async for one in repo.list()]) == 3
    assert await repo.update(1, lambda one: evolve(one, name="y")) == cls(1, 1, "y")
    assert await repo.v1.update(2, lambda one: evolve(one, name="z")) == cls(2, 2, "z")
    await repo.delete(3)
    for id, name in ((1, "y"), (2, "z")):
        assert await repo.get(id) == await repo.v1.get(id) == cls(id, id, name)
    stored = await server_database["v1"].find().sort("_id", 1).to_list(None)
    assert [one["_id"] for one in stored] == [1, 2]
    assert all(one["_lazymig_rev"] > 0 for one in stored)


@pytest.mark.parametrize("revision", [2.5, math.inf, [3], Decimal128("3")], ids=repr)
async def test_case_26_a_revision_that_is_no_number_at_all(server_database: Any, revision: Any) -> None:
    """`ConversionError` that names the field, from reads and writes; V1 stays."""
    repo = opened(server_database, itself(int))
    await server_database["v1"].insert_one({"_id": 1, "field": 1, "name": "x", "_lazymig_rev": revision})
    for call in (repo.get(1), repo.v1.get(1), repo.update(1, lambda one: one)):
        with pytest.raises(ConversionError, match="'_lazymig_rev'"):
            await call
    assert (await server_database["v1"].find_one())["_lazymig_rev"] == revision


@pytest.mark.parametrize("revision", [2.5, [3], [4, 5], Decimal128("3")], ids=repr)
async def test_case_26_such_a_revision_is_its_own_reader_s_trouble(server_database: Any, revision: Any) -> None:
    """Neighbours are served by every call and swept; the document can be replaced and deleted."""
    repo = opened(server_database, itself(int))
    cls = holder_of(repo)
    await server_database["v1"].insert_many(
        [{"_id": id, "field": id, "name": "x", "_lazymig_rev": revision if id < 3 else 1} for id in (1, 2, 3)]
    )
    with pytest.raises(ExceptionGroup) as caught:
        await repo.get_many([1, 2, 3])
    assert len(caught.value.exceptions) == 2
    for door in (repo, repo.v1):
        assert [one async for one in door.list(on_error="skip")] == [cls(3, 3)]
    report = await Sweeper(repo).run()
    assert (report.dead_letters, report.finished) == (2, True)
    assert await repo.get(3) == cls(3, 3)
    assert await repo.replace(cls(1, 7, "y")) == cls(1, 7, "y")
    await repo.delete(2)
    assert await repo.get_many([1, 2, 3]) == {1: cls(1, 7, "y"), 3: cls(3, 3)}


async def test_case_9_a_sweep_reads_back_what_it_stores_first(server_database: Any) -> None:
    """A body that would be read as another is a dead letter among the first documents, and for all in a dry run."""
    cls = holder(Any)
    migration: Migration[Any, Any] = Migration(
        name="holders", v1=cls, v2=cls, upgrade=lambda v1: evolve(v1, field=(v1.field,)), downgrade=lambda v2: v2
    )
    await server_database["v1"].insert_many([{"_id": id, "field": id, "name": "x"} for id in range(150)])
    repo = opened(server_database, migration)
    report = await Sweeper(repo, dry_run=True).run()
    assert (report.migrated, report.dead) == (0, 150)
    report = await Sweeper(repo, batch_size=10).run()
    assert report.dead == 100
