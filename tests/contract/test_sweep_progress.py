"""What a sweep tells of itself: by whom, what is left, and never more than there is."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve

from lazymig.repository import calls_of
from lazymig.stores.counts import Counts
from lazymig.stores.records import Partition
from lazymig.sweeper import Progress
from lazymig.sweeping import outlook, remainder, two_collections
from lazymig.sweeping.report import Left
from tests.sweeps import (
    LaterClock,
    StandingClock,
    moved,
    passes,
    repository,
    server_says,
    stored,
    sweeper,
    thing,
)

COUNT = 60
COUNTS = ("done", "scanned", "migrated", "present", "moved_by_clients", "healed", "purged", "dead", "elapsed_s")


@pytest.fixture
async def filled(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A database whose V1 holds `COUNT` documents, read by small pages."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 4)
    await database["v1"].insert_many([thing(id) for id in range(COUNT)])
    return database


def assert_honest(told: list[Progress]) -> None:
    """Counts and share never go back, the share is never above 100 %, and what remains never becomes more."""
    assert told
    for before, after in pairwise(told):
        assert all(getattr(before, name) <= getattr(after, name) for name in COUNTS)
        assert before.done / before.total <= after.done / after.total
        assert before.remaining >= after.remaining
    assert all(0 <= one.done <= one.total and one.scanned <= one.done for one in told)
    assert all(min(one.remaining, one.dirty) >= 0 for one in told)


def arriving(repo: Any, monkeypatch: pytest.MonkeyPatch, arrive: Any) -> None:
    """Let `arrive` happen each time before the sweep stores a batch."""
    put_many = calls_of(repo).pair.bodies.put_many

    async def put(documents: Any, *, durable: bool = False) -> Any:
        await arrive()
        return await put_many(documents, durable=durable)

    monkeypatch.setattr(calls_of(repo).pair.bodies, "put_many", put)


async def test_what_each_count_means(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moved by others before, by this sweep, by a client meanwhile, dead, dirty, and what remains: each by its name."""
    clock = StandingClock()
    server_says(monkeypatch, clock)
    repo = repository(filled, clock=clock)
    await repo.get_many(range(10))
    await repo.update(10, lambda thing: evolve(thing, count=5))
    await filled["v1"].update_many({"_id": {"$in": [30, 31]}}, {"$set": {"n": -1}})
    young = {"_lazymig": {"rev": 0, "intent": 1, "at": clock.time}}
    await filled["v2"].insert_one(moved(20) | young)
    raced: list[Any] = []

    async def race() -> None:
        if not raced:
            raced.append(await repo.get(11))

    told: list[Progress] = []
    sweeping = sweeper(filled, repo=repo, clock=clock, on_progress=told.append, partition_size=1000)
    arriving(repo, monkeypatch, race)
    report = await sweeping.run()
    assert (report.scanned, report.present, report.migrated, report.moved_by_clients, report.dead) == (
        COUNT,
        12,
        45,
        1,
        2,
    )
    assert (report.remaining, report.dirty, report.dead_letters) == (2, 1, 2)
    assert (told[-1].remaining, told[-1].dirty, told[-1].dead) == (2, 1, 2)
    assert_honest(told)


async def test_a_client_in_the_same_moment(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entities that clients move while the sweep converts them are counted as theirs, and in the progress, too."""
    repo, client = repository(filled), repository(filled)
    told: list[Progress] = []
    sweeping = sweeper(filled, repo=repo, on_progress=told.append, partition_size=1000, concurrency=1)
    arriving(repo, monkeypatch, lambda: client.get_many([0, 1, 2]))
    report = await sweeping.run()
    assert (report.migrated, report.moved_by_clients, report.present, report.remaining) == (COUNT - 3, 3, 0, 0)
    assert told[-1].moved_by_clients == 3
    assert_honest(told)


@pytest.mark.parametrize("outside", [False, True], ids=["through lazymig", "past it"])
async def test_v1_grows_meanwhile(filled: Any, monkeypatch: pytest.MonkeyPatch, outside: bool) -> None:
    """However many entities clients add while it runs, a share never exceeds 100 % and never goes back."""
    repo, more = repository(filled), iter(range(1000, 9000))
    told: list[Progress] = []
    sweeping = sweeper(filled, repo=repo, on_progress=told.append, clock=LaterClock(), partition_size=1000)

    async def grow() -> None:
        for _ in range(6):
            if (id := next(more)) >= 1100:
                return
            if outside:
                await filled["v1"].insert_one(thing(id))
            else:
                await repo.v1.insert(repo.migration.v1(id, 1))

    arriving(repo, monkeypatch, grow)
    monkeypatch.setattr(outlook, "_LOOK_EVERY_S", 0.0)
    report = await sweeping.run()
    assert_honest(told)
    assert report.scanned > COUNT
    assert report.scanned <= report.total
    assert told[-1].done == told[-1].total == report.scanned
    assert (report.remaining, report.finished) == (0, True)


@pytest.mark.parametrize("estimate", [0, 1, 7])
async def test_an_estimate_that_is_too_low(filled: Any, monkeypatch: pytest.MonkeyPatch, estimate: int) -> None:
    """Where the server takes V1 for smaller than it is, the share stays at 100 % and everything is moved."""
    count_all = Counts.count_all

    async def too_low(counts: Counts, *, exact: bool = False) -> int:
        return estimate if counts._collection.name == "v1" else await count_all(counts, exact=exact)

    monkeypatch.setattr(Counts, "count_all", too_low)
    told: list[Progress] = []
    report = await sweeper(filled, on_progress=told.append).run()
    assert_honest(told)
    assert (told[-1].done, told[-1].total, report.total) == (COUNT, COUNT, COUNT)
    assert len(await stored(filled["v2"])) == COUNT


async def test_a_resumed_pass_goes_on_where_it_was(filled: Any) -> None:
    """The next run's progress begins with what earlier runs of the pass have looked at, and ends at all of it."""
    told: list[list[Progress]] = []

    async def interrupted() -> bool:
        told.append([])

        def tell(progress: Progress) -> None:
            told[-1].append(progress)
            if len(told[-1]) == 4:
                running.stop()

        running = sweeper(filled, on_progress=tell, concurrency=1)
        return not (await running.run()).finished

    while await interrupted():
        assert len(told) < COUNT
    assert len(told) > 2
    for run in told:
        assert_honest(run)
    for before, after in pairwise(told):
        assert 0 < before[-1].done <= after[0].done
    assert (told[-1][-1].done, told[-1][-1].total, told[-1][-1].remaining) == (COUNT, COUNT, 0)
    assert all(one.before + one.scanned == one.done for run in told for one in run)
    assert sum(run[-1].scanned for run in told) == COUNT


async def test_sharing_sweepers_tell_of_the_whole_pass(filled: Any) -> None:
    """Two sweepers at once each end with all of V1 looked at, and with their own part of what was moved."""
    clock = LaterClock(moving=False)
    told: list[list[Progress]] = [[], []]
    await asyncio.gather(*(sweeper(filled, clock=clock, on_progress=told[n].append).run() for n in (0, 1)))
    for run in told:
        assert_honest(run)
        assert (run[-1].done, run[-1].total, run[-1].remaining) == (COUNT, COUNT, 0)
    assert sum(run[-1].migrated for run in told) == COUNT


async def test_a_dry_run_tells_what_remains(filled: Any) -> None:
    """A dry run moves nothing, and so what remains stays as it is while its share goes up to 100 %."""
    await repository(filled).get_many(range(10))
    told: list[Progress] = []
    report = await sweeper(filled, dry_run=True, on_progress=told.append).run()
    assert_honest(told)
    assert report.remaining == COUNT - 10
    assert {one.remaining for one in told} == {COUNT - 10}
    assert (told[-1].done, report.migrated, report.present) == (COUNT, COUNT - 10, 10)


async def test_waiting_is_told(filled: Any, driver: str) -> None:
    """While all that is left is leased to another sweeper, the progress says that it waits, and not once longer."""
    rows = passes(filled)
    number = await rows.claim_planning("dead")
    await rows.open_pass(number, [Partition("int", None, 20), Partition("int", 20, None)])
    lease = await rows.acquire(number, "dead", (0, 1))
    await rows.checkpoint(lease, 11, 12)
    told: list[Progress] = []
    clock = LaterClock()
    await sweeper(filled, clock=clock, on_progress=told.append).run()
    assert_honest(told)
    # It looks again soon at first, and twice a second in the end: the others may be done soon.
    slept = [delay_s for delay_s in clock.slept if delay_s]
    if driver != "mock":
        assert slept.pop(0) == 0.05  # ahead of its first page it looks who else reads
    assert slept[:6] == [0.05, 0.1, 0.2, 0.4, 0.4, 0.4]
    assert set(slept[6:]) == {0.4}
    waiting = [one.waiting for one in told]
    first, last = waiting.index(True), len(waiting) - waiting[::-1].index(True)
    assert first > 0
    assert last < len(waiting)
    assert all(waiting[first:last])
    assert {one.done for one in told if one.waiting} == {COUNT - 9}
    assert told[-1].done == COUNT


async def test_a_pass_that_is_forgotten_takes_nothing_back() -> None:
    """Where others have ended the pass and begun the next before this one looks, what was told stays told."""
    swept = iter([40, 45, 0, 0])

    async def looked_up() -> int:
        return next(swept)

    async def count() -> int:
        return COUNT

    async def look() -> Left:
        return Left(COUNT, 0)

    counts = Counter(scanned=10)
    looking = outlook.Outlook(LaterClock(), counts, looked_up, count, look)
    await looking.begin()
    told = []
    for scanned in (10, 12, 13, 13):
        counts["scanned"] = scanned
        await looking.look()
        told.append(await looking.progress())
    assert_honest(told)
    assert [one.done for one in told] == [40, 45, 46, 46]


async def test_looks_are_rare(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages a run has, it looks at both collections at its first, at its end, and every second."""
    looks: list[datetime] = []
    look_up_holdings = two_collections.look_up_holdings

    async def counted(counts: Any) -> Any:
        looks.append(clock.now())
        return await look_up_holdings(counts)

    monkeypatch.setattr(two_collections, "look_up_holdings", counted)
    clock, told = StandingClock(), []

    def tell(progress: Progress) -> None:
        told.append(progress)
        clock.time += timedelta(seconds=0.1)

    await sweeper(filled, clock=clock, on_progress=tell, partition_size=1000).run()
    assert len(told) > COUNT // 4
    assert 3 <= len(looks) <= len(told) // 10 + 2
    looks.clear()
    await sweeper(filled, clock=clock).run()
    assert len(looks) == 1  # nobody listens: only for the report
