"""Measuring how far a replica set's majority is behind its primary."""

from __future__ import annotations

from lazymig.stores.drivers import Driver, collection_of, driver_of
from lazymig.stores.given import Store


class Replication:
    """The replication of the servers that hold one collection."""

    def __init__(self, store: Store) -> None:
        collection = collection_of(store)
        self._database = None if driver_of(collection) is Driver.MEMORY else collection.database

    async def measure_lag_s(self) -> float:
        """Return the seconds between the primary's newest write and the majority's, which a majority write waits for.

        It sends one `hello`, which needs no privilege. 0 without a replica set and in memory. Driver errors pass
        through.
        """
        if self._database is None:
            return 0.0
        hello = await self._database.client.admin.command("hello")
        written = hello.get("lastWrite")
        if written is None:
            return 0.0  # no replica set
        return float((written["lastWriteDate"] - written["majorityWriteDate"]).total_seconds())
