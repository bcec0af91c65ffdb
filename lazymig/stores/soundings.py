"""Asking a server for what costs it least, to learn how long a read takes now."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.errors import PyMongoError

from lazymig.stores.drivers import LENIENT, Driver, await_if_needed, collection_of, driver_of, tune
from lazymig.stores.given import Store


class Soundings:
    """Reads of one collection by an id that no document has: each takes what a client's read takes at least."""

    def __init__(self, store: Store) -> None:
        self._collection = tune(collection_of(store))
        #: Whether there is a server to ask.
        self.possible = driver_of(self._collection) is not Driver.MEMORY

    async def ask(self) -> None:
        """Wait for one answer. Driver errors pass through."""
        await self._collection.find_one({"_id": None}, {"_id": 1})


class Traffic:
    """What a server counts of the reads of some collections, by all clients. The right to read them is enough."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._collections = [tune(collection_of(store), codec=LENIENT) for store in stores]
        #: How many reads a count itself is.
        self.reads_of_a_count = len(self._collections)

    async def count(self) -> int | None:
        """Count the reads since the server began; None where it does not say."""
        total = 0
        try:
            for collection in self._collections:
                cursor = await await_if_needed(collection.aggregate([{"$collStats": {"latencyStats": {}}}]))
                # One of each shard.
                total += sum(int(row["latencyStats"]["reads"]["ops"]) for row in await cursor.to_list(None))
        except (PyMongoError, KeyError, TypeError, NotImplementedError):
            return None
        return total
