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
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from pymongo import AsyncMongoClient

import lazymig
from benchmarks.invoices import fill, repository

_LIVE_TASKS = 16


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


async def live(client: Any, uri: str, count: int, rounds: int, seconds: float) -> dict[str, Any]:
    """The 99th percentile of `get` by live clients, without and with a sweep in another process."""
    name = "sweeps_live"
    await fill(client, name, count)
    repo = repository(client, name)
    ids = [row["_id"] async for row in client[name]["v1"].find({}, {"_id": 1}).limit(2_000)]
    await repo.get_many(ids)
    ratios, alone_ms, beside_ms = [], [], []
    for _ in range(rounds):
        alone = await _p99_ms(repo, ids, seconds)
        await client[name]["v2"].delete_many({"_id": {"$nin": ids}})
        await client[name].drop_collection("lazymig_control")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.beside", uri, name, stdout=asyncio.subprocess.DEVNULL
        )
        await asyncio.sleep(2.0)  # past its imports
        beside = await _p99_ms(repo, ids, seconds)
        assert process.returncode is None, "the sweep ended before the clients were measured; raise --documents"
        process.terminate()
        await process.wait()
        ratios.append(round(beside / alone, 2))
        alone_ms.append(alone)
        beside_ms.append(beside)
    result = {
        "p99_ratio": median(ratios), "ratios": ratios, "target": 2.0,
        "alone_ms": round(median(alone_ms), 2), "beside_ms": round(median(beside_ms), 2),
    }  # fmt: skip
    print(f"p99 of get by {_LIVE_TASKS} clients beside a sweep: {result}", flush=True)
    return result


async def _p99_ms(repo: lazymig.Repository[Any, Any], ids: list[Any], seconds: float) -> float:
    taken: list[float] = []
    end = perf_counter() + seconds

    async def client(turn: Any) -> None:
        while perf_counter() < end:
            started = perf_counter()
            await repo.get(next(turn))
            taken.append(perf_counter() - started)
            # Users think: a closed loop without a pause would measure its own queue.
            await asyncio.sleep(0.01)

    await asyncio.gather(*(client(cycle(ids[number::_LIVE_TASKS])) for number in range(_LIVE_TASKS)))
    return quantiles(taken, n=100)[98] * 1000


def peak_kb() -> int:
    """The peak resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


async def _only_sweep(uri: str, name: str) -> None:
    os.nice(10)  # as the command line does
    client: Any = AsyncMongoClient(uri)
    await client[name].drop_collection("lazymig_control")
    await lazymig.Sweeper(repository(client, name)).run()
    await client.close()
    # Not `getrusage`, whose peak a child inherits from the process that it was forked from.
    print(peak_kb() / 1024)


if __name__ == "__main__":
    asyncio.run(_only_sweep(*sys.argv[1:]))
