"""How often a call allocates memory: `python -m benchmarks.allocations [--rows get "in place"]`.

memray counts every request for memory, of Python's objects as of C. Objects that Python takes from its free lists (such
as short tuples and floats) are no requests. The calls are those of the other benchmarks, by one task; a listing and a
sweep are divided among their documents. Prints a table for `README.md`. It needs `pip install memray`, and starts a
mongod of its own. Counts depend on neither the machine nor its load.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen
from pymongo import AsyncMongoClient

import lazymig
from benchmarks import in_place, invoices, loops
from benchmarks.arena import arena
from benchmarks.contests import CONTESTS
from benchmarks.options import chosen
from lazymig.testing import Server

#: Calls that are counted together, and how often. The least count is shown, since a client has tasks of its own.
CALLS, TIMES = 50, 3
LISTED, SWEPT = 2_000, 4_000

Run = Callable[[], Awaitable[object]]


@frozen
class Row:
    """What each side does `TIMES` times, once for each number, for how many calls or documents."""

    name: str
    ours: Callable[[int], Run]
    theirs: Callable[[int], Run]
    among: int = CALLS


async def _count(run: Run) -> int:
    """Count the allocations of one run."""
    import memray

    gc.collect()
    with TemporaryDirectory() as folder:
        file = Path(folder, "counted")
        with memray.Tracker(file, trace_python_allocators=True):
            await run()
        with memray.FileReader(file) as found:
            return found.metadata.total_allocations


async def _least(runs: Callable[[int], Run], among: int) -> float:
    # The first run is not counted: it opens connections and fills caches.
    await runs(0)()
    return min([await _count(runs(number)) for number in range(1, TIMES + 1)]) / among


def _calls(operation: Callable[[Any], Awaitable[Any]], arguments: list[Any]) -> Callable[[int], Run]:
    def runs(number: int) -> Run:
        async def run() -> None:
            for argument in arguments[number * CALLS : (number + 1) * CALLS]:
                await operation(argument)

        return run

    return runs


async def _two_collections(client: Any) -> AsyncIterator[Row]:
    for contest in CONTESTS:
        if contest.row in {"update, write_behind", "delete, without a look"}:
            continue
        place = await arena(client, "allocations")
        mine, other = await contest.arguments(place, TIMES + 1, CALLS)
        yield Row(contest.row, _calls(contest.ours(place), list(mine)), _calls(contest.theirs(place), list(other)))
    for share, name in ((1.0, "all migrated"), (0.0, "none")):
        place = await arena(client, "allocations")
        await place.fill(LISTED, seed=2, share=share)
        yield _listing(f"list, {name}", place.ours, place.theirs)


async def _one_document(client: Any) -> AsyncIterator[Row]:
    ours, theirs, ids = await in_place._fill(client, LISTED)
    for contest in in_place._contests(ids, LISTED)[:-1]:
        mine, other = [await contest.prepare(side, (TIMES + 1) * CALLS) for side in (ours, theirs)]
        yield Row(f"{contest.call}, in place", _calls(contest.make(ours), mine), _calls(contest.make(theirs), other))
    ours, theirs, _ = await in_place._fill(client, LISTED)
    yield _listing("list, in place", ours, theirs)


def _listing(name: str, ours: Any, theirs: Any) -> Row:
    def runs(side: Any) -> Callable[[int], Run]:
        return lambda _: lambda: in_place._length(side)

    return Row(name, runs(ours), runs(theirs), LISTED)


async def _sweeps(client: Any) -> AsyncIterator[Row]:
    names = [f"allocations_swept_{number}" for number in range(TIMES + 1)]
    for name in names:
        await invoices.fill(client, name, SWEPT)

    def ours(number: int) -> Run:
        return lambda: lazymig.Sweeper(invoices.repository(client, names[number])).run()

    def theirs(number: int) -> Run:
        async def run() -> None:
            await client[names[number]].drop_collection("v2")
            await loops.sweep(client[names[number]], loops.plain)

        return run

    yield Row("sweep", ours, theirs, SWEPT)


async def _main(arguments: argparse.Namespace) -> None:
    print("| call (of a listing and a sweep: each document) | lazymig | by hand |")
    print("| --- | --: | --: |")
    with Server(cache_gb=0.5) as server:
        async with AsyncMongoClient[dict[str, Any]](server.uri) as client:
            for rows in (_two_collections, _one_document, _sweeps):
                async for row in rows(client):
                    if chosen(row.name, arguments):
                        ours, theirs = [await _least(runs, row.among) for runs in (row.ours, row.theirs)]
                        print(f"| {row.name} | {ours:,.0f} | {theirs:,.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", nargs="+", metavar="TEXT", help="only rows with one of these texts in their name")
    asyncio.run(_main(parser.parse_args()))
