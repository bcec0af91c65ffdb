"""Counts of documents that carry both shapes, by what is known of their V2 parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attrs import frozen

from lazymig.stores.counts import bounds_of
from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import Driver, Handle, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import Store
from lazymig.stores.records import Document
from lazymig.stores.whole_documents import ALONE, BY, CONV, OF, UNMOVED, read_alone


class WholeKind(NamedTuple):
    """What the meta data of a document say.

    Attributes:
        made: Whether it has a V2 part, or it was decided that it gets none.
        conv: The revision of the conversion that made it or decided that.
        by: What stored it first.
        alone: Whether its V2 part is the only truth.
        unmoved: Why it has no V2 part, where that was decided.
    """

    made: bool
    conv: int
    by: str | None
    alone: bool
    unmoved: str | None

    @property
    def filled(self) -> bool:
        """Whether it has a V2 part."""
        return self.alone or (self.made and self.unmoved is None)


@frozen
class WholeCounts:
    """What a collection holds, or a random sample of it.

    Whether a fingerprint fits is not among it: only reading the whole document shows that.

    Attributes:
        documents: All documents.
        lacking: Those without a V2 part.
        older: Those whose V2 part an older conversion made.
        waiting: Those that wait for their users.
        left: Those that `upgrade` leaves.
        alone: Those whose V2 part is the only truth.
    """

    documents: int = 0
    lacking: int = 0
    older: int = 0
    waiting: int = 0
    left: int = 0
    alone: int = 0


async def count_kinds(
    store: Store, migration: str, *, sample: int = 0, within_ms: int | None = None
) -> Counter[WholeKind]:
    """Count by one statement, so that no write in between appears in two counts. It looks at each document.

    With `sample`, only that many random documents are looked at. What another migration has made the truth counts as
    V1's part to this one.
    """
    collection = tune(collection_of(store))
    if driver_of(collection) is Driver.MEMORY:
        found = await collection.find({}, {META_FIELD: 1}).to_list(None)
        return Counter(_describe(document.get(META_FIELD), migration) for document in found)
    stages: list[Document] = [{"$sample": {"size": sample}}] if sample else []
    alone: Document = {"$eq": [f"${ALONE}", {"$literal": migration}]}
    ours: Document = {"$or": [alone, {"$ne": [{"$type": f"${ALONE}"}, "string"]}]}
    kind = {
        "made": {"$and": [{"$gt": [f"${OF}", None]}, ours]}, "conv": {"$ifNull": [f"${CONV}", 1]}, "by": f"${BY}",
        "alone": alone, "unmoved": f"${UNMOVED}",
    }  # fmt: skip
    group: Document = {"$group": {"_id": kind, "count": {"$sum": 1}}}
    rows = await _aggregate(collection, [*stages, group], within_ms)
    return Counter({WholeKind(*(row["_id"].get(name) for name in WholeKind._fields)): row["count"] for row in rows})


async def count_wholes(store: Store, migration: str, conv: int = 1, *, sample: int = 0) -> WholeCounts:
    """Count as `count_kinds` does, and sum up. `conv` is the present conversion's revision."""
    counts = dict.fromkeys(("documents", "lacking", "older", "waiting", "left", "alone"), 0)
    for kind, count in (await count_kinds(store, migration, sample=sample)).items():
        counts["documents"] += count
        if kind.alone:
            counts["alone"] += count
        elif kind.unmoved is not None and kind.unmoved in ("waiting", "left"):
            counts[kind.unmoved] += count
        elif not kind.made:
            counts["lacking"] += count
        elif kind.conv < conv:
            counts["older"] += count
    return WholeCounts(**counts)


async def count_unmoved(store: Store, within_ms: int | None = None) -> Counter[str]:
    """Count the documents that were given no V2 part by why, by the sparse index."""
    decided: Document = {"$match": {UNMOVED: {"$exists": True}}}
    group: Document = {"$group": {"_id": f"${UNMOVED}", "n": {"$sum": 1}}}
    rows = await _aggregate(tune(collection_of(store)), [decided, group], within_ms)
    return Counter({str(row["_id"]): int(row["n"]) for row in rows})


def _describe(meta: object, migration: str) -> WholeKind:
    known = meta if isinstance(meta, Mapping) else {}
    alone = read_alone(known)
    made = "of" in known and alone in (None, migration)
    return WholeKind(made, known.get("conv", 1), known.get("by"), alone == migration, known.get("unmoved"))


async def _aggregate(collection: Handle, stages: Sequence[Document], within_ms: int | None) -> list[Document]:
    cursor = await await_if_needed(collection.aggregate(list(stages), **bounds_of(collection, within_ms)))
    return list(await cursor.to_list(None))
