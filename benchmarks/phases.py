"""What each phase costs: `python -m benchmarks.phases [--operations 1000] [--rounds 7] [--phases v2_only …]`.

`get`, `update`, `insert` and a listing in each phase, one task, against what one would write by hand for the same
purpose: a repository with optimistic locking on V1 whose entities are converted on the way, "write V1, then V2", or a
repository with optimistic locking on V2. Every entity is in V2 where the phase puts it there. Writes
`results/phases.json`, and prints a table for `README.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from time import process_time
from typing import Any

from attrs import asdict, frozen
from pymongo import AsyncMongoClient

from benchmarks.by_hand import ByHand
from benchmarks.measure import Outcome, alternate, outcome, spread
from benchmarks.subject import MIGRATION, OrderV1, OrderV2, document, entity, orders, ship, to_v1, to_v2
from lazymig import Phase, Repository
from lazymig.testing import Server

RESULTS = Path(__file__).parent / "results" / "phases.json"
STORED, LISTED = 2_000, 2_000
#: What V2_ONLY is held to: once V1 is gone, nothing of lazymig may cost more than what any repository does.
TARGETS = {(Phase.V2_ONLY, "get"): 0.95, (Phase.V2_ONLY, "update"): 0.95}


@frozen
class Locking:
    """A hand-written repository with optimistic locking on one collection: a version guards each change."""

    collection: Any
    decode: Callable[[dict[str, Any]], OrderV2]
    encode: Callable[[OrderV2], dict[str, Any]]

    async def get(self, id: Any) -> OrderV2 | None:
        found = await self.collection.find_one({"_id": id})
        if found is None:
            return None
        found.pop("version")
        return self.decode(found)

    async def update(self, id: Any, change: Callable[[OrderV2], OrderV2]) -> OrderV2:
        while True:
            found = await self.collection.find_one({"_id": id})
            version = found.pop("version")
            new = change(self.decode(found))
            made = {**self.encode(new), "version": version + 1}
            if (await self.collection.replace_one({"_id": id, "version": version}, made)).matched_count:
                return new

    async def insert(self, order: OrderV2) -> OrderV2:
        await self.collection.insert_one({**self.encode(order), "version": 1})
        return order

    async def list(self) -> AsyncIterator[OrderV2]:
        async for found in self.collection.find({}).sort("_id", 1):
            found.pop("version")
            yield self.decode(found)


@frozen
class Row:
    """One measurement, with the least processor time of this process that each side took for one call, in ms."""

    outcome: Outcome
    ours_cpu_ms: float
    theirs_cpu_ms: float


def _by_hand(phase: Phase, database: Any) -> tuple[Any, str]:
    """What one would write for this phase, and its name."""
    if phase in (Phase.COEXIST, Phase.V2_PRIMARY):
        return ByHand(database["v1"], database["v2"]), "write V1, then V2"
    if phase is Phase.V2_ONLY:
        return Locking(database["v2"], lambda found: entity(found, OrderV2), document), "V2 with a version"
    return (
        Locking(database["v1"], lambda found: to_v2(entity(found, OrderV1)), lambda order: document(to_v1(order))),
        "V1 with a version, converted",
    )


async def _fill(client: Any, name: str, phase: Phase) -> tuple[Repository[Any, Any], Any, str, list[Any]]:
    """Both sides with equal documents; the ids."""
    for side in ("ours", "theirs"):
        await client.drop_database(f"{name}_{side}")
    ours, theirs = client[f"{name}_ours"], client[f"{name}_theirs"]
    made = orders(STORED, 1)
    await ours["v1"].insert_many([document(order) for order in made])
    await theirs["v1"].insert_many([{**document(order), "version": 1} for order in made])
    await theirs["v2"].insert_many([{**document(to_v2(order)), "version": 1} for order in made])
    ids = [order.id for order in made]
    pair: dict[str, Any] = {"v1": ours["v1"], "v2": ours["v2"]}
    if phase not in (Phase.V1_ONLY, Phase.PREPARE):
        await Repository(MIGRATION, phase=Phase.COEXIST, **pair).get_many(ids)
    by_hand, against = _by_hand(phase, theirs)
    if isinstance(by_hand, ByHand):
        for collection in (theirs["v1"], theirs["v2"]):
            await collection.update_many({}, {"$unset": {"version": ""}})
    return Repository(MIGRATION, phase=phase, **pair), by_hand, against, ids


async def _list(side: Any) -> int:
    return len([order async for order in side.list()])


async def _measure(client: Any, phase: Phase, operations: int, rounds: int) -> list[Row]:
    ours, theirs, against, ids = await _fill(client, "phases", phase)
    await ours.check()
    fresh = iter([to_v2(order) for order in orders(3 * operations * (rounds + 1), 2)])
    calls: dict[str, tuple[Callable[[Any], Callable[[Any], Awaitable[Any]]], int]] = {
        "list of 2,000": (lambda side: lambda _: _list(side), 1),
        "get": (lambda side: side.get, operations),
        "update": (lambda side: lambda id: side.update(id, ship), operations // 2),
        "insert": (lambda side: side.insert, operations // 2),
    }
    found: list[Row] = []
    for row, (make, count) in calls.items():
        used: dict[int, list[float]] = {id(ours): [], id(theirs): []}

        async def leg(side: Any, row: str = row, make: Any = make, count: int = count, used: Any = used) -> float:
            arguments = list(islice(fresh, count)) if row == "insert" else list(islice(cycle(ids), count))
            started_s = process_time()
            taken_s = await spread(make(side), arguments, 1)
            used[id(side)].append((process_time() - started_s) / count * 1000)
            return taken_s

        taken = await alternate(lambda leg=leg: leg(ours), lambda leg=leg: leg(theirs), rounds)
        one = outcome(f"{phase} {row}", against, 1, TARGETS.get((phase, row)), taken, count)
        found.append(Row(one, min(used[id(ours)]), min(used[id(theirs)])))
    return found


def _show(measured: Row) -> None:
    one = measured.outcome
    low, high = min(one.ratios), max(one.ratios)
    goal = "" if one.target is None else f"{one.target} {'met' if one.met else '**not met**'}"
    times = f"{one.ours_ms:.3f} / {one.theirs_ms:.3f}"
    cpu = f"{measured.theirs_cpu_ms / measured.ours_cpu_ms:.2f}"
    print(
        f"| {one.row} | {one.against} | {one.ratio:.2f} | {low:.2f} - {high:.2f} | {goal} | {times} | {cpu} |",
        flush=True,
    )


async def _main(phases: Sequence[Phase], operations: int, rounds: int) -> None:
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
    found = {one["outcome"]["row"]: one for one in known}
    print("| call | against, by hand | ratio | range | target | ms each, lazymig / by hand | ratio of processor time |")
    print("| --- | --- | --: | --- | --: | --- | --: |")
    with Server() as server:
        async with AsyncMongoClient(server.uri) as client:
            for phase in phases:
                for one in await _measure(client, phase, operations, rounds):
                    _show(one)
                    found[one.outcome.row] = asdict(one)
    RESULTS.write_text(json.dumps(list(found.values()), indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--phases", nargs="*", type=Phase, default=list(Phase))
    given = parser.parse_args()
    asyncio.run(_main(given.phases, given.operations, given.rounds))
