"""A sweep steps back from live reads on a real server whose answers take as long as the test says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient

from lazymig import ConfigurationError, Progress, Sweeper
from lazymig.control import parts_of
from lazymig.passes import throttle as throttling
from lazymig.stores.soundings import Soundings, Traffic
from tests.sweeps import StandingClock, control, repository, sweeper, thing

COUNT = 1_200
BATCH = 40
QUICK_S, SLOW_S = 0.002, 0.02


class TurningClock(StandingClock):
    """Moves with each turn that a task takes between conversions."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s or 0.2)


@pytest.fixture
async def filled(server_database: Any) -> Any:
    """V1 with documents, and V2 empty."""
    await server_database["v1"].insert_many([thing(id) for id in range(COUNT)])
    return server_database


class Sweeping:
    """A sweep in whose statements reads become slow, or not."""

    def __init__(self, database: Any, monkeypatch: pytest.MonkeyPatch, slow_s: float, **options: Any) -> None:
        self.clock = TurningClock()
        self.seen: list[Progress] = []
        self.asked = 0
        #: Batches and their size, on the way when a read was measured.
        self.rooms: list[tuple[int, int]] = []
        self.most = 0
        made = self

        class Made(Soundings):
            async def ask(self) -> None:
                made.asked += 1
                made.rooms.append((made.throttle.concurrency, made.throttle.batches.size))
                made.most = max(made.most, made.in_flight)
                made.clock.time += timedelta(seconds=slow_s if made.in_flight else QUICK_S)
                await super().ask()

        class Silent(Traffic):
            """Only answers show that others are there."""

            async def count(self) -> int | None:
                return None

        monkeypatch.setattr(throttling, "Soundings", Made)
        monkeypatch.setattr(throttling, "Traffic", Silent)
        given = {"batch_size": BATCH, "partition_size": COUNT, "clock": self.clock, "on_progress": self.seen.append}
        self.sweeper = sweeper(database, **given | options)
        self.throttle = self.sweeper._sweep._throttle
        # On this clock a page takes as long as others convert beside it, whatever the server does.
        monkeypatch.setattr(self.throttle.latency, "note_page", lambda *_: None)

    @property
    def in_flight(self) -> int:
        gate = self.throttle.shedding.gate
        return 0 if gate is None else gate.in_flight


async def test_a_sweep_steps_back_from_live_reads(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its statements make reads slow, it has less on the way, says why, and moves everything all the same."""
    slow = Sweeping(filled, monkeypatch, SLOW_S, concurrency=4)
    report = await slow.sweeper.run()
    assert (report.finished, report.migrated) == (True, COUNT)
    assert await filled["v2"].count_documents({}) == COUNT
    assert any("reads of live clients" in progress.throttle for progress in slow.seen)
    assert slow.rooms[-1][0] == 1
    assert slow.throttle.sounding.balance is not None
    assert slow.throttle.sounding.balance.share < 0.25


async def test_a_sweep_uses_a_server_on_which_reads_stay_quick(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reads are as quick beside it as without it, all its batches may be on the way, and nothing slows it."""
    quick = Sweeping(filled, monkeypatch, QUICK_S, concurrency=2)
    report = await quick.sweeper.run()
    assert report.migrated == COUNT
    assert {progress.throttle for progress in quick.seen} == {""}
    assert quick.rooms[-1] == (2, BATCH)
    assert quick.most >= 1  # reads were measured beside statements


async def test_without_a_bound_nothing_is_measured(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `live_slowdown=None` a sweep goes by its limits, and asks the server for nothing else."""
    free = Sweeping(filled, monkeypatch, SLOW_S, live_slowdown=None)
    report = await free.sweeper.run()
    assert (report.migrated, free.asked) == (COUNT, 0)
    assert (free.throttle.concurrency, free.throttle.batches.size) == (2, BATCH)


async def test_a_dry_run_measures_nothing(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run works on one page at a time, so nothing of its own is beside a read."""
    dry = Sweeping(filled, monkeypatch, SLOW_S, dry_run=True)
    report = await dry.sweeper.run()
    assert (report.migrated, dry.asked) == (COUNT, 0)


async def test_others_see_what_is_on_the_way(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of the process shows the batches at a time and their size as they are now, and why they are few."""
    rows = []
    slow = Sweeping(filled, monkeypatch, SLOW_S, concurrency=4)
    runners = parts_of(control(filled, slow.clock)).runners("things")

    report = slow.sweeper._sweep._helm.report

    async def reporting(state: Any) -> None:
        await report(state)
        rows.extend(await runners.find_all())

    monkeypatch.setattr(slow.sweeper._sweep._helm, "report", reporting)
    await slow.sweeper.run()
    last = rows[-1]
    assert (last.concurrency, last.batch) == (1, BATCH)
    assert "reads of live clients" in last.throttle


@pytest.mark.parametrize("bound", [1, 0.5, -2, 0, float("nan"), float("inf")])
def test_a_bound_that_nothing_can_keep_is_refused(bound: float) -> None:
    """Live reads cannot be as quick as without the sweep, or quicker."""
    with pytest.raises(ConfigurationError, match="live_slowdown: pass how many times as long"):
        Sweeper(repository(AsyncMongoMockClient()["db"]), live_slowdown=bound)
