"""A process that sweeps parts of documents in children of its own, for tests that kill them; see `sweep_nursery`."""

from __future__ import annotations

from pymongo import AsyncMongoClient

from lazymig import Sweeper
from lazymig.sweeping import remainder
from tests.faults.boxes import as_parts
from tests.faults.load import ShiftedClock, repository
from tests.faults.sweep_nursery import BATCH_SIZE, PARTITION_SIZE, serve


async def sweep(uri: str, name: str) -> None:
    """One pass in small steps, so that there are many moments to be killed at."""
    remainder.IDS_PER_PAGE = 20
    async with AsyncMongoClient(uri) as client:
        boxes = repository(client[name], ShiftedClock(), migration=as_parts)
        await Sweeper(boxes, batch_size=BATCH_SIZE, partition_size=PARTITION_SIZE).run()


if __name__ == "__main__":
    serve(sweep)
