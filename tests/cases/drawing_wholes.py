"""Drawn pairs of classes whose entities share documents, drawn values, and what clients and other programs do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
from attrs import frozen
from bson import Decimal128, Int64, ObjectId
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lazymig import Migration


@frozen
class Inner:
    """A sub-document; what is missing in it is not null."""

    a: int
    b: str | None = "none"
    c: float = 0.5


@frozen
class Outer:
    """A sub-document in a sub-document."""

    inner: Inner
    tags: list[str]


TEXTS = st.sampled_from(("", "a", "Ada King", "ß", "$a.b", "0"))
NUMBERS = st.integers(-3, 3) | st.sampled_from((2**31, -(2**63), 2**63 - 1))
#: Values that are equal and differ as they are stored, and one that does not equal itself.
FLOATS = st.sampled_from((0.0, -0.0, 1.0, float("nan"), float("inf"), 1.5))
MOMENTS = st.sampled_from((dt.datetime(1969, 12, 31, 23, 59, 59, 999000), dt.datetime(2026, 1, 2)))
DECIMALS = st.sampled_from(("1", "1.0", "-0", "NaN")).map(Decimal128)
INNERS = st.builds(Inner, NUMBERS, st.none() | TEXTS, FLOATS)
OUTERS = st.builds(Outer, INNERS, st.lists(TEXTS, max_size=2))
KINDS: list[tuple[Any, SearchStrategy[Any]]] = [
    (str, TEXTS),
    (int, NUMBERS),
    (float, FLOATS),
    (bool, st.booleans()),
    (dt.datetime, MOMENTS),
    (Decimal128, DECIMALS),
    (ObjectId, st.sampled_from((ObjectId(b"a" * 12), ObjectId(b"b" * 12)))),
    (bytes, st.sampled_from((b"", b"\0\xff"))),
    (Inner, INNERS),
    (Outer, OUTERS),
    (list[int], st.lists(NUMBERS, max_size=3)),
    (list[Inner], st.lists(INNERS, max_size=2)),
    (dict[str, int], st.dictionaries(st.sampled_from(("x", "y", "0")), NUMBERS, max_size=2)),
]


#: In place of a default: the field may not be missing.
REQUIRED: Any = object()


@frozen
class Field:
    """A field of both classes: shared under one name, renamed, or stored as a text by V2."""

    name: str
    kind: Any
    values: SearchStrategy[Any]
    way: str
    #: What a missing field stands for.
    default: Any = REQUIRED

    @property
    def new(self) -> str:
        """The name in V2."""
        return self.name if self.way == "shared" else f"{self.name}_new"

    def declare(self, *, v2: bool = False) -> Any:
        """The attribute of a class."""
        if v2 and self.way == "text":
            return attrs.field(type=str, kw_only=True)
        return attrs.field(
            type=self.kind, kw_only=True, default=attrs.NOTHING if self.default is REQUIRED else self.default
        )


@st.composite
def fields(draw: DrawFn, name: str) -> Field:
    """A field of any kind."""
    kind, values = draw(st.sampled_from(KINDS))
    ways = ["shared", "renamed", *(["text"] if kind is int else [])]
    way = draw(st.sampled_from(ways))
    if way != "text" and draw(st.booleans()):
        default = draw(st.sampled_from([None, *([0] if kind is int else ["none"] if kind is str else [])]))
        return Field(name, kind | None, st.none() | values, way, default)
    return Field(name, kind, values, way)


@frozen
class Plan:
    """A drawn migration in one document, with the values of two entities of V1 and of what is done with them."""

    fields: tuple[Field, ...]
    within: bool
    keeping: bool
    first: dict[str, Any]
    steps: tuple[tuple[str, Any], ...]

    def build(self) -> Migration[Any, Any]:
        """The migration."""
        id_ = attrs.field(type=int)
        v1 = attrs.make_class("V1", {"id": id_} | {one.name: one.declare() for one in self.fields}, frozen=True)
        named = {one.new: one.declare(v2=True) for one in self.fields}
        note = attrs.field(type=str, default="", kw_only=True)
        v2 = attrs.make_class("V2", {"id": id_, **named, "note": note}, frozen=True)

        def upgrade(one: Any) -> Any:
            return v2(one.id, **{field.new: _to_v2(field, getattr(one, field.name)) for field in self.fields})

        def keep(one: Any, previous: Any) -> Any:
            return attrs.evolve(upgrade(one), note=previous.note if previous else "")

        def downgrade(one: Any) -> Any:
            return v1(one.id, **{field.name: _to_v1(field, getattr(one, field.new)) for field in self.fields})

        return Migration(
            name="drawn", v1=v1, v2=v2, upgrade=keep if self.keeping else upgrade, downgrade=downgrade,
            v2_within="v2" if self.within else None,
        )  # fmt: skip


def _to_v2(field: Field, value: Any) -> Any:
    return str(value) if field.way == "text" else value


def _to_v1(field: Field, value: Any) -> Any:
    return int(value) if field.way == "text" else value


#: What other programs and lazymig's clients do, by name.
STEPS = (
    "set V2", "set V2", "set V1", "note", "note", "replace V2", "replace V1", "read", "list", "out set", "out set",
    "out unset", "out nest", "out replace", "out save", "delete", "out delete",
)  # fmt: skip


@st.composite
def plans(draw: DrawFn) -> Plan:
    """Classes of one to four fields, and up to eight steps."""
    drawn = tuple(draw(fields(f"f{number}")) for number in range(draw(st.integers(1, 4))))
    whole = st.fixed_dictionaries({one.name: one.values for one in drawn})
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        step = draw(st.sampled_from(STEPS))
        field = draw(st.sampled_from(drawn))
        wanted = whole if step.endswith(("replace V2", "replace V1", "out replace", "delete")) else field.values
        steps.append((step, (field, draw(wanted))))
    return Plan(drawn, draw(st.booleans()), draw(st.booleans()), draw(whole), tuple(steps))


def raw(value: Any) -> Any:
    """A value as another program stores it: numbers of a larger type than they need, at times."""
    if attrs.has(type(value)):
        return {name: raw(inner) for name, inner in attrs.asdict(value, recurse=False).items()}
    if isinstance(value, list):
        return [raw(inner) for inner in value]
    if isinstance(value, dict):
        return {name: raw(inner) for name, inner in value.items()}
    return Int64(value) if type(value) is int and value == 1 else value


def same(one: Any, other: Any) -> bool:
    """Whether two values are alike: NaN is, and a zero and a negative one are not."""
    if attrs.has(type(one)):
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in attrs.fields(type(one))
        )
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and same(list(one.items()), list(other.items()))
    if isinstance(one, float | Decimal128):
        return type(one) is type(other) and str(one) == str(other)
    if isinstance(one, int) and isinstance(other, int):
        return isinstance(one, bool) is isinstance(other, bool) and one == other  # an Int64 is an int
    return type(one) is type(other) and bool(one == other)
