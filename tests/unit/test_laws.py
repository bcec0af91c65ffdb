"""The laws of conversions: good migrations pass, and each way of breaking one is named with its field."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import bson
import pytest
from attrs import Factory, define, evolve, field, frozen
from bson import Decimal128, Int64, ObjectId, Regex, Timestamp
from cattrs.gen import make_dict_unstructure_fn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lazymig
from examples import customers
from lazymig import ConfigurationError, Migration
from lazymig.shapes.conversions import conversions_for
from lazymig.testing import assert_laws, entities, laws
from lazymig.testing.differences import differences
from tests.people import PersonV1, PersonV2, people, split

T = TypeVar("T")


class Row(TypedDict):
    """A dict with declared keys."""

    day: dt.date
    price: Decimal


class Point(NamedTuple):
    """A tuple with names."""

    x: float
    tag: str | None


@dataclass
class Plain:
    """A class that attrs does not know."""

    rows: list[Row]
    point: Point


@frozen
class Box(Generic[T]):
    """A class with an argument."""

    value: T


class Color(Enum):
    """An enum among the types."""

    RED = "red"
    BLUE = "blue"


@frozen
class Part:
    """A class that contains itself."""

    name: str
    parts: list[Part] = Factory(list)


@frozen
class Everything:
    """One field of each kind that BSON holds."""

    id: int | str | ObjectId | UUID | bytes
    number: int
    real: float
    money: Decimal
    moment: dt.datetime | None
    day: dt.date
    key: UUID
    raw: bytes
    flag: bool
    color: Color
    word: Literal["a", "b"]
    pair: tuple[int, str]
    names: frozenset[str]
    by_name: dict[str, list[int]]
    part: Part
    anything: Any
    plain: Plain
    box: Box[dt.date]
    exact: Decimal128 | Regex | Timestamp | bytes | None


@frozen
class Moved:
    """The same, one level down."""

    id: int | str | ObjectId | UUID | bytes
    inner: Everything


def everything() -> Migration[Everything, Moved]:
    return Migration(
        name="everything", v1=Everything, v2=Moved, upgrade=lambda v1: Moved(v1.id, v1), downgrade=lambda v2: v2.inner
    )


@frozen
class Old:
    """The small V1."""

    id: int
    size: int
    tags: list[str] = Factory(list)


@define
class New:
    """The small V2, which can be altered in place."""

    id: int
    extent: int
    tags: list[str] = Factory(list)
    note: str = ""


def to_new(old: Old, previous: New | None = None) -> New:
    return New(old.id, old.size, list(old.tags), previous.note if previous else "")


def to_old(new: New) -> Old:
    return Old(new.id, new.extent, list(new.tags))


def small(**changed: Any) -> Migration[Old, New]:
    return Migration(**{"name": "small", "v1": Old, "v2": New, "upgrade": to_new, "downgrade": to_old} | changed)


def test_everything() -> None:
    """Every type that BSON holds exactly passes, by strategies derived from the class."""
    moved = entities(Everything).map(lambda entity: Moved(entity.id, entity))
    assert_laws(everything(), v2=moved, examples=60)


def test_small() -> None:
    """A migration whose V2 knows more than V1 passes, because `upgrade` is given the previous entity."""
    assert_laws(small())


async def test_in_a_running_loop() -> None:
    """An async test may check conversions that are not async."""
    assert_laws(small(), examples=5)


async def _later(old: Old, previous: New | None = None) -> New:
    await asyncio.sleep(0)
    return to_new(old, previous)


def test_async_conversion() -> None:
    """Async conversions are awaited."""
    assert_laws(small(upgrade=_later), examples=20)


async def test_async_conversion_in_a_running_loop() -> None:
    """In an async test they cannot be, and the error says where to call."""
    with pytest.raises(ConfigurationError, match="plain test function"):
        assert_laws(small(upgrade=_later), examples=1)


def test_customers() -> None:
    """The example keeps every law: on the 500 real documents, and on invented customers."""
    documents = st.sampled_from(customers.load_documents())
    assert_laws(customers.migration, v1=documents, v2=st.builds(customers.new_customer, st.integers(0, 10**6)))


def _uneven(old: Old, previous: New | None = None) -> New:
    return evolve(to_new(old, previous), note=str(random.random()))


def _picky(old: Old, previous: New | None = None) -> New:
    if old.size < 0:
        raise ValueError("a negative size")
    return to_new(old, previous)


def _greedy(old: Old, previous: New | None = None) -> New:
    taken = New(old.id, old.size, list(old.tags), previous.note if previous else "")
    old.tags.append("x")
    return taken


def _altering(new: New) -> Old:
    old = to_old(new)
    new.tags.append("x")
    return old


def _forgetful(old: Old, previous: New | None = None) -> New:
    return evolve(to_new(old), note="")


def _narrow(new: New) -> Old:
    if new.note:
        raise ValueError("no room for a note")
    return to_old(new)


BREAKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "raises": ({"upgrade": _picky}, laws.UPGRADE_TOTAL, ""),
    "random": ({"upgrade": _uneven}, laws.UPGRADE_DETERMINISTIC, "note"),
    "alters V1": ({"upgrade": _greedy}, laws.UPGRADE_DETERMINISTIC, "tags[0]"),
    "alters V2": ({"downgrade": _altering}, laws.DOWNGRADE_DETERMINISTIC, "tags[0]"),
    "cuts off": ({"downgrade": lambda new: evolve(to_old(new), tags=new.tags[:1])}, laws.V1_BACK, "tags[1]"),
    "rounds": ({"upgrade": lambda old: New(old.id, old.size // 2 * 2, old.tags)}, laws.V1_BACK, "size"),
    "int64 to int32": ({"upgrade": lambda old: New(old.id, int(old.size), old.tags)}, laws.V1_BACK, "size"),
    "forgets V2": ({"upgrade": _forgetful}, laws.V2_BACK, "note"),
    "refuses V2": ({"downgrade": _narrow}, laws.DOWNGRADE_TOTAL, ""),
    "too large": ({"upgrade": lambda old: New(old.id, 2**63)}, laws.STORABLE.format(side="V2"), "extent"),
    "16 MB": ({"upgrade": lambda old: New(old.id, 1, [], "x" * 2**24)}, laws.SIZE.format(side="V2"), "note"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_broken(name: str) -> None:
    """Each way of breaking a law is found, and the error names the law and the field."""
    changed, law, path = BREAKS[name]
    one = {"v1": st.just(Old(1, 1))} if name == "16 MB" else {}
    with pytest.raises(laws.LawBroken) as caught:
        assert_laws(small(**changed), **one, examples=50)
    assert (caught.value.law, caught.value.path) == (law, path)
    assert law in str(caught.value)
    assert path in str(caught.value)


def test_alters_once() -> None:
    """A conversion that alters its argument in a way that does not show in its result is found, too."""

    def spoil(new: New) -> Old:
        old = to_old(new)
        new.note = "spoilt"
        return old

    with pytest.raises(laws.LawBroken) as caught:
        assert_laws(small(downgrade=spoil))
    assert (caught.value.law, caught.value.path) == (laws.DOWNGRADE_PURE, "note")


def test_lossy_converter() -> None:
    """A converter that does not give back what it stored is found by its field."""
    migration = small(v1_converter=conversions_for(small(), v1_aware=False, v2_aware=False).v1.fast.copy())
    migration.v1_converter.register_unstructure_hook(str, lambda text: text[:3])
    with pytest.raises(laws.LawBroken) as caught:
        assert_laws(migration)
    assert (caught.value.law, caught.value.path) == (laws.SAME_TYPES.format(side="V1"), "tags[0]")


def test_documents() -> None:
    """V1's documents may be given as they stand, and a converter that spells one otherwise is found."""
    assert_laws(small(), v1=st.just({"_id": 1, "size": Int64(1), "tags": [], "more": 1, "_lazymig_rev": 3}), examples=1)
    converter = conversions_for(small(), v1_aware=False, v2_aware=False).v1.fast.copy()
    converter.register_structure_hook(int, lambda value, _: int(value))
    with pytest.raises(laws.LawBroken) as caught:
        assert_laws(small(v1_converter=converter), v1=st.just({"_id": 1, "size": Int64(1), "tags": []}), examples=1)
    assert (caught.value.law, caught.value.path) == (laws.SAME_TYPES.format(side="V1"), "size")


@frozen
class Rare:
    """Nearly nothing is one."""

    id: int
    code: str = field()

    @code.validator
    def _check(self, _: Any, value: str) -> None:
        if value != "the one and only":
            raise ValueError


def test_strategy_needed() -> None:
    """Where the class refuses nearly everything, the error asks for a strategy."""
    migration: Migration[Rare, Rare] = Migration(
        name="rare", v1=Rare, v2=Rare, upgrade=lambda v1: v1, downgrade=lambda v2: v2
    )
    with pytest.raises(ConfigurationError, match="pass a strategy, v1="):
        assert_laws(migration)


@settings(max_examples=50, deadline=None)
@given(entity=entities(Everything, tz_aware=True))
def test_strategies_are_storable(entity: Everything) -> None:
    """Whatever the derived strategies make can be stored and is read back as it was, by an aware client too."""
    codec = conversions_for(everything(), v1_aware=True, v2_aware=True).v1
    raw = bson.encode({"_id": codec.id_of(entity), **codec.encode(entity)})
    read = codec.decode(bson.decode(raw, bson.CodecOptions(tz_aware=True)))
    assert list(differences(entity, read)) == []


@frozen
class Awkward:
    """The fields whose extremes matter."""

    id: int
    number: int
    moment: dt.datetime
    money: Decimal
    by_name: dict[str, str]
    part: Part


EXTREMES: dict[str, Callable[[Awkward], bool]] = {
    "numbers beyond 32 bits": lambda entity: abs(entity.number) >= 2**31,
    "small int64": lambda entity: isinstance(entity.number, Int64) and abs(entity.number) < 100,
    "dates before 1970": lambda entity: entity.moment.year < 1970,
    "dollar keys": lambda entity: any(key.startswith("$") for key in entity.by_name),
    "dotted keys": lambda entity: any("." in key for key in entity.by_name),
    "empty strings": lambda entity: entity.part.name == "",
    "parts in parts": lambda entity: any(part.parts for part in entity.part.parts),
    "34 digits": lambda entity: len(entity.money.as_tuple().digits) == 34,
}


def test_extremes() -> None:
    """The derived strategies reach the awkward values."""
    met: set[str] = set()

    @settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(entities(Awkward))
    def look(entity: Awkward) -> None:
        met.update(name for name, wanted in EXTREMES.items() if wanted(entity))

    look()
    assert met == set(EXTREMES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (1, Int64(1)),
        (0.0, -0.0),
        (Decimal("1.0"), Decimal("1.00")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": None}, {}),
        (["nothing"], []),
        ([1], (1,)),
        (b"", ""),
        (Part("a"), Part("a", [Part("b")])),
    ],
)
def test_differences(one: Any, other: Any) -> None:
    """What BSON distinguishes is distinguished, and each value equals itself, NaN among them."""
    assert list(differences({"x": one}, {"x": other}))
    assert not list(differences([one, other, float("nan"), 2**31], [one, other, float("nan"), Int64(2**31)]))


def deciding(**changed: Any) -> Any:
    """A migration whose upgrade leaves and waits."""

    def decide(v1: PersonV1, previous: PersonV2 | None = None) -> PersonV2 | lazymig.Leave:
        if v1.age == 0:
            return lazymig.LEAVE
        if v1.name.count(" ") != 1:
            raise lazymig.NotYet("no last name")
        return split(v1, previous)

    return people(**{"upgrade": decide} | changed)


WAITING, LEFT = PersonV1(1, "Ada"), PersonV1(2, "Ada King", 0)


def test_entities_may_wait_and_stay() -> None:
    """A V1 entity that waits or stays breaks no law, as long as it always does."""
    given = st.sampled_from([WAITING, LEFT, PersonV1(3, "Ada King", 3)])
    assert_laws(deciding(), v1=given, v2=st.just(PersonV2(1, "Ada", "King", 3, note="n")), examples=20)


def test_an_undecided_upgrade_is_broken() -> None:
    """An upgrade that leaves an entity once and makes it wait the next time is not deterministic."""
    turns = iter(range(10**6))

    def undecided(v1: PersonV1) -> PersonV2 | lazymig.Leave:
        if next(turns) % 2:
            return lazymig.LEAVE
        raise lazymig.NotYet("later")

    with pytest.raises(laws.LawBroken) as caught:
        assert_laws(deciding(upgrade=undecided), v1=st.just(WAITING), examples=1)
    assert caught.value.law == "upgrade is deterministic"


def test_what_a_user_supplied_must_not_wait_again() -> None:
    """A V2 entity that would wait or stay after the next write of V1's door would be lost by it."""
    with pytest.raises(laws.LawBroken) as caught:
        assert_laws(deciding(), v1=st.just(WAITING), v2=st.just(PersonV2(1, "Ada", "King", 0)), examples=1)
    assert caught.value.law == "upgrade(downgrade(v2), v2) gives V2 back"


def test_a_part_keeps_an_attribute() -> None:
    """The laws hold for a part of documents; one that may store nothing of an entity breaks a law of its own."""

    @frozen
    class Scarce:
        id: int
        age: int | None = None

    converter = lazymig.make_converter()
    write = make_dict_unstructure_fn(Scarce, converter, _cattrs_omit_if_default=True)
    converter.register_unstructure_hook(Scarce, write)
    scarce = Migration(
        name="scarce", v1=Scarce, v2=Scarce, upgrade=lambda v1: v1, downgrade=lambda v2: v2, v1_converter=converter
    )
    for sound in (scarce, evolve(scarce, part=True, v1_converter=None)):
        assert_laws(sound, examples=20)
    with pytest.raises(laws.LawBroken, match=laws.HELD):
        assert_laws(evolve(scarce, part=True), examples=200)
