"""A verification is resumed and shared: stops, shards, processes that share a pass, limits, and lost connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from lazymig import PassVanished
from lazymig.control import Passes
from lazymig.verifying.ranges import Ranges
from tests.sweeps import LaterClock, control, sweeper
from tests.verifications import DEFECTS, claims, fill, plain_repository, plant, rows, verdicts_of, verifier

COUNT = 60
#: Tests of what no driver does differently run on one.
MEMORY = pytest.mark.parametrize("driver", ["mock"])
SERVER = pytest.mark.parametrize("driver", ["pymongo"])
#: Those that need no expectation.
PLAIN = [defect for defect in DEFECTS if defect.check != "expected"]


@pytest.fixture(params=["pymongo", "mock"])
def driver(request: pytest.FixtureRequest) -> str:
    """Rows are recorded by other statements in memory; Motor's are PyMongo's."""
    return str(request.param)


@pytest.fixture
async def filled(database: Any) -> Any:
    """Both sides agree."""
    await fill(database, range(COUNT))
    return database


async def stopped_at_once(database: Any) -> Any:
    """The report of a run that is stopped after its first range."""
    running = verifier(database, concurrency=1, on_progress=lambda _: running.stop())
    return await running.run()


@SERVER
async def test_stop_and_resume(filled: Any) -> None:
    """A stopped run says so; the next one goes on behind it, and reports what both of them found."""
    planted = await plant(filled, range(0, COUNT, 6), PLAIN)
    compared = []
    for _ in range(4):
        report = await stopped_at_once(filled)
        compared.append(report.compared)
        assert not report.finished
        assert not report.agrees
    assert compared == sorted(compared)
    assert 0 < compared[0] < compared[-1] < COUNT
    report = await verifier(filled).run()
    assert report.finished
    # Nothing was compared twice.
    assert report.compared == COUNT + 1
    assert verdicts_of(report.mismatches) == claims(planted)


@MEMORY
async def test_time_is_limited(filled: Any) -> None:
    """After `max_time_s` a run ends as if stopped; run after run everything is compared."""
    clock = LaterClock()

    def tick(_: Any) -> None:
        clock.ahead_s += 100

    finished = []
    while not any(finished):
        report = await verifier(filled, clock=clock, max_time_s=150, on_progress=tick, concurrency=1).run()
        finished.append(report.finished)
    assert len(finished) > 3
    assert report.compared == COUNT


@SERVER
async def test_shards_cover_all_together(filled: Any) -> None:
    """Three shards compare every entity once, and each reports what was found so far."""
    planted = await plant(filled, range(0, COUNT, 6), PLAIN)
    reports = [await verifier(filled, shard=(number, 3)).run() for number in range(3)]
    assert all(report.finished for report in reports)
    assert reports[-1].compared == COUNT + 1
    assert verdicts_of(reports[-1].mismatches) == claims(planted)
    # Only the last one is about all. No other may pass for a full verification, in its report or in the history.
    assert [len(report.limits) for report in reports] == [1, 1, 0]
    runs = await control(filled).history("things", kind="verify")
    assert sorted(run.counts["sharded"] for run in runs) == [0, 1, 1]


@pytest.mark.parametrize("repair", [False, True])
async def test_two_share_a_pass(filled: Any, repair: bool) -> None:
    """Two verifiers at a time compare every entity once, and name each mismatch once."""
    planted = await plant(filled, range(0, COUNT, 6), PLAIN)
    reports = await asyncio.gather(*(verifier(filled, repair=repair).run() for _ in range(2)))
    assert {report.compared for report in reports} == {COUNT + 1}
    assert {report.finished for report in reports} == {True}
    if repair:  # each may still see what the other is about to repair
        assert sum(report.repaired for report in reports) >= len(planted)
        assert (await verifier(filled).run()).agrees
        assert await rows(filled) == []
    else:
        assert [verdicts_of(report.mismatches) for report in reports] == [claims(planted)] * 2
        assert verdicts_of(await rows(filled)) == claims(planted)


@MEMORY
async def test_a_sweep_does_not_disturb(filled: Any) -> None:
    """A sweep and a verification are two kinds of passes, which go on beside each other."""
    await filled["v2"].delete_many({"_id": {"$gte": 30}})
    repo = plain_repository(filled)
    swept, report = await asyncio.gather(
        sweeper(filled, repo=repo).run(), verifier(filled, min_age_s=60, clock=LaterClock()).run()
    )
    assert (swept.finished, swept.migrated) == (True, 30)
    assert report.finished
    assert (await verifier(filled).run()).agrees


@SERVER
async def test_a_dead_owner_is_taken_over(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partition of a process that died is taken over once its lease has run out."""
    release = Passes.release

    async def dead(*_: Any) -> None:
        """A process that was killed gives nothing back."""

    class Killed(Exception):
        pass

    def kill(_: Any) -> None:
        raise Killed

    planted = await plant(filled, range(0, COUNT, 6), PLAIN)
    monkeypatch.setattr(Passes, "release", dead)
    with pytest.raises(Killed):
        await verifier(filled, on_progress=kill).run()
    monkeypatch.setattr(Passes, "release", release)
    report = await verifier(filled, clock=LaterClock(5)).run()
    assert report.finished
    assert verdicts_of(report.mismatches) == claims(planted)


async def test_dropped_collections_are_noticed(server_database: Any) -> None:
    """A pass whose V2 was dropped and made again says nothing about the new one."""
    await fill(server_database, range(COUNT))
    running = verifier(server_database, on_progress=lambda _: running.stop())
    await running.run()
    await server_database["v2"].drop()
    await server_database["v2"].insert_one({"_id": -1, "_lazymig": {"rev": 1, "intent": 1, "gone": True}})
    report = await verifier(server_database).run()
    assert report.missing == COUNT


@MEMORY
async def test_rows_that_vanish_are_noticed(filled: Any) -> None:
    """A run whose pass was removed from the control collection does not say that it finished."""
    removed = []

    async def remove() -> bool:
        if not removed:
            removed.append(await filled["lazymig_control"].delete_many({"kind": "verify partition"}))
        return True

    with pytest.raises(PassVanished):
        await verifier(filled, probe=remove).run()


@MEMORY
async def test_a_probe_pauses(filled: Any) -> None:
    """While the probe says no, nothing is read."""
    answers = iter([False, False, False])
    clock = LaterClock()

    async def probe() -> bool:
        return next(answers, True)

    report = await verifier(filled, probe=probe, clock=clock).run()
    assert report.agrees
    assert clock.slept.count(0.5) == 3


@MEMORY
async def test_a_rate_is_kept(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate limit, every entity waits for its turn, those that are looked at again too."""
    from aiolimiter import AsyncLimiter

    taken: list[float] = []

    async def acquire(_: AsyncLimiter, amount: float = 1) -> None:
        taken.append(amount)

    monkeypatch.setattr(AsyncLimiter, "acquire", acquire)
    await filled["v2"].delete_one({"_id": 3})
    await verifier(filled, rate_limit=1000).run()
    assert sum(taken) == COUNT + 2  # the one mismatch is looked at twice again: when it is new, and when it has stood


@MEMORY
async def test_a_lost_connection_is_no_end(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A continuous verification goes on from its checkpoint after a lost connection."""
    next_range, fails = Ranges.next, iter([False, False, True])

    async def unsteady(self: Any) -> Any:
        if next(fails, False):
            raise AutoReconnect("away")
        return await next_range(self)

    monkeypatch.setattr(Ranges, "next", unsteady)
    running = verifier(filled, concurrency=1)
    async for report in running.run_continuously():
        running.stop()
        assert (report.finished, report.compared) == (True, COUNT)
    assert len(await control(filled).history("things", kind="verify")) == 1


@MEMORY
async def test_a_run_fails_with_the_connection(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single run passes the driver's error on; what it had compared is kept."""
    next_range, fails = Ranges.next, iter([False] * 6 + [True])

    async def unsteady(self: Any) -> Any:
        if next(fails, False):
            raise AutoReconnect("away")
        return await next_range(self)

    monkeypatch.setattr(Ranges, "next", unsteady)
    with pytest.raises(AutoReconnect):
        await verifier(filled, concurrency=1).run()
    report = await verifier(filled).run()
    assert (report.finished, report.compared, report.match) == (True, COUNT, COUNT)
