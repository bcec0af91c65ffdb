"""Where the demo may run: in memory, on the user's server, or on a server started for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from lazymig.cli.reaching import reach
from lazymig.errors import ConfigurationError
from lazymig.stores.clients import connect


@asynccontextmanager
async def in_memory() -> AsyncIterator[Any]:
    """Open a database in memory."""
    try:
        from mongomock_motor import AsyncMongoMockClient
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the demo in memory needs mongomock-motor: pip install 'lazymig[cli,testing]', or pass --uri or --server"
        ) from None
    yield AsyncMongoMockClient()["lazymig_demo"]


@asynccontextmanager
async def on(uri: str, *, keep: bool = False, in_json: bool = False) -> AsyncIterator[Any]:
    """Open a new database on a server, and drop it afterwards unless `keep` is set."""
    async with connect(uri) as client:
        await reach(client, in_json=in_json)
        name = f"lazymig_demo_{uuid4().hex[:8]}"
        try:
            yield client.database_named(name)
        finally:
            if not keep:
                await client.remove_database(name)


@asynccontextmanager
async def on_own_server(*, keep: bool = False) -> AsyncIterator[Any]:
    """Start a mongod, open a database on it, and stop it afterwards."""
    from lazymig.testing.server import Server

    with Server() as server:
        async with on(server.uri, keep=keep) as database:
            yield database
