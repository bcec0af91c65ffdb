"""Counts of documents that carry both shapes, by what is known of their V2 parts."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import Driver, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import Store
from lazymig.stores.records import Document
from lazymig.stores.whole_documents import ALONE, CONV, OF, UNMOVED


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


async def count_wholes(store: Store, conv: int, *, sample: int = 0) -> WholeCounts:
    """Count by one statement, so that no write in between appears in two counts. It looks at each document.

    `conv` is the present conversion's revision. With `sample`, only that many random documents are looked at.
    """
    collection = tune(collection_of(store))
    if driver_of(collection) is Driver.MEMORY:
        found = await collection.find({}, {META_FIELD: 1}).to_list(None)
        return _sum_up([(_describe(document.get(META_FIELD), conv), 1) for document in found])
    stages: list[Document] = [{"$sample": {"size": sample}}] if sample else []
    kind = {
        "made": {"$gt": [f"${OF}", None]}, "alone": {"$eq": [f"${ALONE}", True]}, "unmoved": f"${UNMOVED}",
        "older": {"$lt": [{"$ifNull": [f"${CONV}", 1]}, conv]},
    }  # fmt: skip
    stages.append({"$group": {"_id": kind, "count": {"$sum": 1}}})
    cursor = await await_if_needed(collection.aggregate(stages))
    return _sum_up([(row["_id"], row["count"]) for row in await cursor.to_list(None)])


def _describe(meta: object, conv: int) -> Document:
    known = meta if isinstance(meta, Mapping) else {}
    return {
        "made": "of" in known, "alone": known.get("alone") is True, "unmoved": known.get("unmoved"),
        "older": known.get("conv", 1) < conv,
    }  # fmt: skip


def _sum_up(rows: list[tuple[Document, int]]) -> WholeCounts:
    counts = dict.fromkeys(("documents", "lacking", "older", "waiting", "left", "alone"), 0)
    for kind, count in rows:
        counts["documents"] += count
        if kind["alone"]:
            counts["alone"] += count
        elif kind.get("unmoved") in ("waiting", "left"):
            counts[kind["unmoved"]] += count
        elif not kind["made"]:
            counts["lacking"] += count
        elif kind["older"]:
            counts["older"] += count
    return WholeCounts(**counts)
