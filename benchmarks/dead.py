"""What dead letters cost: recording many, and the next sweep over many that stand as they were.

    python -m benchmarks.dead [count]

Starts a mongod of its own. "one by one" is what a statement per letter costs, which is how it was done before.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from typing import Any

from attrs import frozen
from pymongo import AsyncMongoClient

from lazymig import Control, Migration, Phase, Repository, Sweeper
from lazymig.control import parts_of
from lazymig.stores.records import DeadLetter
from lazymig.testing import Server

#: As many as are enough to see the rate of the slow way.
_ONE_BY_ONE = 1_000


@frozen
class Thing:
    """Both shapes: nothing of it converts."""

    id: int
    n: int


def refused(v1: Thing) -> Thing:
    """A conversion that fails for every document."""
    raise ValueError(v1.n)


async def main(count: int) -> None:
    """Print a line per way."""
    with Server() as server:
        async with AsyncMongoClient[dict[str, Any]](server.uri) as client:
            database = client["dead"]
            letters = [DeadLetter("alone", id, 0, "upgrade", "ValueError", "-", "") for id in range(_ONE_BY_ONE)]
            control = Control(database["lazymig_control"])
            await timed("recorded one by one", _ONE_BY_ONE, one_by_one(control, letters))
            await timed("looked at one by one", _ONE_BY_ONE, looked_at(database, control, letters))
            await database["v1"].insert_many([{"_id": id, "n": 1} for id in range(count)])
            migration = Migration(name="dead", v1=Thing, v2=Thing, upgrade=refused, downgrade=lambda v2: v2)
            repository = Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)
            await timed("first sweep", count, Sweeper(repository).run())
            await timed("next sweep", count, Sweeper(repository).run())


async def one_by_one(control: Control, letters: list[DeadLetter]) -> None:
    """A statement per letter."""
    for letter in letters:
        await parts_of(control).letters.record([letter])


async def looked_at(database: Any, control: Control, letters: list[DeadLetter]) -> None:
    """Two statements per letter: is the entity in V2, and which revision has V1?"""
    for letter in letters:
        await database["v2"].find_one({"_id": letter.id}, {"_lazymig": 1})
        await database["v1"].find_one({"_id": letter.id}, {"_lazymig_rev": 1})


async def timed(what: str, count: int, work: Awaitable[Any]) -> None:
    """Do it, and print its rate."""
    began = time.perf_counter()
    await work
    elapsed_s = time.perf_counter() - began
    print(f"{what:<22} {count:>7,} letters {elapsed_s:>7.1f} s {count / elapsed_s:>9,.0f} letters/s")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
