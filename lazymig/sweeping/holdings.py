"""What V2 holds, what V1 has beyond it, and who brought the entities over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import frozen

from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import settled
from lazymig.stores.records import PLACEHOLDER

_AT, _GONE, _REV, _BY, _CONV = (f"{META_FIELD}.{name}" for name in ("at", "gone", "rev", "by", "conv"))
K = TypeVar("K")
#: Up to this many documents each is looked at; beyond, who brought them is estimated from a sample.
SMALL, SAMPLE = 10_000, 2_000


@frozen
class Holdings:
    """What V2 holds: entities it answers for, entities with an announced write, and what stands for none."""

    clean: int
    dirty: int
    placeholders: int
    tombstones: int

    @property
    def live(self) -> int:
        return self.clean + self.dirty

    def remaining(self, v1: int) -> int:
        """Entities that V2 lacks, about, where V1 has this many."""
        return max(0, v1 - self.live)


@frozen
class MovedBy:
    """Live entities of V2 by who brought them first: a read, a write (an insert is one) or a sweep.

    `unknown` are those of versions that did not tell. `estimated`: from a sample.
    """

    read: int
    write: int
    sweep: int
    unknown: int
    estimated: bool


async def holdings(v2: Any, *, exact: bool = False) -> Holdings:
    """V2's documents by state. All but the clean ones carry a mark, which the sparse index on it finds."""
    whole = await size(v2, exact=exact)
    # By one statement: counted one after the other, a write in between would make one of them negative.
    state = {"gone": f"${_GONE}", "placeholder": {"$eq": [f"${_REV}", PLACEHOLDER]}}
    stages = [{"$match": {_AT: {"$exists": True}}}, {"$group": {"_id": state, "count": {"$sum": 1}}}]
    cursor = await settled(v2.aggregate(stages))
    dirty = placeholders = tombstones = 0
    for row in await cursor.to_list(None):
        if not row["_id"].get("gone"):
            dirty += row["count"]
        elif row["_id"]["placeholder"]:
            placeholders += row["count"]
        else:
            tombstones += row["count"]
    return Holdings(max(0, whole - dirty - placeholders - tombstones), dirty, placeholders, tombstones)


async def size(collection: Any, *, exact: bool = False) -> int:
    """How many documents a collection has; its own estimate costs nothing."""
    if exact:
        return int(await collection.count_documents({}))
    return int(await collection.estimated_document_count())


async def moved_by(v2: Any, live: int, *, exact: bool = False) -> MovedBy:
    """Who brought V2's `live` entities: each is asked where they are few or with `exact`, else a sample of them."""
    sampled = not exact and await size(v2) > SMALL
    sample = [{"$sample": {"size": SAMPLE}}] if sampled else []
    stages = [*sample, {"$match": {_GONE: {"$ne": True}}}, {"$group": {"_id": f"${_BY}", "count": {"$sum": 1}}}]
    cursor = await settled(v2.aggregate(stages))
    counts: dict[Any, int] = {row["_id"]: row["count"] for row in await cursor.to_list(None)}
    known = {by: counts.get(by, 0) for by in ("read", "write", "sweep")}
    found = {**known, "unknown": sum(counts.values()) - sum(known.values())}
    return MovedBy(**(_scaled(found, live) if sampled else found), estimated=sampled)


async def by_conversion(v2: Any, live: int, *, exact: bool = False) -> dict[int, int]:
    """How many of V2's `live` entities stand at each conversion revision; a sample's share where they are many."""
    sampled = not exact and await size(v2) > SMALL
    sample = [{"$sample": {"size": SAMPLE}}] if sampled else []
    stages = [*sample, {"$match": {_GONE: {"$ne": True}}}, {"$group": {"_id": f"${_CONV}", "count": {"$sum": 1}}}]
    cursor = await settled(v2.aggregate(stages))
    counts = {row["_id"] or 1: row["count"] for row in await cursor.to_list(None)}
    return dict(sorted((_scaled(counts, live) if sampled else counts).items()))


def _scaled(counts: Mapping[K, int], whole: int) -> dict[K, int]:
    """The counts of a sample as shares of the whole, which they add up to."""
    of, seen, before = max(sum(counts.values()), 1), 0, 0
    scaled: dict[K, int] = {}
    for name, count in counts.items():
        # Rounded as running sums, so that what one share loses the next gains.
        seen += count
        scaled[name] = round(whole * seen / of) - before
        before += scaled[name]
    return scaled
