"""Classes that are more than their fields: what they add holds, also where lazymig has a shorter way for others."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from decimal import Decimal
from typing import Annotated, Any, Generic, NewType, TypeVar

import attrs
import bson
import pytest
from attrs import Factory, define, frozen
from bson import Int64
from cattrs import override

from lazymig import make_converter, rename, upcasters
from lazymig.shapes.codec import NotExact, codec_for
from tests.unit.shapes.test_assured import long_way, outcome

T = TypeVar("T")


# ---- classes that change what they are given: what they hold is not what they are made of again ---------------------


@frozen
class Converting:
    id: int
    a: int = attrs.field(converter=lambda value: value + 1)


@define(on_setattr=[])
class Validating:
    id: int
    a: int = attrs.field()

    @a.validator
    def _raise_it(self, _: Any, value: int) -> None:
        self.a = value + 1


@define
class Finishing:
    id: int
    a: int

    def __attrs_post_init__(self) -> None:
        self.a += 1


@define
class Writing:
    id: int
    a: int

    def __init__(self, id: int, a: int) -> None:
        self.__attrs_init__(id, a + 1)


@define(slots=False)
class Setting:
    id: int
    a: int

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value + (name == "a"))


class Calling(type):
    """A metaclass that changes what a class is called with."""

    def __call__(cls, id: int, a: int) -> Any:
        return super().__call__(id, a + 1)


@dataclasses.dataclass
class Called(metaclass=Calling):
    id: int
    a: int


@dataclasses.dataclass
class Afterwards:
    id: int
    a: int

    def __post_init__(self) -> None:
        self.a += 1


@dataclasses.dataclass(init=False)
class Own:
    id: int
    a: int

    def __init__(self, id: int, a: int) -> None:
        self.id, self.a = id, a + 1


@dataclasses.dataclass
class Plain:
    id: int
    a: int


class Below(Plain):
    """A subclass without the decorator."""

    def __init__(self, id: int, a: int) -> None:
        super().__init__(id, a + 1)


@dataclasses.dataclass
class SettingPlainly:
    id: int
    a: int

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value + (name == "a"))


@dataclasses.dataclass
class Described:
    id: int
    a: int


def _put(entity: Any, value: int) -> None:
    entity.__dict__["a"] = value + 1


Described.a = property(lambda entity: entity.__dict__["a"], _put)  # type: ignore[assignment]


@frozen
class Getting:
    id: int
    a: int

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        return found + 1 if name == "a" else found


@pytest.mark.parametrize(
    "cls",
    [
        Converting, Validating, Finishing, Writing, Setting, Called, Afterwards, Own, Below, SettingPlainly, Described,
        Getting,
    ],
)  # fmt: skip
def test_a_class_that_changes_what_it_is_given_is_noticed(cls: Any) -> None:
    """Each would be read back with another number than was written, so it is refused."""
    codec = codec_for(cls, "id", None, tz_aware=False)
    with pytest.raises(NotExact) as caught:
        codec.encode_exactly(cls(1, 1))
    assert caught.value.path == "a"


@define
class Hidden:
    id: int
    a: int
    b: int = attrs.field(default=1, init=False)


def test_a_field_that_documents_lack_is_noticed() -> None:
    """A field that is not stored has its default again when it is read."""
    entity = Hidden(1, 1)
    codec = codec_for(Hidden, "id", None, tz_aware=False)
    assert codec.encode_exactly(entity) == {"a": 1}
    entity.b = 2
    with pytest.raises(NotExact):
        codec.encode_exactly(entity)


@dataclasses.dataclass
class Made:
    id: int
    a: int

    def __new__(cls, _: int, a: int) -> Any:
        return object.__new__(Remade if a > 5 else cls)


class Remade(Made):
    """What large numbers become."""


def test_a_class_that_makes_another_is_noticed() -> None:
    """The entity would be read back as an instance of another class."""
    entity = Made(1, 1)
    codec = codec_for(Made, "id", None, tz_aware=False)
    assert codec.encode_exactly(entity) == {"a": 1}
    entity.a = 6
    with pytest.raises(NotExact):
        codec.encode_exactly(entity)


@define
class Before:
    id: int
    a: int

    def __attrs_pre_init__(self) -> None: ...


@pytest.mark.parametrize("cls", [Before, Hidden, Made, Getting])
def test_such_classes_are_always_read_back(cls: Any) -> None:
    """Nothing counts as certain where a class has a part in making its instances."""
    assert codec_for(cls, "id", None, tz_aware=False).assured is None


# ---- enums ----------------------------------------------------------------------------------------------------------


class Absent(enum.Enum):
    NOTHING = None
    X = "x"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Loose(enum.Enum):
    """Its members are equal to anything, and to each other."""

    A = "a"
    B = "b"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class Turning(enum.Enum):
    """A stored value that the class takes for another member."""

    A = "a"
    B = "b"

    @property
    def value(self) -> str:
        return "a"


@frozen
class WithEnums:
    id: int
    optional: Absent | None = None
    rights: Rights = Rights.READ
    loose: Loose = Loose.A
    turning: Turning = Turning.A


@pytest.mark.parametrize(
    "entity",
    [
        WithEnums(1), WithEnums(1, Absent.X), WithEnums(1, Absent.NOTHING), WithEnums(1, rights=Rights(3)),
        WithEnums(1, rights=Rights(0)), WithEnums(1, loose=Loose.B), WithEnums(1, turning=Turning.B),
        WithEnums(1, loose="b"), WithEnums(1, rights=1), WithEnums(1, optional="x"),
    ],
    ids=repr,
)  # fmt: skip
def test_odd_members_are_judged_by_reading_them(entity: Any) -> None:
    """An enum may have its own opinion of its members: they count as certain only where they come back themselves."""
    codec = codec_for(WithEnums, "id", None, tz_aware=False)
    expected = outcome(long_way(codec).encode_exactly, entity)
    assert outcome(codec.encode_exactly, entity) == expected
    assert codec.assured is not None
    if isinstance(expected, tuple) and expected[0] is NotExact:
        assert not codec.assured(entity)


# ---- constructors of every kind -------------------------------------------------------------------------------------

Name = NewType("Name", str)


@frozen
class Box(Generic[T]):
    inside: T
    more: list[T] = Factory(list)


@frozen
class Tree:
    leaf: Name
    branches: list[Tree] = Factory(list)


@define(kw_only=True)
class Keywords:
    number: int
    text: str = "x"


@define
class Mixed:
    _second: str
    first: int = attrs.field(kw_only=True)
    third: float | None = attrs.field(alias="other", default=None)


@dataclasses.dataclass
class Late:
    shown: str
    _: dataclasses.KW_ONLY
    number: int = 5
    day: dt.date = dt.date(2024, 1, 1)


@frozen
class Remarked:
    a: Annotated[int, override(rename="b")]
    c: Annotated[str, "a remark"] = ""


@define
class Named:
    plain: int
    other: str


rename(Named, other="Other Name")


@frozen
class All:
    id: Name
    box: Box[int] | None = None
    days: list[Box[dt.date]] = Factory(list)
    tree: Tree = Tree(Name("a"))
    keywords: Keywords | None = None
    mixed: Mixed | None = None
    late: Late | None = None
    annotated: Remarked | None = None
    named: list[Named | None] = Factory(list)
    price: Decimal | None = None
    by_name: dict[str, Named] = Factory(dict)


FULL = All(
    Name("a"), Box(1, [2, 3]), [Box(dt.date(2024, 1, 1))], Tree(Name("x"), [Tree(Name("y"), [Tree(Name("z"))])]),
    Keywords(number=2, text="y"), Mixed(first=3, second="c", other=0.5), Late("b", number=6, day=dt.date(1, 1, 1)),
    Remarked(2, "c"), [Named(1, "a"), None], Decimal("-1.50"), {"x": Named(2, "b")},
)  # fmt: skip


def test_constructors_of_every_kind_are_called_rightly() -> None:
    """By place, by keyword, by alias and with defaults; generic, recursive, renamed and annotated classes inside."""
    codec = codec_for(All, "id", None, tz_aware=False)
    assert codec.read is not None
    document = bson.decode(bson.encode({"_id": "a", **codec.encode_exactly(FULL)}))
    assert document["annotated"] == {"b": 2, "c": "c"}
    assert document["named"][0] == {"plain": 1, "Other Name": "a"}
    assert codec.read(document) == codec.decode(document) == long_way(codec).decode(document) == FULL
    assert codec.read({"_id": "a"}) == long_way(codec).decode({"_id": "a"}) == All(Name("a"))
    for missing in ("leaf", "number", "first", "_second", "shown", "b", "plain"):
        for name, inner in document.items():
            if isinstance(inner, dict) and missing in inner:
                worse = {**document, name: {key: value for key, value in inner.items() if key != missing}}
                assert outcome(codec.decode, worse) == outcome(long_way(codec).decode, worse)


@frozen
class Simple:
    id: int
    a: int
    when: dt.datetime


def test_values_are_certain_only_of_exactly_their_type() -> None:
    """An Int64, a bool, a number of 65 bits, half of a surrogate pair or another time zone is read back, or refused."""
    codec = codec_for(Simple, "id", None, tz_aware=False)
    aware = codec_for(Simple, "id", None, tz_aware=True)
    assert codec.assured is not None
    assert aware.assured is not None
    noon = dt.datetime(2024, 1, 1, 12)
    assert codec.assured(Simple(1, 2, noon))
    assert aware.assured(Simple(1, 2, noon.replace(tzinfo=dt.UTC)))
    assert not aware.assured(Simple(1, 2, noon.replace(tzinfo=dt.timezone(dt.timedelta(hours=2)))))
    for odd in (Int64(2), True, 2**63, -(2**63) - 1, 2.0, "2", None):
        assert not codec.assured(Simple(1, odd, noon))  # type: ignore[arg-type]
        assert not codec.assured(Simple(odd, 2, noon))  # type: ignore[arg-type]
    assert codec.assured(Simple(-(2**63), 2**63 - 1, noon))
    texts = codec_for(Named, "plain", None, tz_aware=False).assured
    assert texts is not None
    assert texts(Named(1, "é\0\U0001f600"))
    assert not texts(Named(1, "\ud800"))
    assert not texts(Named(1, enum.StrEnum("Shape", ["ROUND"]).ROUND))  # type: ignore[attr-defined]


def test_the_long_way_is_taken_where_something_else_takes_part() -> None:
    """A converter of one's own and upcasters have their say about each document, whatever the class is."""
    own = make_converter()
    own.register_structure_hook(int, lambda value, _: value + 1)
    assert codec_for(Plain, "id", own, tz_aware=False).decode({"_id": 1, "a": 1}) == Plain(2, 2)
    with pytest.raises(NotExact):
        codec_for(Plain, "id", own, tz_aware=False).encode_exactly(Plain(1, 1))
    chain = upcasters({1: lambda document: {**document, "a": 5}})
    assert codec_for(Plain, "id", None, tz_aware=False, upcasters=chain).decode({"_id": 1}) == Plain(1, 5)
    # And none of that stays with the class.
    assert codec_for(Plain, "id", None, tz_aware=False).decode({"_id": 1, "a": 1}) == Plain(1, 1)
    assert codec_for(Plain, "a", None, tz_aware=False).decode({"_id": 1, "id": 2}) == Plain(2, 1)
    with pytest.raises(ValueError, match="naive"):
        codec_for(Simple, "id", None, tz_aware=False).encode(Simple(1, 2, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)))
    with pytest.raises(ValueError, match="aware"):
        codec_for(Simple, "id", None, tz_aware=True).encode(Simple(1, 2, dt.datetime(2024, 1, 1)))
