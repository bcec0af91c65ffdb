"""A verification of documents that carry both shapes: every kind of defect, and no alarm beside other programs."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from lazymig import ConfigurationError, Control, NotYet, Phase, PhaseError, Verdict
from lazymig.protocol.in_place.repairing import repair
from lazymig.repository import calls_of
from tests.sweeps import LaterClock, ThingV1, ThingV2, control, stored
from tests.verifications import BUG, GUB, MeddlingClock, expected, rows, same_code, verdicts_of
from tests.wholes import (
    NAME,
    OUTSIDE,
    PLANTED,
    filled,
    keeping,
    plant,
    put,
    strict,
    whole_repository,
    whole_things,
    whole_verifier,
)

COUNT = 30
#: Tests of what no driver does differently run on one.
MEMORY = pytest.mark.parametrize("driver", ["mock"])
SERVER = pytest.mark.parametrize("driver", ["pymongo"])
WITHIN = pytest.mark.parametrize("within", [None, "profile"], ids=["beside", "within"])


@WITHIN
async def test_agreement(database: Any, within: str | None) -> None:
    """Two parts that agree are reported so, in any layout of the document; nothing is recorded but the run."""
    migration = whole_things(v2_within=within)
    await filled(database, range(COUNT), migration=migration)
    before = await stored(database[NAME])
    clock = LaterClock()
    repo = whole_repository(database, migration=migration, clock=clock)
    report = await whole_verifier(database, clock=clock, repo=repo, ordered=True).run()
    assert report.agrees
    assert (report.compared, report.match, report.total, report.behind, report.rechecked) == (COUNT, COUNT, COUNT, 0, 0)
    assert (report.mismatches, report.sample, report.limits) == ((), "", ())
    assert await stored(database[NAME]) == before
    (run,) = await control(database).history("things", kind="verify")
    assert run.finished
    assert (run.counts["compared"], run.counts["match"], run.counts["behind"]) == (COUNT, COUNT, 0)


async def test_every_defect_is_named_once(database: Any) -> None:
    """Each kind of defect is found with its verdict, its check, its field and a reason, by each run."""
    await filled(database, range(COUNT))
    planted = await plant(database, range(3, COUNT, 2))
    for _ in range(2):
        report = await whole_verifier(database).run()
        claims = {id: (one.verdict, one.check, one.differences) for id, one in planted.items()}
        assert verdicts_of(report.mismatches) == claims == verdicts_of(await rows(database))
        for one in report.mismatches:
            assert planted[one.id].reason in one.reason, planted[one.id].name
        assert report.needs_person
        assert (report.compared, report.match, report.behind) == (COUNT, COUNT - len(PLANTED), 0)
        assert (report.orphan, report.dirty, report.stale) == (0, 0, 0)


async def test_defects_are_repaired(database: Any) -> None:
    """A repair settles what V1's part can settle, keeps V1's part as it is, and names the rest with the reason."""
    await filled(database, range(COUNT))
    planted = await plant(database, range(3, COUNT, 2))
    before = await stored(database[NAME])
    report = await whole_verifier(database, repair=True).run()
    left = {id: one.after for id, one in planted.items() if one.after is not None}
    assert {one.id: one.verdict for one in report.mismatches} == left
    assert report.repaired == len(planted) - len(left)
    again = await whole_verifier(database).run()
    assert {one.id for one in again.mismatches} == set(left)
    for key, document in (await stored(database[NAME])).items():
        own = {"_lazymig", "count", "note"}
        assert {name: value for name, value in document.items() if name not in own} == {
            name: value for name, value in before[key].items() if name not in own
        }
        if document["_id"] not in left:
            assert (document["count"], document["note"]) == (1, None)


async def test_outside_writers_are_no_alarm(database: Any) -> None:
    """What other programs did to V1's fields is behind, or nothing at all, and never a mismatch."""
    await filled(database, range(COUNT))
    for id, act in enumerate(OUTSIDE.values()):
        await act(database[NAME], id)
    report = await whole_verifier(database).run()
    assert report.agrees
    assert report.mismatches == ()
    assert await rows(database) == []
    # A delete left nothing, and the field of no class changes no fingerprint.
    assert report.behind == len(OUTSIDE) - 2
    assert report.compared == COUNT
    (run, *_) = await control(database).history("things", kind="verify")
    assert run.counts["behind"] == report.behind


@SERVER
async def test_a_repair_stores_what_is_behind(database: Any) -> None:
    """With a repair, what is behind is stored at once and is current then; V1's part stays as it was written."""
    await filled(database, range(COUNT))
    for id, act in enumerate(OUTSIDE.values()):
        await act(database[NAME], id)
    report = await whole_verifier(database, repair=True).run()
    assert report.agrees
    assert (report.behind, report.repaired) == (0, len(OUTSIDE) - 2)
    again = await whole_verifier(database).run()
    assert (again.agrees, again.behind) == (True, 0)
    for document in (await stored(database[NAME])).values():
        assert document["count"] == document["n"]


@SERVER
async def test_writes_while_it_runs(database: Any) -> None:
    """Clients and other programs write all the time between looks, and no alarm is left of it."""
    await filled(database, range(COUNT))
    await database[NAME].update_one({"_id": 5}, {"$set": {"count": 99}})
    repo = whole_repository(database)

    async def write() -> None:
        for id in (1, 5, 9):
            await repo.update(id, lambda v2: evolve(v2, count=v2.count + 1))
            await database[NAME].update_one({"_id": id}, {"$inc": {"n": 1}})

    report = await whole_verifier(database, clock=MeddlingClock(*[write] * 3)).run()
    assert report.agrees
    assert report.rechecked == 1  # the planted one, which a write settled
    assert await rows(database) == []


@MEMORY
async def test_the_round_trip_is_checked(database: Any) -> None:
    """A `downgrade` that loses a value is found by its field, also where V2's part is behind."""

    def lossy(v2: ThingV2) -> ThingV1:
        return ThingV1(v2.id, v2.count, None)

    migration = whole_things(downgrade=lossy)
    await put(database, range(4), code="c")
    await whole_repository(database, migration=migration).get_many([0, 1])
    report = await whole_verifier(database, repo=whole_repository(database, migration=migration)).run()
    claim = (Verdict.DIFFERENT, "downgrade", (("code", "string", "null"),))
    assert verdicts_of(report.mismatches) == dict.fromkeys(range(4), claim)


@MEMORY
async def test_further_checks(database: Any) -> None:
    """What both conversions do wrong shows by an invariant, or by an expectation of somebody else."""
    migration = whole_things(v2_within="profile")
    repo = whole_repository(database, migration=migration)
    await put(database, range(4))
    await put(database, [8], code=BUG)
    await repo.get_many([*range(4), 8])
    assert (await database[NAME].find_one({"_id": 8}))["profile"]["code"] == GUB
    assert (await whole_verifier(database, repo=repo).run()).agrees
    report = await whole_verifier(database, repo=repo, invariants={"same code": same_code}).run()
    assert verdicts_of(report.mismatches) == {8: (Verdict.DIFFERENT, "same code", ())}
    report = await whole_verifier(database, repo=repo, expected=expected).run()
    assert verdicts_of(report.mismatches)[8] == (Verdict.DIFFERENT, "expected", (("code", "string", "string"),))


@SERVER
async def test_what_only_v2_holds_is_kept(database: Any) -> None:
    """Where `upgrade` takes the previous entity, a note that only V2 has is no difference, and a repair keeps it."""
    migration = keeping()
    repo = await filled(database, range(6), migration=migration)
    for id in range(6):
        await repo.update(id, lambda v2: evolve(v2, note="mine"))
    await database[NAME].update_one({"_id": 2}, {"$set": {"count": 99}})
    await database[NAME].update_one({"_id": 3}, {"$set": {"n": 5}})
    report = await whole_verifier(database, repo=repo).run()
    assert verdicts_of(report.mismatches) == {2: (Verdict.DIFFERENT, "upgrade", (("count", "int32", "int32"),))}
    assert report.behind == 1
    report = await whole_verifier(database, repo=repo, repair=True).run()
    assert (report.agrees, report.repaired) == (True, 2)
    assert {one["note"] for one in (await stored(database[NAME])).values()} == {"mine"}
    assert [(await repo.get(id)).count for id in (2, 3)] == [1, 5]


def leaving(v1: ThingV1) -> ThingV2:
    """V1 to V2; negative numbers wait for their users."""
    if v1.n < 0:
        raise NotYet("asks its user")
    return strict(v1)


@MEMORY
async def test_waiting(database: Any) -> None:
    """Entities that wait count as such once that is recorded, and as behind before."""
    migration = whole_things(upgrade=leaving)
    repo = whole_repository(database, migration=migration)
    await put(database, range(4), n=-1)
    await repo.get_many([0, 1], on_error="skip")
    report = await whole_verifier(database, repo=repo).run()
    assert (report.agrees, report.waiting, report.behind) == (True, 2, 2)
    report = await whole_verifier(database, repo=repo, repair=True).run()
    assert (report.repaired, report.behind) == (2, 0)
    report = await whole_verifier(database, repo=repo).run()
    assert (report.waiting, report.behind) == (4, 0)


@MEMORY
async def test_v2_alone(database: Any) -> None:
    """A document whose V2 part is the truth is not compared with V1's part; it must only be readable."""
    await filled(database, range(4))
    alone = whole_repository(database, phase=Phase.V2_ONLY)
    for id in range(3):
        await alone.update(id, lambda v2: evolve(v2, count=7))
    await database[NAME].update_one({"_id": 2}, {"$set": {"count": "x"}})
    clock = LaterClock()
    repo = whole_repository(database, phase=Phase.V2_PRIMARY, clock=clock)
    report = await whole_verifier(database, repo=repo, clock=clock, repair=True).run()
    assert verdicts_of(report.mismatches) == {2: (Verdict.UNKNOWN, "", ())}
    assert "V2 document does not decode" in report.mismatches[0].reason
    assert report.compared == 4
    assert [one["n"] for one in (await stored(database[NAME])).values()] == [1] * 4


@MEMORY
async def test_an_older_conversion_is_behind(database: Any) -> None:
    """V2 parts of an older conversion are behind and stored again by a repair."""
    await filled(database, range(6))
    repo = whole_repository(database, migration=whole_things(revision=2))
    assert (await whole_verifier(database, repo=repo).run()).behind == 6
    assert (await whole_verifier(database, repo=repo, repair=True).run()).repaired == 6
    assert {one["_lazymig"]["conv"] for one in (await stored(database[NAME])).values()} == {2}


@MEMORY
async def test_a_shared_field_as_v2_reads_it(database: Any) -> None:
    """A shared field that V1's part lacks, and that V2's class reads as its default, is no difference."""
    await put(database, range(3))
    await database[NAME].update_many({}, {"$unset": {"code": ""}})
    repo = whole_repository(database)
    await repo.get_many(range(3))
    report = await whole_verifier(database, repo=repo, ordered=True, accept=["missing-default"]).run()
    assert (report.agrees, report.behind, report.compared) == (True, 0, 3)
    assert all("code" not in one for one in (await stored(database[NAME])).values())


@SERVER
async def test_a_repair_takes_the_win_from_a_write_that_began_before(database: Any) -> None:
    """A write that started from the wrong V2 part does not overwrite the repair: it is decided again."""
    repo = await filled(database, range(3))
    await database[NAME].update_one({"_id": 1}, {"$set": {"count": 99}})
    seen: list[int] = []

    async def count_up(v2: ThingV2) -> ThingV2:
        if not seen:
            report = await whole_verifier(database, repair=True).run()
            assert report.repaired == 1
        seen.append(v2.count)
        return evolve(v2, count=v2.count + 1)

    await repo.update(1, count_up)
    assert seen == [99, 1]
    document = await database[NAME].find_one({"_id": 1})
    assert (document["n"], document["count"]) == (2, 2)


@SERVER
async def test_a_refused_repair_says_so(database: Any) -> None:
    """A V2 part that a unique index refuses ends no run; it stays a mismatch with the reason."""
    await filled(database, range(3))
    await database[NAME].update_one({"_id": 0}, {"$set": {"count": 7, "n": 7}})
    await database[NAME].update_one({"_id": 1}, {"$set": {"count": 8}})
    await database[NAME].update_one({"_id": 2}, {"$set": {"count": 9}})
    await database[NAME].update_one({"_id": 1}, {"$set": {"count": 1}})
    await database[NAME].create_index("count", unique=True, sparse=True)
    report = await whole_verifier(database, repair=True).run()
    assert verdicts_of(report.mismatches) == {2: (Verdict.DIFFERENT, "upgrade", (("count", "int32", "int32"),))}
    assert "a repair did not settle it" in report.mismatches[0].reason


@SERVER
async def test_what_is_behind_and_cannot_be_stored(database: Any) -> None:
    """A V2 part that the server refuses does not vanish by itself, so it is a mismatch once a repair has tried it."""
    for id in range(3):
        await put(database, [id], n=id)
    await whole_repository(database).get_many(range(3))
    await put(database, ["new"], n=1)
    await database[NAME].update_one({"_id": 2}, {"$set": {"n": 0}})
    await database[NAME].create_index("count", unique=True, sparse=True)
    report = await whole_verifier(database).run()
    assert (report.agrees, report.behind) == (True, 2)
    report = await whole_verifier(database, repair=True).run()
    assert verdicts_of(report.mismatches) == {"new": (Verdict.MISSING, "", ()), 2: (Verdict.STALE, "", ())}
    assert all("the server refuses V2's part" in one.reason for one in report.mismatches)
    assert (report.behind, report.repaired, report.match) == (0, 0, 2)
    await database[NAME].drop_index("count_1")
    report = await whole_verifier(database, repair=True).run()
    assert (report.agrees, report.behind, report.repaired) == (True, 0, 2)
    assert await rows(database) == []


@SERVER
async def test_a_filter_and_a_sample(database: Any) -> None:
    """A filter and a sample look at their documents only, and the report says what that excludes."""
    await filled(database, range(COUNT))
    await database[NAME].update_many({"_id": {"$gte": 20}}, {"$set": {"count": 9, "colour": "blue"}})
    report = await whole_verifier(database, where={"colour": "red"}).run()
    assert (report.agrees, report.compared) == (True, 20)
    assert report.limits == ("only documents that the filter finds were compared",)
    report = await whole_verifier(database, where={"colour": "blue"}).run()
    assert (report.different, report.compared) == (10, 10)
    report = await whole_verifier(database).run(sample=COUNT)
    assert (report.different, report.compared) == (10, COUNT)
    assert "orphans" not in report.sample


@SERVER
async def test_shards_and_a_stop(database: Any) -> None:
    """Two shards compare all documents once, and a stopped run continues from its checkpoint."""
    await filled(database, range(COUNT))
    await database[NAME].update_one({"_id": 17}, {"$set": {"count": 9}})
    reports = [await whole_verifier(database, shard=(number, 2)).run() for number in range(2)]
    assert (reports[1].different, reports[1].compared) == (1, COUNT)
    stopped = whole_verifier(database, on_progress=lambda _: stopped.stop(), concurrency=1)
    report = await stopped.run()
    assert not report.finished
    assert 0 < report.compared < COUNT
    report = await whole_verifier(database).run()
    assert (report.finished, report.different, report.compared) == (True, 1, COUNT)


async def test_one_read_per_page(watched: Any) -> None:
    """The collection is read once: a page is one statement for both sides of its documents."""
    await filled(watched.database, range(COUNT))
    with watched.sent() as sent:
        report = await whole_verifier(watched.database, batch_size=10, partition_size=1000).run()
    assert report.compared == COUNT
    pages = [one for one in sent if one.command_name == "find" and one.command.get("sort") == {"_id": 1}]
    read = [one for one in pages if one.command["find"] == NAME and "projection" not in one.command]
    assert len(read) == COUNT / 10


@SERVER
async def test_continuously(database: Any) -> None:
    """One pass follows the other, each with a run of its own, and what was behind is looked at again."""
    await filled(database, range(COUNT))
    verifier, seen = whole_verifier(database), []
    async for report in verifier.run_continuously():
        seen.append((report.agrees, report.compared, report.behind))
        await database[NAME].update_one({"_id": len(seen)}, {"$set": {"n": 5}})
        if len(seen) == 3:
            verifier.stop()
    assert seen == [(True, COUNT, 0), (True, COUNT, 1), (True, COUNT, 2)]
    runs = await control(database).history("things", kind="verify")
    assert [run.counts["behind"] for run in runs] == [2, 1, 0]


@MEMORY
async def test_accepted_differences(database: Any) -> None:
    """Differences of form are accepted by name, and the report says how many, also where V2's part is behind."""
    await put(database, range(4))
    await database[NAME].update_many({}, {"$unset": {"code": ""}})
    await whole_repository(database).get_many([0, 1])
    strictly = await whole_verifier(database).run()
    assert (strictly.different, strictly.groups[0].accept) == (4, "missing-null")
    report = await whole_verifier(database, accept=["missing-null:code"]).run()
    assert (report.agrees, report.behind, dict(report.accepted)) == (True, 2, {"missing-null:code": 4})


@MEMORY
async def test_a_repair_leaves_what_is_not_v1s_to_say(database: Any) -> None:
    """V2's part that is the truth, or that a newer release made, stays, even where it is asked for by its id."""
    await filled(database, range(3))
    await whole_repository(database, phase=Phase.V2_ONLY).update(0, lambda v2: evolve(v2, count=7))
    await database[NAME].update_one({"_id": 1}, {"$set": {"_lazymig.conv": 2, "count": 8}})
    before = await stored(database[NAME])
    place = calls_of(whole_repository(database)).place
    assert place is not None
    assert [await repair(place, id) for id in (0, 1, 9)] == [False, False, False]
    assert await stored(database[NAME]) == before
    assert await repair(place, 2)
    assert (await database[NAME].find_one({"_id": 2}))["_lazymig"]["rev"] == 1


@MEMORY
async def test_refusals(database: Any) -> None:
    """A verification is refused where V2's part is not filled, and for what cannot work, with what to do."""
    for phase in (Phase.V1_ONLY, Phase.V2_ONLY):
        with pytest.raises(PhaseError, match="only where V2 is filled"):
            whole_verifier(database, repo=whole_repository(database, phase=phase))
    with pytest.raises(ConfigurationError, match="needs a name of its own"):
        whole_verifier(database, control=Control(database[NAME]))
