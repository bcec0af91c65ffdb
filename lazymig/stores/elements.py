"""Splitting BSON into its elements by their sizes, without decoding any value."""

from __future__ import annotations

from collections.abc import Iterator

SUB_DOCUMENT, ARRAY, PATTERN, REFERENCE = 0x03, 0x04, 0x0B, 0x0C
#: Bytes of a value by its BSON type. Values of the other types begin with a count of their bytes.
SIZES = {
    0x01: 8,
    0x06: 0,
    0x07: 12,
    0x08: 1,
    0x09: 8,
    0x0A: 0,
    0x10: 4,
    0x11: 8,
    0x12: 8,
    0x13: 16,
    0xFF: 0,
    0x7F: 0,
}
#: Bytes that the count does not include: itself, and the subtype of binary data or the id in a reference.
OUTSIDE = {0x02: 4, 0x0D: 4, 0x0E: 4, 0x05: 5, 0x0C: 16, 0x03: 0, 0x04: 0, 0x0F: 0}


def split_elements(document: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the type, name and value of each field. The document must be well-formed, which the server checks."""
    place, end = 4, len(document) - 1
    while place < end:
        kind, name_end = document[place], document.index(0, place + 1)
        value_end = find_end(document, kind, name_end + 1)
        yield kind, document[place + 1 : name_end], document[name_end + 1 : value_end]
        place = value_end


def make_document(kind: int, name: bytes, value: bytes) -> bytes:
    """Return a document with this one field."""
    return (len(name) + len(value) + 7).to_bytes(4, "little") + bytes([kind]) + name + b"\0" + value + b"\0"


def find_end(document: bytes, kind: int, start: int) -> int:
    """Return where a value of this type ends."""
    if kind == PATTERN:  # two texts, each up to its zero
        return document.index(0, document.index(0, start) + 1) + 1
    size = SIZES.get(kind)
    return start + (OUTSIDE[kind] + int.from_bytes(document[start : start + 4], "little") if size is None else size)
