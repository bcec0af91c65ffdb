"""The helm of a pass: what it does to the throttle, and that a pause costs the pass nothing else."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient

from lazymig import Control
from lazymig.control import parts_of
from lazymig.metrics import PACE, PAUSED, THROTTLED
from lazymig.passes.helm import Aboard, Helm, is_pause
from lazymig.passes.throttle import Limits, Throttle
from lazymig.telemetry import Tally
from tests.people import TestClock
from tests.unit.passes.test_throttle import answering


class Steered:
    """A throttle under orders, in memory, on a clock that stands until it is moved or slept by."""

    def __init__(self, **limits: Any) -> None:
        database = AsyncMongoMockClient()["db"]
        self.clock = TestClock()
        self.control = Control(database["control"], self.clock)
        self.done, self.waits = 0, 0
        self.resume_at = -1
        self.tally = Tally("things")
        aboard = Aboard(
            owner="me", kind="sweep", began=lambda: None, done=lambda: self.done, on_wait=self.wait, tally=self.tally
        )
        self.helm = Helm(self.control, "things", aboard, self.clock)
        self.throttle = Throttle(database["v2"], Limits(**limits), lambda: self.waits > 50, self.clock)
        self.throttle.steer_by(self.helm)

    async def wait(self) -> None:
        """The pass shows that it waits; at some moment somebody ends the pause."""
        self.waits += 1
        if self.waits == self.resume_at:
            await self.control.resume("things", by="ada")

    async def pause(self, resume_at: int) -> None:
        """Pause it until it has waited so often."""
        self.resume_at = resume_at
        await self.control.pause("things", by="ada", reason="slow")

    async def second(self) -> None:
        """A second later, orders are read anew."""
        self.clock.time += timedelta(seconds=1.5)

    async def row(self) -> Any:
        """What it reports of itself."""
        (found,) = await parts_of(self.control).runners("things").find_all()
        return found


async def test_a_pause_is_no_time_of_work() -> None:
    """Where each page waits as long as the last one took, an hour of pause adds nothing to it."""
    one = Steered(probe=answering(RuntimeError("unknown")))
    await one.throttle.wait_for_page()
    one.clock.time += timedelta(seconds=2)
    await one.pause(resume_at=30)
    one.clock.slept.clear()
    assert await one.throttle.wait_for_page()
    # Waits of the pause, then the two seconds that the page took.
    assert set(one.clock.slept[:-1]) == {0.5}
    assert one.clock.slept[-1] == pytest.approx(2)
    one.clock.time += timedelta(seconds=1)
    assert await one.throttle.wait_for_page()
    assert one.clock.slept[-1] == pytest.approx(1)


async def test_documents_wait_for_the_end_of_a_pause() -> None:
    """A batch whose ids are known is not read while the pass is paused, with a rate limit and without."""
    for limits in ({}, {"rate_limit": 1000.0}):
        one = Steered(**limits)
        await one.pause(resume_at=4)
        assert await one.throttle.wait_for_documents(10)
        assert 4 <= one.waits <= 5


async def test_a_batch_holds_a_second_of_documents() -> None:
    """With a rate that is set, batches become no larger than it, and may grow again without it."""
    one = Steered(batch_size=1000)
    await one.throttle.wait_for_page()
    assert one.throttle.batches.size == 1000
    for rate, size in ((50.0, 50), (None, 50)):
        await one.second()
        await one.control.set_rate("things", rate, by="ada")
        await one.throttle.wait_for_page()
        assert (one.throttle.batches.size, one.throttle.limited) == (size, rate is not None)
    for _ in range(9):
        one.throttle.batches.note_batch(one.throttle.batches.size, 0.01)
    assert one.throttle.batches.size == 1000


async def test_a_rate_that_cannot_be_kept_makes_it_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the limiter's package a pass goes no faster than was ordered: it waits, and says what to install."""
    one = Steered()
    await one.throttle.wait_for_page()
    monkeypatch.setitem(sys.modules, "aiolimiter", None)
    await one.second()
    await one.control.set_rate("things", 50.0, by="ada")

    async def wait() -> None:
        one.waits += 1
        assert "pip install 'lazymig[sweep]'" in one.throttle.reason
        if one.waits == 3:
            await one.control.set_rate("things", None, by="ada")

    monkeypatch.setattr(one.helm, "wait", wait)
    assert await one.throttle.wait_for_page()
    assert 3 <= one.waits <= 5
    assert one.throttle.reason == ""


async def test_it_reports_its_pace() -> None:
    """The documents per second since the last report, every three seconds, and a change of its state at once."""
    one = Steered()
    async with one.helm.run():
        await one.throttle.wait_for_page()
        assert ((await one.row()).per_s, (await one.row()).done) == (0, 0)
        for done in (600, 1500):
            one.clock.time += timedelta(seconds=3)
            one.done = done
            await one.throttle.wait_for_page()
            assert (await one.row()).done == done
        assert (await one.row()).per_s == 300
        one.clock.time += timedelta(seconds=1)
        one.done = 1600
        await one.throttle.wait_for_page()
        assert (await one.row()).done == 1500
        await one.second()
        await one.pause(resume_at=2)
        await one.throttle.wait_for_page()
        assert (await one.row()).paused is False
        assert (await one.row()).done == 1600
    assert await parts_of(one.control).runners("things").find_all() == []


async def test_its_gauges_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pace, pause and throttle are set while it runs; afterwards they are 0 and not what they were last."""
    one, shown = Steered(), dict[str, list[float]]()
    monkeypatch.setattr(
        one.tally, "show", lambda name, value, **of: shown.setdefault(f"{name} {of['pass']}", []).append(value)
    )
    async with one.helm.run():
        await one.pause(resume_at=2)
        await one.throttle.wait_for_page()
    assert set(shown) == {f"{name} sweep" for name in (PACE, PAUSED, THROTTLED)}
    assert shown[f"{PAUSED} sweep"][0] == 1
    assert [values[-1] for values in shown.values()] == [0, 0, 0]


def test_a_pause_is_told_from_other_reasons() -> None:
    """By its words, which name who paused it."""
    assert is_pause("paused by ada since 2024-05-01 12:00:00 UTC")
    assert not is_pause("the server reports overload")
    assert not is_pause("")
