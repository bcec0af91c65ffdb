"""Entities that wait for their users, and entities that stay in V1: what both doors answer and what is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve, frozen

import lazymig
from lazymig import (
    AlreadyExists,
    Control,
    ConversionError,
    Criteria,
    Migration,
    NotFound,
    NotYet,
    Phase,
    Repository,
    Sweeper,
    Verdict,
    Verifier,
)
from lazymig.cli.explaining import explanation
from lazymig.comparing.comparer import Comparer
from lazymig.control import parts_of
from lazymig.dark.contests import Outcome
from lazymig.dark.looking import compare_once
from lazymig.protocol import purge
from lazymig.repository import calls_of
from lazymig.stores.counts import Counts
from lazymig.stores.drivers import await_if_needed
from lazymig.stores.records import DeadLetter
from lazymig.sweeping.retry import retry_dead
from tests.layouts import META, Layout, settle
from tests.people import PersonV1, PersonV2, ada, ada_v1, join, people, split
from tests.sweeps import LaterClock

LONG_AGO = datetime(2024, 1, 1)
Open = Callable[..., Any]
FILLED = (Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY)
BEFORE = (Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW, Phase.COEXIST)
BOTH = pytest.mark.parametrize("driver", ["pymongo", "mock"])
_DRIVEN = (("pymongo", Phase.COEXIST), ("pymongo", Phase.V2_PRIMARY), ("motor", Phase.COEXIST))
_IN_MEMORY = [("mock", phase, Layout.TWO) for phase in (*BEFORE, Phase.V2_PRIMARY)]
_IN_MEMORY += [("mock", phase, Layout.ONE) for phase in (Phase.V1_ONLY, *FILLED)]
_PLACES = [*((*driven, layout) for driven in _DRIVEN for layout in Layout if driven[0] != "motor"), *_IN_MEMORY]
_PLACES += [("motor", Phase.COEXIST, Layout.TWO)]
#: Every phase in memory, and by the drivers those that send most kinds of statements.
EVERY = pytest.mark.parametrize(("driver", "every", "layout"), _PLACES)
FILLING = pytest.mark.parametrize(("driver", "every", "layout"), [each for each in _PLACES if each[1] in FILLED])
BOTH_LAYOUTS = pytest.mark.parametrize(
    ("driver", "layout"), [*((driver, Layout.TWO) for driver in ("pymongo", "mock")), ("mock", Layout.ONE)]
)


def decide(v1: PersonV1, previous: PersonV2 | None = None) -> PersonV2 | lazymig.Leave:
    """Let the name decide."""
    if v1.name.startswith("Left"):
        return lazymig.LEAVE
    if v1.name.startswith("Wait"):
        raise NotYet("no last name")
    return split(v1, previous)


async def decide_later(v1: PersonV1) -> PersonV2 | lazymig.Leave:
    """The same, async and without the previous entity."""
    return decide(v1)


def deciding(**changed: Any) -> Migration[PersonV1, PersonV2]:
    """The migration."""
    return people(upgrade=decide, **changed)


async def opened(
    database: Any, phase: Phase, layout: Layout = Layout.TWO, **options: Any
) -> Repository[PersonV1, PersonV2]:
    """A repository over one person who converts, one who waits and one who stays; in V2 where it lists by V2."""
    names = {1: "Ada Lovelace", 2: "Wait Please", 3: "Left Out"}
    await database["v1"].insert_many([ada_v1(id, name=name) for id, name in names.items()])
    given = {"migration": deciding(), **options}
    if phase in (Phase.V2_PRIMARY, Phase.V2_ONLY):
        if layout is Layout.TWO:
            await Sweeper(layout.open(database, **given)).run()
        await layout.fill(database, given["migration"])
    return layout.open(database, **given, phase=phase)


async def meta_of(database: Any, id: int, layout: Layout = Layout.TWO) -> Any:
    """V2's meta data without the parts that differ from run to run."""
    stored = await database["v1" if layout is Layout.ONE else "v2"].find_one({"_id": id})
    if stored is None:
        return None
    if layout is Layout.ONE:
        # The revision rises by random steps.
        meta = {"rev": "written" if stored[META]["rev"] else 0}
        return {name: stored[META][name] for name in stored[META] if name not in ("by", "of")} | meta
    return {name: stored[META][name] for name in stored[META] if name != "by"}


def rename(name: str) -> Callable[[PersonV1], PersonV1]:
    """A change of V1's name."""
    return lambda person: evolve(person, name=name)


@EVERY
async def test_each_door_sees_its_own(database: Any, every: Phase, layout: Layout) -> None:
    """V1's door serves all three; V2's door none that is left, and says of a waiting one what to do."""
    repo = await opened(database, every, layout)
    assert await repo.get(3) is None
    with pytest.raises(ConversionError, match=r"waits for its user: no last name; pass .*supply\(\)") as caught:
        await repo.get(2)
    assert isinstance(caught.value.cause, NotYet)
    assert caught.value.cause.reason == "no last name"
    many = await repo.get_many([3, 2, 1], on_error="return")
    assert list(many) == [2, 1]
    assert isinstance(many[2], ConversionError)
    for id in (1, 2, 3):
        assert await repo.v1.get(id) is not None
        assert await repo.v1.exists(id)
    assert [await repo.exists(1), await repo.exists(2)] == [True, True]
    errors: list[Any] = []
    assert [one.id async for one in repo.list(on_error=errors.append)] == [1]
    assert [error.id for error in errors] == ([] if every is Phase.V2_PRIMARY else [2])
    assert [one.id async for one in repo.v1.list()] == [1, 2, 3]
    assert await repo.v1.count() == 3
    assert await repo.count() == (1 if every is Phase.V2_PRIMARY else 3)


@EVERY
async def test_writes_of_v2s_door(database: Any, every: Phase, layout: Layout) -> None:
    """One that is left is not found, and its id is taken; one that waits cannot be changed, and can be replaced."""
    repo = await opened(database, every, layout)
    for write in (
        lambda: repo.update(3, lambda person: person), lambda: repo.replace(ada(3)), lambda: repo.delete(3),
        lambda: repo.supply(3, ada(3)), lambda: repo.supply(9, ada(9)),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await write()
    for id in (2, 3):
        with pytest.raises(AlreadyExists):
            await repo.insert(ada(id))
    with pytest.raises(ConversionError, match="waits for its user"):
        await repo.update(2, lambda person: person)
    assert (await repo.v1.get(3)) == PersonV1(3, "Left Out", 36, ["math"])
    assert await repo.replace(ada(2)) == ada(2)
    assert await repo.get(2) == ada(2)
    assert await repo.v1.get(2) == join(ada(2))
    await repo.delete(2)
    assert not await repo.v1.exists(2)


@EVERY
async def test_supply_moves_only_what_waits(database: Any, every: Phase, layout: Layout) -> None:
    """What is supplied is stored in both; a second supply, or one of an entity that converts, replaces nothing."""
    repo = await opened(database, every, layout)
    with pytest.raises(TypeError, match="another id"):
        await repo.supply(2, ada(1))
    assert await repo.supply(2, ada(2, first="Grace")) == ada(2, first="Grace")
    for id in (1, 2):
        with pytest.raises(AlreadyExists):
            await repo.supply(id, ada(id, first="Eve"))
    assert await repo.v1.get(2) == join(ada(2, first="Grace"))
    assert await repo.get(1) == ada(1)


@FILLING
async def test_nothing_is_stored_as_a_body(database: Any, every: Phase, layout: Layout) -> None:
    """V2 records why there is no body, at V1's revision and without a mark; after V1's write it is looked at anew."""
    repo = await opened(database, every, layout)
    for id in (2, 3):
        try:
            await repo.get(id)
        except ConversionError:
            assert id == 2
    assert await meta_of(database, 2, layout) == at(layout, 0) | {"unmoved": "waiting", "reason": "no last name"}
    assert await meta_of(database, 3, layout) == at(layout, 0) | {"unmoved": "left"}
    if layout is Layout.ONE:
        assert await database["v1"].find_one({"_id": 3}, {META: 0}) == ada_v1(3, name="Left Out")
    else:
        assert set(await database["v2"].find_one({"_id": 3})) == {"_id", META}
    await settle(repo)
    # In two collections, V1 answers in `shadow`, without a conversion.
    assert await repo.exists(3) == ((layout, every) == (Layout.TWO, Phase.SHADOW))
    await repo.v1.update(3, rename("Ada King"))
    assert await repo.get(3) == ada(3, last="King")
    await repo.v1.update(3, rename("Wait Again"))
    assert await meta_of(database, 3, layout) == at(layout, 2) | {
        "unmoved": "waiting", "reason": "no last name", "kept": {"conv": 1, "body": body_of(ada(3, last="King"))},
    }  # fmt: skip
    assert 3 not in await layout.find_bodies(database)


def at(layout: Layout, revision: int) -> dict[str, Any]:
    """The meta data of an entity without a body."""
    if layout is Layout.ONE:
        return {"rev": "written" if revision else 0}
    return {"rev": revision, "intent": revision, "gone": True}


def body_of(person: PersonV2) -> dict[str, Any]:
    """The body that V2 stores of a person."""
    return {"first": person.first, "last": person.last, "age": person.age, "tags": person.tags, "note": person.note}


@FILLING
async def test_a_write_of_v1s_door_is_no_error(database: Any, every: Phase, layout: Layout) -> None:
    """Whatever becomes of the entity in V2, V1's write is acknowledged, and V2 answers no more with the body before."""
    repo = await opened(database, every, layout)
    await repo.update(1, lambda person: evolve(person, note="only V2 has it"))
    await repo.v1.update(1, rename("Left Now"))
    assert await repo.get(1) is None
    assert [one.id async for one in repo.list(on_error="skip")] == []
    await repo.v1.replace(PersonV1(1, "Wait Now"))
    with pytest.raises(ConversionError, match="waits"):
        await repo.get(1)
    await repo.v1.update(1, rename("Ada Lovelace"))
    assert (await layout.find_bodies(database))[1]["note"] == "only V2 has it"
    await repo.v1.insert(PersonV1(4, "Wait Please"))
    await repo.v1.insert(PersonV1(5, "Left Out"))
    assert (await meta_of(database, 4, layout))["unmoved"] == "waiting"
    assert await repo.get(5) is None


@FILLING
async def test_a_failed_write_leaves_the_record(database: Any, every: Phase, layout: Layout) -> None:
    """A refused update or insert announces nothing that stays, and the body before is still kept."""
    repo = await opened(database, every, layout)
    await repo.update(1, lambda person: evolve(person, note="n"))
    await repo.v1.update(1, rename("Wait Now"))
    before = await meta_of(database, 1, layout)
    with pytest.raises(ConversionError):
        await repo.update(1, lambda person: person)
    with pytest.raises(AlreadyExists):
        await repo.insert(ada(1))
    with pytest.raises(AlreadyExists):
        await repo.v1.insert(PersonV1(1, "Eve Ng"))
    assert await meta_of(database, 1, layout) == before
    await repo.v1.update(1, rename("Left Now"))
    before = await meta_of(database, 1, layout)
    with pytest.raises(NotFound):
        await repo.delete(1)
    assert await meta_of(database, 1, layout) == before


@BOTH
async def test_a_raised_revision_is_asked_again(database: Any) -> None:
    """What an older conversion decided stands for nothing: reads and sweeps of the newer one decide again."""
    repo = await opened(database, Phase.COEXIST)
    await Sweeper(repo).run()
    newer = Repository(
        people(revision=2, upgrade=lambda v1, previous: split(v1, previous)), v1=database["v1"], v2=database["v2"],
        phase=Phase.COEXIST,
    )  # fmt: skip
    assert await newer.get(2) == ada(2, first="Wait", last="Please")
    assert (await meta_of(database, 2)).get("unmoved") is None
    report = await Sweeper(newer).run()
    assert report.reconverted == 2  # person 1, and the one who was left
    assert await newer.get(3) == ada(3, first="Left", last="Out")
    assert await meta_of(database, 3) == {"rev": 0, "intent": 0, "conv": 2}


@BOTH_LAYOUTS
async def test_an_older_release_leaves_a_newer_decision(database: Any, layout: Layout) -> None:
    """A release meets what a newer one decided, and trusts it."""
    await opened(database, Phase.COEXIST, layout)
    await layout.fill(database, deciding(revision=2))
    older = layout.open(database, people())
    assert await older.get(3) is None
    with pytest.raises(ConversionError, match="no last name"):
        await older.get(2)


@pytest.mark.parametrize("every", FILLED)
@pytest.mark.parametrize("driver", ["mock"])
async def test_a_raised_revision_is_asked_again_in_one_document(database: Any, every: Phase) -> None:
    """Reads of the newer conversion decide again, also about what it was decided to leave."""
    await opened(database, Phase.V2_PRIMARY, Layout.ONE)
    newer = Layout.ONE.open(database, people(revision=2), phase=every)
    assert await newer.get(3) == ada(3, first="Left", last="Out")
    assert await newer.get_many([1, 2]) == {1: ada(1), 2: ada(2, first="Wait", last="Please")}
    for id in (1, 2, 3):
        assert await meta_of(database, id, Layout.ONE) == {"rev": 0, "conv": 2}


@pytest.mark.parametrize("driver", ["mock", "pymongo"])
async def test_in_v2_only_one_document_still_waits_or_stays(database: Any) -> None:
    """V2's part has never been its truth: V1's decides, and what is supplied is the truth from then on."""
    repo = await opened(database, Phase.V2_ONLY, Layout.ONE)
    assert await repo.get(3) is None
    with pytest.raises(ConversionError, match="waits for its user"):
        await repo.get(2)
    assert [await repo.exists(id) for id in (1, 2, 3)] == [True, True, False]
    assert [await repo.count(), [one.id async for one in repo.list()]] == [1, [1]]
    for write in (lambda: repo.delete(3), lambda: repo.update(3, lambda person: person)):
        with pytest.raises(NotFound):
            await write()
    with pytest.raises(ConversionError, match="waits for its user"):
        await repo.v1.update(1, rename("Wait Now"))
    assert await repo.get(1) == ada(1)
    assert await repo.supply(2, ada(2)) == ada(2)
    assert await meta_of(database, 2, Layout.ONE) == at(Layout.ONE, 1) | {"alone": "people"}
    assert [one.id async for one in repo.list()] == [1, 2]


@BOTH
async def test_a_sweep_counts_them(database: Any) -> None:
    """They are recorded and counted, are neither dead nor remaining, and a second sweep finds nothing to do."""
    repo = await opened(database, Phase.COEXIST)
    rehearsed = await Sweeper(repo, dry_run=True).run()
    assert (rehearsed.migrated, rehearsed.waiting, rehearsed.left, rehearsed.dead) == (1, 1, 1, 0)
    report = await Sweeper(repo).run()
    assert (report.migrated, report.waiting, report.left, report.dead) == (1, 1, 1, 0)
    assert (report.remaining, report.dirty, report.dead_letters) == (0, 0, 0)
    again = await Sweeper(repo).run()
    assert (again.present, again.migrated, again.waiting, again.left, again.healed, again.purged) == (3, 0, 0, 0, 0, 0)
    marked = await Counts(calls_of(repo).pair.bodies).count_marked()
    assert (marked.waiting, marked.left, marked.dirty, marked.tombstones) == (1, 1, 0, 0)
    assert "lazymig_unmoved" in await database["v2"].index_information() or "mock" in type(database).__module__


@BOTH
async def test_an_open_write_over_one_counts_as_dirty(database: Any) -> None:
    """A writer that died leaves a mark; the sweep heals it, and the entity is what it was."""
    repo = await opened(database, Phase.COEXIST)
    await Sweeper(repo).run()
    pair = calls_of(repo).pair
    await pair.ledger.ticket(3)
    marked = await Counts(pair.bodies).count_marked()
    assert (marked.left, marked.dirty) == (0, 1)
    await database["v2"].update_one({"_id": 3}, {"$set": {f"{META}.at": LONG_AGO}})
    report = await Sweeper(repo).run()
    assert (report.healed, report.purged) == (1, 0)
    assert (await meta_of(database, 3)) == {"rev": 2, "intent": 2, "gone": True, "unmoved": "left"}


@BOTH
async def test_never_purged_while_v1_holds_it(database: Any) -> None:
    """A purge takes a record for a tombstone only once V1 lacks the entity; after V1's delete it is one."""
    repo = await opened(database, Phase.COEXIST)
    await Sweeper(repo).run()
    pair = calls_of(repo).pair
    seen = await pair.ledger.ticket(2)
    old = seen._replace(at=LONG_AGO)
    assert not await purge(pair, old, timedelta(hours=1))
    await repo.v1.delete(2)
    meta = await meta_of(database, 2)
    assert meta["gone"]
    assert "unmoved" not in meta
    assert "at" in meta


@BOTH
async def test_dead_letters_are_not_made_of_them(database: Any) -> None:
    """A dead letter goes once its entity waits or is left."""
    repo = await opened(database, Phase.COEXIST)
    control = Control(database["lazymig_control"])
    letters = [DeadLetter("people", id, 0, "upgrade", "ValueError", "it failed before", "") for id in (2, 3)]
    await parts_of(control).letters.record(letters)
    report = await Sweeper(repo, control=control).run()
    assert report.dead_letters == 0


@BOTH
async def test_verification_has_verdicts_for_them(database: Any) -> None:
    """Recorded, they agree and are counted; not recorded, V2 lacks them; a repair records them."""
    repo = await opened(database, Phase.COEXIST)

    def verifier(**options: Any) -> Verifier[PersonV1, PersonV2]:
        return Verifier(repo, clock=LaterClock(), **options)

    found = {one.id: (one.verdict, one.reason) for one in (await verifier().run()).mismatches}
    assert found == {
        1: (Verdict.MISSING, ""),
        2: (Verdict.MISSING, "it waits for its user (no last name); the next sweep records that"),
        3: (Verdict.MISSING, "`upgrade` leaves it; the next sweep records that"),
    }
    repaired = await verifier(repair=True).run()
    assert (repaired.repaired, repaired.needs_person) == (3, False)
    report = await verifier().run()
    assert (report.match, report.waiting, report.left, report.agrees) == (3, 1, 1, True)
    await database["v1"].update_one({"_id": 3}, {"$set": {"name": "Ada King"}})
    (other,) = (await verifier().run()).mismatches
    assert (other.verdict, other.check) == (Verdict.DIFFERENT, "upgrade")
    assert (await verifier(repair=True).run()).agrees
    assert await repo.get(3) == ada(3, last="King")


@BOTH
async def test_a_record_of_what_v1_lacks_is_an_orphan(database: Any) -> None:
    """Another program deleted the entity: the record is found, and the repair buries it."""
    repo = await opened(database, Phase.COEXIST)
    await Sweeper(repo).run()
    await database["v1"].delete_one({"_id": 3})
    report = await Verifier(repo, clock=LaterClock(), repair=True).run()
    assert (report.orphan, report.repaired) == (0, 1)
    assert "unmoved" not in await meta_of(database, 3)


@BOTH
async def test_what_a_user_supplied_is_never_repaired_away(database: Any) -> None:
    """Where `upgrade` still says that it waits, verification cannot tell who is right, and leaves V2's entity alone."""

    def needs_note(v1: PersonV1) -> PersonV2:
        raise NotYet("no note")

    repo = await opened(database, Phase.COEXIST, migration=people(upgrade=needs_note))
    await repo.supply(1, ada(1, note="given by its user"))
    report = await Verifier(repo, clock=LaterClock(), repair=True).run()
    (found,) = [one for one in report.mismatches if one.id == 1]
    assert found.verdict is Verdict.UNKNOWN
    assert "let upgrade take the previous V2 entity" in found.reason
    assert await repo.get(1) == ada(1, note="given by its user")


@pytest.mark.parametrize(
    ("driver", "every", "layout"),
    [*((driver, phase, Layout.TWO) for driver in ("pymongo", "mock") for phase in BEFORE),
     ("pymongo", Phase.COEXIST, Layout.ONE), *(("mock", phase, Layout.ONE) for phase in (Phase.V1_ONLY, *FILLED))],
)  # fmt: skip
async def test_a_limit_counts_what_v2s_door_knows(database: Any, every: Phase, layout: Layout) -> None:
    """A page of two is full although every other entity is left, in any order, and the next one follows it."""
    rows = [ada_v1(id, name="Left Out" if id % 2 else "Ada King", age=id % 5) for id in range(20)]
    await database["v1"].insert_many(rows)
    repo = layout.open(database, deciding(), phase=every)
    known = [one.id async for one in repo.list()]
    assert known == list(range(0, 20, 2))
    for sort in (None, "age", "-age"):
        expected = [one.id async for one in repo.list(sort=sort)]
        found: list[int] = []
        while page := [one.id async for one in repo.list(sort=sort, limit=3, after=found[-1] if found else None)]:
            assert len(page) == 3 or len(found) + len(page) == len(expected)
            found += page
        assert found == expected
    if every is Phase.COEXIST:  # V2 has recorded all, so pages of two collections hold ids only
        await layout.fill(database, deciding())
        assert [one.id async for one in repo.list(limit=4)] == [0, 2, 4, 6]


@BOTH
async def test_v2_alone(database: Any) -> None:
    """What has no body does not exist there, and V1's door cannot write what V2 cannot hold."""
    before = await opened(database, Phase.COEXIST)
    await Sweeper(before).run()
    repo = Repository(deciding(), v1=database["v1"], v2=database["v2"], phase=Phase.V2_ONLY)
    assert [await repo.get(id) for id in (2, 3)] == [None, None]
    assert [await repo.exists(id) for id in (1, 2, 3)] == [True, False, False]
    assert [await repo.count(), await repo.v1.count(), await repo.v1.exists(3)] == [1, 1, False]
    with pytest.raises(ConversionError, match="waits for its user"):
        await repo.v1.update(1, rename("Wait Now"))
    with pytest.raises(ConversionError, match="returned LEAVE, and only V2 is written"):
        await repo.v1.insert(PersonV1(7, "Left Out"))
    with pytest.raises(AlreadyExists):
        await repo.supply(1, ada(1))
    with pytest.raises(NotFound):
        await repo.supply(2, ada(2))
    assert await repo.insert(ada(3)) == ada(3)
    assert await repo.get(1) == ada(1)
    assert set(await meta_of(database, 3)) == {"rev", "intent"}


@BOTH_LAYOUTS
async def test_an_async_upgrade_decides_as_well(database: Any, layout: Layout) -> None:
    """Async or not, with the previous entity or without: the outcomes are the same."""
    checked = {"checked": True} if layout is Layout.TWO else {}
    repo = await opened(database, Phase.COEXIST, layout, migration=people(upgrade=decide_later), **checked)
    assert await repo.get(3) is None
    for _ in range(2):
        with pytest.raises(ConversionError, match="no last name"):
            await repo.get(2)
    await database["v1"].update_one({"_id": 3}, {"$set": {"name": "Ada King"}})  # from outside, without a revision
    assert await repo.get(3) == ada(3, last="King")
    await database["v1"].update_one({"_id": 3}, {"$set": {"name": "Left Again"}})
    assert await repo.get(3) is None
    assert (await meta_of(database, 3, layout))["unmoved"] == "left"


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_the_counts_need_no_scan(database: Any) -> None:
    """Counting and listing them goes by the sparse index."""
    repo = await opened(database, Phase.COEXIST)
    await Sweeper(repo).run()
    found = await calls_of(repo).pair.bodies.unmoved("waiting", 10)
    assert [(one.id, one.unmoved.reason if one.unmoved else None) for one in found] == [(2, "no last name")]
    assert await calls_of(repo).pair.bodies.unmoved("waiting", 10, 2) == []
    explained = await database.command(
        "explain", {"find": "v2", "filter": {f"{META}.unmoved": "waiting"}}, verbosity="queryPlanner"
    )
    assert "lazymig_unmoved" in str(explained["queryPlanner"]["winningPlan"])


@frozen
class _Text:
    """What a reason may be made of by mistake."""

    text: str

    def __str__(self) -> str:
        return self.text


@BOTH
async def test_any_reason_can_be_stored(database: Any) -> None:
    """Too long a reason is cut, and one that UTF-8 cannot hold fails nobody's statement."""

    def upgrade(v1: PersonV1) -> PersonV2:
        raise NotYet(_Text("\ud800" + "x" * 1000))  # type: ignore[arg-type]

    repo = await opened(database, Phase.COEXIST, migration=people(upgrade=upgrade))
    report = await Sweeper(repo).run()
    assert (report.waiting, report.dead) == (3, 0)
    assert (await meta_of(database, 1))["reason"] == "?" + "x" * 499


@BOTH_LAYOUTS
async def test_criteria_find_v1s_matching_ones(database: Any, layout: Layout) -> None:
    """A listing by criteria leaves out what is left as well, and reports a waiting one that matches."""
    repo = await opened(database, Phase.COEXIST, layout)
    question = Criteria(v1={"age": 36}, v2={"age": 36})
    with pytest.raises(ConversionError, match="waits"):
        [one async for one in repo.list(question)]
    assert [one.id async for one in repo.list(question, on_error="skip")] == [1]


@BOTH_LAYOUTS
async def test_reads_count_them(database: Any, layout: Layout) -> None:
    """What a read records is counted by what it is, one by one and together; no other counter moves."""
    repo = await opened(database, Phase.COEXIST, layout)
    assert await repo.get(3) is None
    assert list(await repo.get_many([1, 2, 3], on_error="skip")) == [1]
    assert dict(repo.tally.counts) == {"lazymig.left": 1, "lazymig.waiting": 1, "lazymig.migrated": 1}


@BOTH
async def test_a_dark_read_finds_them_equal(database: Any) -> None:
    """Both sides agree that an entity waits or stays, once V2 has recorded it; before, V2 lacks it."""
    repo = await opened(database, Phase.COEXIST)
    pair = calls_of(repo).pair
    comparer: Comparer[PersonV1, PersonV2] = Comparer(pair.conversions)
    assert [(await compare_once(pair, comparer, id)).outcome for id in (2, 3)] == [Outcome.MISSING] * 2
    await Sweeper(repo).run()
    assert [(await compare_once(pair, comparer, id)).outcome for id in (2, 3)] == [Outcome.MATCHED] * 2


@BOTH
async def test_a_dead_letter_says_what_a_retry_would_do(database: Any) -> None:
    """`show --explain` says that the entity waits or stays; the retry records that, and the letter goes."""
    repo = await opened(database, Phase.COEXIST)
    control = Control(database["lazymig_control"])
    letters = [DeadLetter("people", id, 0, "upgrade", "ValueError", "it failed before", "") for id in (2, 3)]
    await parts_of(control).letters.record(letters)
    assert [await explanation(repo, letter) for letter in letters] == [
        "it waits for its user (no last name): lazymig dead-letters retry records that",
        "`upgrade` leaves it: lazymig dead-letters retry records that",
    ]
    assert await retry_dead(repo, control) == 2


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_rewrite_keeps_the_record(database: Any) -> None:
    """A document that is stored in a newer version by itself stays one that waits, at V1's new revision."""
    chain = lazymig.upcasters({1: lambda document: {**document, "name": "Wait Please"}}, field="version", persist=True)
    v1 = await _versioned(database, chain)
    await Sweeper(v1).run()
    await lazymig.Rewriter(v1).run()
    assert (await database["v1"].find_one({"_id": 1}))["version"] == 2
    meta = await meta_of(database, 1)
    assert (meta["rev"], meta["intent"], meta["unmoved"]) == (1, 1, "waiting")


async def _versioned(database: Any, chain: Any) -> Repository[Any, Any]:
    @frozen
    class Versioned:
        id: int
        name: str
        version: int = 2

    def upgrade(v1: Versioned) -> PersonV2:
        raise NotYet("no last name")

    def downgrade(v2: PersonV2) -> Versioned:
        return Versioned(v2.id, v2.first)

    await database["v1"].insert_one({"_id": 1, "version": 1})
    migration = Migration(
        name="people", v1=Versioned, v2=PersonV2, upgrade=upgrade, downgrade=downgrade, upcasters=chain
    )
    return Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)


@pytest.mark.parametrize(
    ("driver", "layout"), [("pymongo", Layout.TWO), ("motor", Layout.TWO), ("pymongo", Layout.ONE)]
)
async def test_in_a_transaction(database: Any, layout: Layout) -> None:
    """A refused insert aborts nothing, also where V1 lacks what V2 has recorded; what is supplied is committed."""
    repo = await opened(database, Phase.COEXIST, layout)
    await layout.fill(database, deciding())
    await database["v1"].delete_one({"_id": 3})  # by another program
    async with await await_if_needed(database.client.start_session()) as session:
        started = session.start_transaction()
        async with await await_if_needed(started):
            bound = repo.with_session(session)
            with pytest.raises(AlreadyExists):
                await bound.insert(ada(2))
            await bound.insert(ada(3))
            await bound.supply(2, ada(2))
            await bound.v1.update(1, rename("Left Now"))
            assert await bound.get(1) is None
    assert await repo.get_many([1, 2, 3]) == {2: ada(2), 3: ada(3)}
    assert (await meta_of(database, 1, layout))["unmoved"] == "left"
