"""Verification and dark reads of documents with both shapes, beside clients and programs that do not know lazymig."""

from __future__ import annotations

import random
from time import perf_counter
from typing import Any

from attrs import evolve
from pymongo.errors import AutoReconnect, DuplicateKeyError

from lazymig import DarkReads, Verifier
from tests.faults.crowds import MET, Crowd, CrowdClock, Kind
from tests.sweeps import ThingV1, ThingV2
from tests.verifications import rows, verdicts_of
from tests.wholes import NAME, PLANTED, plant, put, whole_repository
from tests.widening import WIDENING


class Everybody(Crowd):
    """Clients at both doors, and other programs on the plain driver."""

    def __init__(self, database: Any, count: int, seed: int) -> None:
        # Where another program writes the entity between both steps of a delete, what became of it may not be known.
        super().__init__(
            clients=Kind(self._call, (*MET, AutoReconnect)), others=Kind(self._write, (DuplicateKeyError,))
        )
        # A comparison on a machine that stands still for a moment is late, and has not failed.
        self.dark = DarkReads(1.0, rate_max=None, in_flight_max=200, timeout_s=60)
        self.repo = whole_repository(database, dark_reads=self.dark)
        self._things = database[NAME]
        self._rng = random.Random(seed)
        self._count = count
        self._next_id = 10 * count

    def _draw(self) -> tuple[int, int]:
        """An id and a value."""
        return self._rng.randrange(self._count), self._rng.randrange(1000)

    async def _call(self) -> None:
        id, value = self._draw()
        match self._rng.randrange(10):
            case 0 | 1 | 2:
                await self.repo.update(id, lambda v2: evolve(v2, count=value))
            case 3 | 4:
                await self.repo.v1.update(id, lambda v1: evolve(v1, n=value))
            case 5:
                await self.repo.delete(id)
            case 6:
                await self.repo.v1.insert(ThingV1(id, value))
            case 7:
                self._next_id += 1
                await self.repo.insert(ThingV2(self._next_id, value))
            case _:
                await self.repo.get(id)

    async def _write(self) -> None:
        id, value = self._draw()
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
    options: Any = {"batch_size": 200, "min_age_s": 0.5, "clock": CrowdClock(everybody)}
    async with everybody.at_work(clients=8, others=8):
        await everybody.each(300)  # so many changed V1, and read what nobody had migrated
        for _ in range(10 if WIDENING.full else 1):
            seen: list[Any] = []
            repo = whole_repository(server_database)
            report = await Verifier(repo, on_progress=seen.append, **options).run()
            assert verdicts_of(report.mismatches) == claims == verdicts_of(await rows(server_database))
            assert report.behind > 0
            assert seen[-1].suspected == len(claims)  # one read of both sides sees no write half done
        repaired = await Verifier(repo, repair=True, **options).run()
        left = {id: one.after for id, one in planted.items() if one.after is not None}
        assert {one.id: one.verdict for one in repaired.mismatches} == left
        assert repaired.repaired > len(planted) - len(left)
    await everybody.repo._calls.drain()
    counts = everybody.dark.counts
    print(f"{dict(everybody.done)} calls, {report.behind} were behind, dark reads {counts}")
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
