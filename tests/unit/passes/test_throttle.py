"""A sweep stays out of the way: its rate, its pauses, and what it measures of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from pymongo.errors import AutoReconnect

from lazymig import ConfigurationError
from lazymig.passes import throttle as throttling
from lazymig.passes.pace import BatchSize, Latency
from lazymig.passes.throttle import LAG_MAX_S, Limits, Throttle
from tests.people import TestClock
from tests.sweeps import sweeper, thing


@pytest.fixture
def clock() -> TestClock:
    """Stands until it is moved; sleeping moves it."""
    return TestClock()


def throttle(clock: TestClock, stopping: Callable[[], bool] = lambda: False, **limits: Any) -> Throttle:
    """A throttle on a collection in memory, which has no replication to look at."""
    return Throttle(AsyncMongoMockClient()["db"]["v2"], Limits(**limits), stopping, clock)


def answering(*answers: bool | Exception) -> Callable[[], Awaitable[bool]]:
    """A probe with these answers, the last one for ever."""
    left = list(answers)

    async def probe() -> bool:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return probe


async def test_nothing_to_wait_for(clock: TestClock) -> None:
    """Without limit and probe a page goes at once."""
    free = throttle(clock)
    assert await free.wait_for_page()
    assert await free.wait_for_documents(10_000)
    assert clock.slept == []


async def test_an_unhealthy_answer_pauses(clock: TestClock) -> None:
    """While the probe says no, no page goes; it is asked again after each pause."""
    paused = throttle(clock, probe=answering(False, False, False, True))
    assert await paused.wait_for_page()
    assert clock.slept == [0.5, 0.5, 0.5]


async def test_the_probe_is_asked_once_a_second(clock: TestClock) -> None:
    """A healthy answer holds for a second, however many pages go."""
    asked: list[datetime] = []

    async def probe() -> bool:
        asked.append(clock.time)
        return True

    healthy = throttle(clock, probe=probe)
    for _ in range(30):
        await healthy.wait_for_page()
        clock.time += timedelta(seconds=0.1)
    assert 3 <= len(asked) <= 4


@pytest.mark.parametrize("worked_s", [0.2, 3.0, 60.0])
async def test_a_failing_probe_slows_and_never_ends_the_sweep(clock: TestClock, worked_s: float) -> None:
    """An unknown answer makes each page wait as long as the last one took, at most five seconds."""
    slow = throttle(clock, probe=answering(RuntimeError("probe broken")))
    await slow.wait_for_page()
    clock.slept.clear()
    for _ in range(4):
        clock.time += timedelta(seconds=worked_s)
        assert await slow.wait_for_page()
    assert clock.slept == pytest.approx([min(worked_s, 5.0)] * 4)


async def test_a_probe_that_hangs_is_unknown(clock: TestClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe without an answer does not hold the sweep."""
    monkeypatch.setattr(throttling, "_PROBE_S", 0.01)

    async def hanging() -> bool:
        return await asyncio.get_running_loop().create_future()

    slow = throttle(clock, probe=hanging)
    assert await slow.wait_for_page()
    clock.time += timedelta(seconds=2)
    assert await slow.wait_for_page()
    assert clock.slept[-1] == pytest.approx(2)


async def test_stopping_ends_a_pause(clock: TestClock) -> None:
    """A sweep that is told to stop while it pauses lets no further page go."""
    paused = throttle(clock, probe=answering(False), stopping=lambda: len(clock.slept) >= 2)
    assert not await paused.wait_for_page()
    assert clock.slept == [0.5, 0.5]


class Limiter:
    """Counts what is acquired, and stops the sweep after some."""

    max_rate = 10.0

    def __init__(self) -> None:
        self.acquired: list[float] = []

    async def acquire(self, amount: float) -> None:
        self.acquired.append(amount)


async def test_every_document_is_acquired(clock: TestClock) -> None:
    """A batch acquires each of its documents, in portions that the limiter can give."""
    limited = throttle(clock, rate_limit=100)
    limited._limiter = Limiter()
    assert await limited.wait_for_documents(25)
    assert limited._limiter.acquired == [10, 10, 5]


async def test_stopping_does_not_wait_for_the_rate(clock: TestClock) -> None:
    """A batch that waits for the rate is given up when the sweep is told to stop."""
    limiter = Limiter()
    limited = throttle(clock, rate_limit=100, stopping=lambda: len(limiter.acquired) >= 2)
    limited._limiter = limiter
    assert not await limited.wait_for_documents(1000)
    assert limiter.acquired == [10, 10]


@pytest.mark.parametrize("rate", [0.5, 1, 7, 25, 999, 100_000])
async def test_the_rate_is_kept(rate: float, clock: TestClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any stretch of time no more documents go than the rate allows, and a tenth of a second's (or one) at once."""
    limited = throttle(clock, rate_limit=rate)
    assert limited._limiter.max_rate / limited._limiter.time_period == pytest.approx(rate)
    assert limited._limiter.max_rate <= max(rate / 10, 1)
    assert limited.batches.size <= max(rate, 1)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_must_be_positive(rate: float, clock: TestClock) -> None:
    """A rate that lets nothing go is refused."""
    with pytest.raises(ConfigurationError, match="rate_limit"):
        throttle(clock, rate_limit=rate)


async def test_a_sweep_acquires_what_it_moves(database: Any, driver: str) -> None:
    """A whole sweep asks its limiter for exactly the documents that V2 lacked."""
    await database["v1"].insert_many([thing(id) for id in range(20)])
    await database["v2"].insert_one({"_id": 3, "_lazymig": {"rev": 0, "intent": 0}})
    limited = sweeper(database, rate_limit=50)
    limited._sweep._work._flow._throttle._limiter = limiter = Limiter()
    await limited.run()
    assert sum(limiter.acquired) == 19


class Replicating:
    """A client that tells how far the majority is behind."""

    def __init__(self, lag_s: float | None) -> None:
        self.lag_s = lag_s
        self.admin = self

    async def command(self, name: str) -> dict[str, Any]:
        assert name == "hello"
        if self.lag_s is None:
            raise AutoReconnect("gone")
        now = datetime(2024, 5, 1)
        return {"lastWrite": {"lastWriteDate": now, "majorityWriteDate": now - timedelta(seconds=self.lag_s)}}


@pytest.mark.parametrize(("lag_s", "verdict"), [(0, True), (LAG_MAX_S, True), (LAG_MAX_S + 0.1, False), (None, None)])
async def test_replication_lag(
    clock: TestClock, monkeypatch: pytest.MonkeyPatch, lag_s: float | None, verdict: bool | None
) -> None:
    """A majority that is far behind pauses the sweep; one that cannot be asked slows it."""
    looking = throttle(clock)
    monkeypatch.setattr(looking._replication, "_database", type("D", (), {"client": Replicating(lag_s)}))
    assert await looking._judge_health() is verdict


async def test_a_real_server_is_healthy(server_database: Any, clock: TestClock) -> None:
    """A replica set whose majority keeps up does not slow the sweep, and is asked without any privilege."""
    await server_database["v2"].insert_one({"_id": 1})
    assert await Throttle(server_database["v2"], Limits(), lambda: False, clock)._judge_health()


def test_a_slower_server_is_noticed() -> None:
    """Pages that take four times as long as at their best, for a while, slow the sweep; recovery ends that."""
    latency = Latency()
    for _ in range(10):
        latency.note_page(False, 10_000, 0.03)
        assert not latency.slow
    latency.note_page(False, 10_000, 0.2)
    assert not latency.slow  # one hiccup
    for _ in range(10):
        latency.note_page(False, 10_000, 0.2)
    assert latency.slow
    for _ in range(30):
        latency.note_page(False, 10_000, 0.03)
    assert not latency.slow


def test_short_pages_and_quick_ones_say_nothing() -> None:
    """The last page of a partition, and pages too quick for anybody to notice, never slow the sweep."""
    latency = Latency()
    for _ in range(20):
        latency.note_page(True, 1000, 0.001)
        latency.note_page(True, 3, 0.9)
    assert not latency.slow
    for _ in range(20):
        latency.note_page(True, 1000, 0.04)  # forty times the best, yet nothing
    assert not latency.slow


def test_pages_that_stay_small_are_measured_again() -> None:
    """A sweep that was slow and has smaller batches since is slow no longer once those are quick."""
    latency = Latency()
    for _ in range(10):
        latency.note_page(True, 1000, 0.03)
    for _ in range(10):
        latency.note_page(True, 1000, 0.3)
    assert latency.slow
    for _ in range(100):
        latency.note_page(True, 100, 0.003)
    assert not latency.slow


async def test_a_slow_server_slows_the_sweep(clock: TestClock) -> None:
    """While pages take long the sweep rests as long as it works, and goes on measuring."""
    slowed = throttle(clock)
    await slowed.wait_for_page()
    slowed.latency.slow = True
    clock.time += timedelta(seconds=0.4)
    assert await slowed.wait_for_page()
    assert clock.slept == pytest.approx([0.4])
    slowed.latency.slow = False
    clock.time += timedelta(seconds=0.4)
    assert await slowed.wait_for_page()
    assert len(clock.slept) == 1


def test_batches_adapt_to_their_time() -> None:
    """Batches that take long become smaller, down to a hundred; quick ones grow back to what the user allows."""
    batches = BatchSize(1000, None)
    for size in (1000, 500, 250, 125, 100, 100):
        assert batches.size == size
        batches.note_batch(batches.size, 60.0)
    for size in (100, 200, 400, 800, 1000, 1000):
        assert batches.size == size
        batches.note_batch(batches.size, 0.01)
    batches.note_batch(3, 60.0)
    assert batches.size == 1000  # a batch that was not full says nothing
    batches.note_batch(1000, 0.625)
    assert batches.size == 800


def test_small_batches_stay_small() -> None:
    """The user's own limit, and a second's worth of the rate, are never exceeded."""
    small = BatchSize(10, None)
    small.note_batch(10, 0.0)
    assert small.size == 10
    assert BatchSize(1000, 20.0).size == 20
    assert BatchSize(1000, 0.2).size == 1
