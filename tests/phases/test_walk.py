"""The whole life of a migration: a service of several processes, with clients of both versions at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lazymig import Phase
from tests.phases.retiring import retire
from tests.phases.walking import Pace, Walk, draw_seed, under_way
from tests.widening import WIDENING

#: Behind `--full`: many more requests in each place.
PACE = Pace(requests=400, clients=10) if WIDENING.full else Pace()


@pytest.fixture
async def walk(lazymig_server: Any) -> AsyncIterator[Walk]:
    """The service with 200 real customers in V1, and its clients at work."""
    async with under_way(lazymig_server.uri, f"walk_{uuid4().hex[:12]}", PACE, draw_seed()) as walk:
        yield walk


async def test_the_whole_life(walk: Walk, tmp_path: Path) -> None:
    """Through each phase, back and forth again, no client sees a lost, stale or resurrected read."""
    await walk.work()
    await walk.suffer()
    for before, phase in pairwise(list(Phase)[:5]):
        for to in (phase, before, phase):
            if to is Phase.V2_PRIMARY:
                await walk.operator.fill()
            await move(walk, to)
        await walk.suffer()
        await walk.work()
    await walk.operator.fill()
    await into_v2_only(walk)
    await walk.suffer()
    await walk.work()
    await retire(walk, tmp_path / "customers.bson")


async def move(walk: Walk, to: Phase) -> None:
    """One step. Behind `--full`, a process sleeps across it with writes half way: V1's revision orders them later."""
    sleeper, late = walk.services[1], []
    if WIDENING.full and (await walk.operator.standing()).phase is not Phase.V1_ONLY:
        late = await walk.sleep(sleeper)
    await walk.operator.move(to)
    await walk.work()
    if late:
        await walk.wake(sleeper, late)
        await walk.work()


async def into_v2_only(walk: Walk) -> None:
    """The seal, while a process sleeps with writes half way: the database refuses what it does when it wakes up."""
    await walk.operator.try_to_seal_by_mistake()
    sleeper = walk.services[1]
    late = await walk.sleep(sleeper)
    await walk.operator.seal()
    await walk.work()
    await walk.wake(sleeper, late)
    refusals = [line for line in sleeper.log if "the database refuses writes of earlier phases" in line]
    print(f"{len(refusals)} of {len(late)} late writes were refused by the database")
    assert refusals
    await walk.work()
    await walk.operator.try_what_is_over()
