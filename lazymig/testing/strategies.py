"""Hypothesis strategies for entities, derived from their classes and limited to values that BSON holds exactly.

    @given(entities(CustomerV2))

Extreme values are intended: 64-bit integers (also small ones stored as int64), dates before 1970, 34-digit decimals,
empty strings, and keys with dots and dollars. Pass your own strategy if a class admits less than its types.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import partial
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from bson import Int64, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.decimal128 import Decimal128

from lazymig.shapes.annotations import fields_of, is_class, is_namedtuple, is_stand_in, stripped
from lazymig.shapes.entities import fields, is_entity, made_of
from lazymig.shapes.id_types import find_id_types
from lazymig.testing.constraints import STAND_INS, Limits, limits_of, narrowed, sizes
from lazymig.testing.extras import SearchStrategy, reject, st

E = TypeVar("E")
Anything = SearchStrategy[Any]

_INT64 = 2**63
_DECIMAL_DIGITS = 10**34
#: The exponents with which a Decimal128 still holds all 34 digits.
_EXPONENTS = (-6176, 6111)
#: BSON is UTF-8, which has no surrogates.
_LETTERS = st.characters(exclude_categories=["Cs"])
_KEY_LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_ODD_KEYS = ("", "a.b", ".", "$set", "$", "a$b", "_id", "0")


def entities(cls: type[E], *, id_field: str = "id", tz_aware: bool = False) -> SearchStrategy[E]:
    """Return a strategy for instances of an entity class that its annotations allow and its validators accept.

    Constraints in annotations (`Annotated[int, Gt(0)]`, pydantic's `Field(max_length=5)`) limit the values.

    Args:
        cls: An attrs class, a dataclass or a pydantic model.
        id_field: The attribute that holds the id.
        tz_aware: Whether datetimes are aware, in UTC, as a client with that option returns them.

    Returns:
        A strategy for `@given`, and for `assert_laws`.

    Raises:
        hypothesis.errors.ResolutionFailed: An annotation has a type for which Hypothesis knows no strategy.
    """
    return _Types(tz_aware).entity(cls, {id_field: st.one_of(*map(_id, find_id_types(cls, id_field)))})


def _id(kind: type) -> Anything:
    return st.one_of(st.integers(0, 99), _ints()) if kind is int else _LEAVES[kind]()


def _ints() -> SearchStrategy[int]:
    # A client in another language may have stored a small number as int64, which must stay an int64.
    return st.integers(-_INT64, _INT64 - 1) | st.integers(-100, 100).map(Int64)


def keys() -> SearchStrategy[str]:
    """Return a strategy for keys of sub-documents: all strings without NUL, with awkward keys more frequent."""
    return st.text(_KEY_LETTERS, max_size=8) | st.sampled_from(_ODD_KEYS)


def _decimals() -> SearchStrategy[Decimal]:
    numbers = st.integers(0, 10**6) | st.integers(_DECIMAL_DIGITS // 10, _DECIMAL_DIGITS - 1)
    digits = numbers.map(lambda number: tuple(map(int, str(number))))
    return st.builds(lambda *parts: Decimal(parts), st.sampled_from((0, 1)), digits, st.integers(*_EXPONENTS))


def datetimes(*, tz_aware: bool = False) -> SearchStrategy[dt.datetime]:
    """Return a strategy for datetimes in whole milliseconds from year 1 to 9999, naive UTC or aware."""
    moments = st.datetimes(timezones=st.just(dt.UTC)) if tz_aware else st.datetimes()
    return moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))


def _anything(tz_aware: bool) -> Anything:
    leaves = st.one_of(st.none(), st.booleans(), _ints(), st.floats(allow_nan=False), st.text(_LETTERS), st.binary())
    return st.recursive(
        leaves | datetimes(tz_aware=tz_aware),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys(), inner, max_size=3),
        max_leaves=6,
    )


_LEAVES: Mapping[Any, Callable[[], Anything]] = {
    type(None): st.none,
    bool: st.booleans,
    int: _ints,
    # No NaN: it does not equal itself, so no law could hold.
    float: partial(st.floats, allow_nan=False),
    str: partial(st.text, _LETTERS),
    bytes: st.binary,
    Decimal: _decimals,
    dt.date: st.dates,
    UUID: st.uuids,
    ObjectId: lambda: st.binary(min_size=12, max_size=12).map(ObjectId),
    Int64: lambda: st.integers(-_INT64, _INT64 - 1).map(Int64),
    Decimal128: lambda: _decimals().map(Decimal128),
    Binary: lambda: st.builds(Binary, st.binary(), st.integers(0x80, 0xFF)),
    Timestamp: lambda: st.builds(Timestamp, st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1)),
    Regex: lambda: st.builds(Regex, st.text(_KEY_LETTERS), st.sampled_from((0, re.I, re.M | re.S, re.X))),
}
_ARRAYS: Mapping[Any, Callable[[list[Any]], Any]] = {tuple: tuple, set: set, frozenset: frozenset}


class _Types:
    """A translator from annotations to strategies. It remembers classes, since a class may contain itself."""

    def __init__(self, tz_aware: bool) -> None:
        self._tz_aware = tz_aware
        self._known: dict[Any, Anything] = {}

    def entity(self, cls: type[E], given: Mapping[str, Anything]) -> SearchStrategy[E]:
        types = fields_of(cls)
        names = [one.name for one in fields(cls) if one.init and one.stored] if is_entity(cls) else list(types)
        named = {name: given[name] if name in given else self.of(types[name]) for name in names}
        return st.fixed_dictionaries(named).map(partial(_built, cls))

    def of(self, kind: Any) -> Anything:
        limits, inner = limits_of(kind), get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if is_stand_in(inner) and inner.__name__ in STAND_INS:
            return STAND_INS[inner.__name__]()
        plain = stripped(kind)
        return narrowed(plain, limits, self._plain(plain, limits))

    def _plain(self, kind: Any, limits: Limits) -> Anything:
        if kind is str or kind is bytes:
            return st.text(_LETTERS, **sizes(limits)) if kind is str else st.binary(**sizes(limits))
        if kind in _LEAVES:
            return _LEAVES[kind]()
        if kind is Any or kind is object:
            return _anything(self._tz_aware)
        if kind is dt.datetime:
            return datetimes(tz_aware=self._tz_aware)
        if is_class(kind) or is_namedtuple(kind):
            return self._fields(kind)
        if isinstance(kind, type) and get_origin(kind) is None:
            return self._class(kind, limits)
        return self._generic(get_origin(kind), get_args(kind), limits)

    def _fields(self, kind: Any) -> Anything:
        if kind not in self._known:
            # Deferred, since the class may contain itself.
            self._known[kind] = st.deferred(lambda: inner)
            inner = self.entity(kind, {})
        return self._known[kind]

    def _class(self, kind: type, limits: Limits) -> Anything:
        if issubclass(kind, Enum):
            return st.sampled_from(list(kind))
        if kind in (list, dict, tuple, set, frozenset):
            return self._generic(kind, (str, Any) if kind is dict else (str, ...) if kind is tuple else (str,), limits)
        if issubclass(kind, ObjectId):
            return _LEAVES[ObjectId]().map(kind)
        return st.from_type(kind)

    def _generic(self, origin: Any, arguments: tuple[Any, ...], limits: Limits) -> Anything:
        if origin is Literal:
            return st.sampled_from(arguments)
        if origin in (Union, UnionType):
            return st.one_of(*map(self.of, arguments))
        if origin is tuple and arguments[-1:] != (...,):
            return st.tuples(*map(self.of, arguments))
        if isinstance(origin, type) and issubclass(origin, Mapping):
            key = keys() if arguments[0] in (str, Any) else self.of(arguments[0])
            return st.dictionaries(key, self.of(arguments[1]), **sizes(limits, 4))
        make = _ARRAYS.get(origin, list)
        unique = make in (set, frozenset)
        return st.lists(self.of(arguments[0]), **sizes(limits, 4), unique=unique).map(make)


def _built(cls: type[E], values: dict[str, Any]) -> E:
    try:
        return made_of(cls, values) if is_entity(cls) else cls(**values)
    except (ValueError, TypeError):
        reject()  # a validator refuses the combination, so such an entity cannot exist
