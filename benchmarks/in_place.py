"""Both shapes in one document: `python -m benchmarks.in_place [--operations 800] [--rounds 7] [--only get]`.

`get`, `update`, `insert` and a listing of 10,000 in `coexist`, against what one would write by hand for the same
purpose: one document with the fields of both shapes and a version, changed by optimistic locking. The hand-written code
trusts the new fields whatever an old program does to the old ones; lazymig compares a fingerprint at each read, whose
cost is measured as well. Writes `results/in_place.json`, and prints a table for `README.md`; `--profile` shows where
lazymig's time goes.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import bson
from attrs import asdict, evolve, frozen
from bson import ObjectId
from pymongo import AsyncMongoClient

from benchmarks.measure import Outcome, alternate, outcome, spread
from benchmarks.subject import LineV1, OrderV1, document, entity, orders
from lazymig import Migration, Phase, Repository
from lazymig.repository import calls_of
from lazymig.testing import Server

RESULTS = Path(__file__).parent / "results" / "in_place.json"
STORED, LISTED = 4_000, 10_000


@frozen
class OrderInPlace:
    """The new shape beside the old one: a name, an address and a date taken apart, and the rest as it was."""

    id: ObjectId
    number: str
    first_name: str
    last_name: str
    email: str
    street: str
    place: str
    placed_at: datetime
    status: str
    paid: bool
    notes: str
    lines: list[LineV1]


def to_new(old: OrderV1) -> OrderInPlace:
    first, _, last = old.customer.partition(" ")
    street, _, place = old.address.partition("\n")
    return OrderInPlace(
        old.id, old.number, first, last, old.email, street, place, datetime.fromisoformat(old.placed), old.status,
        old.paid, old.notes, old.lines,
    )  # fmt: skip


def to_old(new: OrderInPlace) -> OrderV1:
    return OrderV1(
        new.id, new.number, f"{new.first_name} {new.last_name}", new.email, f"{new.street}\n{new.place}",
        new.placed_at.isoformat(), new.status, new.paid, new.notes, new.lines,
    )  # fmt: skip


def ship(order: OrderInPlace) -> OrderInPlace:
    """The change that updates make: a field that both shapes share, and one that they do not."""
    return evolve(
        order,
        status="returned" if order.status == "shipped" else "shipped",
        last_name=order.last_name[::-1],
    )


MIGRATION = Migration(name="orders", v1=OrderV1, v2=OrderInPlace, upgrade=to_new, downgrade=to_old)


@frozen
class BothFields:
    """A hand-written repository that keeps both shapes in one document: a version guards each change."""

    collection: Any

    async def get(self, id: Any) -> OrderInPlace | None:
        found = await self.collection.find_one({"_id": id})
        if found is None:
            return None
        order: OrderInPlace = entity(found, OrderInPlace)
        return order

    async def update(self, id: Any, change: Callable[[OrderInPlace], OrderInPlace]) -> OrderInPlace:
        while True:
            found = await self.collection.find_one({"_id": id})
            version = found["version"]
            new = change(entity(found, OrderInPlace))
            made = {**document(to_old(new)), **document(new), "version": version + 1}
            where = {"_id": made.pop("_id"), "version": version}
            if (await self.collection.update_one(where, {"$set": made})).matched_count:
                return new

    async def insert(self, order: OrderInPlace) -> OrderInPlace:
        await self.collection.insert_one({**document(to_old(order)), **document(order), "version": 1})
        return order

    async def list(self) -> AsyncIterator[OrderInPlace]:
        async for found in self.collection.find({}).sort("_id", 1):
            yield entity(found, OrderInPlace)


Prepare = Callable[[int], list[Any]]


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
    return [
        Contest("get", {1: 0.95, 16: 3.0}, 1.0, lambda side: side.get, lambda count: list(islice(cycle(ids), count))),
        Contest(
            "update", {1: 0.95}, 0.3, lambda side: lambda id: side.update(id, ship),
            lambda count: list(islice(cycle(ids), count)),
        ),
        Contest("insert", {1: 0.95}, 0.3, lambda side: side.insert, lambda count: list(islice(fresh, count))),
        Contest(f"list of {listed:,}", {1: 0.95}, 0.0, lambda side: lambda _: _length(side), lambda count: [0]),
    ]  # fmt: skip


async def _length(side: Any) -> int:
    return len([order async for order in side.list()])


async def _fill(client: Any, count: int) -> tuple[Repository[Any, Any], BothFields, list[Any]]:
    """Both sides with equal documents, all of them complete; the ids."""
    for side in ("ours", "theirs"):
        await client.drop_database(f"in_place_{side}")
    ours = Repository.in_place(MIGRATION, client["in_place_ours"]["orders"], phase=Phase.COEXIST)
    theirs = BothFields(client["in_place_theirs"]["orders"])
    made = orders(count, 1)
    await client["in_place_ours"]["orders"].insert_many([document(order) for order in made])
    await theirs.collection.insert_many(
        [{**document(order), **document(to_new(order)), "version": 1} for order in made]
    )
    ids = [order.id for order in made]
    await ours.get_many(ids)
    assert ours.tally.counts["lazymig.migrated"] == count
    return ours, theirs, ids


async def _contest(ours: Any, theirs: Any, contest: Contest, tasks: int, operations: int, rounds: int) -> Row:
    count = max(1, int(operations * contest.share * (1 if tasks == 1 else 2)))
    used: dict[int, list[float]] = {id(ours): [], id(theirs): []}

    async def leg(side: Any) -> float:
        arguments = contest.prepare(count)
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
    arguments = contest.prepare(max(1, int(operations * contest.share)))
    call = contest.make(ours)
    profile, started = cProfile.Profile(), perf_counter()
    profile.enable()
    for argument in arguments:
        await call(argument)
    profile.disable()
    print(f"{contest.call}: {(perf_counter() - started) / len(arguments) * 1000:.3f} ms each under the profiler")
    pstats.Stats(profile).sort_stats("tottime").print_stats(28)


async def _main(operations: int, rounds: int, only: str | None, *, listed: int, profiled: bool) -> None:
    us, size = measure_fingerprint()
    print(f"fingerprint of {size:,} bytes of V1: {us:.1f} µs\n")
    print("| call | tasks | ratio | range | target | ms each, lazymig / by hand | ratio of processor time |")
    print("| --- | --: | --: | --- | --: | --- | --: |")
    rows: list[Row] = []
    with Server(cache_gb=1.0) as server:
        async with AsyncMongoClient(server.uri) as client:
            for contest in _contests([], listed):
                if only and only not in contest.call:
                    continue
                ours, theirs, ids = await _fill(client, listed if contest.call.startswith("list") else STORED)
                contest = next(one for one in _contests(ids, listed) if one.call == contest.call)
                async with ours:
                    await ours.check()
                    if profiled:
                        await _profile(ours, contest, operations)
                        continue
                    for tasks in contest.targets:
                        rows.append(await _contest(ours, theirs, contest, tasks, operations, rounds))
                        _show(rows[-1])
    if not only and not profiled:
        found = {"rounds": rounds, "fingerprint_us": us, "bytes": size, "rows": [asdict(row) for row in rows]}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--listed", type=int, default=LISTED)
    parser.add_argument("--only", metavar="TEXT", help="only calls with this in their name; writes nothing")
    parser.add_argument("--profile", action="store_true", help="print where lazymig's time goes; writes nothing")
    given = parser.parse_args()
    asyncio.run(_main(given.operations, given.rounds, given.only, listed=given.listed, profiled=given.profile))
