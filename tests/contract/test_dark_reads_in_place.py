"""Dark reads where one document carries both shapes: a caller's read finds both sides, and nothing else is sent."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from lazymig import ConfigurationError, ConversionError, DarkReads, Mismatch, Phase, Repository, Verdict
from lazymig.control import parts_of
from lazymig.dark import in_place
from lazymig.dark.contests import Look, Outcome
from tests.layouts import settle
from tests.sweeps import ThingV1, ThingV2, control
from tests.verifications import rows, same_code
from tests.watching import steps
from tests.wholes import NAME, OUTSIDE, filled, keeping, put, whole_repository, whole_things

MEMORY = pytest.mark.parametrize("driver", ["mock"])
SERVER = pytest.mark.parametrize("driver", ["pymongo"])
ANSWERING = pytest.mark.parametrize(
    ("phase", "serve"),
    [(Phase.SHADOW, "v2"), (Phase.COEXIST, "v1"), (Phase.COEXIST, "v2"), (Phase.V2_PRIMARY, "v2")],
)


def dark_repository(database: Any, **options: Any) -> tuple[Repository[ThingV1, ThingV2], DarkReads, list[Mismatch]]:
    """A repository that compares every read, its dark reads, and what they find."""
    found: list[Mismatch] = []
    others = {name: options.pop(name) for name in ("phase", "migration") if name in options}
    dark = DarkReads(1.0, **({"on_mismatch": found.append, "rate_max": None, "timeout_s": 60.0} | options))
    return whole_repository(database, dark_reads=dark, **others), dark, found


@ANSWERING
async def test_both_doors_are_compared(database: Any, phase: Phase, serve: Any) -> None:
    """Reads by id of both doors count, in each phase with both parts; each gets what it gets without dark reads."""
    await filled(database, range(4))
    repo, dark, found = dark_repository(database, phase=phase, serve=serve)
    plain = whole_repository(database, phase=phase)
    async with repo:
        assert await repo.get(1) == await plain.get(1)
        assert await repo.v1.get(1) == await plain.v1.get(1)
        assert await repo.get_many([2, 3, 9]) == await plain.get_many([2, 3, 9])
        assert await repo.v1.get_many([2, 3]) == await plain.v1.get_many([2, 3])
        assert await repo.get(9) is None
    assert found == []
    assert dark.counts == {
        "compared": 8, "matched": 8, "mismatched": 0, "moved": 0, "missing": 0, "dropped": 0, "failed": 0,
        "unreported": 0,
    }  # fmt: skip
    assert dark.latency["control"].count == dark.latency["candidate"].count == 3


@ANSWERING
async def test_a_difference_is_found_at_once(database: Any, phase: Phase, serve: Any) -> None:
    """A V2 part that V1's part does not convert to is counted, reported and logged by the first read of it."""
    await filled(database, range(3))
    await database[NAME].update_one({"_id": 1}, {"$set": {"count": 99}})
    repo, dark, found = dark_repository(database, phase=phase, serve=serve)
    async with repo:
        answer = await repo.get(1)
    assert answer is not None
    assert answer.count == (1 if phase is Phase.SHADOW or serve == "v1" else 99)
    (one,) = found
    assert (one.id, one.verdict, one.check, one.differences[0].path) == (1, Verdict.DIFFERENT, "upgrade", "count")
    assert (dark.counts["compared"], dark.counts["mismatched"], dark.consistency) == (1, 1, 0.0)
    assert [row.id for row in await rows(database)] == [1]
    async with repo:
        await whole_repository(database).replace(evolve(answer, count=5))
        await repo.get(1)
    assert await rows(database) == []


async def test_a_comparison_sends_nothing(watched: Any) -> None:
    """A compared read is one statement, as the plain one is; so is one of many."""
    await filled(watched.database, range(6))
    repo, dark, _ = dark_repository(watched.database, log_max=0)
    await repo.get(0)  # checks the collection
    with watched.sent() as sent:
        async with repo:
            await repo.get(1)
            await repo.get_many([2, 3, 4])
            await repo.v1.get(5)
    assert steps(sent) == [f"{NAME} find"] * 3
    assert dark.counts["compared"] == 6


async def test_other_programs_are_no_mismatch(database: Any) -> None:
    """What other programs leave behind counts as missing, since V2's part does not answer then; nothing is logged."""
    await filled(database, range(len(OUTSIDE)))
    for id, act in enumerate(OUTSIDE.values()):
        await act(database[NAME], id)
    repo, dark, found = dark_repository(database, log_max=10)
    ids = [one["_id"] for one in await database[NAME].find().to_list(None)]
    async with repo:
        await repo.get_many(ids)
    assert found == await rows(database) == []
    assert (dark.counts["missing"], dark.counts["mismatched"]) == (len(OUTSIDE) - 2, 0)
    await settle(repo)
    async with repo:
        await repo.get_many(ids)
    assert dark.counts["matched"] == dark.counts["compared"] == len(ids) + 2


@MEMORY
async def test_what_a_sweep_would_have_filled(database: Any) -> None:
    """With `expects_all`, a document without a V2 part, or with one of an older conversion, is a mismatch."""
    await filled(database, range(2))
    await put(database, [7])
    await database[NAME].update_one({"_id": 1}, {"$set": {"n": 5}})
    repo, dark, found = dark_repository(database, phase=Phase.V2_PRIMARY, expects_all=True)
    async with repo:
        await repo.get_many([0, 1, 7])
    assert {one.id: one.verdict for one in found} == {7: Verdict.MISSING}
    assert (dark.counts["matched"], dark.counts["missing"], dark.counts["mismatched"]) == (1, 1, 1)
    newer, _, found = dark_repository(database, migration=whole_things(revision=2), expects_all=True)
    async with newer:
        await newer.get(0)
    assert {one.id: one.verdict for one in found} == {0: Verdict.STALE}


@MEMORY
async def test_what_cannot_be_compared(database: Any) -> None:
    """V2's part alone, and one that a newer release made, are not compared: they count as missing."""
    repo, dark, found = dark_repository(database, phase=Phase.V2_PRIMARY)
    await filled(database, range(2))
    await whole_repository(database, phase=Phase.V2_ONLY).update(0, lambda v2: evolve(v2, count=9))
    await database[NAME].update_one({"_id": 1}, {"$set": {"_lazymig.conv": 2}})
    async with repo:
        assert (await repo.get(0)) == ThingV2(0, 9)
        await repo.get(1)
    assert (found, dark.counts["missing"], dark.counts["compared"]) == ([], 2, 0)


@MEMORY
async def test_a_document_that_does_not_convert(database: Any) -> None:
    """The caller gets its error as without dark reads, and the comparison raises nothing of its own."""
    await filled(database, range(2))
    await database[NAME].update_one({"_id": 1}, {"$set": {"n": -1}})
    repo, dark, found = dark_repository(database)
    async with repo:
        with pytest.raises(ConversionError, match="upgrade"):
            await repo.get(1)
    assert [(one.id, one.verdict) for one in found] == [(1, Verdict.UNKNOWN)]
    assert dark.counts["failed"] == 0


@MEMORY
async def test_further_checks(database: Any) -> None:
    """Invariants and expectations hold for live reads as well, and so does the round trip."""

    def lossy(v2: ThingV2) -> ThingV1:
        return ThingV1(v2.id, v2.count, None)

    await put(database, [1], code="c")
    await whole_repository(database).get(1)
    repo, _, found = dark_repository(database, migration=whole_things(downgrade=lossy))
    async with repo:
        await repo.get(1)
    assert [(one.check, one.differences[0].path) for one in found] == [("downgrade", "code")]
    never = {"never": lambda v1, v2: not same_code(v1, v2)}
    repo, _, found = dark_repository(database, invariants=never)
    async with repo:
        await repo.get(1)
    assert [one.check for one in found] == ["never"]


@MEMORY
async def test_what_only_v2_holds_is_no_difference(database: Any) -> None:
    """Where `upgrade` takes the previous entity, it gets the one of the same document."""
    writer = await filled(database, range(2), migration=keeping())
    await writer.update(1, lambda v2: evolve(v2, note="mine"))
    repo, dark, found = dark_repository(database, migration=keeping())
    async with repo:
        assert (await repo.get(1)).note == "mine"
    assert (found, dark.counts["matched"]) == ([], 1)


@SERVER
async def test_sessions_are_left_out(database: Any) -> None:
    """A session runs one statement at a time, so its reads are not compared."""
    await filled(database, range(2))
    repo, dark, _ = dark_repository(database)
    async with repo, database.client.start_session() as session:
        await repo.with_session(session).get(1)
    assert dark.counts["compared"] == 0


@SERVER
async def test_the_share_of_a_fleet(database: Any) -> None:
    """The share that is recorded holds in place of the repository's own, in this layout as well."""
    await filled(database, range(2))
    record, dark = control(database), DarkReads(0)
    await parts_of(record).phases("things").begin(Phase.COEXIST, by="a test", why="")
    await record.cut_over("things", dark_share=1.0, share=1.0)
    async with whole_repository(database, phase=record, dark_reads=dark) as repo:
        await repo.get(1)
    assert dark.counts["compared"] == 1


@MEMORY
async def test_refusals(database: Any) -> None:
    """What cannot work is refused when the repository is built, with what to do instead."""
    with pytest.raises(ConfigurationError, match="a single read finds both sides"):
        dark_repository(database, serve="v1", aa=True)
    with pytest.raises(ConfigurationError, match=r"begin dark reads in Phase\.SHADOW"):
        dark_repository(database, phase=Phase.V1_ONLY)
    with pytest.raises(ConfigurationError, match="V1's part is not kept"):
        dark_repository(database, phase=Phase.V2_ONLY)
    with pytest.raises(ConfigurationError, match=r"go back to Phase\.COEXIST"):
        dark_repository(database, phase=Phase.V2_PRIMARY, serve="v1")


async def _count_what_is_behind(contest: Any, id: Any, sides: Any) -> Look:
    """Compare V2's part although its fingerprint does not fit."""
    parts = in_place.Parts(contest.place, sides.whole)
    found = await contest.comparer.comparer.compare(parts.v1, parts.v2(fits=True))
    return Look(Outcome.MATCHED if found.verdict is Verdict.MATCH else Outcome.DIFFERS, _mismatch(id, found))


def _mismatch(id: Any, found: Any) -> Mismatch:
    return Mismatch(id, found.verdict, found.check, found.differences, signature=found.signature)


@MEMORY
async def test_the_fingerprint_is_what_spares_other_programs(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the story of other programs' writes finds mismatches that are none."""
    monkeypatch.setattr(in_place.InOne, "judge", _count_what_is_behind)
    with pytest.raises(AssertionError):
        await test_other_programs_are_no_mismatch(database)
