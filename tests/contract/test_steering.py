"""Running passes are steered: paused, resumed and set to another pace, by anybody, in every process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from lazymig import Phase, Repository, Rewriter, Steering
from lazymig.control import BEAT_S, Orders, parts_of
from lazymig.sweeping import older, remainder
from tests.older import alone, document
from tests.sweeps import LaterClock, by_id, control, moved, stored, sweeper, thing
from tests.verifications import fill, verifier
from tests.widening import WIDENING

#: What is sent differs between drivers in nothing that these tests are about; memory has its own sorting.
pytestmark = pytest.mark.parametrize("driver", ["pymongo", "motor", "mock"] if WIDENING.full else ["pymongo"])

COUNT = 60
EVERYTHING = by_id(moved(id) for id in range(COUNT))
ADA = {"by": "ada", "reason": "the shop is slow"}


@pytest.fixture
async def filled(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A database whose V1 holds `COUNT` documents, read by small pages."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 4)
    monkeypatch.setattr(older, "IDS_PER_PAGE", 4)
    await database["v1"].insert_many([thing(id) for id in range(COUNT)])
    return database


class Pauses(LaterClock):
    """Moves on by two seconds with each page, and lets somebody act at the given waits of a paused pass."""

    def __init__(self, **acts: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.acts = {int(name.removeprefix("at_")): act for name, act in acts.items()}
        self.waits = 0
        #: How often it waited behind the last act, which is noticed within a second: two waits.
        self.late = 0

    async def sleep(self, delay_s: float) -> None:
        if delay_s == 0.5:
            self.waits += 1
            self.late = self.waits - max(self.acts, default=0)
            if act := self.acts.get(self.waits):
                await act()
        await super().sleep(delay_s)

    def page(self, _: object = None) -> None:
        """A page was done."""
        self.ahead_s += 2


def steering(database: Any, clock: Any = None) -> Any:
    """The control collection, whose orders are dated by this clock."""
    return control(database, clock or LaterClock(3600))


async def running(database: Any, clock: Any) -> list[Any]:
    """The processes that run."""
    found: list[Any] = await parts_of(control(database, clock)).runners("things").find_all()
    return found


class Pauser:
    """Pauses a sweep once it has moved a dozen, as another process would."""

    def __init__(self, filled: Any, clock: Any) -> None:
        self.filled, self.clock = filled, clock
        self.task: asyncio.Task[Any] | None = None

    def page(self, progress: Any) -> None:
        """Take the progress of a sweep."""
        self.clock.page()
        if progress.migrated >= 12 and self.task is None:
            self.task = asyncio.create_task(steering(self.filled, self.clock).pause("things", **ADA))


async def test_a_paused_sweep_moves_nothing_until_it_is_resumed(filled: Any) -> None:
    """It says who paused it, when and why, in its progress and to those who look; then it moves everything."""
    shown: list[Any] = []
    seen: list[Any] = []

    async def look() -> None:
        seen.append((await stored(filled["v2"]), await running(filled, clock)))

    async def resume() -> None:
        await look()
        assert await steering(filled).resume("things", by="grace")

    clock = Pauses(at_4=look, at_9=resume)
    assert await steering(filled, clock).pause("things", **ADA)
    report = await sweeper(filled, clock=clock, on_progress=shown.append).run()
    assert report.finished
    assert 0 <= clock.late < 2
    assert await stored(filled["v2"]) == EVERYTHING
    paused = [progress for progress in shown if progress.throttle]
    assert {progress.throttle.split(" since ")[0] for progress in paused} == {"paused by ada"}
    assert paused[0].throttle.endswith(" UTC: the shop is slow")
    assert {progress.migrated for progress in paused} == {0}
    assert len(paused) >= 9
    for held, processes in seen:
        assert held == {}
        assert [(one.kind, one.paused, one.throttle) for one in processes] == [("sweep", True, paused[0].throttle)]
    assert await running(filled, clock) == []


async def test_a_pause_begins_while_a_sweep_runs(filled: Any) -> None:
    """It ends after the batches in flight, keeps its partition, and goes on with the rest."""
    held: list[Any] = []

    async def look() -> None:
        held.append(await stored(filled["v2"]))
        row = await filled["lazymig_control"].find_one({"kind": "partition", "owner": {"$ne": None}})
        assert row["state"] == "open"

    async def resume() -> None:
        await look()
        await steering(filled).resume("things", by="ada")

    clock = Pauses(at_8=look, at_20=resume)
    pauser = Pauser(filled, clock)
    report = await sweeper(filled, clock=clock, on_progress=pauser.page).run()
    assert pauser.task is not None
    assert await pauser.task
    assert (report.finished, report.migrated, 0 <= clock.late < 2) == (True, COUNT, True)
    assert held[0] == held[1]
    assert 12 <= len(held[0]) < COUNT
    assert await stored(filled["v2"]) == EVERYTHING


class Hearts(Pauses):
    """Lets hearts beat as time goes on."""

    async def sleep(self, delay_s: float) -> None:
        if delay_s < BEAT_S:
            await super().sleep(delay_s)
            return
        due_s = self.ahead_s + delay_s
        for _ in iter(lambda: self.ahead_s < due_s, False):
            await asyncio.sleep(0)


async def test_a_paused_sweep_keeps_its_lease(filled: Any) -> None:
    """However long it is paused, no other process takes its partition over."""
    taken: list[Any] = []

    async def look() -> None:
        rows = parts_of(control(filled, clock)).passes("things", "sweep")
        taken.append(await rows.acquire((await rows.current() or {})["number"], "other", (0, 1)))

    async def resume() -> None:
        await look()
        await steering(filled).resume("things", by="ada")

    clock = Hearts(at_20=look, at_200=resume)
    report = await sweeper(filled, clock=clock, on_progress=Pauser(filled, clock).page, partition_size=1000).run()
    assert taken == [None, None]
    assert clock.ahead_s > 90
    assert (report.finished, report.migrated) == (True, COUNT)


async def test_a_paused_sweep_can_be_stopped(filled: Any) -> None:
    """It returns at once, gives its partition back, and is no longer shown; the next one is paused as well."""

    async def stop() -> None:
        one.stop()

    for _ in range(2):
        clock = Pauses(at_3=stop)
        await steering(filled, clock).pause("things", **ADA)
        one = sweeper(filled, clock=clock)
        report = await one.run()
        assert (report.finished, report.scanned, clock.waits) == (False, 0, 3)
        assert await filled["lazymig_control"].count_documents({"kind": "partition", "owner": {"$ne": None}}) == 0
        assert await running(filled, clock) == []


async def test_every_process_is_paused(filled: Any) -> None:
    """Two sweepers stand still together, and share the rest without moving anything twice."""
    held: list[Any] = []

    async def look() -> None:
        held.append((len(await stored(filled["v2"])), len(await running(filled, clock))))

    async def resume() -> None:
        await look()
        await steering(filled).resume("things", by="ada")

    clock = Pauses(at_6=look, at_12=resume)  # within a lease: this clock lets no heart beat
    await steering(filled, clock).pause("things", **ADA)
    first, second = await asyncio.gather(*(sweeper(filled, clock=clock).run() for _ in range(2)))
    assert held == [(0, 2), (0, 2)]
    assert first.migrated + second.migrated == COUNT
    assert await stored(filled["v2"]) == EVERYTHING


async def test_a_rate_is_set_and_removed(filled: Any) -> None:
    """A sweep that runs takes up another pace within a second, and reports it; a number above 0, or none."""
    rates: list[Any] = []
    one: Any = None

    def page(_: Any) -> None:
        clock.page()
        limiter = one._sweep._throttle._limiter
        rates.append(
            (None if limiter is None else limiter.max_rate / limiter.time_period, one._sweep._throttle.limited)
        )
        if len(rates) in {2, 5}:
            rate = 500.0 if len(rates) == 2 else None
            tasks.append(asyncio.create_task(steering(filled, clock).set_rate("things", rate, by="ada")))

    clock, tasks = Pauses(), list[Any]()
    one = sweeper(filled, clock=clock, on_progress=page, concurrency=1)
    report = await one.run()
    await asyncio.gather(*tasks)
    kinds = [rate for index, (rate, _) in enumerate(rates) if not index or rate != rates[index - 1][0]]
    assert kinds == [None, pytest.approx(500), None]
    assert all(limited == (rate is not None) for rate, limited in rates)
    assert (report.finished, report.migrated) == (True, COUNT)
    with pytest.raises(ValueError, match="above 0"):
        await steering(filled).set_rate("things", 0, by="ada")


async def test_a_rate_holds_for_the_pass_that_runs(filled: Any) -> None:
    """A process that continues the pass takes it up; the next pass goes by its own options."""
    clock = Pauses()
    first = sweeper(filled, clock=clock, concurrency=1, on_progress=lambda _: first.stop())
    assert not (await first.run()).finished
    clock.ahead_s += 60
    await steering(filled, clock).set_rate("things", 700.0, by="ada")
    clock.ahead_s += 60
    second = sweeper(filled, clock=clock, rate_limit=9000)
    assert (await second.run()).finished
    assert second._sweep._throttle._rate == 700
    third = sweeper(filled, clock=clock, rate_limit=9000)
    clock.ahead_s += 60
    await third.run()
    assert third._sweep._throttle._rate == 9000


async def test_concurrency_is_set(filled: Any) -> None:
    """More batches are in flight from then on, and the process reports it."""
    clock, shown = Pauses(), list[int]()
    one: Any = sweeper(
        filled,
        clock=clock,
        concurrency=1,
        live_slowdown=None,
        on_progress=lambda _: shown.append(one._sweep._throttle.concurrency),
    )
    order = parts_of(steering(filled)).orders("things", "sweep")
    await order.set_concurrency(3, "ada")
    await one.run()
    assert set(shown) == {3}


async def test_orders_are_kept_where_the_control_collection_does_not_answer(
    filled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that was paused stays so, and one that was not goes on."""
    find, answers = Orders.find, []

    async def failing(self: Orders) -> Steering:
        answers.append(None)
        if 2 <= len(answers) <= 4:
            raise AutoReconnect("the server went away")
        return await find(self)

    async def resume() -> None:
        await steering(filled).resume("things", by="ada")

    monkeypatch.setattr(Orders, "find", failing)
    clock = Pauses(at_5=resume)
    await steering(filled, clock).pause("things", **ADA)
    report = await sweeper(filled, clock=clock).run()
    assert len(answers) > 4
    assert clock.waits >= 8
    assert report.finished


async def test_orders_are_read_once_a_second(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many batches there are, a sweep that takes less than a second asks once."""
    find, asked = Orders.find, []

    async def counted(self: Orders) -> Steering:
        asked.append(None)
        return await find(self)

    monkeypatch.setattr(Orders, "find", counted)
    assert (await sweeper(filled, clock=LaterClock(moving=False)).run()).migrated == COUNT
    assert len(asked) <= 2


async def test_marks_wait_as_well(database: Any) -> None:
    """A pause that comes after the last page holds the marks of dead writers and the dead letters."""
    pages = [thing(id) for id in range(3)]
    await database["v1"].insert_many(pages)
    old = LaterClock(-7200).now()
    await database["v2"].insert_one({"_id": 9, "_lazymig": {"rev": 1, "intent": 1, "gone": True, "at": old}})
    held: list[int] = []

    async def resume() -> None:
        held.append(await database["v2"].count_documents({"_id": 9}))
        await steering(database).resume("things", by="ada")

    def last(progress: Any) -> None:
        clock.page()
        if progress.migrated == 3 and not tasks:
            tasks.append(asyncio.create_task(steering(database, clock).pause("things", **ADA)))

    clock, tasks = Pauses(at_5=resume), list[Any]()
    report = await sweeper(database, clock=clock, on_progress=last, partition_size=1000).run()
    assert (held, report.purged) == ([1], 1)


async def test_a_dry_run_waits_and_writes_nothing(filled: Any) -> None:
    """It obeys a pause, and leaves no row behind that says that it runs."""
    seen: list[Any] = []

    async def resume() -> None:
        seen.append(await running(filled, clock))
        await steering(filled).resume("things", by="ada")

    clock = Pauses(at_3=resume)
    await steering(filled, clock).pause("things", **ADA)
    before = await stored(filled["lazymig_control"])
    report = await sweeper(filled, clock=clock, dry_run=True).run()
    assert (report.migrated, seen, 0 <= clock.late < 2) == (COUNT, [[]], True)
    after = await stored(filled["lazymig_control"])
    assert before.keys() == after.keys()


async def test_a_run_that_fails_is_no_longer_shown(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row goes with it; that of a killed one counts for as long as a lease, and is removed later."""
    clock = Pauses()
    failing = sweeper(filled, clock=clock)

    async def put_many(*_: Any, **__: Any) -> Any:
        assert len(await running(filled, clock)) == 1
        raise AutoReconnect("the server went away")

    monkeypatch.setattr(failing._sweep._work._pair.bodies, "put_many", put_many)
    with pytest.raises(AutoReconnect):
        await failing.run()
    assert await running(filled, clock) == []
    runners = parts_of(control(filled, clock)).runners("things")
    state = {"process": "host:1", "of": "sweep", "since": clock.now(), "done": 1, "per_s": 0.0, "paused": False,
             "throttle": "", "rate": None, "concurrency": 2}  # fmt: skip
    await runners.report("killed", state)
    assert len(await running(filled, clock)) == 1
    clock.ahead_s += 3 * BEAT_S + 1
    assert await running(filled, clock) == []
    clock.ahead_s += 600
    await sweeper(filled, clock=clock).run()
    assert await filled["lazymig_control"].count_documents({"kind": "running"}) == 0


async def test_verifications_are_steered(database: Any) -> None:
    """A verification waits while its kind is paused, whatever it compares, and a sweep does not."""
    await fill(database, range(COUNT))
    seen: list[Any] = []

    async def resume() -> None:
        seen.extend(await running(database, clock))
        await steering(database).resume("things", by="ada", kind="verify")

    clock = Pauses(at_4=resume)
    await steering(database, clock).pause("things", kind="verify", **ADA)
    assert (await sweeper(database).run()).finished
    shown: list[str] = []
    ran = verifier(database, clock=clock, where={"n": 1}, on_progress=lambda progress: shown.append(progress.throttle))
    report = await ran.run()
    assert (report.finished, 0 <= clock.late < 2) == (True, True)
    assert [one.kind for one in seen] == ["verify"]
    assert any(reason.startswith("paused by ada") for reason in shown)


async def test_rewriting_passes_are_steered(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rewriting pass waits while its kind is paused, and says so."""
    await database["v1"].insert_many([document(1, id) for id in range(9)])
    members = Repository(alone(persist=True), v1=database["v1"], phase=Phase.V1_ONLY)
    name, shown = members.migration.name, list[str]()

    async def resume() -> None:
        await steering(database).resume(name, by="ada", kind="rewrite")

    clock = Pauses(at_4=resume)
    given = control(database, clock)
    await given.pause(name, kind="rewrite", **ADA)
    rewriting = Rewriter(
        members, control=given, clock=clock, on_progress=lambda progress: shown.append(progress.throttle)
    )
    report = await rewriting.run()
    assert (report.rewritten, 0 <= clock.late < 2) == (9, True)
    assert any(reason.startswith("paused by ada") for reason in shown)
    assert report.throttle == ""


async def test_orders_say_who_gave_them(database: Any) -> None:
    """A second pause does not replace the first; resuming twice is no error; kinds are apart."""
    orders = steering(database)
    assert await orders.steering("things") == Steering()
    assert await orders.pause("things", by="ada", reason="slow")
    assert not await orders.pause("things", by="bob")
    found = await orders.steering("things")
    assert (found.paused, found.paused_by, found.reason) == (True, "ada", "slow")
    assert not (await orders.steering("things", kind="verify")).paused
    assert not (await orders.steering("others")).paused
    assert await orders.resume("things", by="bob")
    assert not await orders.resume("things", by="bob")
    assert await orders.pause("things", by="bob")
    assert (await orders.steering("things")).paused_by == "bob"
