"""The end of lazymig's own field in documents that carried both shapes, and which indexes V1's end leaves behind."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Sequence

from lazymig.stores.decoding import make_condition
from lazymig.stores.documents import META_FIELD
from lazymig.stores.drivers import MAJORITY, collection_of, tune
from lazymig.stores.given import RawId, Store
from lazymig.stores.records import Document


class WholeReducing:
    """Statements on one collection whose documents carried both shapes."""

    def __init__(self, store: Store) -> None:
        self._collection = tune(collection_of(store), write=MAJORITY)

    async def strip(self, ids: Sequence[RawId]) -> int:
        """Take `_lazymig` out of these documents, durably. No process may use them through lazymig any more."""
        where = {"_id": make_condition({"$in": list(ids)}), META_FIELD: {"$exists": True}}
        return int((await self._collection.update_many(where, {"$unset": {META_FIELD: ""}})).modified_count)

    async def count_with(self, names: Names[str]) -> int:
        """Count the documents that have one of these fields."""
        if not names:
            return 0
        return int(await self._collection.count_documents({"$or": [{name: {"$exists": True}} for name in names]}))

    async def find_indexes(self) -> list[tuple[str, Document]]:
        """Find the indexes by name, as they are described."""
        found = await self._collection.index_information()
        return [(str(name), dict(described)) for name, described in sorted(found.items())]
