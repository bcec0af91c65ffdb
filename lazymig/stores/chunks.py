"""Ids in parts: as many as one statement may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bson import ObjectId

from lazymig.stores.given import RawId

#: More ids per statement gain nothing, and their documents are decoded at one go while others wait.
COUNT_MAX = 1000
#: Far below the 16 MB of a statement. One id alone may be larger.
BYTES_MAX = 4_000_000
#: What an array's element takes beside its value, at most; the largest value of a fixed size.
_ELEMENT, _FIXED = 16, 16
_FIXED_KINDS = frozenset({int, ObjectId})


def chunks(ids: Sequence[RawId]) -> Iterator[Sequence[Any]]:
    """The ids in their order, in parts that are small enough for one statement. No part is empty."""
    if len(ids) <= COUNT_MAX and _are_small(ids):
        if ids:
            yield ids
        return
    part: list[Any] = []
    size = 0
    for id in ids:
        taken = _ELEMENT + _size(id)
        if part and (len(part) >= COUNT_MAX or size + taken > BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(id)
        size += taken
    if part:
        yield part


def _are_small(ids: Sequence[RawId]) -> bool:
    """Whether this is plain to see, without a look at each of them."""
    kinds = set(map(type, ids))
    if kinds <= _FIXED_KINDS:
        return True
    return kinds <= {str} and sum(map(len, ids)) * 4 + len(ids) * _ELEMENT <= BYTES_MAX


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(_ELEMENT + _size(key) + _size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(_ELEMENT + _size(inner) for inner in value)
    return _FIXED
