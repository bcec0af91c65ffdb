"""A process that verifies in children of its own, one per line of its input, for tests that kill them."""

from __future__ import annotations

from pymongo import AsyncMongoClient

from lazymig import Verifier
from tests.faults.sweep_nursery import serve
from tests.verifications import plain_repository


async def verify(uri: str, name: str) -> None:
    """One verification in small steps, so that there are many moments to be killed at."""
    async with AsyncMongoClient(uri) as client:
        repo = plain_repository(client[name])
        await Verifier(repo, batch_size=10, partition_size=50, min_age_s=0.05).run()


if __name__ == "__main__":
    serve(verify)
