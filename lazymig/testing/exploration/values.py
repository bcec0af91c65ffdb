"""Operations on BSON values as plain Python: copies, hashable keys, paths, and MongoDB's equality and order."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Mapping
from typing import Any, Final

from bson import Binary, Decimal128, Int64, ObjectId

MISSING: Final = object()
"""The result of `look_up` for a path that the document does not have."""

ATOMS: Final = frozenset({str, int, Int64, bool, float, type(None), bytes, datetime.datetime, ObjectId, Decimal128})
"""The types of BSON values that hold no others and cannot be changed."""

#: Types whose values are their own keys: 1 and Int64(1) are the same to MongoDB.
_KEYS: Final = ATOMS - {bool, float, Decimal128}
#: Those whose values never equal a value of another of these types.
_PLAIN: Final = _KEYS - {Int64}


class Numbers(dict[Hashable, int]):
    """A mapping that assigns a number to each distinct value at its first use."""

    def __missing__(self, value: Hashable) -> int:
        self[value] = number = len(self) + 1
        return number


def fresh(value: Any) -> Any:
    """Return a copy of the value with new containers, so that the receiver may change them."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is dict or isinstance(value, Mapping):
        return {key: inner if type(inner) in ATOMS else fresh(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [fresh(inner) for inner in value]
    return value


def freeze(value: Any) -> Hashable:
    """Return a hashable key for the value. It ignores the order of fields, and distinguishes 1, 1.0 and True."""
    kind = type(value)
    if kind in _KEYS:
        return value  # type: ignore[no-any-return]
    if kind is bool or kind is float:
        return (kind, value)
    if kind is dict or isinstance(value, Mapping):
        return frozenset([(key, inner if type(inner) in _KEYS else freeze(inner)) for key, inner in value.items()])
    if kind is list or kind is tuple:
        return tuple([freeze(inner) for inner in value])
    return value  # type: ignore[no-any-return]


def look_up(document: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path, or `MISSING`. Raises `NotImplementedError` if the path enters an array."""
    if "." not in path:
        return document.get(path, MISSING)
    value: Any = document
    for name in path.split("."):
        if isinstance(value, list):
            raise NotImplementedError(f"MemoryCollection does not follow paths into arrays: {path}")
        if not (type(value) is dict or isinstance(value, Mapping)) or name not in value:
            return MISSING
        value = value[name]
    return value


def rank(value: Any) -> int:
    """Return the place of the value's type in MongoDB's order of types."""
    if value is None or value is MISSING:
        return 1
    if isinstance(value, bool):
        return 8
    if isinstance(value, (int, float)):
        return 2
    for kind, place in _RANKS:
        if isinstance(value, kind):
            return place
    raise NotImplementedError(f"MemoryCollection does not order values of type {type(value).__name__}")


_RANKS: Final[tuple[tuple[type, int], ...]] = (
    (str, 3),
    (dict, 4),
    (list, 5),
    (Binary, 6),
    (bytes, 6),
    (ObjectId, 7),
    (datetime.datetime, 9),
)
_TYPE_NAMES: Final = {
    1: "null",
    3: "string",
    4: "object",
    5: "array",
    6: "binData",
    7: "objectId",
    8: "bool",
    9: "date",
}
_UNORDERED: Final = frozenset({4, 5, 6})


def type_name(value: Any) -> str:
    """Return the name of the value's BSON type. Raises `NotImplementedError` for a type without a rank here."""
    place = rank(value)
    if place != 2:
        return _TYPE_NAMES[place]
    if isinstance(value, float):
        return "double"
    return "int" if not isinstance(value, Int64) and -(2**31) <= value < 2**31 else "long"


def order(value: Any) -> tuple[int, Any]:
    """Return a sort key in MongoDB's order. Raises `NotImplementedError` for documents, arrays and binary."""
    place = rank(value)
    if place in _UNORDERED:
        raise NotImplementedError(f"MemoryCollection does not order values of type {type(value).__name__}")
    return (place, 0 if place == 1 else value)


def same(left: Any, right: Any) -> bool:
    """Return whether MongoDB treats two values as equal: 1 equals 1.0 but not True, and the order of fields counts."""
    kind = type(left)
    if kind is type(right) and kind in _PLAIN:
        return bool(left == right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)
