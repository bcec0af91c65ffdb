"""The table in `lazymig.shapes.bson_types`: every row in both directions, and every refusal."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import bson
import pytest
from attrs import Factory, frozen, make_class
from bson import Binary, DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import lazymig
from lazymig import ConfigurationError, make_converter
from lazymig.shapes.codec import codec_for

CONVERTER = make_converter()
AWARE = make_converter(tz_aware=True)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 999_000)
HEX = "0123456789abcdef01234567"


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Shape(enum.StrEnum):
    ROUND = "round"


Name = NewType("Name", str)


@frozen
class Inner:
    number: int = 0
    names: list[str] = Factory(list)


@frozen
class Tree:
    leaf: str
    branches: list[Tree] = Factory(list)


def there_and_back(value: Any, kind: Any, converter: Any = CONVERTER, *, aware: bool = False) -> Any:
    """The value after encoding, real BSON, and decoding."""
    options: Any = bson.CodecOptions(tz_aware=aware)
    stored = bson.decode(bson.encode({"": converter.unstructure(value, unstructure_as=kind)}), codec_options=options)
    return converter.structure(stored[""], kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, "5"),
        (Name, "Ada"),
        (bytes, b"\0\xff"),
        (bool, False),
        (int | None, None),
        (ObjectId, ObjectId(HEX)),
        (int, -(2**31)),
        (int, 2**31 - 1),
        (Int64, Int64(-(2**63))),
        (float, 0.1),
        (float, float("inf")),
        (Decimal, Decimal("1.500")),
        (Decimal, Decimal("-Infinity")),
        (Decimal, Decimal("9" * 34)),
        (dt.datetime, NOON),
        (dt.date, dt.date(2024, 2, 29)),
        (dt.date | None, dt.date(1, 1, 1)),
        (UUID, UUID(int=7)),
        (tuple[int, ...], (1, 2)),
        (tuple[int, str], (1, "a")),
        (tuple[()], ()),
        (list[dt.date], [dt.date(2024, 1, 1)]),
        (set[str], {"b", "a"}),
        (frozenset[Decimal], frozenset({Decimal("2.0"), Decimal("1")})),
        (Colour, Colour.RED),
        (Size, Size.LARGE),
        (Shape, Shape.ROUND),
        (list[Size], [Size.LARGE]),
        (Literal["a", "b"], "b"),
        (Inner, Inner(1, ["x"])),
        (list[Inner], [Inner(), Inner(2)]),
        (dict[str, Inner], {"key": Inner(3)}),
        (dict[Shape, int], {Shape.ROUND: 1}),
        (dict[Literal["x"], int], {"x": 1}),
        (Tree, Tree("a", [Tree("b"), Tree("c", [Tree("d")])])),
        (int | str, "5"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or repr(value)[:40],
)
def test_a_row_of_the_table_comes_back_equal_and_of_the_same_class(kind: Any, value: Any) -> None:
    """What the table says BSON holds comes back from real BSON equal and of the same class."""
    back = there_and_back(value, kind)
    assert back == value
    assert type(back) is type(value)


class Row(TypedDict):
    day: dt.date


class Pair(NamedTuple):
    day: dt.date
    number: int


@dataclass
class Plain:
    day: dt.date


class Modelled(BaseModel):
    day: dt.date


EXAMPLES: dict[str, tuple[Any, Any]] = {
    "str": (str, "5"),
    "bytes": (bytes, b"x"),
    "bool": (bool, True),
    "None": (None, None),
    "ObjectId": (ObjectId, ObjectId(HEX)),
    "Int64": (Int64, Int64(5)),
    "Binary": (Binary, Binary(b"x", 5)),
    "Decimal128": (Decimal128, Decimal128("1.50")),
    "Regex": (Regex, Regex("^a", 2)),
    "Timestamp": (Timestamp, Timestamp(1, 2)),
    "int": (int, 2**40),
    "float": (float, 0.1),
    "Decimal": (Decimal, Decimal("1.50")),
    "datetime": (dt.datetime, NOON),
    "date": (dt.date, dt.date(2024, 2, 29)),
    "UUID": (UUID, UUID(int=7)),
    "list": (list[dt.date], [dt.date(2024, 2, 29)]),
    "tuple": (tuple[dt.date, ...], (dt.date(2024, 2, 29),)),
    "set": (set[dt.date], {dt.date(2024, 2, 29)}),
    "frozenset": (frozenset[dt.date], frozenset({dt.date(2024, 2, 29)})),
    "NamedTuple": (Pair, Pair(dt.date(2024, 2, 29), 1)),
    "Enum": (Colour, Colour.RED),
    "Literal": (Literal["a", 1], 1),
    "attrs class": (Inner, Inner(1, ["x"])),
    "dataclass": (Plain, Plain(dt.date(2024, 2, 29))),
    "pydantic model": (Modelled, Modelled(day=dt.date(2024, 2, 29))),
    "TypedDict": (Row, {"day": dt.date(2024, 2, 29)}),
    "dict[str, ...]": (dict[str, dt.date], {"a.b": dt.date(2024, 2, 29)}),
    "unions": (Inner | dt.date | int | None, dt.date(2024, 2, 29)),
    "Any": (Any, {"x": [1, 0.5, None, NOON, b"x"]}),
    "time": (dt.time, None),
    "timedelta": (dt.timedelta, None),
    "complex": (complex, None),
    "object": (object, None),
    "DBRef": (DBRef, None),
    "Sequence": (Sequence[int], None),
    "dict with other keys": (dict[int, str], None),
}
#: The BSON types by what the table calls them, as `$type` names them.
IN_BSON = {
    "double": "double",
    "Decimal128": "decimal",
    "date": "date",
    "date at midnight UTC": "date",
    "binary, subtype 4": "binData",
    "array": "array",
    "sub-document": "object",
    "int32 / int64": "long",
}


def rows() -> list[Any]:
    """Each type of the documented table with what the table says of it."""
    text = (Path(__file__).parents[2] / "docs" / "bson-types.md").read_text(encoding="utf-8")
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    return [
        pytest.param(name, stored, how, id=name)
        for names, stored, how in (row for row in found if row[0] != "---")
        for name in re.split(r", (?![^\[]*\])", names)
    ]


@pytest.mark.parametrize(("name", "stored", "how"), rows())
async def test_every_row_of_the_documented_table_is_true(
    server_database: Any, name: str, stored: str, how: str
) -> None:
    """Refused when built, or stored as the BSON type that stands there, and read back as it was, by both doors."""
    kind, value = EXAMPLES[name]
    cls = _class_with(kind)
    build = partial(lazymig.Migration, name="m", v1=cls, v2=cls, upgrade=_same, downgrade=_same)
    if how == "refused when the migration is built":
        with pytest.raises(ConfigurationError):
            build()
        return
    repo = lazymig.Repository(build(), v1=server_database["v1"], v2=server_database["v2"], phase=lazymig.Phase.COEXIST)
    await repo.insert(cls(1, value))
    for read in (await repo.get(1), await repo.v1.get(1)):
        assert repr(read.field) == repr(value)
    if stored in IN_BSON:
        assert await server_database["v2"].count_documents({}) == 1
        query = {"$expr": {"$eq": [{"$type": "$field"}, IN_BSON[stored]]}}
        assert await server_database["v2"].count_documents(query) == 1


def test_the_table_names_every_example_and_nothing_else() -> None:
    """A row that is added needs an example."""
    assert {row.values[0] for row in rows()} == set(EXAMPLES)


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1])
def test_an_int_of_64_bits_comes_back(value: int) -> None:
    """Equal, though as the driver's own subclass of int."""
    assert there_and_back(value, int) == value


def test_an_int_read_for_a_float_is_taken_when_a_double_holds_it_exactly() -> None:
    """JavaScript clients store whole floats as ints."""
    read = CONVERTER.structure(3, float)
    assert read == 3.0
    assert type(read) is float


def test_an_int64_stays_an_int64() -> None:
    """A long that was read is written as a long again, even when it is small."""
    assert type(there_and_back(Int64(5), int)) is Int64


def test_trailing_zeros_of_a_decimal_are_kept() -> None:
    """1.50 and 1.5 are equal but not the same price tag."""
    assert str(there_and_back(Decimal("1.50"), Decimal)) == "1.50"


@pytest.mark.parametrize("reverse", [False, True])
def test_sets_are_stored_sorted(reverse: bool) -> None:
    """A set has one stored form, whatever order its elements were put in."""
    letters = sorted("zebra", reverse=reverse)
    assert CONVERTER.unstructure(set(letters), unstructure_as=set[str]) == ["a", "b", "e", "r", "z"]


def test_uuids_are_read_whatever_the_clients_representation() -> None:
    """A client with `uuidRepresentation=standard` returns UUIDs, others binaries."""
    assert CONVERTER.structure(UUID(int=1), UUID) == UUID(int=1)
    assert CONVERTER.structure(Binary.from_uuid(UUID(int=1)), UUID) == UUID(int=1)


def test_an_aware_client_keeps_the_moment() -> None:
    """With a tz_aware client, aware datetimes and dates come back as the same moment and the same day."""
    elsewhere = NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=5)))
    assert there_and_back(elsewhere, dt.datetime, AWARE, aware=True) == elsewhere
    assert there_and_back(dt.date(2024, 2, 29), dt.date, AWARE, aware=True) == dt.date(2024, 2, 29)


def test_a_date_is_read_in_utc_whatever_the_clients_time_zone() -> None:
    """A client may return datetimes in a zone of its own; midnight UTC is still that day."""
    zone = dt.timezone(dt.timedelta(hours=-3))
    assert AWARE.structure(dt.datetime(2024, 2, 28, 21, tzinfo=zone), dt.date) == dt.date(2024, 2, 29)


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (str, 5),
        (str, None),
        (bytes, "text"),
        (bool, 1),
        (bool, "no"),
        (ObjectId, HEX),
        (int, "5"),
        (int, 5.0),
        (int, True),
        (float, "0.1"),
        (float, True),
        (float, 2**53 + 1),
        (Decimal, 1.5),
        (Decimal, "1.5"),
        (dt.datetime, "2024-02-29"),
        (dt.date, "2024-02-29"),
        (dt.date, NOON),
        (UUID, str(UUID(int=1))),
        (UUID, Binary(bytes(16), 3)),
        (UUID, bytes(16)),
        (list[str], "abc"),
        (list[str], {"a": 1}),
        (list, "abc"),
        (tuple[str, ...], "abc"),
        (tuple[int, str], [1]),
        (set[str], "abc"),
        (Colour, "blue"),
        (Size, 4),
        (Size, "3"),
        (Shape, "flat"),
        (Literal["a"], "b"),
        (Inner, "number"),
        (Inner, ["number"]),
        (Inner, None),
        (Inner | None, "number"),
        (dict[str, int], [["a", 1]]),
        (dict[str, int], {"a": "1"}),
    ],
    ids=repr,
)
def test_a_stored_value_of_another_type_is_refused_and_never_coerced(kind: Any, stored: Any) -> None:
    """V1 documents of another type than declared are reported, not bent into shape."""
    with pytest.raises(Exception, match=r"expected|[Nn]ot|object"):  # cattrs has no class for a wrong literal
        make_converter(detailed_validation=False).structure(stored, kind)
    with pytest.raises(Exception, match=r"expected|[Nn]ot|object|While"):
        CONVERTER.structure(stored, kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 2**63),
        (Decimal, Decimal("1" * 35)),
        (Decimal, Decimal("1E+9999")),
        (dt.datetime, NOON.replace(microsecond=1)),
        (dt.datetime, NOON.replace(tzinfo=dt.UTC)),
        (dt.date, NOON),
        (dict[str, int], {"a\0b": 1}),
        (set[int], {2**63}),
        (complex, 1j),
    ],
    ids=repr,
)
def test_a_value_that_bson_does_not_hold_exactly_is_refused_when_encoded(kind: Any, value: Any) -> None:
    """Nothing is rounded, truncated or shifted in silence."""
    with pytest.raises((TypeError, ValueError, OverflowError, bson.errors.InvalidDocument)):
        bson.encode({"": CONVERTER.unstructure(value, unstructure_as=kind)})


def test_an_aware_client_refuses_naive_datetimes() -> None:
    """It would read them back as aware, which is not equal."""
    with pytest.raises(ValueError, match="pass aware datetimes"):
        AWARE.unstructure(NOON)


def test_a_naive_client_says_what_to_do_with_aware_datetimes() -> None:
    """The message names both remedies."""
    with pytest.raises(ValueError, match="naive UTC datetimes, or make the client with tz_aware=True"):
        CONVERTER.unstructure(NOON.replace(tzinfo=dt.UTC))


@pytest.mark.parametrize(
    "kind",
    [
        dt.time,
        dt.timedelta,
        complex,
        dt.time | None,
        list[dt.timedelta],
        dict[str, dt.time],
        tuple[int, complex],
        NewType("Alarm", dt.time),
        Annotated[dt.time, "alarm"],
        dict[int, str],
        dict[Colour, str],
        dict[Size, str],
        dict[Literal[1], str],
    ],
    ids=repr,
)
def test_a_type_that_bson_cannot_hold_is_refused_when_the_migration_is_built(kind: Any) -> None:
    """The error names the attribute and what to declare instead."""
    cls = _class_with(kind)
    with pytest.raises(ConfigurationError, match=r"Entity\.field: .*declare"):
        lazymig.Migration(name="m", v1=cls, v2=cls, upgrade=_same, downgrade=_same)


def test_a_refused_type_is_found_in_a_nested_class() -> None:
    """The path leads there."""
    cls = _class_with(list[_class_with(dt.time, "Nested")])
    with pytest.raises(ConfigurationError, match=r"Entity\.field\.field"):
        lazymig.Migration(name="m", v1=cls, v2=cls, upgrade=_same, downgrade=_same)


@pytest.mark.parametrize(
    "kind", [Any, "Inner", Tree, Counter[str], dict, list, dict[Shape, int], dict[Any, int], Literal["a"]], ids=repr
)
def test_other_types_are_left_to_the_converter(kind: Any) -> None:
    """What may work is not refused in advance."""
    cls = _class_with(Inner if kind == "Inner" else kind)
    lazymig.Migration(name="m", v1=cls, v2=cls, upgrade=_same, downgrade=_same)


def test_a_converter_of_ones_own_decides_for_itself() -> None:
    """With `v1_converter` and `v2_converter` even a timedelta is no concern of lazymig."""
    cls = _class_with(dt.timedelta)
    own = make_converter()
    own.register_unstructure_hook(dt.timedelta, lambda value: int(value.total_seconds()))
    own.register_structure_hook(dt.timedelta, lambda value, _: dt.timedelta(seconds=value))
    migration = lazymig.Migration(
        name="m", v1=cls, v2=cls, upgrade=_same, downgrade=_same, v1_converter=own, v2_converter=own
    )
    codec = codec_for(migration.v1, "id", own, tz_aware=False)
    entity = cls(1, dt.timedelta(minutes=2))
    assert codec.encode(entity) == {"field": 120}
    assert codec.decode({"_id": 1, "field": 120}) == entity


MOMENTS = st.datetimes(min_value=dt.datetime(1, 1, 1)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, fold=0)
)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**20), max_value=10**20)
ANYTHING = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    Decimal: DECIMALS,
    dt.datetime: MOMENTS,
    dt.date: st.dates(),
    UUID: st.uuids(),
    str: st.text(),
    bytes: st.binary(),
}


@pytest.mark.parametrize("kind", ANYTHING, ids=lambda kind: kind.__name__)
def test_any_value_of_a_scalar_type_comes_back(kind: Any) -> None:
    """Whatever the value, it comes back equal and of the same class, alone and nested."""

    @settings(max_examples=40, deadline=None, print_blob=True)
    @given(st.lists(ANYTHING[kind], max_size=3))
    def holds(values: list[Any]) -> None:
        for back, value in zip(there_and_back(values, list[kind]), values, strict=True):
            assert back == value
            assert isinstance(back, type(value))  # an Int64 is an int
            assert str(back) == str(value)  # 0.0 and -0.0, 1.0 and 1.00
        named = {str(number): value for number, value in enumerate(values)}
        assert there_and_back(named, dict[str, kind]) == named

    holds()


@settings(max_examples=40, deadline=None, print_blob=True)
@given(st.recursive(st.builds(Tree, st.text()), lambda trees: st.builds(Tree, st.text(), st.lists(trees, max_size=3))))
def test_nested_classes_come_back(tree: Tree) -> None:
    """However deep, and although the class holds itself."""
    assert there_and_back(tree, Tree) == tree


def _same(entity: Any) -> Any:
    return entity


def _class_with(kind: Any, name: str = "Entity") -> Any:
    import attrs

    return make_class(name, {"id": attrs.field(type=int), "field": attrs.field(type=kind)}, frozen=True)
