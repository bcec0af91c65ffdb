"""A pass finds out whether others read its collections, and goes at its full width only where nobody does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from pymongo.errors import AutoReconnect, OperationFailure

from lazymig import Control
from lazymig.loop.run_queue import give_way
from lazymig.passes.balance import Balance, Room
from lazymig.passes.company import Company, _Count
from lazymig.passes.gate import Gate
from lazymig.passes.helm import Aboard, Helm, State
from lazymig.passes.sounding import Sounding
from lazymig.passes.throttle import Limits, Throttle
from lazymig.stores.rows import Rows
from lazymig.stores.soundings import Soundings, Traffic
from lazymig.telemetry import Tally
from tests.places import place_sweeper
from tests.sweeps import StandingClock, repository, sweeper, thing


class World(Traffic):
    """A server on which a pass and others read so many times a second, without a server."""

    def __init__(self) -> None:
        self.clock = StandingClock()
        self.per_s, self.own_per_s = 0.0, 0.0
        self.began_s = self.clock.monotonic()
        self.reads_of_a_count, self.counts = 2, 0
        self.says, self.siblings = True, 0
        self.company = self.make_company()

    def make_company(self) -> Company:
        return Company(self.clock, self, lambda: round(self.own_per_s * self.elapsed_s), self.count_siblings)

    async def count_siblings(self) -> int:
        return self.siblings

    @property
    def elapsed_s(self) -> float:
        return self.clock.monotonic() - self.began_s

    async def count(self) -> int | None:
        self.counts += 1
        if not self.says:
            return None
        return self.counts * 2 + round((self.per_s + self.own_per_s) * self.elapsed_s)

    async def look_after(self, seconds: float) -> bool | None:
        self.clock.time += timedelta(seconds=seconds)
        await self.company.look()
        return self.company.present


@pytest.mark.parametrize(
    ("per_s", "present", "counts"),
    [(0, False, 2), (25, False, 2), (40, False, 6), (90, True, 4), (200, True, 2), (2000, True, 2)],
)
async def test_the_first_look_shows_it(per_s: float, present: bool, counts: int) -> None:
    """Two counts, a moment apart, are enough, or six where it is not clear; nothing is asked again within a second."""
    world = World()
    world.per_s = per_s
    assert world.company.present is None
    assert await world.look_after(10) is present
    assert (world.counts, sum(world.clock.slept)) == (counts, pytest.approx(0.05 * (counts - 1)))
    assert await world.look_after(0.9) is present
    assert world.counts == counts


async def test_what_the_pass_asks_itself_is_no_company() -> None:
    """However much it asks, and as much for each other process of the pass, a pass is alone."""
    world = World()
    world.own_per_s = 500
    for siblings, others, present in (
        (0, 0, False), (0, 30, False), (0, 100, True), (1, 1000, False), (1, 3000, True), (2, 3000, False),
        (2, 4000, True),
    ):  # fmt: skip
        world.began_s, world.per_s, world.siblings = world.clock.monotonic(), others, siblings
        world.company = world.make_company()
        assert await world.look_after(0) is (None if siblings else present), (siblings, others)
        assert await world.look_after(0.5) is present, (siblings, others)


async def test_a_helm_counts_the_other_processes_of_its_pass(server_database: Any) -> None:
    """Counted are live processes of the same kind and migration, but for the own one; without an answer it is one."""
    clock = StandingClock()
    control = Control(server_database["control"])

    def make(owner: str, kind: str = "sweep", migration: str = "orders", **options: Any) -> Helm:
        aboard = Aboard(
            owner=owner, kind=kind, began=lambda: None, done=lambda: 0, on_wait=_wait, tally=Tally(migration),
        )  # fmt: skip
        return Helm(control, migration, aboard, clock, **options)

    helm, state = make("first"), State("", None, 2, 100)
    assert await helm.count_siblings() == 0
    for other in (
        helm, make("second"), make("third"), make("fourth", "verify"), make("fifth", migration="people"),
        make("sixth", silent=True),
    ):  # fmt: skip
        await other.report(state)
    assert await helm.count_siblings() == 2
    assert await make("sixth", silent=True).count_siblings() == 1
    await server_database["control"].update_many({"kind": "running"}, {"$set": {"shown_until": clock.now()}})
    assert await helm.count_siblings() == 0


async def test_where_the_control_collection_does_not_answer_there_may_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver error while the processes are counted does not end the pass."""

    async def refused(*_: object) -> int:
        raise AutoReconnect("gone")

    monkeypatch.setattr(Rows, "count", refused)
    aboard = Aboard(
        owner="first", kind="sweep", began=lambda: None, done=lambda: 0, on_wait=_wait, tally=Tally("orders"),
    )  # fmt: skip
    helm = Helm(Control(AsyncMongoMockClient()["db"]["control"]), "orders", aboard, StandingClock())
    assert await helm.count_siblings() == 1


@pytest.mark.parametrize(
    ("make", "collection"), [(sweeper, "v1"), (place_sweeper, "both")], ids=["two collections", "one document"]
)
async def test_a_sweep_knows_how_many_reads_are_its_own(
    server_database: Any, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any], collection: str
) -> None:
    """Where nobody else reads, the server counts as many as it has asked; its writes are none of them."""
    counts: list[Any] = []
    count = Company._count

    async def noted(self: Company) -> Any:
        counts.append(await count(self))
        return counts[-1]

    monkeypatch.setattr(Company, "_count", noted)
    await server_database[collection].insert_many([thing(id) for id in range(300)])
    swept = make(server_database, batch_size=20, partition_size=100)
    swept._sweep._helm._sampler = None  # its few reads, one in ten seconds, are beside the pass
    assert (await swept.run()).migrated == 300
    company = swept._sweep._throttle.sounding.company
    await company._count()
    first, last = counts[0], counts[-1]
    assert company.present is False
    assert last.own - first.own > 20
    assert last.reads - first.reads == last.own - first.own


async def _wait() -> None:
    return None


async def test_it_takes_more_to_begin_than_to_go_on() -> None:
    """Others who are there already count as long as they ask at all; after that the pass is alone again."""
    world = World()
    assert await world.look_after(0) is False
    for per_s, present in ((45, False), (100, True), (45, True), (10, False)):
        world.began_s, world.per_s, world.counts = world.clock.monotonic(), per_s, 0
        world.company._own_counts = 0
        world.company._before = _Count(world.clock.monotonic(), 0, 0)
        assert await world.look_after(2) is present, per_s


async def test_a_server_that_does_not_say_it_is_asked_again_after_a_minute() -> None:
    """It stays unknown, and costs a statement a minute."""
    world = World()
    world.says = False
    assert await world.look_after(0) is None
    assert await world.look_after(59) is None
    assert world.counts == 1
    world.says = True
    assert await world.look_after(2) is False


def test_alone_the_pass_goes_at_its_full_width() -> None:
    """It begins with all that its limits allow, and a slow read halves that for a moment only."""
    balance = Balance(2.0)
    balance.note_company(False)
    assert balance.room(2, 1000, 100) == Room(2, 1000, 1.0)
    for number in range(5):
        balance.note_quiet(0.004, number * 0.01)
    for _ in range(3):
        balance.note_busy(0.1, 10.0)
    assert (balance.share, balance.hindered) == (0.5, False)
    for _ in range(20):
        balance.note_busy(0.004, 11.0)
    assert balance.share == 1
    for number in range(30):
        balance.note_busy(0.1, 12.0 + number)
    assert (balance.share, balance.hindered) == (0.25, True)


def test_beside_others_it_goes_in_small_steps() -> None:
    """One batch of 25 documents with rests twice as long, less where reads are slow, and all once the others left."""
    balance = Balance(2.0)
    balance.note_company(True)
    for number in range(5):
        balance.note_quiet(0.004, number * 0.01)
    for number in range(200):
        balance.note_busy(0.004, 10.0 + number)
        assert balance.room(2, 1000, 100) == Room(1, 25, pytest.approx(1 / 3))
    for _ in range(3):
        balance.note_busy(0.1, 300.0)
    assert balance.room(2, 1000, 100) == Room(1, 25, pytest.approx(1 / 6))
    assert balance.room(2, 10, 10).batch == 10
    for number in range(30):
        balance.note_busy(0.1, 400.0 + number)
    assert balance.room(2, 1000, 100) == Room(1, 25, pytest.approx(0.1))
    balance.note_company(False)
    assert balance.room(2, 1000, 100) == Room(2, 1000, 1.0)


async def test_small_steps_give_way() -> None:
    """Beside others few documents are converted at a time, and who waits for the processor goes first."""
    ways: list[bool] = []
    clock = StandingClock()
    asked = Soundings(AsyncMongoMockClient()["db"]["v2"])
    asked.possible = True
    made = Sounding(clock, asked, 2.0, give_way=lambda: ways.append(True))
    made.gate = Gate(lambda: 1)
    assert made.balance is not None
    found = []
    for present in (False, True):
        made.balance.note_company(present)
        async with made.converting:
            found.append([len(some) async for some in made.in_turns(range(22))])
    assert found == [[20, 2], [2] * 11]
    assert len(ways) == 11
    give_way()


async def test_a_server_counts_the_reads_of_all(server_database: Any) -> None:
    """Each read of either collection is counted, also of collections that are not there yet; in memory nothing is."""
    traffic = Traffic([server_database["v1"], server_database["v2"]])
    before = await traffic.count()
    assert before is not None
    await server_database["v1"].insert_one({"_id": 1})
    for _ in range(7):
        await server_database["v1"].find_one({"_id": 1})
    for _ in range(4):
        await server_database["v2"].find_one({"_id": 1})
    after = await traffic.count()
    assert after is not None
    assert after - before == 7 + 4 + traffic.reads_of_a_count
    assert await Traffic([AsyncMongoMockClient()["db"]["v1"]]).count() is None


async def test_who_may_not_ask_goes_on_without(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without that right sweeps all the same."""

    async def refused(_: Any) -> int | None:
        raise OperationFailure("not authorized", 13)

    asked = Traffic([server_database["v1"]])
    monkeypatch.setattr(asked._collections[0].__class__, "aggregate", refused)
    assert await asked.count() is None
    monkeypatch.undo()
    monkeypatch.setattr(Traffic, "count", lambda _: _none())
    await server_database["v1"].insert_many([thing(id) for id in range(30)])
    swept = sweeper(server_database, repo=repository(server_database))
    assert (await swept.run()).migrated == 30
    assert swept._sweep._throttle.sounding.company is not None
    assert swept._sweep._throttle.sounding.company.present is None


async def _none() -> None:
    return None


async def test_a_sweep_beside_readers_says_so(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server counts makes the sweep go in small steps, its progress says why, and everything is moved."""
    reads = [0]

    async def count(_: Traffic) -> int | None:
        reads[0] += 10_000
        return reads[0]

    async def measure_nothing(*_: Any) -> bool:
        return False

    monkeypatch.setattr(Traffic, "count", count)
    # Reads that a busy machine makes slow would be another reason, and so would its pages.
    monkeypatch.setattr(Sounding, "_measure", measure_nothing)
    await server_database["v1"].insert_many([thing(id) for id in range(300)])
    seen = []
    swept = sweeper(server_database, batch_size=200, partition_size=1000, on_progress=seen.append)
    monkeypatch.setattr(swept._sweep._throttle.latency, "note_page", lambda *_: None)
    report = await swept.run()
    assert (report.finished, report.migrated) == (True, 300)
    assert await server_database["v2"].count_documents({}) == 300
    assert {one.throttle for one in seen} == {"others read the same collections, so it goes in small steps"}
    assert (swept._sweep._throttle.concurrency, swept._sweep._throttle.batches.size) == (1, 25)


def test_a_throttle_without_collections_looks_for_nobody() -> None:
    """Only passes that name their collections look around."""
    store = AsyncMongoMockClient()["db"]["v2"]
    made = Throttle(store, Limits(live_slowdown=2.0), lambda: False, StandingClock(), stores=[store])
    assert made.sounding.company is None  # in memory there is nothing to keep in balance
