"""Measure the sweep: `python -m benchmarks.sweeps [--documents 200000] [--rounds 5] [--quick]`.

Beside a hand-written loop with the same conversion, Beanie's iterative migration, and reading each entity in turn; the
cost of finding what is left of a nearly migrated collection; the memory of a process; and what live clients feel.
Starts a mongod of its own, and writes `benchmarks/results/sweeps.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient

import lazymig
from benchmarks import report
from benchmarks.invoices import InvoiceV1, documents, repository, to_v2
from benchmarks.measure import Outcome, alternate, outcome
from lazymig.fleet.workers import Workers
from lazymig.records import Partition
from lazymig.sweeping.remainder import Remainder
from lazymig.testing import Server

_FILL = 5_000
_LIVE_TASKS = 16


async def _fill(client: Any, name: str, count: int) -> None:
    await client.drop_database(name)
    batch: list[dict[str, Any]] = []
    for document in documents(count, seed=1):
        batch.append(document)
        if len(batch) == _FILL:
            await client[name]["v1"].insert_many(batch, ordered=False)
            batch = []
    if batch:
        await client[name]["v1"].insert_many(batch)


async def _clear(client: Any, name: str) -> None:
    for collection in ("v2", "lazymig_control", "beanie"):
        await client[name].drop_collection(collection)


def _timed(client: Any, name: str, work: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[float]]:
    async def leg() -> float:
        await _clear(client, name)
        started = perf_counter()
        await work()
        return perf_counter() - started

    return leg


async def _by_hand(database: Any) -> None:
    """What one would write: find a batch, convert with the same converter, insert it."""
    converter = lazymig.make_converter(detailed_validation=False)
    last: Any = None
    while True:
        where = {} if last is None else {"_id": {"$gt": last}}
        found = await database["v1"].find(where).sort("_id", 1).limit(1000).to_list(None)
        if not found:
            return
        last = found[-1]["_id"]
        made = []
        for document in found:
            document["id"] = document.pop("_id")
            new = converter.unstructure(to_v2(converter.structure(document, InvoiceV1)))
            new["_id"] = new.pop("id")
            made.append(new)
        await database["v2"].insert_many(made, ordered=False)


def made(uri: str, name: str) -> lazymig.Repository[Any, Any]:
    """A worker's own repository."""
    return repository(AsyncMongoClient(uri), name)


async def _each_in_turn(client: Any, name: str) -> None:
    repo = repository(client, name)
    ids = [row["_id"] async for row in client[name]["v1"].find({}, {"_id": 1})]
    for id in ids:
        await repo.get(id)


async def _moving(client: Any, uri: str, count: int, rounds: int) -> list[Outcome]:
    name, hand = "sweeps", "find a batch, convert, insert_many"
    await _fill(client, name, count)
    loop = _timed(client, name, lambda: _by_hand(client[name]))
    sweep = _timed(client, name, lambda: lazymig.Sweeper(repository(client, name)).run())
    size = max(min(count // 8, 50_000), 1000)
    workers = _timed(client, name, lambda: Workers(partial(made, uri, name), 2, {"partition_size": size}).run())
    await loop()  # one of each ahead of the clock
    await sweep()
    taken: dict[str, list[tuple[float, float]]] = {"sweep": [], "sweep, 2 workers": []}
    for _ in range(rounds):
        ours, theirs, shared = await sweep(), await loop(), await workers()
        taken["sweep"].append((ours, theirs))
        taken["sweep, 2 workers"].append((shared, theirs))
    targets = {"sweep": 1.05, "sweep, 2 workers": 1.7}
    rows = [outcome(f"{row} of {count:,}", hand, 1, targets[row], taken[row], count) for row in taken]
    print("\n".join(map(report.line, rows)), flush=True)
    return rows


async def _beside_others(client: Any, count: int, rounds: int) -> list[Outcome]:
    from benchmarks.peer_beanie_sweep import opened

    name = "sweeps_others"
    await _fill(client, name, count)
    sweep = _timed(client, name, lambda: lazymig.Sweeper(repository(client, name)).run())
    turn = _timed(client, name, lambda: _each_in_turn(client, name))
    migrate = await opened(client[name])

    async def beanie() -> float:
        await _clear(client, name)
        await client[name]["v1"].aggregate([{"$out": "beanie"}])
        started = perf_counter()
        await migrate()
        return perf_counter() - started

    rows = []
    for against, target, leg in (("Beanie's iterative migration", 5.0, beanie), ("get() each id in turn", 10.0, turn)):
        rows.append(outcome(f"sweep of {count:,}", against, 1, target, await alternate(sweep, leg, rounds), count))
        print(report.line(rows[-1]), flush=True)
    return rows


async def _finding(client: Any, count: int, rounds: int) -> list[Outcome]:
    name = "sweeps_found"
    await client.drop_database(name)
    v1, v2 = client[name]["v1"], client[name]["v2"]
    for start in range(0, count, _FILL):
        ids = [ObjectId(number.to_bytes(12, "big")) for number in range(start, start + _FILL)]
        await v1.insert_many([{"_id": id} for id in ids], ordered=False)
        await v2.insert_many([{"_id": id} for number, id in enumerate(ids) if number % 100], ordered=False)

    async def ours() -> float:
        started = perf_counter()
        remainder = Remainder(v1, v2, Partition("objectId", None, None), None, 1000)
        missing = [len(page.missing) async for page in remainder.pages()]
        assert sum(missing) == count // 100
        return perf_counter() - started

    async def bare() -> float:
        started = perf_counter()
        sets = []
        for collection in (v1, v2):
            cursor = collection.find({}, {"_id": 1}).hint([("_id", 1)]).batch_size(10_000)
            sets.append({row["_id"] async for row in cursor})
        assert len(sets[0] - sets[1]) == count // 100
        return perf_counter() - started

    # The issue says "costs at most 1.2 times": as a ratio of speeds, at least 1 / 1.2.
    taken = await alternate(ours, bare, rounds)
    row = outcome(f"find 1 % of {count:,}", "two covered _id scans read as sets", 1, round(1 / 1.2, 2), taken, count)
    print(report.line(row), flush=True)
    await client.drop_database(name)
    return [row]


def _resident_mb(uri: str, name: str) -> float:
    """The peak resident memory of a process that sweeps this database, in MB."""
    command = [sys.executable, "-m", "benchmarks.sweeps", "--only-sweep", uri, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


async def _memory(client: Any, uri: str, sizes: list[int]) -> dict[str, float]:
    found = {}
    for count in sizes:
        await _fill(client, "sweeps_memory", count)
        found[f"{count:,}"] = round(await asyncio.to_thread(_resident_mb, uri, "sweeps_memory"), 1)
        print(f"resident memory, sweep of {count:,}: {found[f'{count:,}']} MB", flush=True)
    await client.drop_database("sweeps_memory")
    return found


async def _live(client: Any, uri: str, count: int, rounds: int, seconds: float) -> dict[str, Any]:
    """The 99th percentile of `get` by live clients, without and with a sweep in another process."""
    name = "sweeps_live"
    await _fill(client, name, count)
    repo = repository(client, name)
    ids = [row["_id"] async for row in client[name]["v1"].find({}, {"_id": 1}).limit(2_000)]
    await repo.get_many(ids)
    ratios, alone_ms, beside_ms = [], [], []
    for _ in range(rounds):
        alone = await _p99_ms(repo, ids, seconds)
        await client[name]["v2"].delete_many({"_id": {"$nin": ids}})
        await client[name].drop_collection("lazymig_control")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.sweeps", "--only-sweep", uri, name, stdout=asyncio.subprocess.DEVNULL
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


def _peak_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


async def _only_sweep(uri: str, name: str) -> None:
    os.nice(10)  # as the command line does
    client: Any = AsyncMongoClient(uri)
    await client[name].drop_collection("lazymig_control")
    await lazymig.Sweeper(repository(client, name)).run()
    await client.close()
    # Not `getrusage`, whose peak a child inherits from the process that it was forked from.
    print(_peak_kb() / 1024)


async def _run(uri: str, arguments: argparse.Namespace) -> dict[str, Any]:
    client: Any = AsyncMongoClient(uri)
    count, rounds = (20_000, 3) if arguments.quick else (arguments.documents, max(arguments.rounds, 5))
    rows = await _moving(client, uri, count, rounds)
    rows += await _beside_others(client, min(count, 5_000), rounds)
    rows += await _finding(client, count * 5, rounds)
    if not arguments.quick:
        report.write("sweeps", report.machine(uri), rounds, rows)
    sizes = [10_000, count] if arguments.quick else [10_000, count, count * 5]
    # A sweep must outlast the clients beside it.
    extra: dict[str, Any] = {"live": await _live(client, uri, max(count, 100_000), rounds, 3.0)}
    extra["resident_mb"] = await _memory(client, uri, sizes)
    await client.close()
    return extra


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description="the sweep beside other ways")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds per row, at least 5")
    parser.add_argument("--quick", action="store_true", help="few documents, short; prints, and writes nothing")
    parser.add_argument("--only-sweep", nargs=2, metavar=("URI", "DATABASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_sweep:
        asyncio.run(_only_sweep(*arguments.only_sweep))
        return
    with Server(cache_gb=2.0) as server:
        extra = asyncio.run(_run(server.uri, arguments))
    if not arguments.quick:
        (report.HERE / "results" / "sweeps_beside.json").write_text(json.dumps(extra, indent=1) + os.linesep)


if __name__ == "__main__":
    main()
