"""Updates of one entity by many tasks at once, against an optimistic loop by hand.

    python -m benchmarks.hot [--rounds N] [--share S]

Starts a mongod of its own, a replica set of one. The loop reads V1's document with its version, replaces it where it
still has that version, brings V2 up, and begins again where it lost. Both sides count: each update adds one, so the end
shows whether any was lost. The last row is four processes of sixteen tasks each.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

from attrs import evolve, frozen
from bson import ObjectId
from pymongo import AsyncMongoClient

import lazymig
from benchmarks.measure import Leg, Outcome, alternate, outcome, spread
from benchmarks.report import line
from benchmarks.subject import MIGRATION, OrderV1, OrderV2, document, entity, orders, to_v1, to_v2
from lazymig.testing import Server

PROCESSES: Final = 4
#: By tasks: what the ratio must reach, and the updates of one leg.
ALONE: Final = {10: (2.0, 200), 50: (5.0, 300), 200: (10.0, 400)}
#: The same for each of the processes, which take a second to start.
TOGETHER: Final = {16: (1.0, 64)}
Side = Callable[[ObjectId], Awaitable[object]]


@frozen
class Loop:
    """The hand-written side: an optimistic loop on a version in V1's document."""

    v1: Any
    v2: Any

    async def update(self, id: ObjectId, change: Callable[[OrderV2], OrderV2]) -> OrderV2:
        """Change one order; try until nobody else was faster."""
        while True:
            found = await self.v1.find_one({"_id": id})
            version = found.pop("version", 0)
            new = change(to_v2(entity(found, OrderV1)))
            newer = {"version": version + 1}
            where = {"_id": id, "version": version if version else {"$exists": False}}
            if not (await self.v1.replace_one(where, {**document(to_v1(new)), **newer})).matched_count:
                continue
            # Another task may have brought V2 up to a later version already.
            older = {"_id": id, "$or": [{"version": {"$lt": version + 1}}, {"version": {"$exists": False}}]}
            await self.v2.replace_one(older, {**document(new), **newer})
            return new


def add(order: OrderV2) -> OrderV2:
    """Count one more line."""
    first, *others = order.lines
    return evolve(order, lines=[evolve(first, quantity=first.quantity + 1), *others])


def open_side(client: Any, side: str) -> Side:
    """Return the update of one side, on collections of its own."""
    v1, v2 = client[side]["v1"], client[side]["v2"]
    if side == "theirs":
        return lambda id: Loop(v1, v2).update(id, add)
    repository = lazymig.Repository(MIGRATION, v1=v1, v2=v2, phase=lazymig.Phase.COEXIST)
    return lambda id: repository.update(id, add)


class Contest:
    """One order on each side, whose updates are counted."""

    def __init__(self, client: Any, uri: str) -> None:
        self.client = client
        self.uri = uri
        self.order = to_v2(orders(1, 1)[0])
        self.made = {"ours": 0, "theirs": 0}

    async def fill(self) -> None:
        """Store the order on both sides, in both collections."""
        for side in self.made:
            await self.client[side]["v1"].insert_one(document(to_v1(self.order)))
        await self.client["theirs"]["v2"].insert_one(document(self.order))

    def tasks(self, side: str, tasks: int, count: int) -> Leg:
        """Let so many tasks of this process make so many updates."""
        update = open_side(self.client, side)

        async def leg() -> float:
            self.made[side] += count
            return await spread(update, [self.order.id] * count, tasks)

        return leg

    def processes(self, side: str, tasks: int, count: int) -> Leg:
        """Let so many tasks of each of four processes make so many updates."""

        async def leg() -> float:
            started = [await self._start(side, tasks, count) for _ in range(PROCESSES)]
            for process in started:
                assert await process.stdout.readline() == b"ready\n"
            began_s = perf_counter()
            for process in started:
                process.stdin.write(b"go\n")
            for process in started:
                assert await process.wait() == 0, f"{side}: an update failed"
            self.made[side] += PROCESSES * count
            return perf_counter() - began_s

        return leg

    async def _start(self, side: str, tasks: int, count: int) -> Any:
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-m", "benchmarks.hot", "--worker", side, self.uri, str(self.order.id)]
        return await asyncio.create_subprocess_exec(*command, str(tasks), str(count), stdin=pipe, stdout=pipe)

    async def check(self) -> None:
        """Raise unless every update was made, on both sides, and V2 has the last one."""
        for side, count in self.made.items():
            for name in ("v1", "v2"):
                found = await self.client[side][name].find_one({"_id": self.order.id})
                made = found["lines"][0]["quantity"] - self.order.lines[0].quantity
                assert made == count, f"{side}: {made} of {count} updates are in {name}"


async def work(side: str, uri: str, id: str, tasks: str, count: str) -> None:
    """Be one of the processes: make updates once told to, from so many tasks."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        update = open_side(client, side)
        await client.admin.command("ping")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await spread(update, [ObjectId(id)] * int(count), int(tasks))


async def measure(rounds: int, share: float) -> list[Outcome]:
    """Return the outcomes of all rows, and print each."""
    outcomes = []
    with Server() as server:
        async with AsyncMongoClient[dict[str, Any]](server.uri) as client:
            contest = Contest(client, server.uri)
            await contest.fill()
            rows = [("one entity", contest.tasks, tasks, *row, 1) for tasks, row in ALONE.items()]
            rows += [("four processes", contest.processes, tasks, *row, PROCESSES) for tasks, row in TOGETHER.items()]
            for row, make, tasks, target, updates, processes in rows:
                count = max(tasks, int(updates * share))
                taken = await alternate(make("ours", tasks, count), make("theirs", tasks, count), rounds)
                outcomes.append(outcome(row, "loop", tasks, target, taken, count * processes))
                print(line(outcomes[-1]), flush=True)
            await contest.check()
    return outcomes


def main() -> None:
    """Read the command line; exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--share", type=float, default=1.0, help="of the updates of each leg")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        asyncio.run(work(*given.worker))
        return
    found = asyncio.run(measure(given.rounds, given.share))
    sys.exit(0 if all(one.met for one in found) else 1)


if __name__ == "__main__":
    main()
