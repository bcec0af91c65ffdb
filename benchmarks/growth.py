"""What an operation costs as entities and tasks grow: `python -m benchmarks.growth [--quick] [--rows update]`.

`get`, `update`, `insert`, `delete` in `coexist`, by 16 tasks with 10,000 to 1,000,000 entities, and by 1 to 256 tasks
with 100,000. All sizes stand on one server, and each round visits all of them in turn, so that a busy moment meets none
of them alone. A row is met if no size costs more than 1.25 times what a smaller one does. Writes `results/growth.json`
and `results/growth.svg`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from statistics import median
from typing import Any

from attrs import asdict, evolve, frozen
from bson import ObjectId
from pymongo import AsyncMongoClient

from benchmarks import report
from benchmarks.contests import Operation
from benchmarks.filling import Filled, filled
from benchmarks.measure import Outcome, Rule, outcome, spread
from benchmarks.options import arguments_of, chosen, kept, verdict
from benchmarks.subject import OrderV2, orders, ship, to_v2
from lazymig.testing import Server

OPERATIONS = ("get", "update", "insert", "delete")
#: The driver alone, beside which a reader sees what the server's part of a growth is: calls of one document each by so
#: many tasks, and calls of so many documents each by one task, as lazymig sends them.
PLAIN, TOGETHER = "find_one", "find, driver"
FLAT = 1.25
AXES = {"entities": "fewer entities", "tasks": "fewer tasks"}


@frozen
class Scope:
    """What is visited in each round."""

    entities: Sequence[int] = (10_000, 30_000, 100_000, 300_000, 1_000_000)
    tasks: Sequence[int] = (1, 4, 16, 64, 256)
    #: The tasks of the first row, and the entities of the second.
    crowd: int = 16
    stored: int = 100_000
    reads: int = 1_600
    writes: int = 480
    #: Calls of each task at least, so that a leg is not all beginning and end.
    each: int = 8


QUICK = Scope((500, 5_000), (1, 16), 16, 500, reads=100, writes=32, each=2)


@frozen
class Point:
    """An operation at one place of an axis: milliseconds each, round by round."""

    axis: str
    operation: str
    at: int
    ms: list[float]


def _row(operation: str, axis: str) -> str:
    return f"{operation}, by number of {axis}"


@frozen
class Visit:
    """One size under one number of tasks."""

    place: Filled
    tasks: int
    scope: Scope
    draw: random.Random
    kinds: Sequence[OrderV2]

    async def run(self, operations: Sequence[str]) -> dict[str, float]:
        """Seconds that one call takes, for these operations; afterwards as many entities are stored as before."""
        repository, reads, writes = self.place.repository, self._calls(self.scope.reads), self._calls(self.scope.writes)
        v2 = repository.collections.v2
        new = [evolve(self.draw.choice(self.kinds), id=ObjectId()) for _ in range(writes)]
        taken = {TOGETHER: await self._together(v2, reads)}
        calls: dict[str, tuple[Operation, Sequence[Any]]] = {
            PLAIN: (lambda id: v2.find_one({"_id": id}), self.place.ids(reads, self.draw)),
            "get": (repository.get, self.place.ids(reads, self.draw)),
            "update": (lambda id: repository.update(id, ship), self.place.ids(writes, self.draw)),
            "insert": (repository.insert, new),
            "delete": (repository.delete, [order.id for order in new]),
        }
        for name, (operation, arguments) in calls.items():
            # What is deleted is inserted first, whether that is asked for or not.
            if name in operations or (name == "insert" and "delete" in operations):
                taken[name] = await spread(operation, arguments, self.tasks) / len(arguments)
        # The tombstones, or the inserts alone, would make the smallest collection grow with each round.
        for collection in (repository.collections.v1, v2):
            await collection.delete_many({"_id": {"$in": [order.id for order in new]}})
        return {name: taken[name] for name in operations}

    async def _together(self, v2: Any, reads: int) -> float:
        """Seconds for each document that the driver finds in company."""
        ids = self.place.ids(reads, self.draw)
        batches = [ids[start : start + self.tasks] for start in range(0, len(ids), self.tasks)]
        return await spread(lambda some: v2.find({"_id": {"$in": some}}).to_list(None), batches, 1) / len(ids)

    def _calls(self, most: int) -> int:
        # One task would spend a minute on what many do in a second.
        return max(most // 4 if self.tasks < 4 else most, self.tasks * self.scope.each)


async def measure(client: Any, scope: Scope, rounds: int, arguments: argparse.Namespace) -> list[Point]:
    """All points that are asked for."""
    kinds = [to_v2(order) for order in orders(100, seed=7)]
    places: dict[int, Filled] = {}
    points = []
    for axis, visited in {
        "entities": {size: (size, scope.crowd) for size in scope.entities},
        "tasks": {tasks: (scope.stored, tasks) for tasks in scope.tasks},
    }.items():
        operations = [operation for operation in OPERATIONS if chosen(_row(operation, axis), arguments)]
        if not operations:
            continue
        visits = {}
        for at, (size, tasks) in visited.items():
            if size not in places:
                places[size] = await filled(client, f"growth_{size}", size)
                print(f"{size:,} entities are stored", flush=True)
            visits[at] = Visit(places[size], tasks, scope, random.Random(at), kinds)
        for visit in visits.values():
            await visit.place.warm()
        for point in await _rounds(axis, visits, [PLAIN, TOGETHER, *operations], rounds):
            print(f"{point.operation:12} {point.at:>9,} {axis:9} {median(point.ms):8.4f} ms", flush=True)
            points.append(point)
    return points


async def _rounds(axis: str, visits: Mapping[int, Visit], operations: Sequence[str], rounds: int) -> list[Point]:
    """Visit all in each round; where a round begins changes. One round before them warms all up."""
    points = {(name, at): Point(axis, name, at, []) for name in operations for at in visits}
    order = list(visits)
    for number in range(rounds + 1):
        first = number % len(order)
        for at in (*order[first:], *order[:first]):
            for name, seconds in (await visits[at].run(operations)).items():
                if number:
                    points[name, at].ms.append(round(seconds * 1000, 5))
    return list(points.values())


def growths(points: Sequence[Point], crowd: int) -> list[Outcome]:
    """For each operation and axis, the pair of places of which the larger one costs most beside the smaller one."""
    rows = []
    for axis, operation in product(AXES, (*OPERATIONS, TOGETHER)):
        line = sorted((one for one in points if (one.axis, one.operation) == (axis, operation)), key=lambda one: one.at)
        if len(line) < 2:
            continue
        pairs = [_pair(operation, small, large, crowd) for small, large in combinations(line, 2)]
        rows.append(max(pairs, key=lambda one: one.ratio))
    return rows


def _pair(operation: str, small: Point, large: Point, crowd: int) -> Outcome:
    taken = [(ours / 1000, theirs / 1000) for ours, theirs in zip(large.ms, small.ms, strict=True)]
    tasks = large.at if large.axis == "tasks" else crowd
    row = f"{_row(operation, large.axis)}: {large.at:,}"
    target = None if operation == TOGETHER else FLAT
    return outcome(row, f"{AXES[large.axis]}: {small.at:,}", tasks, target, taken, 1, rule=Rule.AT_MOST)


async def _run(uri: str, arguments: argparse.Namespace) -> list[Outcome]:
    scope = QUICK if arguments.quick else Scope()
    rounds = 3 if arguments.quick else max(arguments.rounds, 7)
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        points = await measure(client, scope, rounds, arguments)
    rows = growths(points, scope.crowd)
    print("\n".join(map(report.line, rows)), flush=True)
    if kept(arguments):
        machine = await asyncio.to_thread(report.machine, uri)
        report.write("growth", machine, rounds, rows, more={"points": [asdict(one) for one in points]})
    return rows


def main() -> None:
    parser = arguments_of("growth", "what an operation costs as entities and tasks become more")
    arguments = parser.parse_args()
    if arguments.keep:
        parser.error("a chart needs all of its points: they are kept without --rows only")
    # All that is stored fits into the server's cache, which begins to evict at four fifths: what is measured is not the
    # disk.
    with Server(cache_gb=8.0) as server:
        rows = asyncio.run(_run(server.uri, arguments))
    raise SystemExit(verdict(rows, check=arguments.check))


if __name__ == "__main__":
    main()
