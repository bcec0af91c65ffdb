"""Invariants of V1 and V2 that hold in every state, as pure functions on their documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]
Corresponds = Callable[[Document, Document], bool]
"""A function that returns whether a V2 document (second) has the content of a V1 document (first)."""


def clean_is_current(v1: Iterable[Document], v2: Iterable[Document], corresponds: Corresponds) -> str | None:
    """Check that every clean V2 document is V1's current revision. Return the first failure, or None."""
    truths = {document["_id"]: document for document in v1}
    for document in v2:
        if not is_clean(document):
            continue
        id, revision = document["_id"], document["_lazymig"]["rev"]
        truth = truths.get(id)
        if truth is None:
            return f"V2 is clean for {id!r}, which V1 does not have"
        if truth.get("_lazymig_rev", 0) != revision:
            return f"V2 is clean for {id!r} at revision {revision}, V1 is at {truth.get('_lazymig_rev', 0)}"
        if not corresponds(truth, document):
            return f"V2 is clean for {id!r} at V1's revision {revision}, with other content"
    return None


def dirty_is_marked(v2: Iterable[Document]) -> str | None:
    """Check that dirty V2 documents and tombstones have the mark by which the sweeper finds them.

    A document that says why there is no body needs none while no write is announced. Return the first failure, or None.
    """
    for document in v2:
        meta = document["_lazymig"]
        settled = is_clean(document) or ("unmoved" in meta and meta["rev"] == meta["intent"])
        if not settled and "at" not in meta:
            return f"V2 is dirty for {document['_id']!r} and carries no mark: no sweep will find it"
    return None


def is_clean(v2: Document) -> bool:
    """Return whether the V2 document can answer a read without V1."""
    meta = v2["_lazymig"]
    return bool(meta["rev"] == meta["intent"] and not meta.get("gone"))


def any_dirty(v2: Iterable[Document]) -> bool:
    """Return whether some V2 document still needs healing. A settled tombstone does not, but a placeholder does."""
    metas = [document["_lazymig"] for document in v2]
    return any(meta["rev"] != meta["intent"] for meta in metas)
