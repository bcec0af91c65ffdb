"""Samples: one process counts per slot, rows are bounded, and the levels together have no gap and no sample twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from mongomock_motor import AsyncMongoMockClient

from lazymig import Control
from lazymig.control import Sample, Samples, parts_of
from lazymig.control.samples import COARSE, FINE, LEVELS, MEDIUM, Level
from tests.people import TestClock
from tests.widening import WIDENING

#: The rows of all levels and the one of claims.
ROWS = sum(level.rows for level in LEVELS) + 1


def samples_in(collection: Any, clock: TestClock) -> Samples:
    return parts_of(Control(collection, clock)).samples("people")


def in_memory() -> Any:
    return AsyncMongoMockClient()["test"]["control"]


def sample(at: datetime, live: int = 1, **changed: Any) -> Sample:
    return evolve(Sample(at=at, by="sweep here:1", phase="coexist", v1=10, live=live), **changed)


@pytest.fixture
def samples(control: Control) -> Samples:
    """Those of one migration."""
    return parts_of(control).samples("people")


async def test_all_of_a_sample_is_stored(samples: Samples, clock: TestClock) -> None:
    """What was recorded is found again, with what was not counted as None, and a sample of three levels is one."""
    full = sample(
        clock.now(), left=1, waiting=2, dirty=3, dead=4, mismatches=5, moved_read=6, moved_write=7, moved_sweep=8,
        per_s=9.5, v1_p99_s=0.001, v2_p99_s=0.002, consistency=0.75,
    )  # fmt: skip
    await samples.record(full)
    clock.time += timedelta(seconds=10)
    bare = sample(clock.now())
    await samples.record(bare, [FINE])
    assert await samples.find() == [full, bare]
    assert await samples.find(since=full.at) == [bare]
    assert await samples.find(since=bare.at) == []
    assert (full.remaining, full.share) == (6, 1 / 9)


async def test_one_process_counts_per_slot(database: Any, clock: TestClock) -> None:
    """Of eight processes one claims a slot of each level, and the next slot is free again."""
    processes = [samples_in(database["control"], clock) for _ in range(8)]
    for level in LEVELS:
        for _ in range(2):
            assert sum(await asyncio.gather(*(one.claim(level) for one in processes))) == 1
            clock.time += timedelta(seconds=level.every_s)


async def test_a_clock_that_is_wrong_stops_nobody(samples: Samples, clock: TestClock) -> None:
    """A slot that was taken a year ahead does not keep others from counting, and its sample is not shown."""
    # By so many turns of the ring, so that it is the same row.
    ahead = timedelta(seconds=FINE.rows * 60 * FINE.every_s) * 6570
    assert ahead == timedelta(days=365)
    clock.time += ahead
    assert await samples.claim(FINE)
    await samples.record(sample(clock.now()))
    clock.time -= ahead
    assert await samples.find() == []
    assert await samples.claim(FINE)
    assert not await samples.claim(FINE)
    now = sample(clock.now(), live=2)
    await samples.record(now)
    assert await samples.find() == [now]


async def test_an_end_takes_the_place_of_its_slot(samples: Samples, clock: TestClock) -> None:
    """A later sample of the same slot stands in place of the earlier one."""
    await samples.record(sample(clock.now(), live=1))
    clock.time += timedelta(seconds=9)
    last = sample(clock.now(), live=2)
    await samples.record(last)
    assert await samples.find() == [last]


@pytest.mark.parametrize("driver", ["mock"])
async def test_a_hundred_days(database: Any, clock: TestClock) -> None:
    """However long it goes on, there are no more rows than the levels have, and each level keeps its time."""
    samples, began = samples_in(database["control"], clock), clock.now()
    step = timedelta(seconds=600 if WIDENING.full else 5400)
    while clock.now() - began < timedelta(days=100):
        await samples.record(sample(clock.now()))
        clock.time += step
    for _ in range(400):
        await samples.record(sample(clock.now()))
        clock.time += timedelta(seconds=10)
    clock.time -= timedelta(seconds=10)
    assert await database["control"].count_documents({}) == ROWS - 1 == 60, "no slot was claimed"
    rows = await database["control"].find({}).to_list(None)
    assert max(len(row["points"]) for row in rows) <= 60
    found = [clock.now() - one.at for one in await samples.find()]
    assert found == sorted(found, reverse=True)
    assert sum(age <= FINE.kept for age in found) == 361
    assert COARSE.kept - timedelta(hours=2) < found[0] <= COARSE.kept
    assert len(await samples.find(since=clock.now() - timedelta(seconds=30))) == 3


@settings(max_examples=300 if WIDENING.full else 60, deadline=None)
@given(data=st.data())
def test_levels_are_one_series(data: st.DataObject) -> None:
    """Whatever was recorded at which level: what is found is each kept sample once, in order."""
    waits = data.draw(st.lists(st.sampled_from([1, 9, 10, 70, 119, 600, 3600, 3601, 86_400, 864_000]), max_size=40))
    chosen = data.draw(st.lists(st.sampled_from([[FINE], [MEDIUM], [COARSE], list(LEVELS)]), min_size=40, max_size=40))
    asyncio.run(_check_series(waits, chosen))


async def _check_series(waits: list[int], chosen: list[list[Level]]) -> None:
    clock = TestClock()
    samples = samples_in(in_memory(), clock)
    stored: dict[tuple[int, int], Sample] = {}
    for live, (wait_s, levels) in enumerate(zip(waits, chosen, strict=False)):
        clock.time += timedelta(seconds=wait_s)
        one = sample(clock.now(), live)
        await samples.record(one, levels)
        stored |= {(level.every_s, level.slot(one.at)): one for level in levels}
    kept = {level.every_s: clock.now() - level.kept for level in LEVELS}
    expected = {one.at: one for (every_s, _), one in stored.items() if one.at >= kept[every_s]}
    assert await samples.find() == [expected[at] for at in sorted(expected)]
    for since in list(expected)[::7]:
        assert await samples.find(since) == [expected[at] for at in sorted(expected) if at > since]


async def test_what_cannot_be_read_is_left_out(database: Any, samples: Samples, clock: TestClock) -> None:
    """Fields of a newer release are left out, and a point without what a sample needs is no sample."""
    known = sample(clock.now())
    await samples.record(known, [FINE])
    row = await database["control"].find_one({"every_s": 10})
    place = next(iter(row["points"]))
    junk = {"points.59": {"at": "noon", "by": "x", "phase": "x", "v1": 1, "live": 1}, "points.58": 5}
    junk |= {f"points.{place}.weather": "fine", "points.57": {"at": clock.now()}}
    await database["control"].update_one({"_id": row["_id"]}, {"$set": junk})
    assert await samples.find() == [known]
    await database["control"].update_one({"_id": row["_id"]}, {"$set": {"points": None}})
    assert await samples.find() == []


async def test_without_rows(database: Any, samples: Samples, clock: TestClock) -> None:
    """Reading needs no row and writes none; a control collection that was removed is begun again."""
    assert await samples.find() == []
    assert await database["control"].count_documents({}) == 0
    assert await samples.claim(FINE)
    await samples.record(sample(clock.now()))
    await database["control"].drop()
    assert await samples.find() == []
    assert await samples.claim(FINE)
    await samples.record(sample(clock.now()))
    assert len(await samples.find()) == 1
