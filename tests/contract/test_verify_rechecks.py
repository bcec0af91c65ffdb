"""What does not agree at first is looked at again: it counts once it has stood; what moves all the time is unknown."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import pytest
from attrs import evolve

from lazymig import ConfigurationError, DeadLetter, Verdict
from lazymig.comparing.comparer import Comparer
from lazymig.control import parts_of
from lazymig.passes.sharing import Share
from lazymig.verifying.flow import Flow
from lazymig.verifying.options import VerifyOptions
from lazymig.verifying.rechecking import GENERATIONS
from tests.sweeps import LaterClock, ThingV2, control, moved, repository, stored, thing
from tests.verifications import (
    DEFECTS,
    MeddlingClock,
    claims,
    fill,
    leave_candidates,
    plain,
    plain_repository,
    plant,
    rows,
    same_code,
    verdicts_of,
    verifier,
)

#: Short enough for one sleep per wait of the recheck.
AGE_S = 0.2
#: Tests of what no driver does differently run on one.
MEMORY = pytest.mark.parametrize("driver", ["mock"])


@pytest.fixture(params=["pymongo", "mock"])
def driver(request: pytest.FixtureRequest) -> str:
    """Rows are recorded by other statements in memory; Motor's are PyMongo's."""
    return str(request.param)


@pytest.fixture
async def filled(database: Any) -> Any:
    """Both sides agree, but for one entity whose V2 is damaged."""
    await fill(database, range(12))
    await database["v2"].update_one({"_id": 3}, {"$set": {"count": 99}})
    return database


def damage(database: Any, count: int) -> Any:
    """Change V2 behind lazymig's back, so that it still does not agree."""
    return partial(database["v2"].update_one, {"_id": 3}, {"$set": {"count": count}})


@MEMORY
async def test_what_agrees_later_is_no_mismatch(filled: Any) -> None:
    """An entity that agrees when it is looked at again is no mismatch, and no row is left of it."""
    clock = MeddlingClock(partial(filled["v2"].replace_one, {"_id": 3}, moved(3)))
    report = await verifier(filled, clock=clock, min_age_s=AGE_S).run()
    assert (report.agrees, report.match, report.rechecked) == (True, 12, 1)
    assert await rows(filled) == []


@MEMORY
async def test_a_deleted_entity_is_no_mismatch(filled: Any) -> None:
    """An entity that is gone from both sides when it is looked at again is no mismatch."""

    async def delete() -> None:
        await filled["v1"].delete_one({"_id": 3})
        await filled["v2"].delete_one({"_id": 3})

    report = await verifier(filled, clock=MeddlingClock(delete), min_age_s=AGE_S).run()
    assert (report.agrees, report.mismatches) == (True, ())
    assert await rows(filled) == []


@MEMORY
async def test_it_counts_once_it_has_stood(filled: Any) -> None:
    """A mismatch that stands is confirmed after the minimum age, and not before."""
    clock = LaterClock()
    began = clock.monotonic()
    unconfirmed: list[Any] = []

    async def look() -> None:
        unconfirmed.extend(await rows(filled))

    watching = MeddlingClock(look)
    report = await verifier(filled, clock=watching, min_age_s=AGE_S).run()
    assert [row.confirmed for row in unconfirmed] == [False]
    (row,) = report.mismatches
    assert row.confirmed
    assert (row.last_at - row.since).total_seconds() >= AGE_S
    assert watching.monotonic() - began >= AGE_S


async def test_a_change_starts_the_age_again(filled: Any) -> None:
    """A mismatch that changes counts only once its new state has stood, and says what is wrong then."""
    clock = MeddlingClock(damage(filled, 100), damage(filled, 101))
    report = await verifier(filled, clock=clock, min_age_s=AGE_S).run()
    assert len([slept for slept in clock.slept if slept > 0.1]) == 3
    (row,) = report.mismatches
    assert (row.verdict, row.confirmed) == (Verdict.DIFFERENT, True)
    assert (row.since - row.first_at).total_seconds() >= 2 * AGE_S


async def test_what_moves_all_the_time_is_unknown(filled: Any) -> None:
    """An entity that has changed at every look is unknown after a bounded number of looks."""
    changes = [damage(filled, count) for count in range(100, 150)]
    clock = MeddlingClock(*changes)
    report = await verifier(filled, clock=clock, min_age_s=AGE_S).run()
    assert verdicts_of(report.mismatches) == {3: (Verdict.UNKNOWN, "", ())}
    assert "changed each time" in report.mismatches[0].reason
    assert len([slept for slept in clock.slept if slept > 0.1]) == GENERATIONS - 1
    again = await verifier(filled, min_age_s=AGE_S).run()
    assert [row.verdict for row in again.mismatches] == [Verdict.DIFFERENT]


async def test_what_moved_all_the_time_must_stand_in_the_next_run(filled: Any) -> None:
    """The last state of an entity that moved all the time does not count at once in the run after that."""
    changes = [damage(filled, count) for count in range(100, 150)]
    assert (await verifier(filled, clock=MeddlingClock(*changes), min_age_s=AGE_S).run()).unknown == 1
    clock = MeddlingClock(partial(filled["v2"].replace_one, {"_id": 3}, moved(3)))
    report = await verifier(filled, clock=clock, min_age_s=AGE_S).run()
    assert (report.agrees, report.mismatches) == (True, ())


@MEMORY
async def test_equal_once_is_enough(filled: Any) -> None:
    """An entity that moves all the time and agrees at one look, at one revision, agrees."""
    back = partial(filled["v2"].replace_one, {"_id": 3}, moved(3))
    clock = MeddlingClock(damage(filled, 100), damage(filled, 101), back, damage(filled, 102))
    report = await verifier(filled, clock=clock, min_age_s=AGE_S).run()
    assert report.agrees
    assert report.finished


@MEMORY
@pytest.mark.parametrize("ahead_s", [-5000, 5000])
async def test_a_clock_that_is_wrong_confirms_nothing_early(filled: Any, ahead_s: float) -> None:
    """A row with the date of a machine whose clock is wrong waits for the minimum age here, and not longer."""
    await leave_candidates(filled, ahead_s=ahead_s)
    seen: list[Any] = []

    async def look() -> None:
        seen.extend(await rows(filled))

    clock = MeddlingClock(look)
    report = await verifier(filled, clock=clock, min_age_s=AGE_S).run()
    assert [row.confirmed for row in seen] == [False]
    assert report.different == 1
    assert len([slept for slept in clock.slept if slept > 0.1]) == 1


async def test_a_confirmed_mismatch_stays_so(filled: Any) -> None:
    """The next run finds a standing mismatch confirmed from the start, and need not wait for it."""
    await verifier(filled, min_age_s=AGE_S).run()
    clock = LaterClock()
    report = await verifier(filled, min_age_s=3600, clock=clock).run()
    assert [row.confirmed for row in await rows(filled)] == [True]
    assert report.different == 1
    assert sum(clock.slept) < 1


@MEMORY
async def test_a_stop_while_waiting(filled: Any) -> None:
    """A verifier that is stopped while it waits returns unfinished; its candidates are kept for the next run."""
    await leave_candidates(filled)
    (run,) = await control(filled).history("things", kind="verify")
    assert (run.finished, run.counts["different"]) == (False, 0)
    assert [(row.id, row.confirmed) for row in await rows(filled)] == [(3, False)]
    report = await verifier(filled).run()
    assert report.different == 1


async def test_a_repair_that_clients_overtake(filled: Any) -> None:
    """An entity that a client changes right after its repair is looked at again, and is no mismatch."""
    repo = plain_repository(filled)
    report = await verifier(filled, repo=repo, repair=True).run()
    assert (report.agrees, report.repaired) == (True, 1)
    assert (await filled["v2"].find_one({"_id": 3}))["count"] == 1


@MEMORY
async def test_repairs_that_settle_nothing_end(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many repairs that settled nothing, the rest is left, because each of them writes V1."""
    monkeypatch.setattr("lazymig.verifying.repairs.UNSETTLED_MAX", 3)
    monkeypatch.setattr("lazymig.verifying.repairs._AT_ONCE", 1)
    numbers = count(1000)  # a conversion that is not deterministic
    fickle = plain(upgrade=lambda v1: ThingV2(v1.id, v1.n, str(next(numbers))))
    repo = plain_repository(filled, migration=fickle)
    report = await verifier(filled, repo=repo, repair=True).run()
    assert report.different == 12
    raised = await filled["v1"].count_documents({"_lazymig_rev": {"$gt": 0}})
    assert raised == 3
    reasons = [row.reason for row in report.mismatches]
    assert sum("did not settle it" in reason for reason in reasons) == raised
    assert sum("too many repairs" in reason for reason in reasons) == 12 - raised


@MEMORY
async def test_nothing_is_repaired_in_vain(filled: Any) -> None:
    """Where V2 is what `upgrade` makes of V1 and another check fails, no repair is tried, and V1 is not written."""
    await filled["v2"].replace_one({"_id": 3}, moved(3))
    never = {"never": lambda v1, v2: False}
    report = await verifier(filled, invariants=never, repair=True).run()
    assert (report.different, report.repaired) == (12, 0)
    assert await filled["v1"].count_documents({"_lazymig_rev": {"$exists": True}}) == 0
    assert all("no repair can settle it" in row.reason for row in report.mismatches)


@MEMORY
async def test_a_repair_ends_with_its_own_part(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repairs after which only the way back fails are no repairs in vain, however many they are."""
    monkeypatch.setattr("lazymig.verifying.repairs.UNSETTLED_MAX", 3)
    monkeypatch.setattr("lazymig.verifying.repairs._AT_ONCE", 1)
    await filled["v1"].update_many({}, {"$unset": {"code": ""}})  # V1's class has a default for it
    await filled["v2"].delete_many({})
    report = await verifier(filled, repair=True).run()
    assert await filled["v2"].count_documents({"count": 1}) == 12
    assert {(row.verdict, row.check) for row in report.mismatches} == {(Verdict.DIFFERENT, "downgrade")}
    assert all("no repair can settle it" in row.reason for row in report.mismatches)


@pytest.mark.parametrize("revision", [1, None])
async def test_a_repair_keeps_what_only_v2_holds(database: Any, revision: int | None) -> None:
    """A program that stores what it read before, with or without the revision of then, takes no note from V2."""
    repo = repository(database)
    await database["v1"].insert_one(thing(1))
    for number in (2, 3):
        await repo.update(1, lambda v2, number=number: evolve(v2, count=number, note="only V2"))
    old = thing(1, 50) if revision is None else thing(1, 50, _lazymig_rev=revision)
    await database["v1"].replace_one({"_id": 1}, old)
    report = await verifier(database, repo=repo, repair=True).run()
    assert (report.agrees, report.repaired) == (True, 1)
    assert await repo.get(1) == ThingV2(1, 50, None, "only V2")


@MEMORY
async def test_a_continued_pass_says_when_it_began(database: Any) -> None:
    """A run that continues a stopped pass says that what was compared before it was not compared again."""
    await fill(database, range(40))
    first = verifier(database, on_progress=lambda _: first.stop())
    assert not (await first.run()).finished
    report = await verifier(database).run()
    assert report.finished
    assert "was not compared again" in report.limits[0]
    assert (await verifier(database).run()).limits == ()


@MEMORY
async def test_a_repair_ends_a_dead_letter(filled: Any) -> None:
    """An entity that agrees after its repair needs no person any more."""
    await parts_of(control(filled)).letters.record([DeadLetter("things", 3, 0, "upgrade", "ValueError", "bad", "n")])
    assert (await verifier(filled, repair=True).run()).repaired == 1
    assert await control(filled).dead_count("things") == 0


@MEMORY
async def test_a_repair_does_not_empty_v2(filled: Any) -> None:
    """Where V1 was dropped or emptied, a repair is refused, and V2 keeps what may be the last copy."""
    before = await stored(filled["v2"])
    await filled["v1"].drop()
    with pytest.raises(ConfigurationError, match="V2 holds 12 entities"):
        await verifier(filled, repair=True).run()
    assert await stored(filled["v2"]) == before
    assert (await verifier(filled).run()).orphan == 12


async def test_a_refused_body(server_database: Any) -> None:
    """What V2 refuses stays dirty after a repair, and the report says so."""
    await fill(server_database, range(4))
    await server_database["v1"].update_many({"_id": {"$in": [1, 2]}}, {"$set": {"code": "one"}})
    await server_database["v2"].update_one({"_id": 1}, {"$set": {"code": "one"}})
    unique = {"unique": True, "partialFilterExpression": {"code": {"$type": "string"}}}
    await server_database["v2"].create_index("code", **unique)
    report = await verifier(server_database, repair=True).run()
    assert verdicts_of(report.mismatches) == {2: (Verdict.DIRTY, "", ())}
    assert "a repair did not settle it" in report.mismatches[0].reason


# Guards of the recheck, each taken away once


async def moving_story(database: Any) -> bool:
    """An entity that agrees at the next look: whether the report says that all agree."""
    await fill(database, range(5))
    await damage(database, 99)()
    clock = MeddlingClock(partial(database["v2"].replace_one, {"_id": 3}, moved(3)))
    return bool((await verifier(database, clock=clock, min_age_s=AGE_S).run()).agrees)


async def aging_story(database: Any) -> bool:
    """An entity that changes at each wait: whether it is never confirmed as different."""
    await fill(database, range(5))
    await damage(database, 99)()
    clock = MeddlingClock(*(damage(database, count) for count in range(100, 120)))
    report = await verifier(database, clock=clock, min_age_s=AGE_S).run()
    return [row.verdict for row in report.mismatches] == [Verdict.UNKNOWN]


async def dying_story(database: Any) -> bool:
    """A process dies right after a checkpoint: whether the next one reports all that the first had compared."""
    await fill(database, range(30))
    planted = await plant(database, range(30), [defect for defect in DEFECTS if not defect.check])

    class Died(Exception):
        pass

    def die(_: Any) -> None:
        raise Died

    dying = verifier(database, on_progress=die, concurrency=1, batch_size=2)
    with pytest.raises(Died):
        await dying.run()
    report = await verifier(database, batch_size=2, clock=LaterClock(60)).run()
    return verdicts_of(report.mismatches) == claims(planted)


async def forgetting_story(database: Any) -> bool:
    """Another run's invariant found something: whether a run without it keeps that."""
    await fill(database, range(5))
    await database["v2"].update_one({"_id": 3}, {"$set": {"code": "gub"}})
    await database["v1"].update_one({"_id": 3}, {"$set": {"code": "bug"}})
    await verifier(database, invariants={"same code": same_code}).run()
    await verifier(database).run()
    return [row.check for row in await rows(database)] == ["same code"]


async def orphan_story(database: Any) -> bool:
    """An orphan with an id of a type that V1 lacks: whether it is found."""
    await fill(database, range(5))
    await database["v2"].insert_one(moved("lost"))
    return (await verifier(database).run()).orphan == 1


async def other_filter_story(database: Any) -> bool:
    """A filtered run was stopped half way: whether a full run still compares everything."""
    await fill(database, range(30))
    await database["v1"].delete_one({"_id": 0})
    stopped = verifier(database, where={"n": 1}, on_progress=lambda _: stopped.stop())
    assert not (await stopped.run()).finished
    return (await verifier(database, clock=LaterClock(60)).run()).orphan == 1


async def older_conversion_story(database: Any) -> bool:
    """A pass of an older release was stopped half way: whether the newer release compares everything by its own."""
    await fill(database, range(30))
    stopped = verifier(database, on_progress=lambda _: stopped.stop())
    assert not (await stopped.run()).finished
    clock = LaterClock(60)
    newer = plain_repository(database, migration=plain(revision=2), clock=clock)
    return (await verifier(database, repo=newer, clock=clock).run()).stale == 30


RECORD, COMPARE, KIND_OF = Flow.record_candidates, Comparer.compare, VerifyOptions.make_pass_kind


async def _record_late(flow: Any, found: list[Any]) -> None:
    now, flow.kept = getattr(flow, "kept", []), found
    await RECORD(flow, now)


async def _sign_alike(comparer: Any, truth: Any, seen: Any) -> Any:
    return evolve(await COMPARE(comparer, truth, seen), signature="alike")


def _ignore_the_release(options: Any, question: Any, _revision: int) -> str:
    return KIND_OF(options, question, 1)


def _share_v1(*given: Any, beside: Any) -> Any:
    return Share(*given)


MUTANTS = {
    "counts at first sight": ("rechecking.Recheck._has_stood", lambda *_, **__: True, moving_story),
    "the age is not reset": ("judging.Comparer.compare", _sign_alike, aging_story),
    "the checkpoint comes first": ("flow.Flow.record_candidates", _record_late, dying_story),
    "every run judges every check": ("examining.Examiner.can_judge", lambda *_: True, forgetting_story),
    "filters share a pass": ("options.VerifyOptions.make_pass_kind", lambda *_: "verify", other_filter_story),
    "releases share a pass": ("options.VerifyOptions.make_pass_kind", _ignore_the_release, older_conversion_story),
    "partitions of V1 only": ("verification.Share", _share_v1, orphan_story),
}


@pytest.mark.parametrize("driver", ["pymongo"])
@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_is_killed(database: Any, monkeypatch: pytest.MonkeyPatch, driver: str, name: str) -> None:
    """The story ends well as verification stands, and badly once the guard is taken away."""
    place, broken, story = MUTANTS[name]
    assert await story(database)
    for collection in ("v1", "v2", "lazymig_control"):
        await database[collection].drop()
    monkeypatch.setattr(f"lazymig.verifying.{place}", broken)
    assert not await story(database)
