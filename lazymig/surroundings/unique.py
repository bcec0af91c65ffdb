"""Unique indexes of V2 in which two documents without a body have the same key."""

from __future__ import annotations

from collections.abc import Iterator

from lazymig.stores.documents import META_FIELD
from lazymig.stores.records import Document
from lazymig.surroundings.looking import Seen

#: Index types that omit documents without their field.
_SELECTIVE = {"text", "2d", "2dsphere"}


def find_unique_indexes(seen: Seen) -> list[Document]:
    """Find unique indexes in which placeholders and tombstones may collide: they only have `_id` and `_lazymig`."""
    return [index for index in seen.indexes if (index.get("unique") or index.get("prepareUnique")) and _collides(index)]


def _collides(index: Document) -> bool:
    keys: Document = index["key"]
    if "_id" in keys or _SELECTIVE & {kind for kind in keys.values() if isinstance(kind, str)}:
        return False  # `_id` is always unique; indexes of the other types omit these documents
    # A sparse index, also a compound one, omits documents that have none of its fields.
    return not index.get("sparse") or any(_is_ours(path) for path in keys)


def _is_ours(path: str) -> bool:
    return path.partition(".")[0] == META_FIELD


def describe_collision(seen: Seen, index: Document) -> str:
    """Return what is wrong with such an index, and which one to create instead."""
    keys: Document = index["key"]
    start = f"{seen.side}: {seen.name} has the unique index {index['name']} on ({', '.join(keys)}), in which "
    start += "announcements of writes and marks of deletes collide, since they have no body. "
    body = [path for path in keys if not _is_ours(path)]
    if not body:
        return f"{start}Drop it: {META_FIELD} belongs to lazymig"
    return f"{start}Create it with partialFilterExpression={{{body[0]!r}: {{'$exists': True}}}} instead"


def pair_with_filters(indexes: list[Document]) -> Iterator[tuple[Document, Document]]:
    """Yield each index with the filter of the documents in it."""
    for index in indexes:
        yield index, index.get("partialFilterExpression", {})
