"""A process that takes V1's fields out in children of its own, one per line of its input, for tests that kill them."""

from __future__ import annotations

from pymongo import AsyncMongoClient

from lazymig import Retirement
from lazymig.retiring.in_place import reduction
from tests.faults.sweep_nursery import serve
from tests.people import people
from tests.whole_people import WITHIN, whole

BATCH_SIZE = 10


async def reduce(uri: str, name: str) -> None:
    """One pass in small steps, so that there are many moments to be killed at."""
    reduction._BATCH = BATCH_SIZE
    async with AsyncMongoClient(uri) as client:
        repo = whole(client[name], migration=people(**WITHIN))
        await Retirement(repo, unwatched=True, soak_s=0.0, by="me").reduce(confirm="people")


if __name__ == "__main__":
    serve(reduce)
