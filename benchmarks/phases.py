"""What each phase costs: `python -m benchmarks.phases [--operations 300] [--rounds 7] [--phases …] [--control]`.

`get`, `update`, `insert`, `delete` and a listing in each phase, one task, against what one would write by hand for the
same purpose: a repository with optimistic locking on V1 whose entities are converted on the way, "write V1, then V2",
or a repository with optimistic locking on V2. Every entity is in V2 where the phase puts it there. With `--control` the
repository follows the phase that a control collection records, as a fleet does. Writes `results/phases.json`, and
prints a table for `README.md`.
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
from benchmarks.options import NOT_MET, verdict
from benchmarks.subject import MIGRATION, OrderV1, OrderV2, document, entity, orders, ship, to_v1, to_v2
from lazymig import Control, Phase, Repository
from lazymig.control import parts_of
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

    async def delete(self, id: Any) -> None:
        while True:
            found = await self.collection.find_one({"_id": id}, {"version": 1})
            if (await self.collection.delete_one({"_id": id, "version": found["version"]})).deleted_count:
                return

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


async def _fill(client: Any, phase: Phase, *, control: bool) -> tuple[Repository[Any, Any], Any, str, list[Any]]:
    """Both sides with equal documents; the ids."""
    for side in ("ours", "theirs"):
        await client.drop_database(f"phases_{side}")
    ours, theirs = client["phases_ours"], client["phases_theirs"]
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
    return Repository(MIGRATION, phase=await _steer(ours, phase) if control else phase, **pair), by_hand, against, ids


async def _steer(database: Any, phase: Phase) -> Control:
    """A control collection that records the phase."""
    control = Control(database["lazymig_control"])
    await parts_of(control).phases(MIGRATION.name).begin(phase, by="the benchmark", why="to measure it")
    return control


async def _list(side: Any) -> int:
    return len([order async for order in side.list()])


async def _measure(client: Any, phase: Phase, operations: int, rounds: int, *, control: bool) -> list[Row]:
    ours, theirs, against, ids = await _fill(client, phase, control=control)
    named = f"{phase} under control" if control else str(phase)
    async with ours:
        await ours.check()
        return [
            await _contest(ours, theirs, _Contest(f"{named} {call}", against, TARGETS.get((phase, call)), made, rounds))
            for call, made in _calls(ids, operations, rounds).items()
        ]


@frozen
class _Made:
    """One call: how often it is made in a round, how a side makes it, and of what its arguments are made."""

    count: int
    make: Callable[[Any], Callable[[Any], Awaitable[Any]]]
    prepare: Callable[[Any, int], Awaitable[list[Any]]]


@frozen
class _Contest:
    row: str
    against: str
    target: float | None
    made: _Made
    rounds: int


def _calls(ids: Sequence[Any], operations: int, rounds: int) -> dict[str, _Made]:
    # Both sides insert and delete as many, in one round more than is counted.
    fresh = iter([to_v2(order) for order in orders(2 * operations * (rounds + 1), 2)])

    async def known(_: Any, count: int) -> list[Any]:
        return list(islice(cycle(ids), count))

    async def new(_: Any, count: int) -> list[Any]:
        return list(islice(fresh, count))

    async def stored(side: Any, count: int) -> list[Any]:
        made = list(islice(fresh, count))
        await asyncio.gather(*map(side.insert, made))
        return [order.id for order in made]

    return {
        "list of 2,000": _Made(1, lambda side: lambda _: _list(side), known),
        "get": _Made(operations, lambda side: side.get, known),
        "update": _Made(operations // 2, lambda side: lambda id: side.update(id, ship), known),
        "insert": _Made(operations // 2, lambda side: side.insert, new),
        "delete": _Made(operations // 2, lambda side: side.delete, stored),
    }


async def _contest(ours: Any, theirs: Any, contest: _Contest) -> Row:
    used: dict[int, list[float]] = {id(ours): [], id(theirs): []}
    made = contest.made

    async def leg(side: Any) -> float:
        arguments = await made.prepare(side, made.count)
        started_s = process_time()
        taken_s = await spread(made.make(side), arguments, 1)
        used[id(side)].append((process_time() - started_s) / made.count * 1000)
        return taken_s

    taken = await alternate(lambda: leg(ours), lambda: leg(theirs), contest.rounds)
    one = outcome(contest.row, contest.against, 1, contest.target, taken, made.count)
    return Row(one, min(used[id(ours)]), min(used[id(theirs)]))


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


async def _main(phases: Sequence[Phase], operations: int, rounds: int, *, control: bool) -> list[Outcome]:
    """Measure these phases, and keep what is measured; the rows."""
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
    made: list[Outcome] = []
    found = {one["outcome"]["row"]: one for one in known}
    print("| call | against, by hand | ratio | range | target | ms each, lazymig / by hand | ratio of processor time |")
    print("| --- | --- | --: | --- | --: | --- | --: |")
    with Server() as server:
        async with AsyncMongoClient(server.uri) as client:
            for phase in phases:
                for one in await _measure(client, phase, operations, rounds, control=control):
                    _show(one)
                    made.append(one.outcome)
                    found[one.outcome.row] = asdict(one)
    RESULTS.write_text(json.dumps(list(found.values()), indent=2) + "\n")
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--phases", nargs="*", type=Phase, default=list(Phase))
    parser.add_argument("--control", action="store_true", help="follow a recorded phase")
    parser.add_argument("--check", action="store_true", help=f"exit with {NOT_MET} if a row misses its target")
    given = parser.parse_args()
    rows = asyncio.run(_main(given.phases, given.operations, given.rounds, control=given.control))
    raise SystemExit(verdict(rows, check=given.check))
