"""A short hash of an entity's two documents as they were read, which changes whenever one of them does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b

import bson

from lazymig.stores.decoding import Unreadable
from lazymig.stores.records import Document, StoredV1, StoredV2

_BYTES = 12


def sign(truth: StoredV1 | None, seen: StoredV2 | None) -> str:
    """Return the hash of both documents, each with its revision."""
    hashed = blake2b(digest_size=_BYTES)
    for stored in (truth, seen):
        if stored is None:
            hashed.update(b"-")
            continue
        hashed.update(b"+%d;" % stored.revision)
        for part in _bytes_of(stored.document):
            hashed.update(part)
    return hashed.hexdigest()


def _bytes_of(document: Document) -> Iterator[bytes]:
    try:
        yield bson.encode(document)
    except (bson.errors.InvalidDocument, UnicodeEncodeError):
        for name, value in document.items():
            yield from _parts(name, value)


def _parts(name: str, value: object) -> Iterator[bytes]:
    """Yield a value with unreadable parts; each part begins with its length, so that no two values run together."""
    if isinstance(value, Unreadable):
        inner = bytes([value.kind]) + value.raw
    elif isinstance(value, Mapping):
        inner = b"".join(_bytes_of(value))
    elif isinstance(value, list):
        inner = b"".join(part for place, one in enumerate(value) for part in _parts(str(place), one))
    else:
        inner = bson.encode({"": value})
    label = name.encode("utf-8", "surrogateescape")
    yield b"%d:%d;" % (len(label), len(inner)) + label + inner
