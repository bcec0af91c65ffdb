"""Paths and values of documents, as indexes see them: an array stands for its elements."""

from __future__ import annotations

from collections.abc import Iterator

import bson
from bson.errors import BSONError

from lazymig.comparing.differences import as_stored


def walk(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield each leaf with its dotted path; places in arrays are left out of the path."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from walk(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from walk(inner, path)
    else:
        yield path, value


def values_at(value: object, path: str) -> list[object]:
    """Return what an index on this path holds of a document: an array's elements one by one; nothing if missing."""
    if isinstance(value, list):
        return [found for inner in value for found in values_at(inner, path)]
    if not path:
        return [value]
    if not isinstance(value, dict):
        return []
    name, _, rest = path.partition(".")
    return values_at(value[name], rest) if name in value else []


def key_of(value: object) -> bytes | None:
    """Return bytes that are equal for equal values of one BSON type; None where BSON cannot hold it."""
    try:
        return bson.encode(as_stored({"": value}))
    except (BSONError, OverflowError, UnicodeEncodeError):
        return None
