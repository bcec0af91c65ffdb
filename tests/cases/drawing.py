"""Classes drawn at random, with values that fit their fields and some that do not, and migrations between them."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field as dataclass_field
from dataclasses import fields as dataclass_fields
from dataclasses import make_dataclass, replace
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NewType, Union
from uuid import UUID

import attrs
import pydantic
from attrs import Factory, frozen
from bson import Decimal128, Int64, ObjectId, Regex, Timestamp
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from typing_extensions import TypedDict

from lazymig import ConfigurationError, Migration, make_converter, rename
from lazymig.shapes.unions import mistakable
from tests.cases.test_names import ODD


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Shape(enum.StrEnum):
    ROUND = "round"


@frozen
class Sub:
    a: int


@frozen
class SubSub(Sub):
    b: int = 0


CONFIG = pydantic.ConfigDict(arbitrary_types_allowed=True)
Name = NewType("Name", str)
#: Classes with the stored names of their attributes.
Renames = tuple[tuple[Any, Mapping[str, str]], ...]

TEXTS = st.text(max_size=4)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3) | st.integers(-3, 3).map(Int64)
MOMENTS = st.datetimes().map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
DECIMALS = st.decimals(places=2, min_value=-(10**9), max_value=10**9) | st.sampled_from(
    [Decimal("NaN"), Decimal("1E+6111"), Decimal("-0.00")]
)
#: Types that are stored as they are, with their values.
LEAVES: list[tuple[Any, SearchStrategy[Any]]] = [
    (str, TEXTS),
    (Name, TEXTS),
    (int, NUMBERS),
    (float, st.floats()),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=4)),
    (ObjectId, st.binary(min_size=12, max_size=12).map(ObjectId)),
    (Decimal, DECIMALS),
    (dt.datetime, MOMENTS),
    (dt.date, st.dates()),
    (UUID, st.uuids()),
    (Decimal128, DECIMALS.map(Decimal128)),
    (Timestamp, st.builds(Timestamp, st.integers(1, 2**31), st.integers(0, 9))),
    (Regex, st.builds(Regex, st.sampled_from(["a", "^b"]), st.integers(0, 3))),
    (Colour, st.sampled_from(Colour)),
    (Size, st.sampled_from(Size)),
    (Shape, st.sampled_from(Shape)),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (Sub, st.builds(Sub, NUMBERS)),
]
#: Those that may stand in sets.
HASHABLE = [leaf for leaf in LEAVES if leaf[0] in (str, int, bytes, dt.date, UUID, Colour, ObjectId)]
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | TEXTS | st.binary(max_size=3) | MOMENTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(ODD) | TEXTS, inner, max_size=2),
    max_leaves=4,
)
#: Values that hardly any field declares.
HOSTILE = st.sampled_from(
    [None, True, 0, 12, -0.0, math.nan, 2**53 + 1, 2**70, "abc", "", b"x", (1, 2, 3), (), [], [1, "a"], {1}, {},
     frozenset("a"), {1: 2}, {"a\0": 1}, {"$ref": "x", "$id": 1}, {"a": (1,)}, Decimal("1.0"), Decimal("sNaN"),
     Decimal("1" * 35),
     dt.date(2024, 1, 1), dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, 0, 0, 0, 1), dt.time(1),
     dt.datetime(2024, 1, 1, tzinfo=dt.UTC), UUID(int=1), Colour.RED, Size.LARGE, Shape.ROUND, Sub(1), SubSub(1, 2),
     Timestamp(0, 0), Int64(5), 1j, object(), [Sub(1)], [SubSub(1)]]
)  # fmt: skip
#: Types that BSON does not hold exactly: whatever is made of them is refused when it is built.
INEXACT = [dt.time, dt.timedelta, complex, object, dict[int, str], list[dt.time], dt.date | dt.datetime, Colour | str]


@st.composite
def rarely(draw: DrawFn, odd: SearchStrategy[Any], usual: SearchStrategy[Any], times: int) -> Any:
    """From the first strategy once in so many times. (Of equal strategies `one_of` takes each but once.)"""
    return draw(odd if draw(st.integers(1, times)) == times // 2 + 1 else usual)


@frozen
class Drawn:
    """A type, values of it, and the names under which the fields of classes inside are to be stored."""

    kind: Any
    values: SearchStrategy[Any]
    renames: Renames = ()

    def mixed(self) -> SearchStrategy[Any]:
        """Values of the type, and now and then others."""
        return rarely(HOSTILE, self.values, 25)


def leaves() -> SearchStrategy[Drawn]:
    """One type without any inside."""
    return st.sampled_from(LEAVES).map(lambda leaf: Drawn(*leaf)) | st.just(Drawn(Any, ANYTHING))


def types() -> SearchStrategy[Drawn]:
    """Types with types inside, to a small depth; a few that are refused."""
    inner = st.recursive(leaves(), lambda inside: st.one_of(*(make(inside) for make in MAKERS)), max_leaves=4)
    return rarely(st.sampled_from(INEXACT).map(lambda kind: Drawn(kind, HOSTILE)), inner, 30)


@st.composite
def arrays(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """Lists and tuples of any length."""
    one = draw(inside)
    made, kind = draw(st.sampled_from([(list, list[one.kind]), (tuple, tuple[one.kind, ...])]))
    return Drawn(kind, st.lists(one.mixed(), max_size=2).map(made), one.renames)


@st.composite
def rows(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """Tuples with a type for each place."""
    found = draw(st.lists(inside, min_size=1, max_size=3))
    kind: Any = tuple[tuple(one.kind for one in found)]  # type: ignore[misc]
    return Drawn(kind, st.tuples(*(one.mixed() for one in found)), _renames(found))


@st.composite
def sets(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """Sets of what may stand in them."""
    kind, values = draw(st.sampled_from(HASHABLE))
    made = draw(st.sampled_from([set, frozenset]))
    return Drawn(made[kind], st.lists(values, max_size=3).map(made))


@st.composite
def mappings(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """Mappings from texts, with the keys that are awkward."""
    one = draw(inside)
    values = st.dictionaries(st.sampled_from(ODD) | TEXTS, one.mixed(), max_size=2)
    return Drawn(dict[str, one.kind], values, one.renames)


@st.composite
def unions(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """Optionals, and unions whether or not they can be distinguished."""
    found = draw(st.lists(inside, min_size=1, max_size=3))
    if draw(st.integers(0, 19)) and mistakable(Union[(*(one.kind for one in found), None)]):
        found = found[:1]  # nearly any three could be mistaken for each other
    kinds = [one.kind for one in found]
    values = st.one_of(*(one.mixed() for one in found))
    if draw(st.booleans()):
        kinds, values = [*kinds, None], st.none() | values
    return Drawn(Union[tuple(kinds)], values, _renames(found))  # noqa: UP007 - made of a list


@st.composite
def classes(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """attrs classes, dataclasses, pydantic models, TypedDicts and NamedTuples, their fields under any names."""
    found = draw(st.lists(inside, min_size=1, max_size=3))
    named = {f"p{number}": one for number, one in enumerate(found)}
    kinds = {name: one.kind for name, one in named.items()}
    make = draw(st.sampled_from([*RECORDS, *RECORDS, _identity_class, _typed_dict, _namedtuple]))
    cls = make(kinds)
    values = st.fixed_dictionaries({name: one.mixed() for name, one in named.items()}).map(lambda given: of(cls, given))
    renames = _renames(found)
    if make in RECORDS:
        stored = draw(st.dictionaries(st.sampled_from(list(named)), st.sampled_from(ODD), max_size=2))
        if make is _model or draw(st.booleans()):
            declare(cls, stored)
        else:
            renames = (*renames, (cls, stored))
    return Drawn(cls, values, renames)


def of(cls: Any, values: Mapping[str, Any]) -> Any:
    """An instance that holds these values, whether or not they fit."""
    return cls.model_construct(**values) if is_model(cls) else cls(**values)


def is_model(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, pydantic.BaseModel)


def library(cls: Any) -> str:
    """Of which library the class is."""
    return "pydantic" if is_model(cls) else "attrs" if attrs.has(cls) else "dataclass"


def changed(entity: Any, values: Mapping[str, Any]) -> Any:
    """The entity with other values, in the way of its library."""
    if is_model(type(entity)):
        return entity.model_copy(update=values)
    return attrs.evolve(entity, **values) if attrs.has(type(entity)) else replace(entity, **values)


def declare(cls: Any, stored: Mapping[str, str]) -> None:
    """Declare stored names on the class, where `rename` takes them."""
    for name, other in stored.items():
        with suppress(ConfigurationError):
            rename(cls, **{name: other})


def _attrs_class(kinds: Mapping[str, Any]) -> Any:
    return attrs.make_class("Inner", {name: attrs.field(type=kind) for name, kind in kinds.items()}, frozen=True)


def _identity_class(kinds: Mapping[str, Any]) -> Any:
    return attrs.make_class("Inner", {name: attrs.field(type=kind) for name, kind in kinds.items()}, eq=False)


def _dataclass(kinds: Mapping[str, Any]) -> Any:
    return make_dataclass("Inner", [(name, kind, dataclass_field()) for name, kind in kinds.items()])


def _slotted_dataclass(kinds: Mapping[str, Any]) -> Any:
    return make_dataclass("Inner", list(kinds.items()), frozen=True, slots=True, kw_only=True)


def _model(kinds: Mapping[str, Any]) -> Any:
    return pydantic.create_model("Inner", __config__=CONFIG, **{name: (kind, ...) for name, kind in kinds.items()})


def _typed_dict(kinds: Mapping[str, Any]) -> Any:
    return TypedDict("Inner", dict(kinds))  # type: ignore[operator]


def _namedtuple(kinds: Mapping[str, Any]) -> Any:
    return NamedTuple("Inner", list(kinds.items()))  # type: ignore[misc]


#: What may declare names.
RECORDS = [_attrs_class, _dataclass, _slotted_dataclass, _model]


def _renames(found: list[Drawn]) -> Renames:
    return tuple(rename for one in found for rename in one.renames)


MAKERS: list[Callable[[SearchStrategy[Drawn]], SearchStrategy[Drawn]]] = [
    arrays, rows, sets, mappings, unions, classes, classes,
]  # fmt: skip


@frozen
class Plan:
    """A drawn migration, not yet built, and two entities in V2's type, the second for an update."""

    v1: Any
    v2: Any
    converters: Mapping[str, Converter]
    #: V2's attribute by V1's.
    names: Mapping[str, str]
    first: Any
    second: Any
    changed: str

    def build(self) -> Migration[Any, Any]:
        """The migration. Raises `ConfigurationError` where a type or a name is refused."""
        return Migration(
            name="drawn", v1=self.v1, v2=self.v2, upgrade=self.upgrade, downgrade=self.downgrade, **self.converters
        )

    def upgrade(self, v1: Any) -> Any:
        """V1 to V2: the same values under the other names."""
        return of(self.v2, {"id": v1.id} | {new: getattr(v1, old) for old, new in self.names.items()})

    def downgrade(self, v2: Any) -> Any:
        """V2 to V1."""
        return of(self.v1, {"id": v2.id} | {old: getattr(v2, new) for old, new in self.names.items()})


TOP = ["x", "y", "Z", "class", "e-mail", "id2", "é"]


@st.composite
def plans(draw: DrawFn) -> Plan:
    """Two shapes with the same fields, renamed and in another order, under any stored names."""
    found = draw(st.lists(types(), min_size=1, max_size=4))
    old = {f"a{number}": one for number, one in enumerate(found)}
    names = {name: f"b{number}" for number, name in enumerate(draw(st.permutations(list(old))))}
    new = {names[name]: old[name] for name in names}
    v1, v2 = _entity_class(draw, "V1", old), _entity_class(draw, "V2", new)
    values = st.fixed_dictionaries({name: one.mixed() for name, one in new.items()})
    first, second = (of(v2, {"id": 1} | draw(values)) for _ in range(2))
    converters = _converters(draw, v1, v2, _renames(found))
    return Plan(v1, v2, converters, names, first, second, draw(st.sampled_from(list(new))))


def _entity_class(draw: DrawFn, name: str, fields: Mapping[str, Drawn]) -> Any:
    make = draw(st.sampled_from([_attrs_entity, _dataclass_entity, _model_entity]))
    cls = make(draw, name, fields)
    usual = st.sampled_from([one for one in TOP if one != "id2"])
    declare(cls, draw(st.just({}) | st.dictionaries(st.sampled_from(list(fields)), usual, max_size=2)))
    return cls


def _dataclass_entity(draw: DrawFn, name: str, fields: Mapping[str, Drawn]) -> Any:
    made: list[Any] = [("id", int)]
    for attribute, one in fields.items():
        default = {"default_factory": lambda: None} if draw(st.integers(0, 9)) == 0 else {}
        made.append((attribute, one.kind, dataclass_field(**default)))
    return make_dataclass(name, made, kw_only=True, frozen=draw(st.booleans()), slots=draw(st.booleans()))


def _model_entity(draw: DrawFn, name: str, fields: Mapping[str, Drawn]) -> Any:
    made: dict[str, Any] = {"id": (int, ...)}
    for attribute, one in fields.items():
        default = {"default_factory": lambda: None} if draw(st.integers(0, 9)) == 0 else {}
        made[attribute] = (one.kind, pydantic.Field(**default))
    return pydantic.create_model(name, __config__=CONFIG | {"frozen": draw(st.booleans())}, **made)


def _attrs_entity(draw: DrawFn, name: str, fields: Mapping[str, Drawn]) -> Any:
    made: dict[str, Any] = {"id": attrs.field(type=int)}
    for number, (attribute, one) in enumerate(fields.items()):
        alias = {"alias": attribute} if draw(st.booleans()) else {}
        default = {"default": None} if draw(st.integers(0, 9)) == 0 and one.kind is Any else {}
        if draw(st.integers(0, 9)) == 0:
            default = {"default": Factory(lambda: None)}
        made[attribute] = attrs.field(type=one.kind, kw_only=True, metadata={"n": number}, **alias, **default)
    return attrs.make_class(name, made, frozen=draw(st.booleans()))


def _converters(draw: DrawFn, v1: Any, v2: Any, renames: Renames) -> dict[str, Converter]:
    """Converters of one's own where something is renamed, or by chance."""
    top = {cls: draw(_top_names(cls)) for cls in (v1, v2)} if draw(st.booleans()) else {v1: {}, v2: {}}
    if not any(top.values()) and not any(stored for _, stored in renames):
        return {}
    sides = {"v1_converter": v1, "v2_converter": v2}
    return {side: _renaming([*renames, (cls, top[cls])], draw) for side, cls in sides.items()}


def _top_names(cls: Any) -> SearchStrategy[dict[str, str]]:
    if is_model(cls):
        return st.just({})  # cattrs makes no hooks for these: they declare their names
    attributes = [field.name for field in (attrs.fields(cls) if attrs.has(cls) else dataclass_fields(cls))][1:]
    usual = st.dictionaries(st.sampled_from(attributes), st.sampled_from(TOP), max_size=2)
    return rarely(st.dictionaries(st.sampled_from(attributes), st.sampled_from([*ODD, *TOP, "id"])), usual, 10)


def _renaming(renames: list[tuple[Any, Mapping[str, str]]], draw: DrawFn) -> Converter:
    own = make_converter(detailed_validation=draw(st.booleans()))
    for cls, stored in renames:
        if stored:
            overrides: dict[str, Any] = {name: override(rename=other) for name, other in stored.items()}
            # By factories, as a type inside may be one of those that are refused.
            own.register_structure_hook_factory(_is(cls), _reading(own, overrides))
            own.register_unstructure_hook_factory(_is(cls), _writing(own, overrides))
    return own


def _is(cls: Any) -> Callable[[Any], bool]:
    return lambda kind: kind is cls


def _reading(own: Converter, overrides: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda cls: make_dict_structure_fn(cls, own, **overrides)


def _writing(own: Converter, overrides: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda cls: make_dict_unstructure_fn(cls, own, **overrides)
