"""The gradual cut-over: whom V2 answers first, changed at run time, and what dark reads find of each group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig import ConfigurationError, Control, DarkReads, Phase, PhaseError, Repository, Sweeper, Switch
from lazymig.control import parts_of, read_cut_over, sum_up
from lazymig.repository import calls_of
from lazymig.status.looking import looked_up
from lazymig.stores.positions import measure_position
from tests.people import PersonV1, PersonV2, ada_v1, people

IDS = range(1, 21)
STAFF = {1, 2}
#: Those that a quarter chooses.
QUARTER = {id for id in IDS if measure_position(id) < 0.25}

pytestmark = pytest.mark.parametrize("driver", ["mock", "pymongo"])


@frozen
class Fleet:
    """One process that follows a control collection. Each entity holds a note that V1 cannot express."""

    repo: Repository[PersonV1, PersonV2]
    control: Control

    async def set(self, **changes: Any) -> None:
        """Change the cut-over, and let the process look."""
        await self.control.cut_over("people", **changes)
        await calls_of(self.repo).stages.member.exchange()  # type: ignore[attr-defined]

    async def noted(self) -> set[int]:
        """The entities that V2 answers, by every way to read them."""
        found = {id for id in IDS if (person := await self.repo.get(id)) and person.note}
        assert {id for id, person in (await self.repo.get_many(IDS)).items() if person.note} == found
        listed = [person async for person in self.repo.list()]
        assert [person.id for person in listed] == list(IDS)
        assert {person.id for person in listed if person.note} == found
        assert [await self.repo.exists(id) for id in (1, 19, 99)] == [True, True, False]
        assert await self.repo.count() == len(IDS)
        return found


@pytest.fixture
async def fleet(database: Any) -> AsyncIterator[Fleet]:
    """All in V2, in `coexist`, with nothing sampled."""
    control = Control(database["control"])
    control.cohort("staff", STAFF)
    control.cohort("odd", lambda id: id % 2)
    await parts_of(control).phases("people").begin(Phase.COEXIST, by="me", why="a test")
    await database["v1"].insert_many([ada_v1(id) for id in IDS])
    options = {"phase": control, "dark_reads": DarkReads(0, timeout_s=60)}
    repo = Repository(people(), v1=database["v1"], v2=database["v2"], **options)
    async with repo:
        for id in IDS:
            await repo.update(id, lambda person: evolve(person, note="only in V2"))
        yield Fleet(repo, control)


async def test_the_choice_follows_the_record(fleet: Fleet) -> None:
    """Without a record V2 answers for all; then the cohorts and the share choose, forth and back, in one process."""
    assert await fleet.noted() == set(IDS)
    await fleet.set(share=0)
    assert await fleet.noted() == set()
    await fleet.set(cohorts=["staff"])
    assert await fleet.noted() == STAFF
    await fleet.set(share=0.25)
    assert await fleet.noted() == STAFF | QUARTER
    await fleet.set(cohorts=["odd"])
    assert await fleet.noted() == QUARTER | {id for id in IDS if id % 2}
    await fleet.set(share=1, cohorts=[])
    assert await fleet.noted() == set(IDS)


async def test_a_listing_keeps_to_the_choice_for_what_moves(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entity of the rest that is written while its page is read is V1's, and one that is chosen is whole."""
    await fleet.set(share=0, cohorts=["staff"])
    v1 = calls_of(fleet.repo).pair.v1
    find_each, pending = v1.find_each, [1, 3]

    async def moving(ids: Any, question: Any = None) -> Any:
        for id in (pending.pop() for _ in range(len(pending))):
            await fleet.repo.update(id, lambda person: evolve(person, age=99))
        return await find_each(ids, question)

    monkeypatch.setattr(v1, "find_each", moving)
    listed = {person.id: person async for person in fleet.repo.list()}
    assert pending == []
    assert [(listed[id].age, listed[id].note) for id in (1, 3)] == [(36, "only in V2"), (99, None)]


async def test_a_larger_share_only_adds_entities(fleet: Fleet) -> None:
    """An entity that was chosen stays chosen."""
    chosen: set[int] = set()
    for share in (0.1, 0.3, 0.6, 0.9):
        await fleet.set(share=share)
        now = await fleet.noted()
        assert now >= chosen
        chosen = now
    assert 10 < len(chosen) < 20


async def test_writes_keep_what_only_v2_holds(fleet: Fleet) -> None:
    """Also for entities that V1 answers: once they are chosen, nothing is lost."""
    await fleet.set(share=0)
    changed = await fleet.repo.update(3, lambda person: evolve(person, age=50))
    assert changed.age == 50
    answer = await fleet.repo.get(3)
    assert answer is not None
    assert (answer.age, answer.note) == (50, None)
    await fleet.set(share=1)
    answer = await fleet.repo.get(3)
    assert answer is not None
    assert (answer.age, answer.note) == (50, "only in V2")


async def test_a_cohort_that_a_process_does_not_know(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """V1 answers for it there; that is logged once."""
    await fleet.set(share=0, cohorts=["staff", "tenant-7"])
    assert await fleet.noted() == STAFF
    assert await fleet.noted() == STAFF
    assert len([record for record in caplog.records if "tenant-7" in record.getMessage()]) == 1


async def test_a_predicate_that_raises_costs_no_read(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """V1 answers; the error is logged once, without its text."""

    def careless(id: Any) -> bool:
        raise KeyError(f"secret {id}")

    fleet.control.cohort("careless", careless)
    await fleet.set(share=0, cohorts=["careless", "staff"])
    assert await fleet.noted() == STAFF
    found = [record.getMessage() for record in caplog.records if "careless" in record.getMessage()]
    assert found == ["the cohort careless could not be asked: KeyError; V1 answers"]


async def test_dark_reads_count_by_group(fleet: Fleet, database: Any) -> None:
    """Each cohort, the share and the rest have the consistency, the latency and the errors of both sides, published."""
    await fleet.set(share=0.25, cohorts=["staff", "tenant-7"], dark_share=1)
    await database["v2"].update_one({"_id": 1}, {"$set": {"last": "Changed"}})
    for id in IDS:
        await fleet.repo.get(id)
        await calls_of(fleet.repo).drain()
    parts = parts_of(fleet.control)
    standing = await parts.phases("people").find()
    assert standing is not None
    records = await parts.figures("people").find(read_cut_over(standing.settings))
    assert [record.undeclared for record in records] == [("tenant-7",)]
    groups = sum_up(records)
    chosen = QUARTER - STAFF
    assert {name: dict(group.counts) for name, group in groups.items()} == {
        "staff": {"mismatched": 1, "matched": 1},
        "share": {"matched": len(chosen)},
        "rest": {"matched": 20 - len(chosen | STAFF)},
    }
    assert groups["staff"].consistency == 0.5
    for group in groups.values():
        for side in (group.v1, group.v2):
            assert side.asked == side.latency.count == group.counts.total()
            assert side.error_rate == 0
            assert side.latency.quantile(0.99) is not None
    await fleet.set(share=0.5)
    changed = await parts.phases("people").find()
    assert changed is not None
    assert await parts.figures("people").find(read_cut_over(changed.settings)) == []


async def test_looking_and_sweeping_leave_the_figures_alone(fleet: Fleet) -> None:
    """What a page, a plan or a pass in this process builds to look at takes no place among what is published."""
    await fleet.set(share=0.25, dark_share=1)
    for ids in (IDS[:5], IDS[5:10]):  # few enough that none is left out because there are many at once
        for id in ids:
            await fleet.repo.get(id)
            await calls_of(fleet.repo).drain()
        await looked_up(fleet.repo, exact=False)
        await Switch(fleet.repo).plan("advance")
        await Sweeper(fleet.repo).run()
    standing = await fleet.control.standing("people")
    assert standing is not None
    await calls_of(fleet.repo).drain()
    groups = sum_up(await parts_of(fleet.control).figures("people").find(read_cut_over(standing.settings)))
    assert sum(group.counts.total() for group in groups.values()) == fleet.repo.dark_reads.counts["compared"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 1.5}, "share: pass a number from 0 to 1"),
        ({"share": True}, "share: pass a number from 0 to 1"),
        ({"dark_share": -1}, "dark_share: pass a number"),
        ({"cohorts": "staff"}, "pass the names in a list"),
        ({"cohorts": ["a b"]}, "cohort: pass a name"),
        ({"cohorts": ["rest"]}, "cohort: pass a name"),
    ],
)
async def test_what_cannot_work_is_refused(fleet: Fleet, changes: dict[str, Any], message: str) -> None:
    """Nothing is recorded."""
    before = await parts_of(fleet.control).phases("people").find()
    with pytest.raises(ConfigurationError, match=message):
        await fleet.control.cut_over("people", **changes)
    assert await parts_of(fleet.control).phases("people").find() == before


async def test_declarations_that_cannot_work_are_refused(fleet: Fleet) -> None:
    """A name twice, a coroutine function, and what says nothing about ids."""

    async def later(_: Any) -> bool:
        return True

    for name, given in (("staff", [1]), ("later", later), ("text", "abc"), ("number", 7)):
        with pytest.raises(ConfigurationError, match=r"^cohort: "):
            fleet.control.cohort(name, given)  # type: ignore[arg-type]


async def test_where_v2_answers_for_everybody_there_is_nothing_to_choose(fleet: Fleet) -> None:
    """And where no phase is recorded there is no record to change."""
    phases = parts_of(fleet.control).phases("people")
    standing = await phases.find()
    assert standing is not None
    await phases.move(standing, Phase.V2_PRIMARY, by="me", why="a test")
    with pytest.raises(PhaseError, match="in the phase v2_primary V2 answers for everybody"):
        await fleet.control.cut_over("people", share=0.5)
    await fleet.control.cut_over("people", dark_share=0.5)
    with pytest.raises(PhaseError, match="no phase is recorded"):
        await fleet.control.cut_over("others", share=0.5)


async def test_the_record_keeps_who_changed_it_and_why(fleet: Fleet, database: Any) -> None:
    """Beside the history of the phase, whose last change stays the last; a record without them is read as before."""
    await fleet.set(share=0.5, cohorts=["staff", "odd"], by="ada", why="p99 is fine")
    await fleet.set(share=0, dark_share=0.25, cohorts=[])
    standing = await fleet.control.standing("people")
    assert standing is not None
    assert [(one.by, one.why, one.what, one.epoch) for one in standing.changes] == [
        ("ada", "p99 is fine", "share 0.5; cohorts odd, staff", 2),
        ("", "", "share 0.0; dark share 0.25; cohorts none", 3),
    ]
    assert {(one.before, one.after) for one in standing.changes} == {(Phase.COEXIST, Phase.COEXIST)}
    assert (standing.last.epoch, len(standing.history)) == (1, 1)
    assert [one.epoch for one in await Switch(fleet.repo).history()] == [1, 2, 3]
    await database["control"].update_one({"_id": "people/phase"}, {"$unset": {"changes": ""}})
    assert [one.epoch for one in await Switch(fleet.repo).history()] == [1]
