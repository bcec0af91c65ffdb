"""Counts of documents that carry both shapes, by their meta data. No document leaves the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import await_if_needed, collection_of, tune
from lazymig.stores.given import Store
from lazymig.stores.records import Document
from lazymig.stores.whole_documents import UNMOVED


class WholeKind(NamedTuple):
    """What the meta data of a document say: what stored its V2 part first (None: nothing has), and by which conversion.

    `unmoved` says why there is no V2 part, where that was decided.
    """

    by: str | None
    conv: int
    alone: bool
    unmoved: str | None

    @property
    def filled(self) -> bool:
        """Whether there is a V2 part."""
        return self.by is not None and self.unmoved is None


class WholeCounts:
    """The counts of one collection, read on the primary."""

    def __init__(self, store: Store) -> None:
        self._collection = tune(collection_of(store))

    async def count_kinds(self, *, sample: int = 0) -> Counter[WholeKind]:
        """Count all documents by kind, or those of a random `sample`."""
        stages: list[Document] = [{"$sample": {"size": sample}}] if sample else []
        kind = {name: f"${META_FIELD}.{name}" for name in WholeKind._fields}
        counts: Counter[WholeKind] = Counter()
        for row in await self._rows([*stages, {"$group": {"_id": kind, "count": {"$sum": 1}}}]):
            found: Document = row["_id"]
            by, conv, unmoved = found.get("by"), found.get("conv") or 1, found.get("unmoved")  # missing means 1
            counts[WholeKind(by, conv, bool(found.get("alone")), unmoved)] += row["count"]
        return counts

    async def count_unmoved(self) -> Counter[str]:
        """Count the documents without a V2 part by why, by the sparse index."""
        decided: Document = {"$match": {UNMOVED: {"$exists": True}}}
        rows = await self._rows([decided, {"$group": {"_id": f"${UNMOVED}", "count": {"$sum": 1}}}])
        return Counter({str(row["_id"]): int(row["count"]) for row in rows})

    async def _rows(self, stages: Sequence[Document]) -> list[Document]:
        cursor = await await_if_needed(self._collection.aggregate(list(stages)))
        return list(await cursor.to_list(None))
