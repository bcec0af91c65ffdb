"""V2 down, hanging or slow: what V1 can answer is answered, what V1 has is acknowledged, and nobody waits for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import evolve, frozen
from pymongo.errors import AutoReconnect, NetworkTimeout, PyMongoError

from lazymig import Control, Criteria, Phase, PhaseError, Repository, Verifier
from lazymig.control import Suspicion, parts_of
from lazymig.loop.breaker import FAILURES
from lazymig.repository import calls_of
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.switching.outages import allow_degrading, forbid_degrading
from lazymig.switching.waiting import NotAcknowledged, RollCall
from tests.clocks import standing_loop
from tests.layouts import Layout
from tests.people import PersonV1, PersonV2, TestClock, ada, ada_v1, people, split

People = Repository[PersonV1, PersonV2]
#: A migration whose V2 holds nothing that V1 cannot express: V1's answer is whole.
WHOLE = people(upgrade=lambda v1: split(v1))
#: The steps of V2's store that reads and the last steps of writes use.
READS = ("find", "find_many", "find_each", "open_marks", "page", "count", "put_if_absent", "put_many", "now")
LAST = ("apply", "apply_many", "bury")
ADAS = Criteria(v1={"name": {"$regex": "^Ada"}}, v2={"first": "Ada"})

pytestmark = pytest.mark.parametrize("driver", ["mock"])


@pytest.fixture
def layout() -> Layout:
    """A second collection that is away."""
    return Layout.TWO


@pytest.fixture(autouse=True)
async def standing() -> AsyncIterator[None]:
    """Time passes only while V2 hangs, however slow the machine is."""
    with standing_loop():
        yield


async def hang(*_: Any, **__: Any) -> Any:
    """V2 does not answer, for as long as anybody waits."""
    loop: Any = asyncio.get_running_loop()
    while True:
        loop.time.move(0.02)
        await asyncio.sleep(0)


async def refuse(*_: Any, **__: Any) -> Any:
    """V2 cannot be reached."""
    raise AutoReconnect("gone")


class Away:
    """Takes V2's steps away, and counts how often they are asked for."""

    def __init__(self, people: People, how: Callable[..., Any], names: tuple[str, ...]) -> None:
        self.asked = 0
        self._how = how
        self._store: Any = calls_of(people).pair.bodies
        for name in names:
            setattr(self._store, name, self._ask)
        self._names = names

    async def _ask(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        return await self._how()

    def back(self) -> None:
        """V2 answers again."""
        for name in self._names:
            delattr(self._store, name)


@pytest.fixture
async def opened(database: Any, open_repository: Any) -> Callable[..., Any]:
    """Opens a repository on two people whom V2 holds."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await open_repository(database, migration=WHOLE).get_many([1, 2])

    def make(phase: Phase, **options: Any) -> People:
        defaults = {"migration": WHOLE, "phase": phase, "coalesce": False, "timeout_s": 6.0, "clock": TestClock()}
        found: People = open_repository(database, **(defaults | options))
        return found

    return make


@pytest.mark.parametrize("how", [hang, refuse])
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY], ids=str)
async def test_a_read_that_v1_can_answer_is_answered(opened: Any, phase: Phase, how: Any) -> None:
    """By default, in every phase in which V1 is exact, by both doors: reads, listings and counts."""
    repo = opened(phase)
    Away(repo, how, READS)
    assert await repo.get(1) == ada(1)
    assert await repo.get(9) is None
    assert await repo.get_many([1, 2, 9]) == {1: ada(1), 2: ada(2)}
    assert [await repo.exists(id) for id in (1, 9)] == [True, False]
    assert [person async for person in repo.list(ADAS, sort=("name", "first"))] == [ada(1), ada(2)]
    assert await repo.count(ADAS) == 2
    assert (await repo.v1.get(1)).name == "Ada Lovelace"  # type: ignore[union-attr]
    assert len(await repo.v1.get_many([1, 2])) == 2
    assert [person.id async for person in repo.v1.list()] == [1, 2]


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY], ids=str)
async def test_after_some_failures_nobody_waits_for_v2(opened: Any, phase: Phase) -> None:
    """V2 is not asked for a moment, by any verb; then one read probes, and its answer lets all ask again."""
    clock = TestClock()
    repo = opened(phase, clock=clock)
    away = Away(repo, refuse, READS)
    for _ in range(FAILURES):
        await repo.get(1)
    assert away.asked == FAILURES
    for _ in range(20):
        assert await repo.get(1) == ada(1)
        assert await repo.get_many([1]) == {1: ada(1)}
        assert len([person async for person in repo.list()]) == 2
    assert away.asked == FAILURES
    await clock.sleep(1)
    await asyncio.gather(*(repo.get(1) for _ in range(5)))
    assert away.asked == FAILURES + 1
    away.back()
    await clock.sleep(1)
    await repo.get(1)
    assert calls_of(repo).pair.breaker.closed


async def test_reads_that_hang_at_the_same_time_open_it_too(opened: Any) -> None:
    """A crowd waits once, and those after it do not wait."""
    repo = opened(Phase.COEXIST)
    away = Away(repo, hang, READS)
    assert await asyncio.gather(*(repo.get(1) for _ in range(20))) == [ada(1)] * 20
    asked = away.asked
    assert await repo.get(2) == ada(2)
    assert away.asked == asked


@pytest.mark.parametrize("how", [hang, refuse])
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.COEXIST], ids=str)
async def test_a_write_with_its_ticket_is_acknowledged(opened: Any, database: Any, phase: Phase, how: Any) -> None:
    """V1 has it; V2 is behind and dirty, so that no read believes it, and follows once it is back."""
    repo = opened(phase)
    away = Away(repo, how, (*LAST, "find"))
    assert (await repo.update(1, lambda person: evolve(person, age=40))).age == 40
    await repo.delete(2)
    await repo.insert(ada(3))
    stored = {row["_id"]: row["_lazymig"] async for row in database["v2"].find({})}
    assert all(meta["rev"] < meta["intent"] for meta in stored.values())
    away.back()
    fresh = opened(Phase.COEXIST)
    assert await fresh.get_many([1, 2, 3]) == {1: ada(1, age=40), 3: ada(3)}


async def test_a_migration_that_remembers_is_not_answered_by_v1_unasked(opened: Any) -> None:
    """V1's answer may lack what only V2 holds. With `v2_wait_s` the user accepts that."""
    repo = opened(Phase.COEXIST, migration=people())
    Away(repo, refuse, READS)
    with pytest.raises(AutoReconnect):
        await repo.get(1)
    accepting = opened(Phase.COEXIST, migration=people(), v2_wait_s=0.05)
    Away(accepting, hang, READS)
    assert await accepting.get(1) == ada(1)


@pytest.mark.parametrize("how", [hang, refuse])
async def test_in_shadow_its_reads_do_not_wait_for_v2_either(opened: Any, how: Any) -> None:
    """There V1 answers in any case, so that what V2 remembers is no reason to wait: the breaker opens."""
    repo = opened(Phase.SHADOW, migration=people(), timeout_s=20, max_attempts=1)
    pair = calls_of(repo).pair
    assert pair.breaker is None
    assert pair.aside_wait_s == 1.0
    object.__setattr__(pair, "aside_wait_s", 0.01)
    away = Away(repo, how, READS)
    async with asyncio.timeout(15):  # less than one read takes that waits
        for _ in range(FAILURES):
            assert await repo.get(1) == ada(1)
            assert await repo.get_many([1]) == {1: ada(1)}
    assert away.asked == FAILURES


async def test_in_v2_only_there_is_nobody_else_to_ask(opened: Any) -> None:
    """V1 is stale: the error is the caller's, each time."""
    repo = opened(Phase.V2_ONLY)
    calls_of(repo).pair.alone.find = refuse
    for _ in range(2 * FAILURES):
        with pytest.raises(AutoReconnect):
            await repo.get(1)


# ---- writes that go to V1 alone --------------------------------------------------------------------------------------


@frozen
class Degrading:
    """A process in `shadow` that follows a control collection, and V2's store."""

    repo: People
    control: Control
    clock: TestClock

    @property
    def _parts(self) -> Any:
        return parts_of(self.control)

    async def standing(self) -> Any:
        """The phase's record."""
        return await self._parts.phases("people").find()

    async def follow(self) -> None:
        """Let the process look at the record, and acknowledge it."""
        await calls_of(self.repo).stages.member.exchange()  # type: ignore[attr-defined]

    async def _switch(self, change: Any, *further: Any) -> Any:
        roll = RollCall(self._parts, "people", print)
        sleep = self.clock.sleep

        async def follow(delay_s: float) -> None:
            await sleep(delay_s)
            await self.follow()

        self.clock.sleep = follow  # type: ignore[method-assign]
        try:
            made = await change(self._parts.phases("people"), await self.standing(), roll, *further, 5.0)
        finally:
            del self.clock.sleep
        await self.follow()
        return made

    async def allow(self) -> Any:
        """Let writes go to V1 alone."""
        return await self._switch(allow_degrading)

    async def forbid(self) -> Any:
        """Let none any more."""
        return await self._switch(forbid_degrading, self.clock)


@pytest.fixture
async def degrading(database: Any) -> AsyncIterator[Degrading]:
    """Two people, whom V2 holds."""
    clock = TestClock()
    control = Control(database["control"], clock)
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await parts_of(control).phases("people").begin(Phase.SHADOW, by="me", why="a test")
    repo = Repository(
        WHOLE, v1=database["v1"], v2=database["v2"], phase=control, coalesce=False, timeout_s=1, clock=clock
    )
    async with repo:
        await repo.get_many([1, 2])
        yield Degrading(repo, control, clock)


TICKETS = ("ticket", "vacant_ticket", "raise_intent", "find")


@pytest.mark.parametrize("how", [hang, refuse])
async def test_by_default_a_write_that_cannot_be_announced_fails(degrading: Degrading, how: Any) -> None:
    """Nothing is written."""
    Away(degrading.repo, how, TICKETS)
    with pytest.raises(PyMongoError):
        await degrading.repo.update(1, lambda person: evolve(person, age=40))
    assert await degrading.repo.get(1) == ada(1)
    assert "suspect_since" not in (await degrading.standing()).settings


@pytest.mark.parametrize("how", [hang, refuse])
async def test_by_choice_v1_takes_the_write_alone(degrading: Degrading, database: Any, how: Any) -> None:
    """Updates, inserts and deletes; V2 is suspect, durably, from before the first one."""
    await degrading.allow()
    seen: list[object] = []
    change = V1Store.compare_and_set

    async def note(store: Any, *arguments: Any, **options: Any) -> bool:
        seen.append((await degrading.standing()).settings.get("suspect_since"))
        return await change(store, *arguments, **options)

    Away(degrading.repo, how, TICKETS)
    calls_of(degrading.repo).pair.v1.compare_and_set = note.__get__(calls_of(degrading.repo).pair.v1)  # type: ignore[method-assign]
    assert (await degrading.repo.update(1, lambda person: evolve(person, age=40))).age == 40
    await degrading.repo.delete(2)
    await degrading.repo.insert(ada(3))
    assert await degrading.repo.get_many([1, 2, 3]) == {1: ada(1, age=40), 3: ada(3)}
    assert seen == [(await degrading.standing()).settings["suspect_since"]]
    assert seen[0] is not None
    # V2 has missed the update and the delete; the entity that was inserted came by a read.
    assert {row["_id"]: row["age"] async for row in database["v2"].find({})} == {1: 36, 2: 36, 3: 36}
    assert degrading.repo.tally.counts["lazymig.degraded"] == 3


async def test_nothing_is_written_where_it_cannot_be_recorded(degrading: Degrading, monkeypatch: Any) -> None:
    """The control collection is away as well: the write fails."""
    await degrading.allow()
    Away(degrading.repo, refuse, TICKETS)
    monkeypatch.setattr(Suspicion, "record", refuse)
    with pytest.raises(AutoReconnect):
        await degrading.repo.update(1, lambda person: evolve(person, age=40))
    assert await degrading.repo.get(1) == ada(1)


async def test_an_outage_of_v1_says_nothing_about_v2(degrading: Degrading) -> None:
    """Where V1 cannot be read, the write fails, and V2 does not become suspect."""
    await degrading.allow()
    v1 = calls_of(degrading.repo).pair.v1
    v1.find_local = refuse  # type: ignore[method-assign]
    with pytest.raises(AutoReconnect):
        await degrading.repo.update(1, lambda person: evolve(person, age=40))
    del v1.find_local
    assert (await degrading.standing()).settings.get("suspect_since") is None
    assert (await degrading.repo.update(1, lambda person: evolve(person, age=41))).age == 41


async def test_a_write_whose_outcome_is_unknown_is_not_made_again(degrading: Degrading) -> None:
    """Once a statement was sent that changes V1, its error is the caller's."""
    await degrading.allow()
    calls_of(degrading.repo).pair.v1.compare_and_set = refuse  # type: ignore[method-assign]
    with pytest.raises(AutoReconnect):
        await degrading.repo.update(1, lambda person: evolve(person, age=40))
    assert "suspect_since" not in (await degrading.standing()).settings


async def test_an_announcement_is_no_permission(degrading: Degrading) -> None:
    """Until every process takes nothing from V2 for granted, no write goes to V1 alone."""
    phases = parts_of(degrading.control).phases("people")
    await phases.change(await degrading.standing(), settings={"degrade": "announced"})
    await degrading.follow()
    Away(degrading.repo, refuse, TICKETS)
    with pytest.raises(PhaseError, match="writes may not go to V1 alone now"):
        await degrading.repo.update(1, lambda person: evolve(person, age=40))
    assert await degrading.repo.get(1) == ada(1)


async def test_it_waits_for_every_process(degrading: Degrading) -> None:
    """A process that still works by the record before may trust V2."""
    phases, parts = parts_of(degrading.control).phases("people"), parts_of(degrading.control)
    await phases.change(await degrading.standing(), settings={"share": 0.5})  # which nobody acknowledges
    with pytest.raises(NotAcknowledged):
        await allow_degrading(phases, await degrading.standing(), RollCall(parts, "people", print), 0.0)
    assert not (await degrading.standing()).settings.get("degrade")


async def test_only_in_shadow(degrading: Degrading) -> None:
    """Elsewhere V2 answers, or nobody could tell that V2 is suspect."""
    phases, parts = parts_of(degrading.control).phases("people"), parts_of(degrading.control)
    moved = await phases.move(await degrading.standing(), Phase.COEXIST, by="me", why="a test")
    assert moved is not None
    with pytest.raises(PhaseError, match="only in shadow"):
        await allow_degrading(phases, moved, RollCall(parts, "people", print), 0.0)


async def test_v2_is_suspect_until_it_was_verified_afterwards(degrading: Degrading, database: Any) -> None:
    """Switched off, V2 counts as suspect from that moment; writes take nothing from it, and a repair settles it."""
    await degrading.allow()
    away = Away(degrading.repo, refuse, TICKETS)
    await degrading.repo.delete(2)
    away.back()
    began = (await degrading.standing()).settings["suspect_since"]
    await degrading.clock.sleep(60)
    made = await degrading.forbid()
    assert made.settings["degrade"] is False
    assert made.settings["suspect_since"] > began
    # V2 still holds the deleted entity, and is clean: an insert that trusted it would be refused.
    stored = await database["v2"].find_one({"_id": 2})
    assert stored["_lazymig"]["rev"] == stored["_lazymig"]["intent"]
    await degrading.repo.insert(ada(2, age=1))
    assert await degrading.repo.get(2) == ada(2, age=1)
    await degrading.repo.delete(2)
    report = await Verifier(degrading.repo, repair=True, min_age_s=0).run()
    assert report.finished
    async with Repository(WHOLE, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST) as later:
        assert await later.get_many([1, 2]) == {1: ada(1)}


def test_the_steps_are_those_of_the_store(driver: str) -> None:
    """A step that is renamed must not leave these tests without an outage."""
    assert [name for name in (*READS, *LAST, *TICKETS) if not hasattr(V2Store, name)] == []
    assert issubclass(NetworkTimeout, AutoReconnect)


async def test_switching_off_half_way_leaves_v2_suspect(degrading: Degrading) -> None:
    """An operator that dies meanwhile leaves a record by which no verification counts; the next one completes it."""
    await degrading.allow()
    away = Away(degrading.repo, refuse, TICKETS)
    await degrading.repo.delete(2)
    away.back()
    phases, roll = parts_of(degrading.control).phases("people"), RollCall(parts_of(degrading.control), "people", print)
    with pytest.raises(PhaseError):  # nobody acknowledges it in time
        await forbid_degrading(phases, await degrading.standing(), roll, degrading.clock, 0.0, by="ada", why="V2 is up")
    half_way = (await degrading.standing()).settings
    assert half_way["degrade"] == "announced"
    await degrading.clock.sleep(60)
    made = await degrading.forbid()
    assert made.settings["degrade"] is False
    assert made.settings["suspect_since"] > half_way["suspect_since"]
    assert [(one.what, one.by, one.why) for one in made.changes] == [
        ("on-outage degrade", "", ""), ("on-outage fail", "ada", "V2 is up"), ("on-outage fail", "", ""),
    ]  # fmt: skip
