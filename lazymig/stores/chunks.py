"""Splitting ids into parts that fit into one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bson import ObjectId

from lazymig.stores.given import RawId

#: More ids per statement are no faster, and decoding their documents would block the event loop for longer.
COUNT_MAX = 1000
#: Far below the 16 MB of a statement. One id alone may be larger.
BYTES_MAX = 4_000_000
#: Bytes of an array's element besides its value, at most; bytes of the largest value of fixed size.
_ELEMENT, _FIXED = 16, 16
_FIXED_KINDS = frozenset({int, ObjectId})


def split_ids(ids: Sequence[RawId]) -> Iterator[Sequence[Any]]:
    """Yield the ids in their order, in parts that are small enough for one statement. No part is empty."""
    if len(ids) <= COUNT_MAX and _are_small(ids):
        if ids:
            yield ids
        return
    part: list[Any] = []
    size = 0
    for id in ids:
        taken = _ELEMENT + _measure_size(id)
        if part and (len(part) >= COUNT_MAX or size + taken > BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(id)
        size += taken
    if part:
        yield part


def _are_small(ids: Sequence[RawId]) -> bool:
    """Whether the ids certainly fit, decided by their types and not one by one."""
    kinds = set(map(type, ids))
    if kinds <= _FIXED_KINDS:
        return True
    return kinds <= {str} and sum(map(len, ids)) * 4 + len(ids) * _ELEMENT <= BYTES_MAX


def _measure_size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(_ELEMENT + _measure_size(key) + _measure_size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(_ELEMENT + _measure_size(inner) for inner in value)
    return _FIXED
