"""Counts of a collection's documents by their meta data, for progress and status reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import Driver, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import Store
from lazymig.stores.records import PLACEHOLDER, Document

_AT, _GONE, _REV = (f"{META_FIELD}.{name}" for name in ("at", "gone", "rev"))
#: BSON's names of what an in-memory version may be.
_MEMORY_NAMES = {str: "string", float: "double", bool: "bool", type(None): "null", list: "array", dict: "object"}
_LIVE = {_GONE: {"$ne": True}}


@frozen
class Marked:
    """V2's documents with a mark: dirty ones (live, with an announced write), and two kinds without a body."""

    dirty: int
    placeholders: int
    tombstones: int


def _name_version(document: Document, field: str) -> int | str:
    if field not in document:
        return "missing"
    value = document[field]
    return value if type(value) is int else _MEMORY_NAMES.get(type(value), "other")


class Counts:
    """The counts of one collection, read on the primary."""

    def __init__(self, store: Store) -> None:
        self._collection = tune(collection_of(store))

    async def count_all(self, *, exact: bool = False) -> int:
        """Count all documents; without `exact`, return the server's estimate, which costs nothing."""
        if exact:
            return int(await self._collection.count_documents({}))
        return int(await self._collection.estimated_document_count())

    async def count_live(self) -> int:
        """Count V2's entities one by one: the documents that are neither placeholders nor tombstones."""
        return int(await self._collection.count_documents({_GONE: {"$exists": False}}))

    async def count_marked(self) -> Marked:
        """Count V2's marked documents by kind, using the sparse index on the mark.

        One statement counts all kinds: with one per kind, a write in between could appear in two counts or in none.
        """
        kind = {"gone": f"${_GONE}", "placeholder": {"$eq": [f"${_REV}", PLACEHOLDER]}}
        marked, by_kind = {"$match": {_AT: {"$exists": True}}}, {"$group": {"_id": kind, "count": {"$sum": 1}}}
        dirty = placeholders = tombstones = 0
        for row in await self._rows([marked, by_kind]):
            if not row["_id"].get("gone"):
                dirty += row["count"]
            elif row["_id"]["placeholder"]:
                placeholders += row["count"]
            else:
                tombstones += row["count"]
        return Marked(dirty, placeholders, tombstones)

    async def count_dirty(self, before: datetime) -> int:
        """Count V2's entities with a write that was announced before this moment and is still open."""
        return int(await self._collection.count_documents({_AT: {"$lt": before}, **_LIVE}))

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
        cursor = await await_if_needed(self._collection.aggregate(stages))
        return list(await cursor.to_list(None))
