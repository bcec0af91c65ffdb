"""A full verification: every kind of defect, ids of every type, filters, repair, and what it leaves in control."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, Int64, ObjectId
from bson.codec_options import CodecOptions

from lazymig import ConfigurationError, Phase, PhaseError, Verdict, Verifier
from lazymig.stores.scans import Scan
from lazymig.stores.verdicts import AGREEING
from tests.sweeps import LaterClock, control, moved, stored, thing
from tests.verifications import (
    DEFECTS,
    claims,
    expected,
    fill,
    plain_repository,
    plant,
    rows,
    same_code,
    verdicts_of,
    verifier,
)

COUNT = 30
#: Tests of what no driver does differently run on one.
MEMORY = pytest.mark.parametrize("driver", ["mock"])
SERVER = pytest.mark.parametrize("driver", ["pymongo"])


async def test_agreement(database: Any) -> None:
    """Two sides that agree are reported so, nothing is recorded but the run, and both collections are as before."""
    await fill(database, range(COUNT))
    before = await stored(database["v1"]), await stored(database["v2"])
    report = await verifier(database).run()
    assert report.agrees
    assert not report.needs_person
    assert (report.compared, report.match, report.total, report.rechecked) == (COUNT, COUNT, COUNT, 0)
    assert (report.mismatches, report.groups, report.sample, report.limits) == ((), (), "", ())
    assert await rows(database) == []
    assert (await stored(database["v1"]), await stored(database["v2"])) == before
    (run,) = await control(database).history("things", kind="verify")
    assert run.finished
    assert (run.counts["compared"], run.counts["match"], run.counts["sample"], run.counts["filtered"]) == (
        COUNT, COUNT, 0, 0,
    )  # fmt: skip


async def test_every_defect_is_named_once(database: Any) -> None:
    """Each kind of defect is found with its verdict, its check and its field, by the first run and by the second."""
    await fill(database, range(COUNT))
    planted = await plant(database, range(3, COUNT, 2))
    for _ in range(2):
        report = await verifier(database, expected=expected).run()
        assert verdicts_of(report.mismatches) == claims(planted)
        assert verdicts_of(await rows(database)) == claims(planted)
        assert all(row.confirmed for row in await rows(database))
        assert report.finished
        assert not report.agrees
        assert report.needs_person
        counts = {verdict: getattr(report, verdict) for verdict in Verdict if verdict not in AGREEING - {Verdict.MATCH}}
        assert counts == {
            "match": COUNT + 1 - len(DEFECTS), "missing": 1, "stale": 2, "different": 4, "orphan": 2, "dirty": 1,
            "unknown": 0,
        }  # fmt: skip
        assert report.compared == COUNT + 1


async def test_defects_are_repaired(database: Any) -> None:
    """A repair settles every defect but one that the conversions themselves have, and forgets what it settled."""
    await fill(database, range(COUNT))
    planted = await plant(database, range(3, COUNT, 2))
    report = await verifier(database, expected=expected, repair=True).run()
    left = {id: defect for id, defect in planted.items() if not defect.repairable}
    assert report.repaired == len(planted) - len(left)
    assert verdicts_of(report.mismatches) == claims(left) == verdicts_of(await rows(database))
    assert "no repair can settle it" in report.mismatches[0].reason
    again = await verifier(database, expected=expected).run()
    assert verdicts_of(again.mismatches) == claims(left)
    live = {id for id, document in (await stored(database["v2"])).items() if not document["_lazymig"].get("gone")}
    assert live == set(await stored(database["v1"]))


@MEMORY
async def test_a_bug_on_both_sides(database: Any) -> None:
    """What both conversions do wrong shows by an invariant only, or by an expectation of somebody else."""
    await fill(database, range(8))
    planted = await plant(database, [5], [defect for defect in DEFECTS if defect.check == "expected"])
    assert (await verifier(database).run()).agrees
    report = await verifier(database, invariants={"same code": same_code}).run()
    assert verdicts_of(report.mismatches) == {5: (Verdict.DIFFERENT, "same code", ())}
    report = await verifier(database, expected=expected).run()
    assert verdicts_of(report.mismatches) == claims(planted)


@MEMORY
async def test_a_run_without_a_check_says_nothing_about_it(database: Any) -> None:
    """A run that does not make another run's check neither reports nor forgets what that check found."""
    await fill(database, range(8))
    await plant(database, [5], [defect for defect in DEFECTS if defect.check == "expected"])
    await verifier(database, invariants={"same code": same_code}).run()
    before = await rows(database)
    assert (await verifier(database).run()).agrees
    assert await rows(database) == before != []


MIXED = [
    -5, 0, 7, Int64(2**40), "a", "b$c", "", ObjectId(), ObjectId("0" * 24), UUID(int=5), UUID(int=9), b"bytes", b"",
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 4])
async def test_ids_of_every_type(database: Any, size: int) -> None:
    """Ids of all types are matched, also those that V1 or V2 lacks."""
    ids = [Binary.from_uuid(id) if isinstance(id, UUID) else id for id in MIXED]
    await fill(database, ids)
    report = await verifier(database, batch_size=size).run()
    assert (report.compared, report.match) == (len(ids), len(ids))
    await database["v1"].delete_many({"_id": {"$in": ids[::2]}})
    await database["v2"].delete_many({"_id": {"$in": ids[1::2]}})
    report = await verifier(database, batch_size=size).run()
    assert {repr(one.id): one.verdict for one in report.mismatches} == {
        **{repr(raw(id)): Verdict.ORPHAN for id in ids[::2]},
        **{repr(raw(id)): Verdict.MISSING for id in ids[1::2]},
    }


def raw(id: Any) -> Any:
    """As rows hold it."""
    return bytes(id) if isinstance(id, Binary) and id.subtype == 0 else id


async def test_numbers_that_are_one_id(server_database: Any) -> None:
    """To MongoDB 5, int64 5 and 5.0 are one id, so each is one entity, and not a missing one and an orphan."""
    database = server_database
    await database["v1"].insert_many([thing(4), thing(5), thing(6)])
    await database["v2"].insert_many([moved(Int64(4)), moved(5), moved(6.0)])
    report = await verifier(database).run()
    assert (report.compared, report.match) == (3, 2)
    # The class takes no double as an id.
    assert verdicts_of(report.mismatches) == {6: (Verdict.UNKNOWN, "", ())}


async def test_orphans_where_v1_has_nothing(database: Any) -> None:
    """V2's entities are found in types of ids that V1 lacks, and where V1 is empty."""
    await fill(database, range(3))
    lost = ["x", ObjectId()]
    await database["v2"].insert_many([moved(id) for id in lost])
    report = await verifier(database).run()
    assert verdicts_of(report.mismatches) == dict.fromkeys(lost, (Verdict.ORPHAN, "", ()))
    await database["v1"].delete_many({})
    report = await verifier(database).run()
    assert (report.orphan, report.compared, report.match) == (5, 5, 0)


@SERVER
async def test_remainders_are_no_entities(database: Any) -> None:
    """Tombstones and placeholders agree with a V1 that lacks the entity; where V1 holds it, V2 lacks it."""
    await fill(database, range(4))
    gone = {"_lazymig": {"rev": 1, "intent": 1, "gone": True}}
    await database["v2"].insert_many([{"_id": "tombstone", **gone}, {"_id": "taken", **gone}])
    await database["v2"].insert_one({"_id": "placeholder", "_lazymig": {"rev": -1, "intent": 1, "gone": True}})
    await database["v1"].insert_one(thing("taken"))
    report = await verifier(database).run()
    assert verdicts_of(report.mismatches) == {"taken": (Verdict.MISSING, "", ())}
    assert report.compared == 5


@SERVER
async def test_parts_are_bounded(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many documents one side has between two of the other, no statement reads more than a few."""
    await fill(database, [0, 1000, 2000])
    await database["v2"].insert_many([moved(id) for id in range(1, 100)])
    await database["v1"].insert_many([thing(id) for id in range(1001, 1050)])
    find_part, sizes = Scan.find_part, []

    async def counted(self: Any, where: Any, limit: int, make: Any) -> Any:
        part = await find_part(self, where, limit, make)
        if "$in" not in repr(where.get("_id")):  # by ranges, and not by the ids of what is looked at again
            sizes.append(len(part.documents))
        return part

    monkeypatch.setattr(Scan, "find_part", counted)
    report = await verifier(database, batch_size=4, partition_size=1000).run()
    assert (report.orphan, report.missing, report.match) == (99, 49, 3)
    assert len(sizes) > 40
    assert max(sizes) <= 8
    assert len({repr(row.id) for row in await rows(database)}) == 99 + 49


async def test_a_filter(database: Any) -> None:
    """With a filter, only V1's documents that match are compared; the report says that orphans were not looked for."""
    await fill(database, range(COUNT))
    await database["v1"].update_many({"_id": {"$lt": 10}}, {"$set": {"code": "x"}})
    await database["v2"].update_many({"_id": {"$lt": 9}}, {"$set": {"code": "x"}})
    await database["v2"].insert_one(moved(100))
    await database["v2"].delete_one({"_id": 20})
    report = await verifier(database, where={"code": "x"}).run()
    assert (report.compared, report.match, report.total) == (10, 9, 10)
    assert verdicts_of(report.mismatches) == {9: (Verdict.DIFFERENT, "upgrade", (("code", "string", "null"),))}
    assert "orphans in V2 were not looked for" in report.limits[0]
    whole = await verifier(database).run()
    assert (whole.orphan, whole.missing, whole.different) == (1, 1, 1)
    # What the whole found is none of the filter's business.
    report = await verifier(database, where={"code": "x"}, repair=True).run()
    assert (report.agrees, report.repaired) == (True, 1)
    assert {row.id for row in await rows(database)} == {20, 100}


async def test_a_filter_uses_the_callers_types(server_database: Any) -> None:
    """A UUID in a filter is encoded as the caller's client encodes it."""
    mine = UUID(int=7)
    await fill(server_database, [Binary.from_uuid(mine), "other"])
    standard: Any = CodecOptions(uuid_representation=4)
    repo = plain_repository(server_database, v1=server_database["v1"].with_options(standard))
    assert (await verifier(server_database, repo=repo, where={"_id": mine}).run()).compared == 1


@SERVER
async def test_dates_of_rows(database: Any) -> None:
    """`first_at` stays over runs while the entity does not agree; once it does, the row is removed."""
    await fill(database, range(5))
    await database["v2"].delete_one({"_id": 3})
    await verifier(database).run()
    (first,) = await rows(database)
    await database["v2"].insert_one(moved(3, 8))
    await verifier(database, clock=LaterClock(1000)).run()
    (second,) = await rows(database)
    assert (first.verdict, second.verdict) == (Verdict.MISSING, Verdict.DIFFERENT)
    assert second.first_at == first.first_at
    assert first.since < second.since
    await database["v2"].replace_one({"_id": 3}, moved(3))
    assert (await verifier(database).run()).agrees
    assert await rows(database) == []


@MEMORY
async def test_foreign_documents(database: Any) -> None:
    """V2's documents that lazymig did not store cannot be compared."""
    await fill(database, range(5))
    await database["v2"].replace_one({"_id": 3}, {"_id": 3, "count": 1, "code": None, "note": None})
    report = await verifier(database, repair=True).run()
    assert verdicts_of(report.mismatches) == {3: (Verdict.UNKNOWN, "", ())}
    assert "lazymig sweep --adopt" in report.mismatches[0].reason


@MEMORY
async def test_groups(database: Any) -> None:
    """Mismatches of one kind at one field are one group, with its first ids."""
    await fill(database, range(COUNT))
    await database["v2"].update_many({"_id": {"$lt": 8}}, {"$set": {"count": Int64(1)}})
    await database["v2"].delete_one({"_id": 20})
    report = await verifier(database).run()
    shown = [(one.verdict, one.check, one.path, one.expected, one.found, one.count) for one in report.groups]
    assert shown == [("different", "upgrade", "count", "int32", "int64", 8), ("missing", "", "", "", "", 1)]
    assert report.groups[0].ids == (0, 1, 2, 3, 4)


@SERVER
async def test_values_are_shown_on_request_only(database: Any) -> None:
    """Values are in the report where they were asked for, and never in the control collection."""
    await fill(database, range(5))
    await database["v2"].update_one({"_id": 3}, {"$set": {"code": "sesame"}})
    report = await verifier(database).run()
    assert "sesame" not in repr(report)
    report = await verifier(database, show_values=True).run()
    assert report.mismatches[0].differences[0].values == ("null", '"sesame"')
    assert "sesame" not in repr(await database["lazymig_control"].find({}).to_list(None))


@MEMORY
async def test_accepted_differences(database: Any) -> None:
    """A difference that the caller accepts is no mismatch, and the report counts how often it was accepted."""
    await fill(database, range(6))
    await database["v2"].update_many({"_id": {"$lt": 4}}, {"$unset": {"note": ""}})
    assert (await verifier(database).run()).different == 4
    report = await verifier(database, accept=["missing-null"]).run()
    assert report.agrees
    assert report.accepted == {"missing-null": 4}
    assert await rows(database) == []


@MEMORY
async def test_an_unconvertible_document(database: Any) -> None:
    """An entity that does not convert and is in V2 cannot be compared; one that is not in V2 is missing, with why."""
    await fill(database, range(6))
    await database["v1"].update_many({"_id": {"$in": [2, 4]}}, {"$set": {"n": "text"}})
    await database["v2"].delete_one({"_id": 4})
    report = await verifier(database).run()
    assert {one.id: one.verdict for one in report.mismatches} == {2: Verdict.UNKNOWN, 4: Verdict.MISSING}
    assert all("'n'" in one.reason for one in report.mismatches)
    repaired = await verifier(database, repair=True).run()
    assert {one.id: one.verdict for one in repaired.mismatches} == {2: Verdict.UNKNOWN, 4: Verdict.UNKNOWN}
    assert repaired.repaired == 0


@MEMORY
@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.PREPARE, Phase.V2_ONLY])
async def test_phases_that_do_not_fill_v2(database: Any, phase: Phase) -> None:
    """Nothing is to be verified there, and a repair would store what must not be stored."""
    with pytest.raises(PhaseError, match=f"^a verification runs only where V2 is filled from V1. In the phase {phase}"):
        Verifier(plain_repository(database, phase=phase))


@MEMORY
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"shard": (2, 2)}, "shard"),
        ({"min_age_s": -1}, "min_age_s"),
        ({"min_age_s": float("nan")}, "min_age_s"),
        ({"where": "n > 5"}, "where"),
        ({"accept": ["anything"]}, "accept"),
        ({"rate_limit": 0}, "rate_limit"),
    ],
)
async def test_options_are_checked(database: Any, options: Any, message: str) -> None:
    """An option that cannot work is refused when the verifier is made."""
    with pytest.raises(ConfigurationError, match=message):
        verifier(database, **options)
    with pytest.raises(ConfigurationError, match="sample"):
        await verifier(database).run(sample=0)


@MEMORY
async def test_continuously(database: Any) -> None:
    """Passes follow one another, each recorded as a run, until the verifier is stopped."""
    await fill(database, range(10))
    running, numbers = verifier(database), count(1)
    async for report in running.run_continuously():
        assert report.agrees
        if next(numbers) == 3:
            running.stop()
    assert len(await control(database).history("things", kind="verify")) == 3


@MEMORY
async def test_progress(database: Any) -> None:
    """Progress goes up to everything, and never back."""
    await fill(database, range(COUNT))
    await database["v2"].delete_one({"_id": 3})
    seen: list[Any] = []
    await verifier(database, on_progress=seen.append).run()
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert (seen[-1].done, seen[-1].total, seen[-1].suspected, seen[-1].rechecked) == (COUNT, COUNT, 1, 1)
    assert len(set(done)) > 4
