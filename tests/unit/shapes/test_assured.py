"""`lazymig.shapes.assured` and `lazymig.shapes.reading`: shortcuts that never differ from the converter's long way.

Each drawn entity is written, read back and compared the long way, and what a shortcut says about it must be true. Each
drawn document, fitting or not, is read both ways.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import bson
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lazymig.shapes.codec import Codec, codec_for
from lazymig.shapes.entities import fields, is_entity
from lazymig.stores.decoding import Unreadable
from tests.cases.drawing import HOSTILE, LEAVES, Drawn, classes, rarely, types
from tests.widening import WIDENING

EXAMPLES = 5_000 if WIDENING.full else 60


def long_way(codec: Codec[Any]) -> Codec[Any]:
    """The codec without its shortcuts."""
    return attrs.evolve(codec, read=None, assured=None)


def spelled(value: Any) -> object:
    """All that distinguishes two values, their classes and NaN included."""
    kind = type(value)
    if is_entity(kind):
        return kind, [spelled(getattr(value, one.name)) for one in fields(kind)]
    if isinstance(value, dict):
        return kind, [(spelled(key), spelled(inner)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return kind, [spelled(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(map(repr, map(spelled, value)))
    return kind, value.as_tuple() if isinstance(value, Decimal) else repr(value)


def outcome(function: Callable[[Any], Any], value: Any) -> object:
    """What is returned, or the error with its text, and those inside it."""
    try:
        return spelled(function(value))
    except Exception as error:
        return _texts(error)


def _texts(error: BaseException) -> object:
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return type(error), str(error), [_texts(one) for one in inside]


# ---- drawn classes --------------------------------------------------------------------------------------------------

#: The types that the shortcuts know, and a few more.
KNOWN = [leaf for leaf in LEAVES if leaf[0] not in (Decimal128,)]


def known() -> SearchStrategy[Drawn]:
    """Types that the shortcuts mostly know: leaves, optionals, lists and classes of them."""
    leaves = st.sampled_from(KNOWN).map(lambda leaf: Drawn(*leaf))
    return st.recursive(
        leaves, lambda inside: st.one_of(optionals(inside), lists(inside), classes(inside)), max_leaves=4
    )


@st.composite
def optionals(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """Optional types."""
    one = draw(inside)
    return Drawn(one.kind | None, st.none() | one.mixed(), one.renames)


@st.composite
def lists(draw: DrawFn, inside: SearchStrategy[Drawn]) -> Drawn:
    """Lists."""
    one = draw(inside)
    return Drawn(list[one.kind], st.lists(one.mixed(), max_size=3), one.renames)


@st.composite
def entities(draw: DrawFn) -> tuple[Any, list[Any]]:
    """A class of either library and instances, whose values mostly fit."""
    found = draw(st.lists(st.one_of(known(), known(), types()), min_size=1, max_size=3))
    made = draw(st.sampled_from([_attrs, _dataclass]))
    defaults = draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    cls = made(
        {f"a{number}": (one.kind, default) for number, (one, default) in enumerate(zip(found, defaults, strict=True))}
    )
    mixed = {f"a{number}": rarely(HOSTILE, one.mixed(), 5) for number, one in enumerate(found)}
    ids = rarely(HOSTILE, st.integers(-(2**65), 2**65), 20)
    return cls, draw(
        st.lists(st.fixed_dictionaries({"id": ids, **mixed}).map(lambda given: cls(**given)), min_size=4, max_size=4)
    )


def _attrs(kinds: dict[str, tuple[Any, bool]]) -> Any:
    made = {
        name: attrs.field(type=kind, **({"default": None} if default else {}))
        for name, (kind, default) in kinds.items()
    }
    return attrs.make_class(
        "Drawn", {"id": attrs.field(type=int), **dict(sorted(made.items(), key=_last))}, frozen=True
    )


def _last(item: tuple[str, Any]) -> bool:
    return item[1]._default is not attrs.NOTHING


def _dataclass(kinds: dict[str, tuple[Any, bool]]) -> Any:
    made = [
        (name, kind, dataclasses.field(**({"default": None} if default else {})))
        for name, (kind, default) in kinds.items()
    ]
    return dataclasses.make_dataclass("Drawn", [("id", int), *made], kw_only=True, slots=len(kinds) > 1)


@st.composite
def damaged(draw: DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A document like this with something else, more or less in it."""
    spots = list(_spots(document))
    holder, key = draw(st.sampled_from(spots))
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            holder[key] = draw(STORED)
        case "remove":
            del holder[key]
        case _:
            document[draw(st.sampled_from(["more", "id", "a0", "_lazymig_rev"]))] = draw(STORED)
    return document


def _spots(value: Any) -> Any:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(inside):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _spots(inner)


#: Values as the driver returns them, for fields of any type.
STORED = st.sampled_from(
    [None, True, 1, Int64(1), 2**40, 1.0, 1.5, float("nan"), "", "red", "é", b"x", Binary(b"x", 5), [], [1], {},
     {"a": 1}, ObjectId(b"x" * 12), Binary.from_uuid(UUID(int=3)), Decimal128("1.50"), Decimal128("-0"),
     Decimal128("NaN"), dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, 5), dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
     bson.Code("x"), bson.Regex("a"), Unreadable("a date", 9, b"")]
)  # fmt: skip


def run(hold: Callable[..., None], *strategies: SearchStrategy[Any]) -> None:
    """Run a claim on drawn values; the same every time, unless another seed is asked for."""
    chosen = 20_240_601 if WIDENING.seed is None else WIDENING.seed
    print(f"seed {chosen}; draw others with --seed")
    options = settings(
        max_examples=EXAMPLES, deadline=None, database=None, print_blob=False, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    seed(chosen)(options(given(*strategies)(hold)))()


def test_what_is_assured_comes_back() -> None:
    """Where an entity counts as certain, encoding, decoding and comparing it finds nothing either."""
    met: Counter[str] = Counter()

    def holds(drawn: tuple[Any, list[Any]], tz_aware: bool) -> None:
        cls, found = drawn
        codec = make_codec(cls, tz_aware=tz_aware)
        for entity in found if codec is not None else ():
            met[judge(codec, entity)] += 1

    run(holds, entities(), st.booleans())
    print(dict(met))
    assert met["certain"] > EXAMPLES / 3
    assert met["read back"] > EXAMPLES / 30
    assert met["never certain"] > EXAMPLES / 10


def make_codec(cls: Any, *, tz_aware: bool = False) -> Codec[Any] | None:
    """The codec of a class; None where a type in it is refused."""
    try:
        return codec_for(cls, "id", None, tz_aware=tz_aware)
    except Exception:
        return None


def judge(codec: Codec[Any], entity: Any) -> str:
    """What the shortcut says of an entity, which must be true."""
    if codec.assured is None:
        return "never certain"
    try:
        document = codec.encode(entity)
    except Exception:
        return "refused before"
    if not codec.assured(entity):
        return "read back"
    assert outcome(long_way(codec).encode_exactly, entity) == spelled(document), entity
    return "certain"


def test_documents_are_read_as_by_the_converter() -> None:
    """A document that fits, or has anything else in some place, becomes the same entity or the same error both ways."""
    met: Counter[str] = Counter()

    def holds(drawn: tuple[Any, list[Any]], data: Any) -> None:
        cls, entities = drawn
        codec = make_codec(cls)
        for entity in entities if codec is not None else ():
            try:
                raw = bson.encode({"_id": codec.id_of(entity), **codec.encode(entity)})
            except Exception:
                continue
            document = bson.decode(raw, codec.options)
            for found in (document, data.draw(damaged(bson.decode(raw, codec.options)))):
                expected = outcome(long_way(codec).decode, found)
                assert outcome(codec.decode, found) == expected
                met["read" if codec.read and outcome(codec.read, found) == expected else "left to the converter"] += 1

    run(holds, entities(), st.data())
    print(dict(met))
    assert met["read"] > EXAMPLES
    assert met["left to the converter"] > EXAMPLES / 10
