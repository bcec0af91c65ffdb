"""The control collection, on every driver: passes, leases with fencing, dead letters, the history of runs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, Decimal128

from lazymig import Control
from lazymig.control import LEASE, RunRecord
from lazymig.stores.records import DeadLetter, Partition
from tests.people import TestClock

PARTITIONS = [Partition("int", None, 10), Partition("int", 10, None), Partition("string", None, None)]
ALL = (0, 1)


@pytest.fixture
def clock() -> TestClock:
    """Stands until it is moved."""
    return TestClock()


@pytest.fixture
def control(database: Any, clock: TestClock) -> Control:
    """An empty control collection."""
    return Control(database["control"], clock)


async def opened(control: Control, owner: str = "planner") -> int:
    """The number of a pass that was just planned."""
    number = await control.claim_planning("m", owner)
    assert number is not None
    assert await control.open_pass("m", number, PARTITIONS)
    return number


async def test_one_planner_at_a_time(control: Control, clock: TestClock) -> None:
    """While one plans nobody else may; a planner that fell silent loses the claim, and its late plan is not opened."""
    assert await control.claim_planning("m", "a") == 1
    assert await control.claim_planning("m", "b") is None
    clock.time += LEASE + timedelta(seconds=1)
    assert await control.claim_planning("m", "b") == 2
    assert not await control.open_pass("m", 1, PARTITIONS)
    assert (await control.current_pass("m"))["state"] == "planning"
    assert await control.open_pass("m", 2, PARTITIONS[:1])
    assert (await control.current_pass("m"))["state"] == "open"
    assert await control.claim_planning("m", "c") is None


async def test_a_plan_that_was_never_opened_blocks_nothing(control: Control, clock: TestClock) -> None:
    """The partitions of a planner that died before it opened its pass do not keep the next pass open."""
    assert await control.claim_planning("m", "a") == 1
    clock.time += LEASE + timedelta(seconds=1)
    number = await control.claim_planning("m", "b")
    assert not await control.open_pass("m", 1, PARTITIONS)
    assert await control.open_pass("m", number, PARTITIONS[:1])
    lease = await control.acquire("m", number, "b", ALL)
    assert await control.checkpoint(lease, 5, done=True)
    assert await control.acquire("m", number, "b", ALL) is None
    assert await control.close_pass("m", number)
    assert (await control.current_pass("m"))["state"] == "done"
    assert await control.collection.count_documents({"kind": "partition"}) == 0


async def test_a_planner_that_lives_is_not_replaced(control: Control, clock: TestClock) -> None:
    """Planning may take longer than a lease, as long as the planner says that it lives; once replaced, it hears so."""
    number = await control.claim_planning("m", "a")
    for _ in range(3):
        clock.time += LEASE * 0.7
        assert await control.renew_planning("m", number)
        assert await control.claim_planning("m", "b") is None
    clock.time += LEASE + timedelta(seconds=1)
    assert await control.claim_planning("m", "b") == number + 1
    assert not await control.renew_planning("m", number)


async def test_a_pass_closes_when_all_is_done(control: Control) -> None:
    """A pass is open while one of its partitions is; closing it forgets the plan, and a new one may be planned."""
    number = await opened(control)
    while lease := await control.acquire("m", number, "a", ALL):
        assert not await control.close_pass("m", number)
        assert await control.checkpoint(lease, None, done=True)
    assert await control.open_partitions("m", number, ALL) == 0
    assert await control.close_pass("m", number)
    assert await control.claim_planning("m", "b") == number + 1


async def test_an_empty_plan(control: Control) -> None:
    """A pass without partitions is done at once."""
    number = await control.claim_planning("m", "a")
    assert await control.open_pass("m", number, [])
    assert await control.acquire("m", number, "a", ALL) is None
    assert await control.close_pass("m", number)


async def test_each_partition_has_one_owner(control: Control) -> None:
    """Partitions are given in order, each to one owner, with all that is needed to work on them."""
    number = await opened(control)
    leases = [await control.acquire("m", number, owner, ALL) for owner in "abcd"]
    assert [lease and lease.partition for lease in leases] == [*PARTITIONS, None]
    assert [lease and lease.position for lease in leases] == [None, 10, None, None]
    assert await control.open_partitions("m", number, ALL) == 3


async def test_a_crowd_shares_without_doubles(control: Control) -> None:
    """However many ask at once, no partition is given twice."""
    number = await opened(control)
    leases = await asyncio.gather(*(control.acquire("m", number, f"o{i}", ALL) for i in range(8)))
    keys = [lease.key for lease in leases if lease]
    assert len(keys) == len(set(keys)) <= 3


async def test_a_silent_owner_is_fenced(control: Control, clock: TestClock) -> None:
    """After the lease has run out another goes on from the checkpoint, and nothing of the first owner counts."""
    number = await opened(control)
    first = await control.acquire("m", number, "a", ALL)
    assert await control.checkpoint(first, 4)
    clock.time += LEASE + timedelta(seconds=1)
    second = await control.acquire("m", number, "b", ALL)
    assert (second.key, second.position, second.fence) == (first.key, 4, first.fence + 1)
    assert not await control.renew(first)
    assert not await control.checkpoint(first, 9)
    assert not await control.checkpoint(first, 9, done=True)
    await control.release(first)
    row = await control.collection.find_one({"_id": first.key})
    assert (row["position"], row["owner"], row["state"]) == (4, "b", "open")
    assert await control.checkpoint(second, 6)


@pytest.mark.parametrize("beat", ["renew", "checkpoint"])
async def test_a_heartbeat_keeps_the_lease(control: Control, clock: TestClock, beat: str) -> None:
    """Renewing and checkpointing each prolong the lease."""
    number = await opened(control)
    lease = await control.acquire("m", number, "a", (0, 3))
    clock.time += LEASE * 0.7
    assert await (control.renew(lease) if beat == "renew" else control.checkpoint(lease, 3))
    clock.time += LEASE * 0.7
    assert await control.acquire("m", number, "b", (0, 3)) is None


async def test_a_released_partition_is_free_at_once(control: Control) -> None:
    """A partition that was given back is taken up at its checkpoint."""
    number = await opened(control)
    lease = await control.acquire("m", number, "a", ALL)
    await control.checkpoint(lease, 4)
    await control.release(lease)
    again = await control.acquire("m", number, "b", ALL)
    assert (again.key, again.position) == (lease.key, 4)


async def test_shards_take_their_own(control: Control) -> None:
    """Each shard is given every n-th partition only, and all shards together are given all."""
    number = await opened(control)
    taken = {}
    for shard in range(2):
        while lease := await control.acquire("m", number, "a", (shard, 2)):
            taken.setdefault(shard, []).append(lease.partition)
            await control.checkpoint(lease, None, done=True)
        assert await control.open_partitions("m", number, (shard, 2)) == 0
    assert taken == {0: PARTITIONS[::2], 1: PARTITIONS[1::2]}


async def test_migrations_are_apart(control: Control) -> None:
    """Two migrations in one control collection see nothing of each other."""
    number = await opened(control)
    await control.bury_letters([letter(1)])
    assert await control.current_pass("other") is None
    assert await control.acquire("other", number, "a", ALL) is None
    assert await control.dead_count("other") == 0
    assert await control.claim_planning("other", "a") == 1


def letter(id: Any, revision: int = 0, error: str = "ValueError") -> DeadLetter:
    """A failure of the migration `m`."""
    return DeadLetter("m", id, revision, "upgrade", error, "the document does not convert", "name")


async def test_a_dead_letter_keeps_its_history(control: Control, clock: TestClock) -> None:
    """One record per entity: first and last time, attempts, and what was wrong last."""
    first = clock.time
    await control.bury_letters([letter(1)])
    clock.time += timedelta(hours=1)
    await control.bury_letters([letter(1, 3, "KeyError")])
    found = await control.dead_letter("m", 1)
    assert (found.first_at, found.last_at, found.attempts) == (first, clock.time, 2)
    assert (found.revision, found.error, found.path, found.waived) == (3, "KeyError", "name", None)
    assert [one.id async for one in control.dead_letters("m")] == [1]
    assert await control.dead_letter("m", 2) is None


async def test_dead_letters_come_oldest_first(control: Control, clock: TestClock) -> None:
    """The list is in the order of the first failures."""
    for id in (3, 1, 2):
        await control.bury_letters([letter(id)])
        clock.time += timedelta(seconds=1)
    await control.bury_letters([letter(3)])
    assert [one.id async for one in control.dead_letters("m")] == [3, 1, 2]


async def test_ids_of_any_type(control: Control, driver: str) -> None:
    """A letter is found by its id whatever its type; a UUID and its binary are one."""
    ids: list[Any] = [1, "1", {"a": 1}, b"1", Binary.from_uuid(UUID(int=1))]
    if driver != "mock":  # which needs ids to be hashable
        ids.append(Decimal128("1.5"))
    for id in ids:
        await control.bury_letters([letter(id)])
    assert [(await control.dead_letter("m", id)).id for id in ids] == ids
    assert (await control.dead_letter("m", UUID(int=1))).attempts == 1
    assert await control.resolve("m", [UUID(int=1), {"a": 1}, "absent"]) == 2
    assert await control.dead_count("m") == len(ids) - 2


async def test_a_waived_failure_asks_for_nobody(control: Control) -> None:
    """A waiver holds while the entity fails at the same revision, and ends when it fails at another one."""
    await control.bury_letters([letter(1, 2)])
    await control.bury_letters([letter(2, 2)])
    assert await control.waive("m", 1, "known, ends in June")
    assert await control.dead_count("m") == 1
    assert [one.id async for one in control.dead_letters("m", waived=False)] == [2]
    assert [(one.id, one.waived) async for one in control.dead_letters("m", waived=True)] == [
        (1, "known, ends in June")
    ]
    await control.bury_letters([letter(1, 2)])
    assert (await control.dead_letter("m", 1)).attempts == 2
    assert await control.dead_count("m") == 1
    await control.bury_letters([letter(1, 3)])
    found = await control.dead_letter("m", 1)
    assert (found.waived, found.attempts) == (None, 3)
    assert await control.dead_count("m") == 2


async def test_waivers_of_nothing(control: Control) -> None:
    """What is not there can be neither waived nor taken back, and no record comes of it."""
    assert not await control.waive("m", 1, "x")
    assert not await control.unwaive("m", 1)
    await control.bury_letters([letter(1)])
    assert not await control.unwaive("m", 1)
    await control.waive("m", 1, "x")
    assert await control.unwaive("m", 1)
    assert await control.dead_count("m") == 1
    assert await control.collection.count_documents({}) == 1


async def test_letters_of_a_crowd(control: Control) -> None:
    """Failures of one entity that are recorded at once are one record, and no attempt is lost."""
    await asyncio.gather(*(control.bury_letters([letter(1)]) for _ in range(6)))
    assert (await control.dead_letter("m", 1)).attempts == 6


async def test_history(control: Control, clock: TestClock) -> None:
    """Runs are kept and come newest first, as many as asked for."""
    runs = []
    for number in range(5):
        started = clock.time
        clock.time += timedelta(minutes=1)
        runs.append(RunRecord("m", started, clock.time, number % 2 == 0, {"migrated": number}))
        await control.record_run(runs[-1])
    assert await control.history("m", 3) == runs[:1:-1]
    assert await control.history("m") == runs[::-1]
    assert await control.history("other") == []


async def test_times_are_alike_for_every_client(server_clients: Any, server_database: Any, clock: TestClock) -> None:
    """A client that returns aware times, or native UUIDs, reads the same records as any other."""
    options = server_database.codec_options.with_options(tz_aware=True, uuid_representation=4)
    aware = server_database.client.get_database(server_database.name, codec_options=options)
    control = Control(aware["control"], clock)
    await control.bury_letters([letter(UUID(int=1))])
    await control.record_run(RunRecord("m", clock.time, clock.time, True))
    plain = Control(server_database["control"], clock)
    assert await control.dead_letter("m", UUID(int=1)) == await plain.dead_letter("m", UUID(int=1))
    assert (await control.dead_letter("m", UUID(int=1))).first_at == clock.time
    assert await control.history("m") == await plain.history("m") == [RunRecord("m", clock.time, clock.time, True)]


async def test_the_index(control: Control) -> None:
    """Rows are found by an index, which may be asked for any number of times."""
    await control.ensure_index()
    await control.ensure_index()
    assert "lazymig_kind" in await control.collection.index_information()
