"""A process of clients and other programs that goes on until it is killed. "URI NAME SEED".

It prints each call before it is made, and again with what it came to: what it did not report never returned.
"""

from __future__ import annotations

import asyncio
import json
import sys

from attrs import asdict
from pymongo import AsyncMongoClient

from tests.faults.wholes import Entry, crowd, work


def tell(entry: Entry) -> None:
    """Print a call."""
    print(json.dumps(asdict(entry)), flush=True)


async def serve(uri: str, name: str, seed: str) -> None:
    """Work until the process is killed."""
    async with AsyncMongoClient(uri, retryWrites=False) as client:
        await work(crowd(client["faults"], int(seed), tell, name), lambda: True)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
