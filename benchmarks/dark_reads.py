"""What dark reads cost their callers: `python -m benchmarks.dark_reads [--rounds 7] [--calls 2000] [--quick]`.

`get` of migrated orders (`subject.py`) with 0 %, 1 % and 100 % of the reads compared, each beside a repository without
dark reads, in alternating rounds: the ratio of the times that all calls take, and what a single caller waits. Dark
reads compare 200 entities per second at most; `rate_max=None` has no such bound. With a pause after each call, until
its comparison is done, the work that the event loop shares is left out. The last rows have a candidate that hangs.
Prints the table in README.md and writes `results/dark_reads.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import attrs
from attrs import frozen
from pymongo import AsyncMongoClient

import lazymig
from benchmarks import report
from benchmarks.measure import spread
from benchmarks.subject import MIGRATION, document, orders
from lazymig.repository import calls_of
from lazymig.testing import Server

RESULTS = Path(__file__).parent / "results" / "dark_reads.json"
ENTITIES = 1_000
HANG = {"blockConnection": True, "blockTimeMS": 2_000, "failCommands": ["find"], "namespace": "dark_reads.v2"}


@frozen
class Row:
    """One row: medians of the rounds."""

    row: str
    tasks: int
    ratio: float
    ratios: list[float]
    plain_p50_ms: float
    p50_ms: float
    plain_p99_ms: float
    p99_ms: float
    plain_cpu_ms: float
    cpu_ms: float
    counts: dict[str, int]


@frozen
class Leg:
    """The calls of one round; the processor time is this process's per call, with the comparisons."""

    elapsed_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


async def _leg(repository: lazymig.Repository[Any, Any], ids: Sequence[Any], tasks: int, *, paused: bool) -> Leg:
    taken: list[float] = []

    async def call(id: Any) -> None:
        started = perf_counter()
        await repository.get(id)
        taken.append(perf_counter() - started)
        if paused:
            await calls_of(repository).drain()

    used_s = process_time()
    elapsed_s = await spread(call, ids, tasks)
    await calls_of(repository).drain()
    cpu_ms = (process_time() - used_s) / len(ids) * 1000
    taken.sort()
    p50, p99 = (taken[int(share * (len(taken) - 1))] * 1000 for share in (0.5, 0.99))
    return Leg(sum(taken) if paused else elapsed_s, p50, p99, cpu_ms)


def _opened(database: Any, dark: lazymig.DarkReads | None) -> lazymig.Repository[Any, Any]:
    collections = {"v1": database["v1"], "v2": database["v2"]}
    return lazymig.Repository(MIGRATION, **collections, phase=lazymig.Phase.COEXIST, dark_reads=dark)


async def _row(
    database: Any, row: str, tasks: int, dark: lazymig.DarkReads, calls: int, rounds: int, *, paused: bool = False
) -> Row:
    # The plain side answers from the same collection.
    none = lazymig.DarkReads(0, serve="v1") if dark.serve == "v1" else None
    plain, ours = _opened(database, none), _opened(database, dark)
    known = [each["_id"] async for each in database["v1"].find({}, {"_id": 1})]
    ids = [known[call % len(known)] for call in range(calls)]
    pairs: list[tuple[Leg, Leg]] = []
    for number in range(rounds + 1):
        sides = (plain, ours) if number % 2 else (ours, plain)
        legs = {id(side): await _leg(side, ids, tasks, paused=paused) for side in sides}
        pairs.append((legs[id(plain)], legs[id(ours)]))
    pairs = pairs[1:]  # the first warms up
    ratios = [theirs.elapsed_s / mine.elapsed_s for theirs, mine in pairs]
    names = ("p50_ms", "p99_ms", "cpu_ms")
    numbers = [round(median(getattr(pair[side], name) for pair in pairs), 4) for name in names for side in (0, 1)]
    counts = {name: count for name, count in dark.counts.items() if count}
    return Row(row, tasks, round(median(ratios), 3), [round(one, 3) for one in ratios], *numbers, counts)


async def _measured(server: Server, client: Any, calls: int, rounds: int) -> list[Row]:
    database = client["dark_reads"]
    await database["v1"].insert_many([document(order) for order in orders(ENTITIES, 1)])
    await lazymig.Sweeper(_opened(database, None)).run()
    rows: list[Row] = []

    async def add(*given: Any, **options: Any) -> None:
        rows.append(await _row(database, *given, rounds, **options))
        print(_line(rows[-1]), flush=True)

    for tasks in (1, 16, 64):
        many = calls if tasks == 1 else calls * 8  # or a burst of comparisons would make up most of a round
        for share in (0.0, 0.01, 1.0):
            await add(f"{share:.0%} compared", tasks, lazymig.DarkReads(share), many)
        await add("100%, rate_max=None", tasks, lazymig.DarkReads(1, rate_max=None), many)
    await add("100%, paused", 1, lazymig.DarkReads(1, rate_max=None), calls, paused=True)
    with server.failpoint(HANG):
        for tasks in (1, 16):
            await add("100%, V2 hangs", tasks, lazymig.DarkReads(1, serve="v1"), calls // 2)
    return rows


async def _start_us(database: Any) -> float:
    """Microseconds between a call's answer and its return, where V2 answers at once."""
    plain, ours = _opened(database, None), _opened(database, lazymig.DarkReads(1))
    ids = [each["_id"] async for each in database["v1"].find({}, {"_id": 1}).limit(30)]
    taken: dict[int, list[float]] = {id(plain): [], id(ours): []}
    for repository in (plain, ours):
        bodies: Any = calls_of(repository).pair.bodies
        stored = await bodies.find_many(ids)

        async def find(id: Any, stored: Any = stored) -> Any:
            return stored[id]

        bodies.find = find
    for _ in range(50):
        for repository in (plain, ours):
            started = process_time()
            for one in ids:
                await repository.get(one)
            taken[id(repository)].append(process_time() - started)
            await calls_of(repository).drain()
    return (median(taken[id(ours)]) - median(taken[id(plain)])) / len(ids) * 1e6


def _line(row: Row) -> str:
    spread = f"{min(row.ratios):.2f} - {max(row.ratios):.2f}"
    times = [f"{row.p50_ms:.2f} / {row.plain_p50_ms:.2f}", f"{row.p99_ms:.1f} / {row.plain_p99_ms:.1f}"]
    times.append(f"{row.cpu_ms:.2f} / {row.plain_cpu_ms:.2f}")
    compared, dropped, failed = (row.counts.get(name, 0) for name in ("compared", "dropped", "failed"))
    ended = f"{compared:,} / {dropped:,} / {failed:,}"
    return f"| {row.row} | {row.tasks} | {row.ratio:.2f} | {spread} | {' | '.join(times)} | {ended} |"


async def _main(calls: int, rounds: int, *, keep: bool) -> None:
    print("Each with / without. The last column: compared / dropped / failed.\n")
    print("| get | tasks | ratio | range | p50 ms | p99 ms | CPU ms | of all rounds |")
    print("| --- | --: | --: | --- | --- | --- | --- | --- |")
    with Server(cache_gb=1.0) as server:
        async with AsyncMongoClient(server.uri) as client:
            rows = await _measured(server, client, calls, rounds)
            started_us = await _start_us(client["dark_reads"])
        machine = report.machine(server.uri)
    print(f"\nStarting a comparison takes {started_us:.0f} µs of its caller's time.")
    if keep:
        kept = {"machine": machine, "rounds": rounds, "calls": calls, "started_us": round(started_us, 1)}
        kept["rows"] = [attrs.asdict(row) for row in rows]
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="3 short rounds; prints, and writes nothing")
    arguments = parser.parse_args()
    quick = arguments.quick
    asyncio.run(_main(400 if quick else arguments.calls, 3 if quick else arguments.rounds, keep=not quick))
