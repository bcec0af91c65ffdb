"""A process that sweeps in children of its own, one per line of its input, for tests that kill them.

A line is "NUMBER URI DATABASE", with "rewrite" behind it for a rewriting pass in place of a sweep, "newest" for a sweep
from the highest id down, or "one-document" for one over documents with both shapes. The child dies at its command of
this number, unless that is 0: so it does at the same moment of its work, however slow the machine is. Each child costs
no start-up: everything is imported before the first fork. Its process id is printed when it begins, and when it has
ended "killed" or "ended" and how many commands it had sent.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from pymongo import AsyncMongoClient, monitoring

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


class Death(monitoring.CommandListener):
    """Counts the commands of this process, and kills it at one of them.

    By turns before it is sent, while the server works on it, and when the answer is there.
    """

    def __init__(self, at: int, sent: mmap.mmap) -> None:
        self._at, self._sent, self._count, self._request = at, sent, 0, -1

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._count += 1
        self._sent[:8] = self._count.to_bytes(8)
        if self._count != self._at:
            return
        self._request = event.request_id
        if self._at % 3 == 0:
            _die()
        elif self._at % 3 == 1:
            threading.Timer(0.001, _die).start()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.request_id == self._request:
            _die()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        if event.request_id == self._request:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def serve(work: Callable[[str, str], Coroutine[Any, Any, None]]) -> None:
    """Serve until the input ends; each line is the work of one child."""
    sent = mmap.mmap(-1, 8)  # shared with the children
    for line in sys.stdin:
        dies_at, *words = line.split()
        child = os.fork()
        if not child:
            monitoring.register(Death(int(dies_at), sent))
            asyncio.run(work(*words))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            sys.exit("a child failed by itself")
        print("killed" if os.WIFSIGNALED(status) else "ended", int.from_bytes(sent[:8]), flush=True)


if __name__ == "__main__":
    serve(sweep)
