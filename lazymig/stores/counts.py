"""Counts of a collection's documents by their meta data, for progress and status reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from attrs import frozen

from lazymig.stores.carried import Carried, carried_of
from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import Driver, Handle, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import Store
from lazymig.stores.records import PLACEHOLDER, Document

_AT, _GONE, _REV, _INTENT, _UNMOVED = (f"{META_FIELD}.{name}" for name in ("at", "gone", "rev", "intent", "unmoved"))
#: BSON's names of what an in-memory version may be.
_MEMORY_NAMES = {str: "string", float: "double", bool: "bool", type(None): "null", list: "array", dict: "object"}
#: By what `_name_kind` names a document.
_KIND: Document = {
    "gone": f"${_GONE}", "placeholder": {"$eq": [f"${_REV}", PLACEHOLDER]}, "unmoved": f"${_UNMOVED}",
    "open": {"$gt": [f"${_INTENT}", f"${_REV}"]},
}  # fmt: skip
_LIVE = {_GONE: {"$ne": True}}
#: Where entities are parts of documents: how many documents are counted one by one, and otherwise looked at.
_COUNTED, _SAMPLE = 100_000, 2000


@frozen
class Marked:
    """V2's documents that are not clean: dirty ones (with an announced write), and those without a body.

    `waiting` and `left` are entities that `upgrade` gives no body, without an announced write.
    """

    dirty: int
    placeholders: int
    tombstones: int
    waiting: int = 0
    left: int = 0


def _name_version(document: Document, field: str) -> int | str:
    if field not in document:
        return "missing"
    value = document[field]
    return value if type(value) is int else _MEMORY_NAMES.get(type(value), "other")


def _name_kind(kind: Document) -> str:
    if (unmoved := kind.get("unmoved")) is not None:
        return "dirty" if kind["open"] else str(unmoved)
    if not kind.get("gone"):
        return "dirty"
    return "placeholders" if kind["placeholder"] else "tombstones"


async def estimate(collection: Handle, carried: Carried, **bounds: Any) -> int:
    """Return about how many entities a collection holds. `bounds` are options of each statement."""
    total = int(await collection.estimated_document_count(**bounds))
    if not carried.is_part:
        return total
    if total <= _COUNTED or driver_of(collection) is Driver.MEMORY:
        return int(await collection.count_documents(carried.selection, **bounds))
    stages: list[Document] = [{"$sample": {"size": _SAMPLE}}, {"$match": carried.selection}, {"$count": "n"}]
    cursor = await await_if_needed(collection.aggregate(stages, **bounds))
    return round(total * sum(int(row["n"]) for row in await cursor.to_list(None)) / _SAMPLE)


class Bounds(TypedDict, total=False):
    """Options of a statement."""

    maxTimeMS: int


def bounds_of(collection: Handle, within_ms: int | None) -> Bounds:
    """Return the options of statements that the server ends after so many milliseconds; in memory there are none."""
    return {} if within_ms is None or driver_of(collection) is Driver.MEMORY else {"maxTimeMS": within_ms}


class Counts:
    """The counts of one collection, read on the primary; each within this many milliseconds, if that is bounded."""

    def __init__(self, store: Store, within_ms: int | None = None) -> None:
        self._collection = tune(collection_of(store))
        self._carried = carried_of(store)
        self._bounds = bounds_of(self._collection, within_ms)

    async def count_all(self, *, exact: bool = False) -> int:
        """Count all documents; without `exact`, return the server's estimate, which costs nothing.

        Where entities are parts of documents, count those; without `exact`, by a sample of a large collection.
        """
        if exact:
            return int(await self._collection.count_documents(self._carried.selection, **self._bounds))
        return await estimate(self._collection, self._carried, **self._bounds)

    async def count_live(self) -> int:
        """Count V2's entities one by one: the documents that are neither placeholders nor tombstones."""
        return int(await self._collection.count_documents({_GONE: {"$exists": False}}))

    async def count_marked(self) -> Marked:
        """Count V2's documents that are not clean by kind, using two sparse indexes.

        One statement counts all kinds: with one per kind, a write in between could appear in two counts or in none.
        """
        marked = {"$match": {"$or": [{_AT: {"$exists": True}}, {_UNMOVED: {"$exists": True}}]}}
        counts: Counter[str] = Counter()
        for row in await self._rows([marked, {"$group": {"_id": _KIND, "count": {"$sum": 1}}}]):
            counts[_name_kind(row["_id"])] += row["count"]
        return Marked(**{name: counts[name] for name in ("dirty", "placeholders", "tombstones", "waiting", "left")})

    async def sample_states(self, size: int) -> Counter[str]:
        """Count the kinds of `count_marked`, and "clean", among this many random documents of V2."""
        unmarked = {"$and": [{"$eq": [{"$type": f"${name}"}, "missing"]} for name in (_AT, _UNMOVED)]}
        stages: list[Document] = [
            {"$sample": {"size": size}}, {"$group": {"_id": {**_KIND, "clean": unmarked}, "count": {"$sum": 1}}},
        ]  # fmt: skip
        counts: Counter[str] = Counter()
        for row in await self._rows(stages):
            counts["clean" if row["_id"]["clean"] else _name_kind(row["_id"])] += row["count"]
        return counts

    async def count_dirty(self, before: datetime) -> int:
        """Count V2's entities with a write that was announced before this moment and is still open."""
        entities = {"$or": [_LIVE, {_UNMOVED: {"$exists": True}}]}
        return int(await self._collection.count_documents({_AT: {"$lt": before}, **entities}))

    async def count_live_by(self, name: str, *, sample: int = 0) -> dict[Any, int]:
        """Count V2's entities by the value of a field in their meta data, or those of a random `sample`."""
        stages: list[Mapping[str, Any]] = [{"$sample": {"size": sample}}] if sample else []
        stages += [{"$match": _LIVE}, {"$group": {"_id": f"${META_FIELD}.{name}", "count": {"$sum": 1}}}]
        return {row["_id"]: row["count"] for row in await self._rows(stages)}

    async def count_by_version(self, field: str, *, sample: int = 0) -> dict[int | str, int]:
        """Count V1's documents by the version in a field, or those of a random `sample`.

        A value that is no int counts under the name of its BSON type: "string", or "missing".
        """
        if driver_of(self._collection) is Driver.MEMORY:
            found = await self._collection.find({}, {field: 1}).to_list(None)
            return dict(Counter(_name_version(document, field) for document in found))
        stages: list[Mapping[str, Any]] = [{"$sample": {"size": sample}}] if sample else []
        kind = {"$type": f"${field}"}
        version = {"$cond": [{"$in": [kind, ["int", "long"]]}, f"${field}", kind]}
        stages += [{"$group": {"_id": version, "count": {"$sum": 1}}}]
        return {row["_id"]: row["count"] for row in await self._rows(stages)}

    async def _rows(self, stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        cursor = await await_if_needed(self._collection.aggregate(stages, **self._bounds))
        return list(await cursor.to_list(None))
