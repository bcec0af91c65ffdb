"""Statements that take a migration's fields out of V1's documents, some documents at a time.

Each changes a document in one step on the server and leaves all other fields as they are, so programs may go on writing
those.
"""

from __future__ import annotations

from collections.abc import Sequence

from lazymig.stores.carried import Carried, carried_of
from lazymig.stores.decoding import make_condition
from lazymig.stores.documents import PART_FIELD
from lazymig.stores.drivers import MAJORITY, Handle, collection_of, tune
from lazymig.stores.given import RawId, Store
from lazymig.stores.records import Document


class FieldRemoval:
    """Removes the fields, and the revisions, of entities that are parts of documents."""

    def __init__(self, store: Store) -> None:
        collection: Handle = collection_of(store)
        self._durable = tune(collection, write=MAJORITY)
        self._carried: Carried = carried_of(store)
        paths = (*self._carried.names, self._carried.revision)
        #: The filter for documents that have something to remove: a field, a revision, or what held the revisions.
        self.left: Document = {"$or": [*({path: {"$exists": True}} for path in paths), {PART_FIELD: {"$eq": {}}}]}

    async def remove(self, ids: Sequence[RawId]) -> int:
        """Remove what these documents have left, durably; return how many were changed."""
        named = {"_id": make_condition({"$in": list(ids)})}
        made = await self._durable.update_many({"$and": [named, self.left]}, self._carried.removal())
        # The field around the revisions goes with the last of them; other migrations may have theirs in it.
        await self._durable.update_many({**named, PART_FIELD: {"$eq": {}}}, {"$unset": {PART_FIELD: ""}})
        return int(made.matched_count)
