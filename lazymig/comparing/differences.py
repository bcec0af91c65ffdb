"""Typed comparison of two documents: by BSON type and value, which are both stricter than Python's `==`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import bson
from attrs import frozen
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import BINARY_SUBTYPE, UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion

from lazymig.shapes.stored_names import is_step
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import MISSING
from lazymig.stores.records import Document

#: The steps from the top of a document to a value: names, and places in arrays.
Steps: TypeAlias = tuple[str | int, ...]
#: Whether a field that only the expected side has is left out, because the class that wrote the other side lacks it.
Unknown: TypeAlias = Callable[[Steps], bool]

#: Every value as BSON holds it: dates as milliseconds, UUIDs as binary, integers with their width.
_EXACT: Final[CodecOptions[dict[str, object]]] = CodecOptions(
    document_class=dict,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
)
_KINDS: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int32",
    Int64: "int64",
    float: "double",
    str: "string",
    bytes: "binary",
    dict: "document",
    list: "array",
    DatetimeMS: "date",
    datetime: "date",
    Decimal128: "decimal128",
    ObjectId: "objectId",
    Regex: "regex",
    Timestamp: "timestamp",
    DBRef: "reference",
    MinKey: "minKey",
    MaxKey: "maxKey",
    UUID: "binary (subtype 4)",
}
_INT32_MAX: Final = 2**31
#: What both sides of a difference in the order of keys are called.
ORDERED, REORDERED = "document", "document with its keys in another order"


@frozen
class Gap:
    """One place where two documents differ, with both values. Its path and values are contents."""

    steps: Steps
    expected: object
    found: object
    #: Whether only the order of keys differs.
    reordered: bool = False


def kind_of(value: object) -> str:
    """Return the BSON type of a value, such as "int32"; also whether it is missing or empty."""
    if value is MISSING:
        return "missing"
    if isinstance(value, Unreadable):
        return "unreadable"
    if isinstance(value, str | list | dict) and not value:
        return "empty " + _KINDS[str if isinstance(value, str) else type(value)]
    if isinstance(value, Binary) and value.subtype != BINARY_SUBTYPE:
        return f"binary (subtype {value.subtype})"
    if isinstance(value, Code):
        return "code" if value.scope is None else "code with scope"
    if type(value) is int and not -_INT32_MAX <= value < _INT32_MAX:
        return "int64"
    return next((_KINDS[base] for base in type(value).__mro__ if base in _KINDS), type(value).__name__)


def as_stored(document: Document) -> dict[str, object]:
    """Return a document as BSON holds it, so that the types of its values can be compared.

    Raises the errors of the BSON encoder.
    """
    if not all(isinstance(name, str) for name in document):
        raise bson.errors.InvalidDocument("a name is no text")  # which a conversion may make, and no server stores
    return {name: _stored_value(value) for name, value in document.items()}


def _stored_value(value: object) -> object:
    try:
        return bson.decode(bson.encode({"": value}), _EXACT)[""]
    except (bson.errors.InvalidDocument, UnicodeEncodeError):
        # An unreadable part, which only a stored document has. It counts as its bytes; its neighbours do not suffer.
        if isinstance(value, Unreadable):
            return value
        if isinstance(value, Mapping):
            return as_stored(value)
        if isinstance(value, list):
            return [_stored_value(inner) for inner in value]
        raise


def find_gaps(
    expected: object, found: object, *, ordered: bool = False, unknown: Unknown | None = None, at: Steps = ()
) -> Iterator[Gap]:
    """Yield each place in which two values that `as_stored` returned differ, in the order of the expected ones.

    Args:
        expected: One side.
        found: The other side.
        ordered: Whether the order of the keys of documents counts.
        unknown: Decides about names that only the expected side has: True leaves them out.
        at: The path of both.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        yield from _in_documents(expected, found, ordered, unknown, at)
    elif isinstance(expected, list) and isinstance(found, list):
        for place in range(max(len(expected), len(found))):
            one, other = (side[place] if place < len(side) else MISSING for side in (expected, found))
            yield from find_gaps(one, other, ordered=ordered, unknown=unknown, at=(*at, place))
    elif not is_same(expected, found):
        yield Gap(at, expected, found)


def _in_documents(
    expected: dict[str, object], found: dict[str, object], ordered: bool, unknown: Unknown | None, at: Steps
) -> Iterator[Gap]:
    for name, value in expected.items():
        steps = (*at, name)
        if name in found:
            yield from find_gaps(value, found[name], ordered=ordered, unknown=unknown, at=steps)
        elif unknown is None or not unknown(steps):
            yield Gap(steps, value, MISSING)
    for name, value in found.items():
        if name not in expected:
            yield Gap((*at, name), MISSING, value)
    # Names that only one side has are reported already.
    if ordered and [name for name in expected if name in found] != [name for name in found if name in expected]:
        yield Gap(at, expected, found, reordered=True)


def is_same(expected: object, found: object) -> bool:
    """Return whether two values have one BSON type and one value. NaN equals itself, and 0.0 differs from -0.0."""
    if kind_of(expected) != kind_of(found):
        return False
    if isinstance(expected, float) and isinstance(found, float):
        return repr(expected) == repr(found)
    if isinstance(expected, Decimal128) and isinstance(found, Decimal128):
        return expected.bid == found.bid  # 1.0 and 1.00 differ, and NaN equals itself
    if isinstance(expected, Unreadable) or expected is MISSING:
        return expected == found
    if isinstance(expected, int | str | bytes | DatetimeMS | ObjectId):  # nearly always
        return expected == found
    if isinstance(expected, dict | list) or isinstance(found, dict | list):
        return next(find_gaps(expected, found, ordered=True), None) is None
    # Patterns, code, references: the bytes decide, as two of them may hold values that Python takes for equal.
    return bson.encode({"": expected}) == bson.encode({"": found})


def is_plain_name(name: str) -> bool:
    """Return whether a name may be shown in a path as it is."""
    return is_step(name) and name.isprintable()
