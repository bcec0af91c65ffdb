"""A process of a fleet: it follows the recorded phase and writes until it is killed. "URI DATABASE LEASE_S".

It prints a line once it has joined. After SIGUSR1 it begins an update that never ends, and says so: from then on it
acknowledges nothing any more.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

from pymongo import AsyncMongoClient

from lazymig import PhaseError
from lazymig.loop.clock import SYSTEM_CLOCK
from tests.sweeps import ThingV2
from tests.switches import followed, with_lease


async def serve(uri: str, name: str, lease_s: str) -> None:
    """Join the fleet, say so, and work."""
    stuck = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stuck.set)

    async def change(thing: ThingV2) -> ThingV2:
        if stuck.is_set():
            print("stuck", flush=True)
            await asyncio.get_running_loop().create_future()
        return thing

    async with AsyncMongoClient(uri) as client:
        repo = with_lease(followed(client[name], timeout_s=None), float(lease_s))
        joined = False
        while True:
            # On a busy machine the lease may run out. The process goes on by itself.
            with suppress(PhaseError):
                await repo.update(1, change)
                if not joined:
                    joined = True
                    print("joined", flush=True)
            await SYSTEM_CLOCK.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
