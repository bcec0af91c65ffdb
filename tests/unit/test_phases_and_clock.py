"""The phases, and the door to time."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import bson
import pytest

from lazymig import Phase
from lazymig.loop.clock import SYSTEM_CLOCK


def test_the_phases_are_in_the_order_of_a_migration() -> None:
    """Each phase's neighbours are the phases that it may run beside."""
    assert [str(phase) for phase in Phase] == ["v1_only", "prepare", "shadow", "coexist", "v2_primary", "v2_only"]


async def test_the_system_clock_tells_time_as_bson_stores_it() -> None:
    """Naive UTC in whole milliseconds, and never backwards."""
    now, before = SYSTEM_CLOCK.now(), SYSTEM_CLOCK.monotonic()
    assert bson.decode(bson.encode({"at": now}))["at"] == now
    assert abs((datetime.now(UTC).replace(tzinfo=None) - now).total_seconds()) < 60
    await SYSTEM_CLOCK.sleep(0)
    assert SYSTEM_CLOCK.monotonic() >= before
    assert 0 <= SYSTEM_CLOCK.random() < 1


def test_the_system_clock_counts_suspended_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has a clock that does not stand while the machine is suspended, a lease is counted by it."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("this system has no such clock")
    asked: list[int] = []
    monkeypatch.setattr(time, "clock_gettime", lambda clock: asked.append(clock) or 7.0)
    assert SYSTEM_CLOCK.monotonic() == 7.0
    assert asked == [time.CLOCK_BOOTTIME]
