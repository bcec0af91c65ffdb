"""What a sweep costs besides time: memory, and what live clients feel.

`python -m benchmarks.beside URI DATABASE` sweeps alone, as the command line does, and prints its peak memory in MB.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any

from pymongo import AsyncMongoClient

import lazymig
from benchmarks.invoices import fill, repository
from benchmarks.measure import Outcome, Rule, outcome

LIVE, LIVE_TASKS = "p99 of live reads beside a sweep", 16
#: What the sweeping process prints when it begins.
BEGUN = b"begun\n"


def _resident_mb(uri: str, name: str) -> float:
    """The peak resident memory of a process that sweeps this database, in MB."""
    command = [sys.executable, "-m", "benchmarks.beside", uri, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


async def memory(client: Any, uri: str, sizes: list[int]) -> dict[str, float]:
    found = {}
    for count in sizes:
        await fill(client, "sweeps_memory", count)
        found[f"{count:,}"] = round(await asyncio.to_thread(_resident_mb, uri, "sweeps_memory"), 1)
        print(f"resident memory, sweep of {count:,}: {found[f'{count:,}']} MB", flush=True)
    await client.drop_database("sweeps_memory")
    return found


async def live(client: Any, uri: str, count: int, rounds: int, seconds: float) -> Outcome:
    """The 99th percentile of `get` by live clients, with a sweep in another process and without; each round counts."""
    name = "sweeps_live"
    await fill(client, name, count)
    repo = repository(client, name)
    ids = [row["_id"] async for row in client[name]["v1"].find({}, {"_id": 1}).limit(2_000)]
    taken = []
    for _ in range(rounds):
        # Dropped, and not emptied: the server keeps what was deleted for minutes, which would slow the sweep down.
        await client[name].drop_collection("v2")
        await repo.get_many(ids)
        alone = await _p99(repo, ids, seconds)
        await client[name].drop_collection("lazymig_control")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.beside", uri, name, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == BEGUN, "the sweep did not begin"
        # What the sweep needs to see how the clients fare is part of it, so nothing waits here.
        taken.append((await _p99(repo, ids, seconds), alone))
        assert process.returncode is None, "the sweep ended before the clients were measured; raise --documents"
        process.terminate()
        await process.communicate()
    against = f"{LIVE_TASKS} clients without a sweep"
    return outcome(LIVE, against, LIVE_TASKS, 2.0, taken, 1, rule=Rule.EVERY_ROUND)


async def _p99(repo: lazymig.Repository[Any, Any], ids: list[Any], seconds: float) -> float:
    taken: list[float] = []
    end = perf_counter() + seconds

    async def client(turn: Any) -> None:
        while perf_counter() < end:
            started = perf_counter()
            await repo.get(next(turn))
            taken.append(perf_counter() - started)
            # Users think: a closed loop without a pause would measure its own queue.
            await asyncio.sleep(0.01)

    await asyncio.gather(*(client(cycle(ids[number::LIVE_TASKS])) for number in range(LIVE_TASKS)))
    return quantiles(taken, n=100)[98]


def peak_kb() -> int:
    """The peak resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


async def _only_sweep(uri: str, name: str) -> None:
    os.nice(10)  # as the command line does
    client: Any = AsyncMongoClient(uri)
    await client[name].drop_collection("lazymig_control")
    print(BEGUN.decode(), end="", flush=True)
    await lazymig.Sweeper(repository(client, name)).run()
    await client.close()
    # Not `getrusage`, whose peak a child inherits from the process that it was forked from.
    print(peak_kb() / 1024)


if __name__ == "__main__":
    asyncio.run(_only_sweep(*sys.argv[1:]))
