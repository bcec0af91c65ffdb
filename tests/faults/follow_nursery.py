"""A process that follows in children of its own, one per line of its input, for tests that kill them.

As `sweep_nursery`. No child verifies: what a killed one lost would stay lost.
"""

from __future__ import annotations

from datetime import timedelta

from pymongo import AsyncMongoClient

from lazymig import Follower
from lazymig.control import following
from lazymig.following import follow, leasing
from tests.faults.sweep_nursery import serve
from tests.sweeps import repository

LEASE_S = 0.3


def shorten() -> None:
    """Let a dead follower's lease run out soon."""
    following.LEASE = timedelta(seconds=LEASE_S)
    leasing.BEAT_S = LEASE_S / 3
    follow._IDLE_S = 0.02


async def run(uri: str, name: str) -> None:
    """Follow in small batches, so that there are many moments to be killed at."""
    shorten()
    async with AsyncMongoClient(uri) as client:
        await Follower(repository(client[name]), batch_size=5, concurrency=2, catch_up=False).run()


if __name__ == "__main__":
    serve(run)
