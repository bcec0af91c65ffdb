"""Documents taken at random, to see which shapes there are."""

from __future__ import annotations

from typing import Any

from lazymig.stores.drivers import LENIENT, awaited, tuned


async def sample_documents(collection: Any, size: int) -> list[dict[str, Any]]:
    """Return at most `size` documents at random, decoded whatever they hold. Reads only; driver errors pass through."""
    stages = [{"$sample": {"size": size}}]
    cursor = await awaited(tuned(collection, codec=LENIENT).aggregate(stages, allowDiskUse=True))
    return list(await cursor.to_list(None))
