"""Statements about a collection as a whole, at its end: whether it exists, its size, renaming and dropping it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from pymongo.errors import OperationFailure

from lazymig.stores.drivers import MAJORITY, Driver, Handle, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import Store

#: The server's codes: the collection does not exist, the other name is taken.
_MISSING, _TAKEN = 26, 48


@frozen
class Size:
    """What a collection holds: documents, and bytes with its indexes on disk. Bytes are 0 where nobody counts them."""

    documents: int
    bytes: int
    indexes: int


class Removable:
    """One collection, which may be renamed and dropped. Both are durable when they return."""

    def __init__(self, store: Store) -> None:
        self._collection = tune(collection_of(store), write=MAJORITY)
        self._database = self._collection.database
        self._in_memory = driver_of(self._collection) is Driver.MEMORY

    @property
    def name(self) -> str:
        """The collection's name in its database."""
        return str(self._collection.name)

    @property
    def place(self) -> str:
        """Database and collection."""
        return str(self._collection.full_name)

    def named(self, name: str) -> Handle:
        """Return the collection of another name in the same database. Sends nothing."""
        return self._database[name]

    def elsewhere(self, database: str, name: str) -> Handle:
        """Return a collection of another database of the same client. Sends nothing."""
        return self._database.client[database][name]

    async def identify(self) -> str | None:
        """Return what identifies the collection, whatever its name: the server's UUID. None where it does not exist.

        In memory it has none, and its name stands for it. A view has none either, and yet something has the name.
        """
        if self._in_memory:
            return "in memory" if self.name in await self._database.list_collection_names() else None
        found = await self._database.command("listCollections", filter={"name": self.name})
        rows = found["cursor"]["firstBatch"]
        if not rows:
            return None
        uuid = rows[0]["info"].get("uuid")
        return str(rows[0]["type"]) if uuid is None else bytes(uuid).hex()

    async def measure(self) -> Size:
        """Measure what it holds; estimates, which cost nothing. Where it does not exist it holds nothing."""
        documents = int(await self._collection.estimated_document_count())
        if self._in_memory:
            return Size(documents, 0, 0)
        try:
            cursor = await await_if_needed(self._collection.aggregate([{"$collStats": {"storageStats": {}}}]))
            rows: list[Mapping[str, Mapping[str, int]]] = await cursor.to_list(None)
        except OperationFailure as error:
            if error.code != _MISSING:
                raise
            rows = []  # this statement alone fails then; later servers answer with zeros
        stats = [row["storageStats"] for row in rows]
        indexes = max((int(one.get("nindexes", 0)) for one in stats), default=0)
        return Size(documents, sum(int(one.get("totalSize", 0)) for one in stats), indexes)

    async def find_views(self) -> list[str]:
        """Find the views of the same database that read it."""
        if self._in_memory:
            return []
        found = await self._database.command("listCollections", filter={"type": "view", "options.viewOn": self.name})
        return [str(row["name"]) for row in found["cursor"]["firstBatch"]]

    async def find_expiring(self) -> list[str]:
        """Find the names of its TTL indexes, by which the server deletes documents on its own."""
        found = await self._collection.index_information()
        return sorted(name for name, index in found.items() if "expireAfterSeconds" in index)

    async def rename(self, name: str) -> bool:
        """Give it another name in its database. False: it does not exist, or the name is taken; nothing was changed."""
        if self._in_memory and name in await self._database.list_collection_names():
            return False
        try:
            await self._collection.rename(name)
        except OperationFailure as error:
            if error.code not in (_MISSING, _TAKEN):
                raise
            return False
        return True

    async def drop(self) -> None:
        """Drop it with its indexes. Nothing happens where it does not exist."""
        await self._collection.drop()

    async def remove_index(self, name: str) -> bool:
        """Drop the index of this name. False: there is none."""
        if self._in_memory or name not in await self._collection.index_information():
            return False
        await self._collection.drop_index(name)
        return True
