"""How long writes wait while a fleet goes from V2_PRIMARY to V2_ONLY: `python -m benchmarks.sealing [--processes 8]`.

Each process updates its own entities and those of the others all the time. The seal makes all of them hold their
writes, waits for those in flight, fences both collections and switches. What counts is the longest write of all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from random import Random
from statistics import median
from typing import Any

from attrs import frozen
from pymongo import AsyncMongoClient

from benchmarks.subject import MIGRATION, document, orders, ship
from lazymig import Control, Phase, Repository, Sweeper, Switch, Verifier
from lazymig.testing import Server

ENTITIES, WRITERS = 2_000, 4
#: Seconds of writes before the step and after it.
AROUND_S = 3.0


@frozen
class Write:
    """One update: when it began, by the machine's clock, and how long it took."""

    at_s: float
    took_s: float


def _open(client: Any) -> Repository[Any, Any]:
    database = client["sealing"]
    control = Control(database["lazymig_control"])
    return Repository(MIGRATION, v1=database["v1"], v2=database["v2"], phase=control)


async def _work(uri: str, number: int) -> None:
    """Write until some time after the step, and print all writes. This is one process of the fleet."""
    async with AsyncMongoClient(uri) as client, _open(client) as repository:
        await repository.check()
        print("ready", flush=True)
        ids = [one["_id"] async for one in repository.collections.v1.find({}, {"_id": 1})]
        written: list[tuple[float, float]] = []
        until_s = float("inf")

        async def write(random: Random) -> None:
            nonlocal until_s
            while time.time() < until_s:
                at_s = time.time()
                await repository.update(random.choice(ids), ship)
                written.append((at_s, time.time() - at_s))
                if until_s == float("inf") and repository.phase is Phase.V2_ONLY:
                    until_s = time.time() + AROUND_S
                await asyncio.sleep(0.02)

        await asyncio.gather(*(write(Random(f"{number}/{writer}")) for writer in range(WRITERS)))
        print(json.dumps(written))


async def _start(uri: str, number: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.sealing", "--worker", str(number), "--uri", uri,
        stdout=asyncio.subprocess.PIPE, limit=2**26,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def _measure(uri: str, processes: int) -> None:
    async with AsyncMongoClient(uri) as client:
        await client["sealing"]["v1"].insert_many([document(order) for order in orders(ENTITIES, 1)])
        repository = _open(client)
        switch = Switch(repository, soak_s=0)
        who = {"by": "the benchmark", "why": "to measure the seal"}
        await switch.begin(Phase.COEXIST, **who)
        await Sweeper(repository).run()
        await Verifier(repository).run()
        await switch.advance(**who)
        await Verifier(repository).run()
        workers = [await _start(uri, number) for number in range(processes)]
        await asyncio.sleep(AROUND_S)
        began_s = time.time()
        await switch.advance(**who, confirm=MIGRATION.name, accept=["outside-writes"])
        ended_s = time.time()
        written = [Write(*one) for worker in workers for one in json.loads((await worker.communicate())[0])]
        await repository.__aexit__(None, None, None)
    _show(written, began_s, ended_s, processes)


def _show(written: Sequence[Write], began_s: float, ended_s: float, processes: int) -> None:
    parts = {
        "before": [one.took_s for one in written if one.at_s + one.took_s < began_s],
        "meanwhile": [one.took_s for one in written if one.at_s + one.took_s >= began_s and one.at_s <= ended_s],
        "after": [one.took_s for one in written if one.at_s > ended_s],
    }
    print(f"{processes} processes with {WRITERS} writers each; the step took {ended_s - began_s:.2f} s\n")
    print("| writes | number | median, ms | longest, ms |")
    print("| --- | --: | --: | --: |")
    for name, took in parts.items():
        print(f"| {name} | {len(took):,} | {median(took) * 1000:.1f} | {max(took) * 1000:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--worker", type=int)
    parser.add_argument("--uri")
    given = parser.parse_args()
    if given.worker is not None:
        asyncio.run(_work(given.uri, given.worker))
    else:
        with Server() as server:
            asyncio.run(_measure(server.uri, given.processes))
