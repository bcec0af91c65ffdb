"""Both shapes in one document: `python -m benchmarks.in_place [--rounds 7] [--quick] [--rows update] [--check]`.

`get`, `update`, `insert`, `delete` and a listing of 10,000 in `coexist`, against what one would write by hand for the
same purpose: one document with the fields of both shapes and a version, changed by optimistic locking. The hand-written
code trusts the new fields whatever an old program does to the old ones; lazymig compares a fingerprint at each read,
whose cost is measured as well. Writes `results/in_place.json`, and prints a table for `README.md`; `--profile` shows
where lazymig's time goes.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import bson
from attrs import asdict, frozen
from pymongo import AsyncMongoClient

from benchmarks.both_fields import MIGRATION, BothFields, ship, to_new
from benchmarks.measure import Outcome, alternate, outcome, spread
from benchmarks.options import arguments_of, chosen, kept, verdict
from benchmarks.subject import OrderV1, document, orders
from lazymig import Phase, Repository
from lazymig.repository import calls_of
from lazymig.testing import Server

RESULTS = Path(__file__).parent / "results" / "in_place.json"
STORED, LISTED = 4_000, 10_000
#: Calls of each task in a leg at least, so that it is not all beginning and end.
EACH = 8


#: The arguments of a side's next leg, that many.
Prepare = Callable[[Any, int], Awaitable[list[Any]]]


@frozen
class Row:
    """One measurement, with the least processor time of this process that each side took for one call, in ms."""

    outcome: Outcome
    ours_cpu_ms: float
    theirs_cpu_ms: float


@frozen
class Contest:
    """One row: what a side does with one argument, how often, and the ratios aimed at by the number of tasks."""

    call: str
    targets: dict[int, float]
    share: float
    make: Callable[[Any], Callable[[Any], Awaitable[Any]]]
    prepare: Prepare


def _contests(ids: Sequence[Any], listed: int) -> list[Contest]:
    fresh = (to_new(order) for number in range(1_000) for order in orders(500, 100 + number))

    async def known(_: Any, count: int) -> list[Any]:
        return list(islice(cycle(ids), count))

    async def new(_: Any, count: int) -> list[Any]:
        return list(islice(fresh, count))

    async def stored(side: Any, count: int) -> list[Any]:
        made = orders(count, 2)
        await _store(side, made)
        return [order.id for order in made]

    return [
        Contest("get", {1: 0.95, 16: 3.0}, 1.0, lambda side: side.get, known),
        Contest("update", {1: 0.95, 16: 2.0, 64: 3.0}, 0.3, lambda side: lambda id: side.update(id, ship), known),
        Contest("insert", {1: 0.95, 16: 2.0, 64: 3.0}, 0.3, lambda side: side.insert, new),
        Contest("delete", {1: 0.9, 16: 1.5, 64: 2.0}, 0.3, lambda side: side.delete, stored),
        Contest(f"list of {listed:,}", {1: 0.95}, 0.0, lambda side: lambda _: _length(side), known),
    ]


async def _length(side: Any) -> int:
    return len([order async for order in side.list()])


async def _store(side: Any, made: Sequence[OrderV1]) -> None:
    """Store orders, all of them complete."""
    if isinstance(side, BothFields):
        await side.collection.insert_many(
            [{**document(order), **document(to_new(order)), "version": 1} for order in made]
        )
        return
    before = side.tally.counts["lazymig.migrated"]
    await side.collections.v1.insert_many([document(order) for order in made])
    await side.get_many([order.id for order in made])
    assert side.tally.counts["lazymig.migrated"] - before == len(made)


async def _fill(client: Any, count: int) -> tuple[Repository[Any, Any], BothFields, list[Any]]:
    """Both sides with equal documents; the ids."""
    for side in ("ours", "theirs"):
        await client.drop_database(f"in_place_{side}")
    ours = Repository.in_place(MIGRATION, client["in_place_ours"]["orders"], phase=Phase.COEXIST)
    theirs = BothFields(client["in_place_theirs"]["orders"])
    made = orders(count, 1)
    for one in (ours, theirs):
        await _store(one, made)
    return ours, theirs, [order.id for order in made]


async def _contest(ours: Any, theirs: Any, contest: Contest, tasks: int, operations: int, rounds: int) -> Row:
    # A listing is one operation.
    count = max(EACH * tasks if contest.share else 1, int(operations * contest.share * (1 if tasks == 1 else 2)))
    used: dict[int, list[float]] = {id(ours): [], id(theirs): []}

    async def leg(side: Any) -> float:
        arguments = await contest.prepare(side, count)
        started_s = process_time()
        taken_s = await spread(contest.make(side), arguments, tasks)
        used[id(side)].append((process_time() - started_s) / count * 1000)
        return taken_s

    taken = await alternate(lambda: leg(ours), lambda: leg(theirs), rounds)
    one = outcome(contest.call, "both fields, with a version", tasks, contest.targets[tasks], taken, count)
    return Row(one, min(used[id(ours)]), min(used[id(theirs)]))


def _show(measured: Row) -> None:
    one = measured.outcome
    goal = f"{one.target:g} {'met' if one.met else '**not met**'}"
    cpu = measured.theirs_cpu_ms / measured.ours_cpu_ms
    times, reach = f"{one.ours_ms:.3f} / {one.theirs_ms:.3f}", f"{min(one.ratios):.2f} - {max(one.ratios):.2f}"
    print(f"| {one.row} | {one.tasks} | {one.ratio:.2f} | {reach} | {goal} | {times} | {cpu:.2f} |", flush=True)


def measure_fingerprint(times: int = 20_000) -> tuple[float, int]:
    """The processor time of one fingerprint in µs, the least of five runs, and the bytes of the document."""
    place = calls_of(Repository.in_place(MIGRATION, _nowhere(), phase=Phase.COEXIST)).place
    assert place is not None
    (order,) = orders(1, 7)
    whole = bson.decode(bson.encode({**document(order), **document(to_new(order))}))
    least = float("inf")
    for _ in range(5):
        started_s = process_time()
        for _ in range(times):
            place.shape.fingerprint(whole)
        least = min(least, process_time() - started_s)
    return least / times * 1e6, len(bson.encode(document(order)))


def _nowhere() -> Any:
    client: Any = AsyncMongoClient("mongodb://127.0.0.1:1", connect=False)
    return client["nowhere"]["orders"]


async def _profile(ours: Any, contest: Contest, operations: int) -> None:
    """Print where the processor time of one call goes."""
    arguments = await contest.prepare(ours, max(1, int(operations * contest.share)))
    call = contest.make(ours)
    profile, started = cProfile.Profile(), perf_counter()
    profile.enable()
    for argument in arguments:
        await call(argument)
    profile.disable()
    print(f"{contest.call}: {(perf_counter() - started) / len(arguments) * 1000:.3f} ms each under the profiler")
    pstats.Stats(profile).sort_stats("tottime").print_stats(28)


async def measure(uri: str, arguments: argparse.Namespace, rounds: int) -> list[Row]:
    """All rows that are asked for."""
    operations, listed = arguments.operations, arguments.listed
    rows: list[Row] = []
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        for contest in _contests([], listed):
            if not chosen(contest.call, arguments):
                continue
            ours, theirs, ids = await _fill(client, listed if contest.call.startswith("list") else arguments.stored)
            contest = next(one for one in _contests(ids, listed) if one.call == contest.call)
            async with ours:
                await ours.check()
                if arguments.profile:
                    await _profile(ours, contest, operations)
                    continue
                for tasks in contest.targets:
                    rows.append(await _contest(ours, theirs, contest, tasks, operations, rounds))
                    _show(rows[-1])
    return rows


def main() -> None:
    parser = arguments_of("in_place", "both shapes in one document beside hand-written code")
    parser.add_argument("--operations", type=int, default=800)
    parser.add_argument("--stored", type=int, default=STORED, help="entities that reads and updates go round")
    parser.add_argument("--listed", type=int, default=LISTED)
    parser.add_argument("--profile", action="store_true", help="print where lazymig's time goes; writes nothing")
    arguments = parser.parse_args()
    if arguments.keep:
        parser.error("this table is kept as a whole, without --rows")
    rounds = max(arguments.rounds, 7)
    if arguments.quick:
        rounds, arguments.operations, arguments.listed, arguments.stored = 3, 60, 500, 500
    us, size = measure_fingerprint()
    print(f"fingerprint of {size:,} bytes of V1: {us:.1f} µs\n")
    print("| call | tasks | ratio | range | target | ms each, lazymig / by hand | ratio of processor time |")
    print("| --- | --: | --: | --- | --: | --- | --: |")
    with Server(cache_gb=1.0) as server:
        rows = asyncio.run(measure(server.uri, arguments, rounds))
    if kept(arguments) and not arguments.profile:
        found = {"rounds": rounds, "fingerprint_us": us, "bytes": size, "rows": [asdict(row) for row in rows]}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    raise SystemExit(verdict([row.outcome for row in rows], check=arguments.check))


if __name__ == "__main__":
    main()
