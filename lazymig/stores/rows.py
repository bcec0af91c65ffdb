"""The control collection's rows. One method is one statement, written and read with majority concern.

`lazymig.control` gives rows their meaning and composes filters and changes. A change is a compare-and-set: the filter
states what the row must still hold, and the result says whether it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from lazymig.loop.clock import Clock
from lazymig.stores.drivers import (
    LENIENT,
    MAJORITY,
    READ_MAJORITY,
    Driver,
    await_if_needed,
    collection_of,
    driver_of,
    tune,
)
from lazymig.stores.given import Collection, Store
from lazymig.stores.indexes import Keys, ensure_index
from lazymig.stores.record_changes import RecordChanges
from lazymig.stores.server_time import ServerTime

Row = Mapping[str, Any]
#: The control collection's name where the user gives none.
_NAME = "lazymig_control"


class Rows:
    """The rows of one control collection."""

    def __init__(self, collection: Collection) -> None:
        #: The collection's name.
        self.name = collection_of(collection).name
        #: In-memory collections do not know updates by pipelines, and no other process can reach them.
        self.in_memory = driver_of(collection) is Driver.MEMORY
        # Rows hold ids as documents hold them in `_id`, however this client would decode them.
        self._rows = tune(collection_of(collection), write=MAJORITY, read=READ_MAJORITY, codec=LENIENT)

    def server_time(self, clock: Clock) -> ServerTime:
        """Return the time of the server that holds the rows. Sends nothing."""
        return ServerTime(self._rows, clock)

    async def find_first(self, where: Row) -> Row | None:
        """Find one row, or None."""
        found: Row | None = await self._rows.find_one(where)
        return found

    async def find_tail(self, where: Row, array: str, limit: int) -> Row | None:
        """Find one row with the last `limit` entries of one of its arrays, or None."""
        found: Row | None = await self._rows.find_one(where, {array: {"$slice": -limit}})
        return found

    async def find_all(self, where: Row, fields: Sequence[str] | None = None, *, sort: Keys = ()) -> list[Row]:
        """Find every row that matches: these fields or all, in this order if one is given."""
        cursor = self._rows.find(where, None if fields is None else dict.fromkeys(fields, 1))
        return list(await (cursor.sort(list(sort)) if sort else cursor).to_list(None))

    async def find_page(self, where: Row, limit: int, *, sort: Keys = ()) -> list[Row]:
        """Find at most `limit` rows, in this order if one is given, in one reply: no cursor stays open."""
        cursor = self._rows.find(where).limit(limit).batch_size(limit + 1)
        found = await (cursor.sort(list(sort)) if sort else cursor).to_list(None)
        return list(found[:limit])

    async def count(self, where: Row) -> int:
        """Count the rows that match."""
        return int(await self._rows.count_documents(where))

    async def count_by(self, field: str, where: Row) -> dict[str, int]:
        """Count the rows that match, by the text that they hold in a field; "" stands for everything else."""
        stages: list[Row] = [{"$match": where}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}]
        cursor = await await_if_needed(self._rows.aggregate(stages))
        counts: Counter[str] = Counter()
        for row in await cursor.to_list(None):
            counts[row["_id"] if type(row["_id"]) is str else ""] += int(row["count"])
        return dict(counts)

    async def count_groups(self, fields: Sequence[str], where: Row, limit: int) -> list[Row]:
        """Count the rows that match by what they hold in these fields, `limit` rows at most; the largest groups first.

        Each group has its `count`, and the fields under their names.
        """
        by = {field: f"${field}" for field in fields}
        stages: list[Row] = [{"$match": where}, {"$limit": limit}, {"$group": {"_id": by, "count": {"$sum": 1}}}]
        cursor = await await_if_needed(self._rows.aggregate(stages))
        found = [{**row["_id"], "count": int(row["count"])} for row in await cursor.to_list(None)]
        return sorted(found, key=lambda group: group["count"], reverse=True)

    async def add(self, row: Row) -> None:
        """Insert one row, durably."""
        await self._rows.insert_one(row)

    async def add_all(self, rows: Sequence[Row]) -> None:
        """Insert rows, durably, by one statement; without rows, none is sent."""
        if rows:
            await self._rows.insert_many(rows)

    async def change(self, where: Row, change: Row) -> bool:
        """Change the row that the filter finds, durably. False: it finds none, and nothing was changed."""
        return bool((await self._rows.update_one(where, change)).matched_count)

    async def put(self, where: Row, change: Row) -> bool:
        """Change the row that the filter finds, or insert one with the filter's `_id`, durably.

        False: a row with this `_id` exists that the filter does not find; nothing was changed.
        """
        try:
            await self._rows.update_one(where, change, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def claim(self, where: Row, change: Row) -> Row | None:
        """Change the row that the filter finds, or insert one with the filter's `_id`, durably; return the new row.

        None: a row with this `_id` exists that the filter does not find; nothing was changed.
        """
        try:
            row: Row | None = await self._rows.find_one_and_update(
                where, change, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            return None
        return row

    async def change_and_find(self, where: Row, change: Row) -> Row | None:
        """Change the row that the filter finds, durably, and return the new row. None: it finds none."""
        row: Row | None = await self._rows.find_one_and_update(where, change, return_document=ReturnDocument.AFTER)
        return row

    async def put_each(self, changes: Sequence[tuple[Row, Sequence[Row]]]) -> None:
        """Change or insert many rows, each by its filter and pipeline, durably, by one unordered statement."""
        await self._rows.bulk_write([UpdateOne(*change, upsert=True) for change in changes], ordered=False)

    async def remove(self, where: Row) -> int:
        """Remove every row that matches, durably; return how many there were."""
        return int((await self._rows.delete_many(where)).deleted_count)

    def changes_of(self, id: str) -> RecordChanges:
        """Return the change stream of one row. Nothing is sent."""
        return RecordChanges(self._rows, id)

    async def ensure_index(self, keys: Keys, name: str) -> None:
        """Create the index unless one exists that serves as well."""
        await ensure_index(self._rows, keys, name)


def control_collection_beside(store: Store) -> Collection:
    """Return the control collection in the database of this store, by its usual name. Nothing is sent."""
    found: Collection = collection_of(store).database[_NAME]
    return found
