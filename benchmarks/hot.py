"""Many tasks that update one entity: `python -m benchmarks.hot [--rounds 7] [--quick] [--rows processes] [--check]`.

Ten, fifty and two hundred tasks of one process, and sixteen tasks in each of four processes, beside a plain optimistic
loop by hand: it reads V1 with its version, converts, writes V1 if the version has not moved, or else starts over, and
then writes V2 unless V2 is newer. Each update counts one up, so that a lost one shows; a call of lazymig's that gives
up is a failure, and with one a row does not meet its target. Writes `results/hot.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import time
from typing import Any

from attrs import asdict, evolve, field, frozen
from bson import ObjectId
from pymongo import AsyncMongoClient

import lazymig
from benchmarks import report
from benchmarks.measure import Leg, Outcome, alternate, outcome
from benchmarks.options import arguments_of, chosen, kept, verdict
from benchmarks.subject import MIGRATION, OrderV1, OrderV2, document, entity, orders, to_v1, to_v2
from lazymig.testing import Server

ID = ObjectId(b"one entity..")
AGAINST = "an optimistic loop on V1, then V2"
ALONE, SHARED = "update of one entity", "update of one entity, 4 processes"


@frozen
class Crowd:
    """So many tasks in each process, each of which makes so many updates in a round."""

    row: str
    processes: int
    tasks: int
    each: int
    target: float


CROWDS = (
    Crowd(ALONE, 1, 10, 10, 2.0),
    Crowd(ALONE, 1, 50, 3, 5.0),
    Crowd(ALONE, 1, 200, 2, 10.0),
    Crowd(SHARED, 4, 16, 3, 1.0),
)


def count_up(order: OrderV2) -> OrderV2:
    first, *others = order.lines
    return evolve(order, lines=[evolve(first, quantity=first.quantity + 1), *others])


@frozen
class Optimistic:
    """What one would write by hand where clients meet: V1 has a version, and V2 that of what it was made from."""

    v1: Any
    v2: Any

    async def update(self, id: Any, change: Callable[[OrderV2], OrderV2]) -> OrderV2:
        while True:
            found = await self.v1.find_one({"_id": id})
            version = found.pop("version")
            new = change(to_v2(entity(found, OrderV1)))
            made = {**document(to_v1(new)), "version": version + 1}
            if (await self.v1.replace_one({"_id": id, "version": version}, made)).matched_count:
                made = {**document(new), "version": version + 1}
                await self.v2.replace_one({"_id": id, "version": {"$lte": version}}, made)
                return new


@frozen
class Burst:
    """The updates of one process in one round; the times are the machine's clock, which all processes share."""

    began_s: float
    ended_s: float
    done: int
    failed: int


@frozen
class Sides:
    """Both, over one entity each."""

    ours: lazymig.Repository[OrderV1, OrderV2]
    theirs: Optimistic

    async def burst(self, side: str, tasks: int, each: int) -> Burst:
        update = getattr(self, side).update
        done = failed = 0

        async def work() -> None:
            nonlocal done, failed
            for _ in range(each):
                try:
                    await update(ID, count_up)
                except (lazymig.LazymigError, TimeoutError):
                    failed += 1
                else:
                    done += 1

        began_s = time()
        await asyncio.gather(*(work() for _ in range(tasks)))
        return Burst(began_s, time(), done, failed)

    async def counted(self) -> list[list[int]]:
        """How far V1 and V2 of each side have counted."""
        pairs = [(self.ours.collections.v1, self.ours.collections.v2), (self.theirs.v1, self.theirs.v2)]
        # As it is stored: a read of lazymig's would ask V1 where V2 lags behind.
        return [[(await one.find_one({"_id": ID}))["lines"][0]["quantity"] for one in pair] for pair in pairs]


def sides_of(client: Any) -> Sides:
    ours, theirs = client["hot_ours"], client["hot_theirs"]
    repository = lazymig.Repository(MIGRATION, v1=ours["v1"], v2=ours["v2"], phase=lazymig.Phase.COEXIST)
    return Sides(repository, Optimistic(theirs["v1"], theirs["v2"]))


async def fill(client: Any) -> Sides:
    """One entity on each side, which V2 holds; it has counted to nothing."""
    for side in ("ours", "theirs"):
        await client.drop_database(f"hot_{side}")
    sides = sides_of(client)
    (order,) = orders(1, seed=1)
    first, *others = order.lines
    order = evolve(order, id=ID, lines=[evolve(first, quantity=0), *others])
    await sides.ours.collections.v1.insert_one(document(order))
    await sides.ours.get(ID)
    await sides.theirs.v1.insert_one({**document(order), "version": 1})
    await sides.theirs.v2.insert_one({**document(to_v2(order)), "version": 1})
    return sides


@frozen
class Tally:
    """What all rounds of one row came to, by side."""

    done: dict[str, int] = field(factory=lambda: {"ours": 0, "theirs": 0})
    failed: dict[str, int] = field(factory=lambda: {"ours": 0, "theirs": 0})

    def leg(self, side: str, run: Callable[[str], Awaitable[Sequence[Burst]]]) -> Leg:
        """Seconds that an update takes, of those that were made."""

        async def leg() -> float:
            bursts = await run(side)
            done = sum(one.done for one in bursts)
            self.done[side] += done
            self.failed[side] += sum(one.failed for one in bursts)
            return (max(one.ended_s for one in bursts) - min(one.began_s for one in bursts)) / max(done, 1)

        return leg


async def contest(uri: str, client: Any, crowd: Crowd, rounds: int) -> Outcome:
    """One row, after which both sides must have counted as far as there were updates."""
    sides, tally = await fill(client), Tally()
    async with AsyncExitStack() as stack:
        if crowd.processes == 1:

            async def run(side: str) -> Sequence[Burst]:
                return [await sides.burst(side, crowd.tasks, crowd.each)]

        else:
            workers = [await stack.enter_async_context(_worker(uri)) for _ in range(crowd.processes)]

            async def run(side: str) -> Sequence[Burst]:
                return await asyncio.gather(*(worker(side, crowd) for worker in workers))

        taken = await alternate(tally.leg("ours", run), tally.leg("theirs", run), rounds)
    assert await sides.counted() == [[tally.done["ours"]] * 2, [tally.done["theirs"]] * 2], "an update was lost"
    assert not tally.failed["theirs"], "the loop by hand never gives up"
    tasks = crowd.processes * crowd.tasks
    return outcome(crowd.row, AGAINST, tasks, crowd.target, taken, 1, failures=tally.failed["ours"])


@asynccontextmanager
async def _worker(uri: str) -> Any:
    """Another process, as a function that makes it do its part of a round."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.hot", "--worker", uri,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=report.HERE.parent,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"

    async def part(side: str, crowd: Crowd) -> Burst:
        process.stdin.write(f"{side} {crowd.tasks} {crowd.each}\n".encode())
        return Burst(**json.loads(await process.stdout.readline()))

    try:
        yield part
    finally:
        process.stdin.close()
        await process.wait()


async def _work(uri: str) -> None:
    """Be such a process, until the input ends."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        sides = sides_of(client)
        await sides.ours.get(ID)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            side, tasks, each = line.split()
            print(json.dumps(asdict(await sides.burst(side, int(tasks), int(each)))), flush=True)


async def measure(uri: str, arguments: argparse.Namespace, rounds: int) -> list[Outcome]:
    """All rows that are asked for."""
    rows = []
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        for crowd in CROWDS:
            if chosen(crowd.row, arguments):
                crowd = evolve(crowd, each=1) if arguments.quick else crowd
                rows.append(await contest(uri, client, crowd, rounds))
                print(report.line(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = arguments_of("hot", "many tasks that update one entity")
    parser.add_argument("--worker", metavar="URI", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return asyncio.run(_work(arguments.worker))
    rounds = 3 if arguments.quick else max(arguments.rounds, 7)
    with Server(cache_gb=1.0) as server:
        rows = asyncio.run(measure(server.uri, arguments, rounds))
        machine = report.machine(server.uri)
    if kept(arguments):
        report.write("hot", machine, rounds, rows, among=bool(arguments.rows))
    raise SystemExit(verdict(rows, check=arguments.check))


if __name__ == "__main__":
    main()
