"""Asking a server for what costs it least, to learn how long a read takes now."""

from __future__ import annotations

from lazymig.stores.drivers import Driver, collection_of, driver_of, tune
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
