"""The routing table, and the door to time."""

from __future__ import annotations

from datetime import UTC, datetime

import bson
import pytest

from lazymig import ConfigurationError, Phase, Repository
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.phases import ROUTES, RUNNABLE, Source, Target
from lazymig.testing.memory_collection import MemoryCollection
from tests.people import people


def test_every_phase_has_its_row() -> None:
    """In the order of the migration."""
    assert list(ROUTES) == list(Phase)
    assert [str(phase) for phase in Phase] == ["v1_only", "prepare", "shadow", "coexist", "v2_primary", "v2_only"]
    assert [route.writes for route in ROUTES.values()] == [
        Target.V1,
        Target.ANNOUNCED_V1,
        Target.BOTH,
        Target.BOTH,
        Target.BOTH,
        Target.V2,
    ]
    assert ROUTES[Phase.COEXIST].reads is Source.V2_FIRST


@pytest.mark.parametrize("phase", list(Phase))
def test_only_runnable_phases_run(phase: Phase) -> None:
    """The others are refused when the repository is made, and the error names those that run."""
    arguments = {"v1": MemoryCollection("v1"), "v2": MemoryCollection("v2")}
    if phase in RUNNABLE:
        assert Repository(people(), phase=phase, **arguments).phase is phase
        return
    able = ", ".join(f"Phase.{member.name}" for member in Phase if member in RUNNABLE)
    with pytest.raises(ConfigurationError, match=f"phase: this release runs {able}"):
        Repository(people(), phase=phase, **arguments)


async def test_the_system_clock_tells_time_as_bson_stores_it() -> None:
    """Naive UTC in whole milliseconds, and never backwards."""
    now, before = SYSTEM_CLOCK.now(), SYSTEM_CLOCK.monotonic()
    assert bson.decode(bson.encode({"at": now}))["at"] == now
    assert abs((datetime.now(UTC).replace(tzinfo=None) - now).total_seconds()) < 60
    await SYSTEM_CLOCK.sleep(0)
    assert SYSTEM_CLOCK.monotonic() >= before
    assert 0 <= SYSTEM_CLOCK.random() < 1
