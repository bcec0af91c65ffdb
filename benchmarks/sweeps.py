"""Measure the sweep: `python -m benchmarks.sweeps [--documents 100000] [--rounds 7] [--quick] [--rows server p99]`.

Beside a hand-written loop with the same conversion, Beanie's iterative migration, and reading each entity in turn; the
cost of finding what is left of a nearly migrated collection; the memory of a process; and what live clients feel.
Starts a mongod of its own, writes `benchmarks/results/sweeps*.json`, and draws the table and the chart once more.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import bson
from attrs import frozen
from bson import ObjectId
from pymongo import AsyncMongoClient

import lazymig
from benchmarks import report
from benchmarks.beside import LIVE, live, memory
from benchmarks.invoices import FILL, MIGRATION, SERVER_SIDE, InvoiceV1, documents, fill, repository, to_v2
from benchmarks.measure import Leg, Outcome, alternate, outcome, rotate
from benchmarks.options import arguments_of, chosen, kept, verdict
from lazymig.fleet.jobs import SWEEP
from lazymig.fleet.workers import Workers
from lazymig.stores.records import Partition
from lazymig.sweeping.remainder import Remainder
from lazymig.testing import Server

FIND = "find 1 %"


async def _clear(client: Any, name: str) -> None:
    for collection in ("v2", "lazymig_control", "beanie"):
        await client[name].drop_collection(collection)


def _timed(client: Any, name: str, work: Callable[[], Awaitable[Any]]) -> Leg:
    async def leg() -> float:
        await _clear(client, name)
        started = perf_counter()
        await work()
        taken = perf_counter() - started
        counts = [await client[name][collection].estimated_document_count() for collection in ("v1", "v2")]
        assert counts[0] == counts[1], "not all of them were migrated"
        return taken

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


def _sweeps(client: Any, uri: str, name: str, count: int) -> dict[str, Leg]:
    """lazymig's ways of sweeping this database."""
    size = max(min(count // 8, 50_000), 1000)

    def sweep(migration: lazymig.Migration[Any, Any]) -> Leg:
        async def run() -> None:
            swept = await lazymig.Sweeper(repository(client, name, migration)).run()
            assert migration is MIGRATION or swept.on_server == count, "the server left documents to Python"

        return _timed(client, name, run)

    legs = {"1 process": sweep(MIGRATION)}
    legs["2 workers"] = _timed(
        client, name, lambda: Workers(SWEEP, partial(made, uri, name), 2, {"partition_size": size}).run()
    )
    legs["server-side"] = sweep(SERVER_SIDE)
    return legs


@frozen
class Yardstick:
    """Another way of migrating what V1 holds."""

    #: What a row's name has of it.
    beside: str
    against: str
    #: The ratios that lazymig's ways are to reach beside it.
    targets: Mapping[str, float]
    open: Callable[[Any, str], Awaitable[Leg]]

    async def race(self, client: Any, uri: str, count: int, rounds: int, arguments: Namespace) -> list[Outcome]:
        """Rows of this yardstick: in each round it takes its turn among lazymig's ways that are asked for."""
        rows = {way: f"sweep of {count:,}{self.beside}, {way}" for way in self.targets}
        if not any(chosen(row, arguments) for row in rows.values()):
            return []
        name = "sweeps"
        await fill(client, name, count)
        ours = {
            way: leg
            for way, leg in _sweeps(client, uri, name, count).items()
            if way in rows and chosen(rows[way], arguments)
        }
        taken = await rotate({"theirs": await self.open(client, name), **ours}, rounds)
        outcomes = []
        for way in ours:
            pairs = list(zip(taken[way], taken["theirs"], strict=True))
            outcomes.append(outcome(rows[way], self.against, 1, self.targets[way], pairs, count))
            print(report.line(outcomes[-1]), flush=True)
        return outcomes


async def _loop(client: Any, name: str) -> Leg:
    return _timed(client, name, lambda: _by_hand(client[name]))


async def _beanie(client: Any, name: str) -> Leg:
    from benchmarks.peer_beanie_sweep import opened

    migrate = await opened(client[name])

    async def leg() -> float:
        await _clear(client, name)
        await client[name]["v1"].aggregate([{"$out": "beanie"}])
        started = perf_counter()
        await migrate()
        return perf_counter() - started

    return leg


async def _turns(client: Any, name: str) -> Leg:
    return _timed(client, name, lambda: _each_in_turn(client, name))


#: Each with the share of the documents that it is given: the slower ones get fewer.
YARDSTICKS = (
    (
        Yardstick(
            "", "find a batch, convert, insert_many", {"1 process": 1.4, "2 workers": 2.4, "server-side": 3.0}, _loop
        ),
        1.0,
    ),
    (Yardstick(" beside Beanie", "Beanie's iterative migration", {"1 process": 4.0, "2 workers": 7.0}, _beanie), 0.4),
    (Yardstick(" beside get()", "get() each id in turn", {"1 process": 10.0}, _turns), 0.05),
)


async def _finding(client: Any, count: int, rounds: int) -> list[Outcome]:
    name = "sweeps_found"
    await client.drop_database(name)
    v1, v2 = client[name]["v1"], client[name]["v2"]
    for start in range(0, count, FILL):
        ids = [ObjectId(number.to_bytes(12, "big")) for number in range(start, min(start + FILL, count))]
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
    row = outcome(f"{FIND} of {count:,}", "two covered _id scans read as sets", 1, round(1 / 1.2, 2), taken, count)
    print(report.line(row), flush=True)
    await client.drop_database(name)
    return [row]


async def measure(client: Any, uri: str, arguments: Namespace, rounds: int) -> list[Outcome]:
    """All rows that are asked for."""
    count = arguments.documents
    rows: list[Outcome] = []
    for yardstick, share in YARDSTICKS:
        rows += await yardstick.race(client, uri, max(int(count * share), 1), rounds, arguments)
    if chosen(FIND, arguments):
        rows += await _finding(client, count * 10, rounds)
    if chosen(LIVE, arguments):
        # A sweep must outlast the clients beside it.
        seconds = 1.0 if arguments.quick else 3.0
        rows.append(await live(client, uri, max(count, 20_000 if arguments.quick else 100_000), rounds, seconds))
        print(report.line(rows[-1]), flush=True)
    return rows


async def _run(uri: str, arguments: Namespace) -> list[Outcome]:
    client: Any = AsyncMongoClient(uri)
    if arguments.quick:
        arguments.documents = min(arguments.documents, 5_000)
    rounds = 3 if arguments.quick else max(arguments.rounds, 7)
    rows = await measure(client, uri, arguments, rounds)
    extra: dict[str, Any] = {}
    if chosen("memory", arguments):
        count = arguments.documents
        sizes = [1_000, count] if arguments.quick else [count // 10, count, count * 10]
        extra = {"resident_mb": await memory(client, uri, sizes), "converted": _converted()}
        print(f"a document's conversion: {extra['converted']}", flush=True)
    await client.close()
    if kept(arguments):
        if extra:
            (report.HERE / "results" / "sweeps_beside.json").write_text(json.dumps(extra, indent=1) + os.linesep)
        machine = await asyncio.to_thread(report.machine, uri)
        report.write("sweeps", machine, rounds, rows, among=bool(arguments.rows))
    return rows


def main() -> None:
    parser = arguments_of("sweeps", "the sweep beside other ways")
    parser.add_argument("--documents", type=int, default=100_000)
    arguments = parser.parse_args()
    with Server(cache_gb=2.0) as server:
        rows = asyncio.run(_run(server.uri, arguments))
    raise SystemExit(verdict(rows, check=arguments.check))


if __name__ == "__main__":
    main()
