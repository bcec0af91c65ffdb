"""Sampling documents at random, to see which shapes a collection holds."""

from __future__ import annotations

from typing import Any

from lazymig.stores.clients import Client
from lazymig.stores.drivers import LENIENT, await_if_needed, tune


async def sample_documents(client: Client, database: str, collection: str, size: int) -> list[dict[str, Any]]:
    """Return at most `size` documents at random; decoding cannot fail, and nothing is written.

    Driver errors pass through, such as `InvalidName` for a name that no collection can have.
    """
    documents = tune(client.database_named(database)[collection], codec=LENIENT)
    cursor = await await_if_needed(documents.aggregate([{"$sample": {"size": size}}], allowDiskUse=True))
    return list(await cursor.to_list(None))
