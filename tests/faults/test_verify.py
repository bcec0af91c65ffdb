"""Verification of many documents, beside live clients, with kills at random moments, and while primaries change."""

from __future__ import annotations

import asyncio
import random
from time import perf_counter
from typing import Any

from attrs import evolve
from pymongo.errors import PyMongoError

from lazymig import Verifier
from lazymig.testing import ReplicaSet
from tests.faults import verify_nursery
from tests.faults.conftest import connected
from tests.faults.crowds import Crowd, CrowdClock, Kind
from tests.faults.nurseries import nursery
from tests.sweeps import LaterClock, ThingV1, ThingV2
from tests.verifications import (
    DEFECTS,
    claims,
    expected,
    fill,
    plain_repository,
    plant,
    rows,
    verdicts_of,
    verifier,
)
from tests.widening import WIDENING

#: Runs beside clients: at least, and at most.
RUNS, RUNS_MAX = 10 if WIDENING.full else 2, 20
#: Those that need no expectation.
PLAIN = [defect for defect in DEFECTS if defect.check != "expected"]


async def test_defects_among_many(server_database: Any, seed: int) -> None:
    """Ten defects of each kind among many documents are found, named once, and repaired where a repair is defined."""
    count = 200_000 if WIDENING.full else 10_000
    for start in range(0, count, 10_000):
        await fill(server_database, range(start, start + 10_000))
    places = random.Random(seed).sample(range(count), 10 * len(DEFECTS))
    planted = await plant(server_database, places, DEFECTS * 10)
    repo, began_s = plain_repository(server_database), perf_counter()
    options: Any = {"expected": expected, "min_age_s": 0.1}
    report = await Verifier(repo, **options).run()
    print(f"{report.compared / (perf_counter() - began_s):,.0f} entities per second, with an expectation")
    assert report.compared == count + 10
    assert verdicts_of(report.mismatches) == claims(planted) == verdicts_of(await rows(server_database))
    left = {id: defect for id, defect in planted.items() if not defect.repairable}
    repaired = await Verifier(repo, repair=True, **options).run()
    assert repaired.repaired == len(planted) - len(left)
    assert verdicts_of(repaired.mismatches) == claims(left) == verdicts_of(await rows(server_database))


class Clients(Crowd):
    """Clients at both doors."""

    def __init__(self, database: Any, count: int, seed: int) -> None:
        super().__init__(clients=Kind(self._call))
        # A machine that stands still for a moment leaves no body of V2 behind its write.
        self._repo = plain_repository(database, v2_wait_s=3600)
        self._rng = random.Random(seed)
        self._count = count
        self._next_id = count

    async def _call(self) -> None:
        id, value = self._rng.randrange(self._count), self._rng.randrange(1000)
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


async def test_beside_live_clients(server_database: Any, seed: int) -> None:
    """Beside sixteen clients that read, write, insert and delete, no run reports a mismatch that is none."""
    count, clients = 2_000, Clients(server_database, 2_000, seed)
    await fill(server_database, range(count))
    repo, clock, suspected = plain_repository(server_database), CrowdClock(clients), list[int]()
    async with clients.at_work(clients=16):
        await clients.each(200)
        # Until a run met writes half way, as nearly each one does.
        while len(suspected) < RUNS or (not sum(suspected) and len(suspected) < RUNS_MAX):
            seen: list[Any] = []
            report = await Verifier(repo, batch_size=200, min_age_s=3, on_progress=seen.append, clock=clock).run()
            suspected.append(seen[-1].suspected)
            assert report.mismatches == ()
            assert report.agrees
    print(f"{clients.done.total()} calls, {suspected} entities did not agree at first")
    assert sum(suspected) > 0


async def test_kill_at_random_moments(lazymig_server: Any, server_database: Any, seed: int) -> None:
    """Killed at random moments, verification loses nothing: afterwards every planted mismatch is recorded."""
    rng, count, kills, aim = random.Random(seed), 300, 0, 10 if WIDENING.full else 3
    async with nursery(lazymig_server.uri, server_database, verify_nursery.__file__) as children:
        for rounds in range(20 * aim):  # noqa: B007 - it is printed
            for name in ("v1", "v2", "lazymig_control"):
                await server_database[name].delete_many({})
            await fill(server_database, range(count))
            planted = await plant(server_database, rng.sample(range(count), 3 * len(PLAIN)), PLAIN * 3)
            await children.sweep(dies_at=children.draw(rng))
            kills += await children.end()
            # Late enough for the leases of the dead.
            report = await verifier(server_database, batch_size=10, partition_size=50, clock=LaterClock(61)).run()
            assert verdicts_of(report.mismatches) == claims(planted) == verdicts_of(await rows(server_database))
            assert report.finished
            if kills >= aim:
                break
    print(f"{kills} kills in {rounds + 1} rounds")
    assert kills >= aim


async def test_a_step_down(replica_set: ReplicaSet, seed: int) -> None:
    """While the primary changes, a verification ends, or fails and is run again; it reports what is wrong, only."""
    rng, count, runs = random.Random(seed), 2_000, 0
    async with connected(replica_set.uri) as database:
        for name in ("v1", "v2", "lazymig_control"):
            await database[name].delete_many({})
        await fill(database, range(count))
        planted = await plant(database, rng.sample(range(count), len(PLAIN)), PLAIN)
        changes: list[asyncio.Task[Any]] = []

        def change(_: Any) -> None:
            if not changes:
                changes.append(asyncio.create_task(asyncio.to_thread(replica_set.step_down)))

        clock = LaterClock()
        options: Any = {"batch_size": 20, "partition_size": 500, "on_progress": change, "clock": clock}
        while True:
            runs += 1
            try:
                report = await verifier(database, **options).run()
                break
            except PyMongoError as error:
                print(f"run {runs} failed: {error!r}")
                assert runs < 20
                clock.ahead_s += 60  # so that the failed run's leases have run out
        await asyncio.gather(*changes)
    assert len(changes) == 1
    assert report.finished
    assert verdicts_of(report.mismatches) == claims(planted)
