"""Verification and dark reads of documents with both shapes, beside clients and programs that do not know lazymig."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any

from attrs import evolve
from pymongo.errors import DuplicateKeyError

from lazymig import AlreadyExists, Contention, DarkReads, NotFound, Verifier
from tests.sweeps import ThingV1, ThingV2
from tests.verifications import rows, verdicts_of
from tests.wholes import NAME, PLANTED, plant, put, whole_repository
from tests.widening import WIDENING


class Everybody:
    """Clients at both doors, and other programs on the plain driver, that never stop."""

    def __init__(self, database: Any, count: int, seed: int) -> None:
        self.dark = DarkReads(1.0, rate_max=None, in_flight_max=200)
        self._repo = whole_repository(database, dark_reads=self.dark)
        self._things = database[NAME]
        self._rng = random.Random(seed)
        self._count = count
        self._stopped = False
        self._next_id = 10 * count
        self.done = {"clients": 0, "others": 0}

    @asynccontextmanager
    async def at_work(self, each: int) -> AsyncIterator[None]:
        """Half of them are clients within the with statement."""
        calls = {"clients": self._call, "others": self._write}
        tasks = [asyncio.create_task(self._run(kind, call)) for kind, call in calls.items() for _ in range(each)]
        try:
            yield
        finally:
            self._stopped = True
            await asyncio.gather(*tasks)
            await self._repo._calls.drain()

    async def _run(self, kind: str, call: Any) -> None:
        while not self._stopped:
            with suppress(NotFound, AlreadyExists, Contention, DuplicateKeyError):
                await call(self._rng.randrange(self._count), self._rng.randrange(1000))
            self.done[kind] += 1

    async def _call(self, id: int, value: int) -> None:
        match self._rng.randrange(10):
            case 0 | 1 | 2:
                await self._repo.update(id, lambda v2: evolve(v2, count=value))
            case 3 | 4:
                await self._repo.v1.update(id, lambda v1: evolve(v1, n=value))
            case 5:
                await self._repo.delete(id)
            case 6:
                await self._repo.v1.insert(ThingV1(id, value))
            case 7:
                self._next_id += 1
                await self._repo.insert(ThingV2(self._next_id, value))
            case _:
                await self._repo.get(id)

    async def _write(self, id: int, value: int) -> None:
        match self._rng.randrange(6):
            case 0 | 1:
                await self._things.update_one({"_id": id}, {"$set": {"n": value}})
            case 2:
                await self._things.update_one({"_id": id}, {"$set": {"code": str(value)}})
            case 3:
                await self._things.replace_one({"_id": id}, {"n": value, "code": None})
            case 4:
                await self._things.delete_one({"_id": id})
            case _:
                await self._things.insert_one({"_id": id, "n": value, "code": None})


async def test_beside_clients_and_other_programs(server_database: Any, seed: int) -> None:
    """However many write, no run and no dark read reports a mismatch that is none, and each planted one is found."""
    count = 1_000
    await put(server_database, range(count))
    quiet = range(-1, -1 - len(PLANTED), -1)  # whom nobody touches
    await put(server_database, quiet)
    await whole_repository(server_database).get_many([*range(0, count, 2), *quiet])
    planted = await plant(server_database, quiet)
    claims = {id: (one.verdict, one.check, one.differences) for id, one in planted.items()}
    everybody = Everybody(server_database, count, seed)
    async with everybody.at_work(8):
        for _ in range(10 if WIDENING.full else 1):
            seen: list[Any] = []
            repo = whole_repository(server_database)
            report = await Verifier(repo, batch_size=200, min_age_s=0.5, on_progress=seen.append).run()
            assert verdicts_of(report.mismatches) == claims == verdicts_of(await rows(server_database))
            assert report.behind > 0
            assert seen[-1].suspected == len(claims)  # one read of both sides sees no write half done
        repaired = await Verifier(repo, repair=True, batch_size=200, min_age_s=0.5).run()
        left = {id: one.after for id, one in planted.items() if one.after is not None}
        assert {one.id: one.verdict for one in repaired.mismatches} == left
        assert repaired.repaired > len(planted) - len(left)
    counts = everybody.dark.counts
    print(f"{everybody.done} calls, {report.behind} were behind, dark reads {counts}")
    assert min(everybody.done.values()) > 100
    assert (counts["mismatched"], counts["failed"], counts["unreported"]) == (0, 0, 0)
    assert counts["matched"] > 0
    assert counts["missing"] > 0


async def test_defects_among_many(server_database: Any, seed: int) -> None:
    """Ten defects of each kind among many documents are found, each named once, and repaired where that is defined."""
    count = 200_000 if WIDENING.full else 5_000
    await put(server_database, range(count))
    repo = whole_repository(server_database)
    for start in range(0, count, 5_000):
        await repo.get_many(range(start, start + 5_000))
    places = random.Random(seed).sample(range(count), 10 * len(PLANTED))
    planted = {}
    for turn in range(10):
        planted |= await plant(server_database, places[turn * len(PLANTED) : (turn + 1) * len(PLANTED)])
    began_s = perf_counter()
    report = await Verifier(repo, min_age_s=0.1).run()
    print(f"{report.compared / (perf_counter() - began_s):,.0f} documents per second")
    claims = {id: (one.verdict, one.check, one.differences) for id, one in planted.items()}
    assert verdicts_of(report.mismatches) == claims == verdicts_of(await rows(server_database))
    assert (report.compared, report.behind) == (count, 0)
    repaired = await Verifier(repo, repair=True, min_age_s=0.1).run()
    left = {id: one.after for id, one in planted.items() if one.after is not None}
    assert {one.id: one.verdict for one in repaired.mismatches} == left
    assert repaired.repaired == len(planted) - len(left)
