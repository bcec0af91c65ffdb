"""A process that sweeps in children of its own, one per line of its input, for tests that kill them.

A line is "URI DATABASE", with "rewrite" behind it for a rewriting pass in place of a sweep, "newest" for a sweep from
the highest id down, or "one-document" for one over documents with both shapes. Each child costs no start-up:
everything is imported before the first fork. Its process id is printed when it begins, and when it has ended "killed"
or "ended".
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from pymongo import AsyncMongoClient

from lazymig import Phase, Repository, Rewriter
from lazymig.sweeping import older, remainder
from tests.older import alone
from tests.places import place_sweeper
from tests.sweeps import sweeper

BATCH_SIZE, PARTITION_SIZE = 10, 50


async def sweep(uri: str, name: str, kind: str = "sweep") -> None:
    """One pass in small steps, so that there are many moments to be killed at."""
    remainder.IDS_PER_PAGE = older.IDS_PER_PAGE = 20
    async with AsyncMongoClient(uri) as client:
        if kind == "rewrite":
            members = Repository(alone(persist=True), v1=client[name]["v1"], phase=Phase.V1_ONLY)
            await Rewriter(members, batch_size=BATCH_SIZE, partition_size=PARTITION_SIZE).run()
            return
        sizes = {"batch_size": BATCH_SIZE, "partition_size": PARTITION_SIZE}
        if kind == "one-document":
            await place_sweeper(client[name], batch_size=5, partition_size=PARTITION_SIZE).run()
            return
        await sweeper(client[name], newest_first=kind == "newest", **sizes).run()


def serve(work: Callable[[str, str], Coroutine[Any, Any, None]]) -> None:
    """Serve until the input ends; each line is the work of one child."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            asyncio.run(work(*line.split()))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            sys.exit("a child failed by itself")
        print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)


if __name__ == "__main__":
    serve(sweep)
