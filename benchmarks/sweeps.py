"""Measure the sweep: `python -m benchmarks.sweeps [--documents 100000] [--rounds 7] [--quick] [--rows server p99]`.

Beside a hand-written loop (`loops.py`) by a converter as one writes it and by lazymig's, Beanie's iterative migration,
and reading each entity in turn; the cost of finding what is left of a nearly migrated collection; the memory of a
process; and what live clients feel.
Starts a mongod of its own, writes `benchmarks/results/sweeps*.json`, and draws the table and the chart once more.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from compileall import compile_dir
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import bson
from attrs import frozen
from bson import ObjectId
from cattrs import Converter
from pymongo import AsyncMongoClient

import lazymig
from benchmarks import loops, report
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
        await loops.check_stored(client[name])
        return taken

    return leg


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

    def sweep(migration: lazymig.Migration[Any, Any]) -> Leg:
        async def run() -> None:
            swept = await lazymig.Sweeper(repository(client, name, migration)).run()
            assert migration is MIGRATION or swept.on_server == count, "the server left documents to Python"

        return _timed(client, name, run)

    legs = {"1 process": sweep(MIGRATION)}
    legs["2 workers"] = _timed(
        client, name, lambda: Workers(SWEEP, repository(client, name, MIGRATION), partial(made, uri, name), 2, {}).run()
    )
    legs["server-side"] = sweep(SERVER_SIDE)
    return legs


@frozen
class Yardstick:
    """Another way of migrating what V1 holds."""

    #: What a row's name has of it.
    beside: str
    against: str
    #: lazymig's ways that are measured beside it, with the ratios that they are to reach; None: no target.
    targets: Mapping[str, float | None]
    open: Callable[[Any, str], Awaitable[Leg]]

    def row(self, count: int, way: str) -> str:
        """The name of a row."""
        return f"sweep of {count:,}{self.beside}, {way}"


@frozen
class Race:
    """Yardsticks that take their turns among the same sweeps of the same documents."""

    yardsticks: Sequence[Yardstick]
    #: The part of the documents that it is given: the slower ones get fewer.
    share: float

    async def run(self, client: Any, uri: str, documents: int, rounds: int, arguments: Namespace) -> list[Outcome]:
        """The rows that are asked for."""
        count = max(int(documents * self.share), 1)
        wanted = [
            (one, way) for one in self.yardsticks for way in one.targets if chosen(one.row(count, way), arguments)
        ]
        if not wanted:
            return []
        name = "sweeps"
        await fill(client, name, count)
        legs = {one.against: await one.open(client, name) for one in {one.against: one for one, _ in wanted}.values()}
        ways = {way for _, way in wanted}
        legs |= {way: leg for way, leg in _sweeps(client, uri, name, count).items() if way in ways}
        taken = await rotate(legs, rounds)
        outcomes = []
        for one, way in wanted:
            pairs = list(zip(taken[way], taken[one.against], strict=True))
            outcomes.append(outcome(one.row(count, way), one.against, 1, one.targets[way], pairs, count))
            print(report.line(outcomes[-1]), flush=True)
        return outcomes


async def _loop(make: Callable[[], Converter], client: Any, name: str) -> Leg:
    loops.check_same()
    return _timed(client, name, lambda: loops.sweep(client[name], make))


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


RACES = (
    Race(
        (
            Yardstick(
                "",
                "find a batch, convert with cattrs, insert_many",
                {"1 process": 1.4, "2 workers": 2.4, "server-side": 3.0},
                partial(_loop, loops.plain),
            ),
            # The stricter comparison: it leaves out what lazymig's converter saves.
            Yardstick(
                " beside the loop with lazymig's converter",
                "find a batch, convert with lazymig's converter, insert_many",
                {"1 process": None, "2 workers": None, "server-side": None},
                partial(_loop, loops.generated),
            ),
        ),
        1.0,
    ),
    Race(
        (Yardstick(" beside Beanie", "Beanie's iterative migration", {"1 process": 4.0, "2 workers": 7.0}, _beanie),),
        1.0,
    ),
    Race((Yardstick(" beside get()", "get() each id in turn", {"1 process": 10.0}, _turns),), 0.05),
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
    for race in RACES:
        rows += await race.run(client, uri, count, rounds, arguments)
    if chosen(FIND, arguments):
        rows += await _finding(client, count * 10, rounds)
    if chosen(LIVE, arguments):
        # A sweep must outlast the clients beside it.
        seconds = 1.0 if arguments.quick else 8.0
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


def _compile() -> None:
    """Compile what workers import, as an installer does; else each would, where Python is not to write bytecode."""
    for package in (lazymig, report):
        compile_dir(Path(package.__file__ or "").parent, quiet=2)


def main() -> None:
    parser = arguments_of("sweeps", "the sweep beside other ways")
    parser.add_argument("--documents", type=int, default=100_000)
    arguments = parser.parse_args()
    _compile()
    with Server(cache_gb=2.0) as server:
        rows = asyncio.run(_run(server.uri, arguments))
    raise SystemExit(verdict(rows, check=arguments.check))


if __name__ == "__main__":
    main()
