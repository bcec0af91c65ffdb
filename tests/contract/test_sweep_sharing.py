"""A sweep is resumed and shared: checkpoints, leases, fences, shards, and being stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from lazymig.control import BEAT_S, Passes
from lazymig.passes import sharing
from lazymig.passes.partitions import plan_partitions
from lazymig.stores.records import Partition
from lazymig.sweeping import flow, remainder
from tests.people import TestClock
from tests.sweeps import LaterClock, StandingClock, by_id, control, moved, passes, stored, sweeper, thing

COUNT = 60
EVERYTHING = by_id(moved(id) for id in range(COUNT))


@pytest.fixture
async def filled(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A database whose V1 holds `COUNT` documents, read by small pages."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 4)
    await database["v1"].insert_many([thing(id) for id in range(COUNT)])
    return database


async def pass_of(database: Any) -> Any:
    """The row of the newest pass."""
    return await passes(database).current()


async def test_stop_saves_the_checkpoint(filled: Any) -> None:
    """A stopped run says so, and the next one goes on behind what was done, without looking at it again."""
    seen: list[int] = []
    first = sweeper(filled, on_progress=lambda progress: (seen.append(progress.scanned), first.stop()))
    report = await first.run()
    assert not report.finished
    assert 0 < report.scanned == seen[-1] < COUNT
    second = await sweeper(filled).run()
    assert second.finished
    assert second.scanned == COUNT - report.scanned
    assert second.migrated == COUNT - report.migrated
    assert await stored(filled["v2"]) == EVERYTHING


async def test_stop_before_the_start(filled: Any) -> None:
    """A sweeper that was told to stop before it began moves nothing."""
    stopped = sweeper(filled)
    stopped.stop()
    report = await stopped.run()
    assert (report.finished, report.scanned) == (False, 0)
    assert await stored(filled["v2"]) == {}


async def test_time_is_limited(filled: Any) -> None:
    """After `max_time_s` a run ends as if stopped; run after run the whole collection is swept."""
    clock, scanned = LaterClock(), []
    for _ in range(COUNT):

        def tick(_: Any) -> None:
            clock.ahead_s += 100

        limited = sweeper(filled, clock=clock, max_time_s=150, on_progress=tick, concurrency=1)
        report = await limited.run()
        scanned.append(report.scanned)
        if report.finished:
            break
    assert len(scanned) > 3
    assert sum(scanned) == COUNT
    assert await stored(filled["v2"]) == EVERYTHING


async def test_shards_cover_all_together(filled: Any) -> None:
    """Three shards, one after the other, sweep every document once; the pass is closed by the last."""
    reports = []
    for number in range(3):
        assert (await pass_of(filled) or {"state": "none"})["state"] != "done"
        reports.append(await sweeper(filled, shard=(number, 3)).run())
    assert sum(report.scanned for report in reports) == COUNT
    assert all(0 < report.scanned < COUNT and report.finished for report in reports)
    assert await stored(filled["v2"]) == EVERYTHING
    assert (await pass_of(filled))["state"] == "done"


async def test_two_at_once(filled: Any) -> None:
    """Two sweepers share the partitions: all is moved once, and no count is lost or doubled."""
    # Standing while one waits for the other, or leases of the living would run out.
    clock = LaterClock(moving=False)
    reports = await asyncio.gather(*(sweeper(filled, clock=clock).run() for _ in range(2)))
    assert sum(report.scanned for report in reports) == COUNT
    assert sum(report.migrated for report in reports) == COUNT
    assert sum(report.moved_by_clients + report.present + report.dead for report in reports) == 0
    assert all(report.finished for report in reports)
    assert await stored(filled["v2"]) == EVERYTHING
    assert (await pass_of(filled))["state"] == "done"


async def test_a_dead_owner_is_taken_over(filled: Any) -> None:
    """Partitions of an owner that was killed wait for its lease to run out, then go on from its checkpoint."""
    clock = StandingClock()
    began_at = clock.time
    rows = passes(filled, clock)
    number = await rows.claim_planning("dead")
    await rows.open_pass(number, [Partition("int", None, 20), Partition("int", 20, None)])
    lease = await rows.acquire(number, "dead", (0, 1))
    await rows.checkpoint(lease, 11)
    report = await sweeper(filled, clock=clock).run()
    assert 19 <= (clock.time - began_at).total_seconds() < 25
    assert report.finished
    assert report.scanned == COUNT - 12
    assert sorted(map(int, await stored(filled["v2"]))) == list(range(12, COUNT))


@pytest.mark.parametrize("planned", [False, True])
async def test_a_dead_planner_is_replaced(filled: Any, planned: bool) -> None:
    """A planner that died before or after it stored its plan is replaced, and every later pass is whole and closed."""
    rows = passes(filled)
    assert await rows.claim_planning("dead") == 1
    if planned:
        await control(filled).collection.update_one({"_id": "things/pass"}, {"$inc": {"number": 1}})
        assert not await rows.open_pass(1, [Partition("int", None, 9), Partition("int", 9, None)])
        assert await rows.count_open(1, (0, 1)) == 2
    for _ in range(2):
        report = await sweeper(filled, clock=LaterClock(61)).run()
        assert report.finished
        assert report.scanned == COUNT
        assert (await pass_of(filled))["state"] == "done"
    assert await stored(filled["v2"]) == EVERYTHING


class BeatingClock(TestClock):
    """Moves on with each heartbeat, which comes as often as the event loop comes round."""

    def __init__(self) -> None:
        super().__init__()
        self.beats = 0
        self.beaten = asyncio.Event()

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s)
        self.beats += delay_s == BEAT_S
        if self.beats >= 5:
            self.beaten.set()
        await asyncio.sleep(0)


async def test_a_slow_planner_keeps_its_place(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that takes longer than a lease is not taken over while its planner lives."""
    clock = BeatingClock()

    async def slow(collection: Any, documents_each: int, *, beside: Any = None) -> list[Partition]:
        async with asyncio.timeout(20):
            await clock.beaten.wait()
        assert await passes(filled, clock).claim_planning("other") is None
        return await plan_partitions(collection, documents_each)

    monkeypatch.setattr(sharing, "plan_partitions", slow)
    report = await sweeper(filled, clock=clock).run()
    assert (report.finished, report.migrated) == (True, COUNT)
    assert (await pass_of(filled))["number"] == 1


async def test_a_fenced_owner_stops(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that slept through its lease stops at its next checkpoint and changes nothing of its successor's."""
    checkpoint, woken = Passes.checkpoint, []

    async def slept(self: Passes, lease: Any, position: Any, scanned: int = 0, *, done: bool = False) -> bool:
        if not woken:
            woken.append(lease)
            other = await sweeper(filled, partition_size=1000, clock=LaterClock(61)).run()
            assert other.finished
            assert other.scanned == COUNT
        return await checkpoint(self, lease, position, scanned, done=done)

    monkeypatch.setattr(Passes, "checkpoint", slept)
    report = await sweeper(filled, partition_size=1000).run()
    assert len(woken) == 1
    assert report.scanned < COUNT
    assert await stored(filled["v2"]) == EVERYTHING
    assert (await pass_of(filled))["state"] == "done"


async def test_a_failure_frees_its_partition(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's error passes through; the next run goes on at once, from the last page that was done before it."""
    failing = sweeper(filled, partition_size=1000)
    put_many, calls = failing._sweep._work._pair.bodies.put_many, []

    async def flaky(documents: Any, *, durable: bool = False) -> Any:
        calls.append([document["_id"] for document in documents])
        if len(calls) == 4:
            raise AutoReconnect("the server went away")
        return await put_many(documents, durable=durable)

    monkeypatch.setattr(failing._sweep._work._pair.bodies, "put_many", flaky)
    with pytest.raises(AutoReconnect):
        await failing.run()
    clock = LaterClock()
    report = await sweeper(filled, clock=clock).run()
    assert report.finished
    assert clock.ahead_s < 19
    assert 0 < report.scanned < COUNT
    assert report.scanned - report.present == report.migrated == COUNT - done_before(calls, 4)
    assert await stored(filled["v2"]) == EVERYTHING


def done_before(calls: list[list[int]], failed: int) -> int:
    """How many documents were stored, if all statements but this one were."""
    return sum(len(ids) for number, ids in enumerate(calls, 1) if number != failed)


async def test_the_checkpoint_waits_for_earlier_pages(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is done before an earlier one does not move the checkpoint past it."""
    failing = sweeper(filled, partition_size=1000, concurrency=3)
    move, held = failing._sweep._work._mover.move, asyncio.Event()

    async def uneven(documents: Any, read_at_s: float) -> float:
        documents = list(documents)
        if len(await stored(filled["v2"])) and not held.is_set():
            held.set()
            for _ in range(200):
                await asyncio.sleep(0)
            raise AutoReconnect("the server went away")
        return await move(documents, read_at_s)

    monkeypatch.setattr(failing._sweep._work._mover, "move", uneven)
    with pytest.raises(AutoReconnect):
        await failing.run()
    missing = sorted(set(range(COUNT)) - set(map(int, await stored(filled["v2"]))))
    row = await filled["lazymig_control"].find_one({"kind": "partition"})
    assert row["position"] is None or row["position"] < missing[0]
    await sweeper(filled).run()
    assert await stored(filled["v2"]) == EVERYTHING


async def test_progress_is_honest(filled: Any) -> None:
    """Progress never goes back, never exceeds the total, and ends at what the report says."""
    told: list[Any] = []
    report = await sweeper(filled, on_progress=told.append).run()
    assert [progress.scanned for progress in told] == sorted(progress.scanned for progress in told)
    assert all(progress.scanned <= progress.total for progress in told)
    assert (told[-1].scanned, told[-1].migrated, told[-1].total) == (report.scanned, report.migrated, COUNT)


async def test_runs_are_remembered(filled: Any) -> None:
    """The history tells each run's counts, and whether it was seen to the end."""
    first = sweeper(filled, concurrency=1, on_progress=lambda progress: first.stop())
    await first.run()
    await sweeper(filled).run()
    last, before = await control(filled).history("things")
    assert (last.finished, before.finished) == (True, False)
    assert last.counts["migrated"] + before.counts["migrated"] == COUNT
    assert last.counts["total"] == COUNT


@pytest.mark.parametrize("each", [1, 7, 30, 1000])
async def test_partitions_cover_every_id_once(filled: Any, each: int) -> None:
    """Whatever their number, the partitions cover each id exactly once, and are of about equal size."""
    await filled["v1"].insert_many([thing(f"s{id}") for id in range(20)])
    partitions = await plan_partitions(filled["v1"], each)
    assert len(partitions) <= (COUNT + 20) // each + 2
    if each == 7:
        assert len(partitions) > 4
    for bracket, ids in (("int", range(COUNT)), ("string", [f"s{id}" for id in range(20)])):
        ranges = [part for part in partitions if part.bracket == bracket]
        for id in ids:
            holding = [p for p in ranges if (p.low is None or id > p.low) and (p.high is None or id <= p.high)]
            assert len(holding) == 1


async def test_a_page_given_up_is_not_done(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped while a page waits for its rate does not count the page; the next one moves the rest."""
    monkeypatch.setattr(flow, "LIMITED_PAGE", 20)  # a page of several batches
    await filled["v2"].insert_many([moved(id) for id in range(4)])
    limited = sweeper(filled, partition_size=1000, rate_limit=1000, concurrency=1)
    acquired: list[float] = []

    class Limiter:
        max_rate = 100.0

        async def acquire(self, amount: float) -> None:
            acquired.append(amount)
            if len(acquired) == 3:
                limited.stop()

    limited._sweep._work._flow._throttle._limiter = Limiter()
    first = await limited.run()
    assert (first.finished, first.scanned, first.migrated) == (False, 0, 8)
    second = await sweeper(filled).run()
    assert (second.scanned, second.migrated, second.present) == (COUNT, COUNT - 12, 12)
    assert await stored(filled["v2"]) == EVERYTHING
