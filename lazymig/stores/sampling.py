"""Documents taken at random, to see which shapes there are."""

from __future__ import annotations

from typing import Any

from lazymig.stores.clients import Client
from lazymig.stores.drivers import LENIENT, awaited, tuned


async def sampled(client: Client, database: str, collection: str, size: int) -> list[dict[str, Any]]:
    """Return at most `size` documents at random, decoded whatever they hold. Reads only.

    Driver errors pass through, `InvalidName` for a name that no collection can have among them.
    """
    documents = tuned(client.database_named(database)[collection], codec=LENIENT)
    cursor = await awaited(documents.aggregate([{"$sample": {"size": size}}], allowDiskUse=True))
    return list(await cursor.to_list(None))
