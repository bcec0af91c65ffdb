"""The clients behind collections: reached before work begins, and closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pymongo
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from lazymig.stores.drivers import Driver, await_if_needed, collection_of, driver_of


class Client:
    """One driver's client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def patience_s(self) -> float:
        """Seconds that the client itself waits for a server."""
        return float(self._client.options.server_selection_timeout)

    @property
    def addresses(self) -> list[str]:
        """The servers that the client knows, as `host:port`; none where the driver hides them. Sends nothing."""
        try:
            servers = self._client.topology_description.server_descriptions()
        except (AttributeError, PyMongoError):
            return []
        return sorted(f"{host}:{port}" for host, port in servers)

    async def ping(self, within_s: float) -> None:
        """Wait until a server answers, at most this many seconds. Driver errors pass through."""
        # The driver's own bound also ends the thread of a driver that uses threads.
        with pymongo.timeout(within_s):
            await self._client.admin.command("ping")

    async def close(self) -> None:
        """Close the client with all its connections."""
        await await_if_needed(self._client.close())

    def database_named(self, name: str) -> Any:
        """Return the database of this name. Sends nothing."""
        return self._client[name]

    async def remove_database(self, name: str) -> None:
        """Drop the database with all its collections."""
        await self._client.drop_database(name)


def clients_of(*stores: Any) -> list[Client]:
    """Return the clients of these stores, each once; in-memory stores have none."""
    collections = [collection_of(store) for store in stores]
    clients = [one.database.client for one in collections if driver_of(one) is not Driver.MEMORY]
    return [Client(client) for client in {id(client): client for client in clients}.values()]


@asynccontextmanager
async def connect(uri: str) -> AsyncIterator[Client]:
    """Open a client for this address and close it at the end of the with statement."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        yield Client(client)
