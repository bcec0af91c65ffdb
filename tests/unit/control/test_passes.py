"""Passes in the control collection, on every driver: planning, leases with fencing, checkpoints, and their kinds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from lazymig import Control
from lazymig.control import LEASE, Passes, parts_of
from lazymig.errors import PassVanished
from lazymig.stores.records import Partition
from tests.people import TestClock

PARTITIONS = [Partition("int", None, 10), Partition("int", 10, None), Partition("string", None, None)]
ALL = (0, 1)


@pytest.fixture
def passes(control: Control) -> Passes:
    """The sweeps of one migration."""
    return parts_of(control).passes("m", "sweep")


async def opened(passes: Passes, owner: str = "planner") -> int:
    """The number of a pass that was just planned."""
    number = await passes.claim_planning(owner)
    assert number is not None
    assert await passes.open_pass(number, PARTITIONS)
    return number


async def test_one_planner_at_a_time(passes: Passes, clock: TestClock) -> None:
    """While one plans nobody else may; a planner that fell silent loses the claim, and its late plan is not opened."""
    assert await passes.claim_planning("a") == 1
    assert await passes.claim_planning("b") is None
    clock.time += LEASE + timedelta(seconds=1)
    assert await passes.claim_planning("b") == 2
    assert not await passes.open_pass(1, PARTITIONS)
    assert (await passes.current())["state"] == "planning"
    assert await passes.open_pass(2, PARTITIONS[:1])
    assert (await passes.current())["state"] == "open"
    assert await passes.claim_planning("c") is None


async def test_a_plan_that_was_never_opened_blocks_nothing(database: Any, passes: Passes, clock: TestClock) -> None:
    """The partitions of a planner that died before it opened its pass do not keep the next pass open."""
    assert await passes.claim_planning("a") == 1
    clock.time += LEASE + timedelta(seconds=1)
    number = await passes.claim_planning("b")
    assert not await passes.open_pass(1, PARTITIONS)
    assert await passes.open_pass(number, PARTITIONS[:1])
    lease = await passes.acquire(number, "b", ALL)
    assert await passes.checkpoint(lease, 5, done=True)
    assert await passes.acquire(number, "b", ALL) is None
    assert await passes.close_pass(number)
    assert (await passes.current())["state"] == "done"
    assert await database["control"].count_documents({"kind": "partition"}) == 0


async def test_a_planner_that_lives_is_not_replaced(passes: Passes, clock: TestClock) -> None:
    """Planning may take longer than a lease, as long as the planner says that it lives; once replaced, it hears so."""
    number = await passes.claim_planning("a")
    for _ in range(3):
        clock.time += LEASE * 0.7
        assert await passes.renew_planning(number)
        assert await passes.claim_planning("b") is None
    clock.time += LEASE + timedelta(seconds=1)
    assert await passes.claim_planning("b") == number + 1
    assert not await passes.renew_planning(number)


async def test_a_pass_closes_when_all_is_done(passes: Passes) -> None:
    """A pass is open while one of its partitions is; closing it forgets the plan, and a new one may be planned."""
    number = await opened(passes)
    while lease := await passes.acquire(number, "a", ALL):
        assert not await passes.close_pass(number)
        assert await passes.checkpoint(lease, None, done=True)
    assert await passes.count_open(number, ALL) == 0
    assert await passes.close_pass(number)
    assert await passes.claim_planning("b") == number + 1


async def test_an_empty_plan(passes: Passes) -> None:
    """A pass without partitions is done at once."""
    number = await passes.claim_planning("a")
    assert await passes.open_pass(number, [])
    assert await passes.acquire(number, "a", ALL) is None
    assert await passes.close_pass(number)


async def test_each_partition_has_one_owner(passes: Passes) -> None:
    """Partitions are given in order, each to one owner, with all that is needed to work on them."""
    number = await opened(passes)
    leases = [await passes.acquire(number, owner, ALL) for owner in "abcd"]
    assert [lease and lease.partition for lease in leases] == [*PARTITIONS, None]
    assert [lease and lease.position for lease in leases] == [None, 10, None, None]
    assert await passes.count_open(number, ALL) == 3


async def test_a_crowd_shares_without_doubles(passes: Passes) -> None:
    """However many ask at once, no partition is given twice."""
    number = await opened(passes)
    leases = await asyncio.gather(*(passes.acquire(number, f"o{i}", ALL) for i in range(8)))
    keys = [lease.key for lease in leases if lease]
    assert len(keys) == len(set(keys)) <= 3


async def test_a_silent_owner_is_fenced(control: Control, passes: Passes, clock: TestClock) -> None:
    """After the lease has run out another goes on from the checkpoint, and nothing of the first owner counts."""
    number = await opened(passes)
    first = await passes.acquire(number, "a", ALL)
    assert await passes.checkpoint(first, 4)
    clock.time += LEASE + timedelta(seconds=1)
    second = await passes.acquire(number, "b", ALL)
    assert (second.key, second.position, second.fence) == (first.key, 4, first.fence + 1)
    assert not await passes.renew(first)
    assert not await passes.checkpoint(first, 9)
    assert not await passes.checkpoint(first, 9, done=True)
    await passes.release(first)
    row = await control.collection.find_one({"_id": first.key})
    assert (row["position"], row["owner"], row["state"]) == (4, "b", "open")
    assert await passes.checkpoint(second, 6)


@pytest.mark.parametrize("beat", ["renew", "checkpoint"])
async def test_a_heartbeat_keeps_the_lease(passes: Passes, clock: TestClock, beat: str) -> None:
    """Renewing and checkpointing each prolong the lease."""
    number = await opened(passes)
    lease = await passes.acquire(number, "a", (0, 3))
    clock.time += LEASE * 0.7
    assert await (passes.renew(lease) if beat == "renew" else passes.checkpoint(lease, 3))
    clock.time += LEASE * 0.7
    assert await passes.acquire(number, "b", (0, 3)) is None


async def test_a_released_partition_is_free_at_once(passes: Passes) -> None:
    """A partition that was given back is taken up at its checkpoint."""
    number = await opened(passes)
    lease = await passes.acquire(number, "a", ALL)
    await passes.checkpoint(lease, 4)
    await passes.release(lease)
    again = await passes.acquire(number, "b", ALL)
    assert (again.key, again.position) == (lease.key, 4)


async def test_shards_take_their_own(passes: Passes) -> None:
    """Each shard is given every n-th partition only, and all shards together are given all."""
    number = await opened(passes)
    taken = {}
    for shard in range(2):
        while lease := await passes.acquire(number, "a", (shard, 2)):
            taken.setdefault(shard, []).append(lease.partition)
            await passes.checkpoint(lease, None, done=True)
        assert await passes.count_open(number, (shard, 2)) == 0
    assert taken == {0: PARTITIONS[::2], 1: PARTITIONS[1::2]}


async def test_kinds_are_apart(control: Control, clock: TestClock) -> None:
    """Passes of two kinds over one migration run side by side: each with its own numbers, partitions and fences."""
    sweeps, checks = parts_of(control).passes("m", "sweep"), parts_of(control).passes("m", "verify")
    assert await opened(sweeps) == await opened(checks) == 1
    swept, checked = await sweeps.acquire(1, "a", ALL), await checks.acquire(1, "b", ALL)
    assert (swept.partition, checked.partition) == (PARTITIONS[0], PARTITIONS[0])
    assert await sweeps.checkpoint(swept, 4, 5)
    assert await checks.checkpoint(checked, 7, 8)
    assert (await sweeps.count_scanned(1), await checks.count_scanned(1)) == (5, 8)
    while lease := await sweeps.acquire(1, "a", ALL):
        await sweeps.checkpoint(lease, None, done=True)
    await sweeps.checkpoint(swept, None, done=True)
    assert await sweeps.close_pass(1)
    assert (await sweeps.current())["state"] == "done"
    assert (await checks.current())["state"] == "open"
    assert await checks.count_open(1, ALL) == len(PARTITIONS)
    clock.time += LEASE + timedelta(seconds=1)
    assert (await checks.acquire(1, "c", ALL)).position == 7
    assert await sweeps.claim_planning("a") == 2
    assert await checks.claim_planning("b") is None
    rows = await control.collection.find({"kind": {"$in": ["partition", "verify partition"]}}).to_list(None)
    assert {row["kind"] for row in rows} == {"verify partition"}


async def test_a_vanished_pass_names_its_kind(control: Control) -> None:
    """A pass whose rows were removed is an error that says which kind of run to start again."""
    checks = parts_of(control).passes("m", "verify")
    await opened(checks)
    await control.collection.delete_many({})
    with pytest.raises(PassVanished, match=r"the verify's pass vanished .*run it again"):
        await checks.close_pass(1)


async def test_a_sweep_of_an_older_release_goes_on(control: Control, clock: TestClock) -> None:
    """Rows as releases without kinds stored them are a sweep's pass: its partitions, checkpoints and end are found."""
    row = {
        "kind": "partition", "migration": "m", "pass": 3, "state": "open", "token": "t", "bracket": "int",
        "fence": 1, "owner": "dead", "until": clock.time - timedelta(seconds=1),
    }  # fmt: skip
    bounds = [{"low": None, "high": 10, "position": 6, "scanned": 7}, {"low": 10, "high": None, "position": 10}]
    rows = [{"_id": f"m/pass/3/t/{index:05d}", "index": index, **row, **bound} for index, bound in enumerate(bounds)]
    await control.collection.insert_many(rows)
    await control.collection.insert_one(
        {"_id": "m/pass", "kind": "pass", "migration": "m", "number": 3, "state": "open", "partitions": 2, "token": "t"}
    )
    sweeps = parts_of(control).passes("m", "sweep")
    assert await sweeps.claim_planning("b") is None
    assert await sweeps.count_scanned(3) == 7
    positions = []
    while lease := await sweeps.acquire(3, "b", ALL):
        positions.append(lease.position)
        assert await sweeps.checkpoint(lease, None, done=True)
    assert positions == [6, 10]
    assert await sweeps.close_pass(3)
    assert (await sweeps.current())["completed"] == 3
