"""What the state machine plays with: a migration that loses nothing, and awkward values for it."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import attrs
from attrs import evolve, frozen
from bson import Int64, ObjectId
from hypothesis import strategies as st

from lazymig import Migration
from lazymig.testing.strategies import datetimes

Id = int | str | ObjectId | UUID | bytes


@frozen
class Part:
    """Nested, with keys that MongoDB takes for paths and operators elsewhere."""

    name: str
    by_key: dict[str, int]


@frozen
class Maker:
    """A sub-document, in which V1 may hold more than this class knows."""

    town: str
    by_key: dict[str, int]


@frozen
class ThingV1:
    """The old shape: flat, and a price in one number of cents."""

    id: Id
    label: str
    cents: int
    at: dt.datetime | None
    parts: list[Part]
    maker: Maker | None


@frozen
class Price:
    """A price in two numbers."""

    whole: int
    cents: int


@frozen
class ThingV2:
    """The new shape: renamed, nested, split."""

    id: Id
    title: str
    price: Price
    created_at: dt.datetime | None
    parts: list[Part]
    maker: Maker | None


def to_v2(v1: ThingV1) -> ThingV2:
    """V1 to V2."""
    return ThingV2(v1.id, v1.label, Price(*divmod(v1.cents, 100)), v1.at, v1.parts, v1.maker)


def to_v1(v2: ThingV2) -> ThingV1:
    """V2 to V1."""
    return ThingV1(v2.id, v2.title, v2.price.whole * 100 + v2.price.cents, v2.created_at, v2.parts, v2.maker)


migration = Migration(name="things", v1=ThingV1, v2=ThingV2, upgrade=to_v2, downgrade=to_v1)

#: One of each type, and some of one type that sort apart.
IDS: tuple[Id, ...] = (
    0,
    -(2**63),
    2**63 - 1,
    "",
    "a.b",
    "$where",
    ObjectId("0123456789abcdef01234567"),
    UUID(int=7),
    b"",
    b"\0\xff",
)
ids = st.sampled_from(IDS)
_NUMBERS = (0, -1, 99, 100, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63))
_MOMENTS = (None, dt.datetime(1, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59, 999000))
_TEXTS = ("", "\0", "a.b", "$set", "ß", "\U0001f600")
numbers = st.sampled_from(_NUMBERS) | st.integers(-500, 500)
moments = st.sampled_from(_MOMENTS) | datetimes()
texts = st.sampled_from(_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
keys = st.sampled_from(("", "a.b", ".", "a", "0", "a$", "_id", "ß", "$", "$set", "$a.b"))
parts = st.lists(st.builds(Part, texts, st.dictionaries(keys, numbers, max_size=3)), max_size=2)
makers = st.none() | st.builds(Maker, st.sampled_from(_TEXTS), st.dictionaries(keys, numbers, max_size=2))
#: With an id that is to be replaced.
things = st.builds(ThingV1, st.just(0), texts, numbers, moments, parts, makers)


def moved(thing: Any) -> Any:
    """A thing of either shape, whose maker lives elsewhere by now."""
    return evolve(thing, maker=thing.maker and evolve(thing.maker, town=thing.maker.town[:3] + "!"))


def stored(thing: ThingV1) -> dict[str, Any]:
    """A V1 document as a client in another language might have stored it."""
    document = attrs.asdict(thing)
    document["_id"] = document.pop("id")
    document["cents"] = Int64(thing.cents)
    return document


#: Fields of V1 that no class knows.
unknown = st.dictionaries(
    st.sampled_from(("color", "size", "__v", "tags")),
    st.recursive(
        numbers | texts | moments,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("", "x")), inner),
    ),
    max_size=3,
)
changes = st.sampled_from(
    (
        lambda thing: thing,
        lambda thing: evolve(thing, parts=[]),
        lambda thing: evolve(thing, parts=[*thing.parts, Part("more", {"a.b": 1})]),
        lambda thing: evolve(thing, maker=None),
        moved,
        lambda thing: evolve(thing, maker=Maker("elsewhere", {"0": 1, "a": 2})),
    )
)
