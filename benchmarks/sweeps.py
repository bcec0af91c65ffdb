"""Measure the sweep: `python -m benchmarks.sweeps [--documents 200000] [--rounds 5] [--quick]`.

Beside a hand-written loop with the same conversion, Beanie's iterative migration, and reading each entity in turn; the
cost of finding what is left of a nearly migrated collection; the memory of a process; and what live clients feel.
Starts a mongod of its own, writes `benchmarks/results/sweeps*.json`, and draws the table and the chart anew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import bson
from bson import ObjectId
from pymongo import AsyncMongoClient

import lazymig
from benchmarks import report
from benchmarks.beside import live, memory
from benchmarks.invoices import FILL, InvoiceV1, documents, fill, repository, to_v2
from benchmarks.measure import Outcome, alternate, outcome
from lazymig.fleet.jobs import SWEEP
from lazymig.fleet.workers import Workers
from lazymig.stores.records import Partition
from lazymig.sweeping.remainder import Remainder
from lazymig.testing import Server


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


def _converted() -> dict[str, float]:
    """The conversion alone: microseconds per document, and how large the documents are."""
    converter = lazymig.make_converter(detailed_validation=False)
    found = [{**document, "id": document["_id"]} for document in documents(2_000, seed=1)]
    size = sum(len(bson.encode({k: v for k, v in document.items() if k != "id"})) for document in found)
    taken = []
    for _ in range(7):
        gc.collect()
        started = perf_counter()
        for document in found:
            converter.unstructure(to_v2(converter.structure(document, InvoiceV1)))
        taken.append(perf_counter() - started)
    return {"us": round(median(taken) / len(found) * 1e6, 1), "bytes": round(size / len(found))}


async def _moving(client: Any, uri: str, count: int, rounds: int) -> list[Outcome]:
    name, hand = "sweeps", "find a batch, convert, insert_many"
    await fill(client, name, count)
    loop = _timed(client, name, lambda: _by_hand(client[name]))
    sweep = _timed(client, name, lambda: lazymig.Sweeper(repository(client, name)).run())
    size = max(min(count // 8, 50_000), 1000)
    workers = _timed(client, name, lambda: Workers(SWEEP, partial(made, uri, name), 2, {"partition_size": size}).run())
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
    await fill(client, name, count)
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
    for start in range(0, count, FILL):
        ids = [ObjectId(number.to_bytes(12, "big")) for number in range(start, start + FILL)]
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

    # It may cost at most 1.2 times as much: as a ratio of speeds, at least 1 / 1.2.
    taken = await alternate(ours, bare, rounds)
    row = outcome(f"find 1 % of {count:,}", "two covered _id scans read as sets", 1, round(1 / 1.2, 2), taken, count)
    print(report.line(row), flush=True)
    await client.drop_database(name)
    return [row]


async def _run(uri: str, arguments: argparse.Namespace) -> None:
    client: Any = AsyncMongoClient(uri)
    count, rounds = (20_000, 3) if arguments.quick else (arguments.documents, max(arguments.rounds, 5))
    converted = _converted()
    print(f"a document's conversion: {converted}", flush=True)
    rows = await _moving(client, uri, count, rounds)
    rows += await _beside_others(client, min(count, 10_000), rounds)
    rows += await _finding(client, count * 5, rounds)
    sizes = [10_000, count] if arguments.quick else [10_000, count, count * 5]
    # A sweep must outlast the clients beside it.
    extra: dict[str, Any] = {"live": await live(client, uri, max(count, 100_000), rounds * 2, 3.0)}
    extra["resident_mb"] = await memory(client, uri, sizes)
    extra["converted"] = converted
    await client.close()
    if not arguments.quick:
        (report.HERE / "results" / "sweeps_beside.json").write_text(json.dumps(extra, indent=1) + os.linesep)
        report.write("sweeps", await asyncio.to_thread(report.machine, uri), rounds, rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description="the sweep beside other ways")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds per row, at least 5")
    parser.add_argument("--quick", action="store_true", help="few documents, short; prints, and writes nothing")
    arguments = parser.parse_args()
    with Server(cache_gb=2.0) as server:
        asyncio.run(_run(server.uri, arguments))


if __name__ == "__main__":
    main()
