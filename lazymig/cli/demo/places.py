"""Where the demo may run: in memory, on a server of the user's, or on one of its own."""

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
    """A database in this process."""
    try:
        from mongomock_motor import AsyncMongoMockClient
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the embedded demo needs mongomock-motor: pip install 'lazymig[cli,testing]', or use --uri or --server"
        ) from None
    yield AsyncMongoMockClient()["lazymig_demo"]


@asynccontextmanager
async def on(uri: str, *, keep: bool = False, in_json: bool = False) -> AsyncIterator[Any]:
    """A fresh database of a server, dropped afterwards unless it shall be kept."""
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
    """A database of a mongod that is started here and gone afterwards."""
    from lazymig.testing.server import Server

    with Server() as server:
        async with on(server.uri, keep=keep) as database:
            yield database
