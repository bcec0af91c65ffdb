"""The rewriting pass: older documents are stored in the newest version, in place, beside other writers."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from attrs import evolve

from lazymig import (
    ConfigurationError,
    ConversionError,
    Phase,
    PhaseError,
    Repository,
    Rewriter,
    RewriteReport,
    Sweeper,
    upcasters,
)
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores import rewrites
from lazymig.sweeping import older
from tests.older import ADA, Buyer, BuyerV2, alone, buyers, chain, document, upgrade
from tests.widening import WIDENING

#: The versions that documents have, in turn.
VERSIONS = (None, 1, 2, 3)


def repository(database: Any, phase: Phase, **options: Any) -> Repository[Buyer, BuyerV2]:
    """A repository whose older documents may be rewritten."""
    migration = buyers(upcasters=chain(**{"persist": True, **options}))
    return Repository(migration, v1=database["v1"], v2=database["v2"], phase=phase)


def rewriter(repo: Repository[Any, Any], **options: Any) -> Rewriter[Any, Any]:
    """A rewriter in small steps."""
    return Rewriter(repo, **{"batch_size": 4, "partition_size": 10, **options})


async def stored(database: Any) -> dict[Any, dict[str, Any]]:
    """V1's documents by id, without their revisions."""
    found = {one["_id"]: one for one in await database["v1"].find({}).to_list(None)}
    for one in found.values():
        one.pop("_lazymig_rev", None)
    return found


async def fill(database: Any, count: int = 30) -> None:
    """Insert documents of all versions."""
    await database["v1"].insert_many([document(VERSIONS[id % 4], id) for id in range(count)])


class Died(BaseException):
    """The end of a process, which no handler catches."""


async def test_every_older_document_is_rewritten(database: Any, phase: Phase) -> None:
    """Each is stored in the newest version once, unknown fields stay, and both doors read what they read before."""
    await fill(database)
    repo = repository(database, phase)
    report = await rewriter(repo).run()
    assert (report.finished, report.scanned, report.rewritten, report.failed) == (True, 30, 23, 0)
    assert await stored(database) == {id: document(3, id) for id in range(30)}
    assert report.versions is not None
    assert (report.versions.counts, report.versions.deletable) == ({"3": 30}, (1, 2))
    assert await repo.v1.get(5) == evolve(ADA, id=5)
    assert await repo.get(5) == evolve(upgrade(ADA), id=5)
    again = await rewriter(repo).run()
    assert (again.finished, again.rewritten) == (True, 0)


async def test_a_rewriting_is_a_revision(database: Any, phase: Phase) -> None:
    """The revision rises, so that a writer who read the older document loses; V2 has the body at that revision."""
    await database["v1"].insert_many([document(1, 1), document(2, 2, _lazymig_rev=5)])
    repo = repository(database, phase)
    await rewriter(repo).run()
    revisions = {one["_id"]: one["_lazymig_rev"] for one in await database["v1"].find({}).to_list(None)}
    bodies = {one.pop("_id"): one for one in await database["v2"].find({}).to_list(None)}
    if phase is Phase.V1_ONLY:
        assert (revisions, bodies) == ({1: 1, 2: 6}, {})
        return
    if phase is Phase.PREPARE:  # announced, and nothing is put into V2
        assert {id: body["_lazymig"]["intent"] for id, body in bodies.items()} == revisions
        assert all(body["_lazymig"]["gone"] for body in bodies.values())
        return
    assert revisions[2] == 6
    for id, body in bodies.items():
        meta = body.pop("_lazymig")
        assert (meta["rev"], meta["intent"]) == (revisions[id], revisions[id])
        assert body == {"name": "Ada Lovelace", "city": "London", "country": "GB", "visits": 2}
    assert sorted(bodies) == [1, 2]


async def test_a_writer_that_read_before_loses(database: Any, phase: Phase) -> None:
    """A rewriting between its read and its write: the update decides again, and both are in the document."""
    await database["v1"].insert_one(document(1, 1))
    repo = repository(database, phase)
    calls: list[int] = []

    async def change(one: Buyer) -> Buyer:
        calls.append(one.visits)
        if len(calls) == 1:
            await rewriter(repository(database, phase)).run()
        return evolve(one, visits=one.visits + 1)

    await repo.v1.update(1, change)
    assert calls == [2, 2]
    assert await stored(database) == {1: document(3, 1, visits=3)}
    assert await repo.get(1) == evolve(upgrade(ADA), visits=3)


@pytest.mark.parametrize("driver", ["mock"])
async def test_where_v1_is_stale_nothing_is_rewritten(database: Any) -> None:
    """In `v2_only` a run is refused when it is made, a dry one too."""
    for dry_run in (False, True):
        with pytest.raises(PhaseError, match=r"^a rewriting pass writes V1, which the phase v2_only does not"):
            rewriter(repository(database, Phase.V2_ONLY), dry_run=dry_run)


@pytest.mark.parametrize("driver", ["mock", "pymongo"])
async def test_a_v2_that_refuses_a_body_ends_no_run(database: Any, driver: str) -> None:
    """In `v2_primary` such a write is an error; the run notes it, and rewrites the rest."""
    await database["v1"].insert_many([document(1, 1), document(1, 2, visits=3)])
    await database["v2"].create_index("visits", unique=True, partialFilterExpression={"visits": {"$exists": True}})
    repo = repository(database, Phase.V2_PRIMARY)
    await Sweeper(repository(database, Phase.COEXIST)).run()
    await database["v1"].update_one({"_id": 2}, {"$set": {"visits": 2}})
    await database["v2"].delete_one({"_id": 2})
    report = await rewriter(repo).run()
    assert (report.finished, report.rewritten, report.failed) == (True, 1, 1)
    assert [(one.id, one.error) for one in report.failures] == [(2, "Refused")]
    assert {one["_id"]: one["schema_version"] async for one in database["v1"].find({})} == {1: 3, 2: 3}


async def test_alone_it_is_copy_and_transform_in_place(database: Any) -> None:
    """One collection, no V2: the documents and the control collection are all that there is."""
    await fill(database)
    report = await rewriter(Repository(alone(persist=True), v1=database["v1"], phase=Phase.V1_ONLY)).run()
    assert report.rewritten == 23
    assert sorted(await database.list_collection_names()) == ["lazymig_control", "v1"]


async def test_what_cannot_be_rewritten_is_named_and_left(database: Any, phase: Phase) -> None:
    """A failing step, a version of another type and a newer document stop no other; they stay byte for byte."""
    odd = {
        40: document(1, 40, name="Ada"),
        41: {**document(2, 41), "schema_version": "2"},
        42: document(4, 42),
        43: {**document(2, 43), "first": 7},  # the class does not take it
        44: {**document(3, 44), "schema_version": 3.0},
    }
    await fill(database)
    await database["v1"].insert_many(list(odd.values()))
    report = await rewriter(repository(database, phase)).run()
    assert (report.rewritten, report.newer, report.failed, report.needs_person) == (23, 1, 4, True)
    assert sorted(letter.id for letter in report.failures) == [40, 41, 43, 44]
    assert "Ada" not in str(report.failures)
    found = await stored(database)
    assert {id: found[id] for id in odd} == odd
    assert report.versions is not None
    assert report.versions.counts == {"1": 1, "2": 1, "3": 30, "4": 1, "double": 1, "string": 1}
    assert report.versions.deletable == ()


async def test_a_dry_run_writes_nothing(database: Any, phase: Phase) -> None:
    """It is allowed without `persist=True`, and says what a run would do."""
    await fill(database)
    before = await stored(database)
    report = await rewriter(repository(database, phase, persist=False), dry_run=True).run()
    assert (report.finished, report.rewritten) == (True, 23)
    assert await stored(database) == before
    assert "lazymig_control" not in await database.list_collection_names()


async def test_a_sweep_and_reads_rewrite_nothing(database: Any) -> None:
    """Only a rewriter rewrites, and only where the chain allows it."""
    await fill(database)
    before = await stored(database)
    repo = repository(database, Phase.COEXIST, persist=False)
    report = await Sweeper(repo).run()
    assert (report.migrated, report.dead) == (30, 0)
    assert await repo.get(1) == evolve(upgrade(ADA), id=1)
    assert await stored(database) == before
    with pytest.raises(ConfigurationError, match="persist=True"):
        rewriter(repo)
    assert await stored(database) == before


async def test_a_stopped_run_continues(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run begins at the checkpoint: no id is looked at twice."""
    monkeypatch.setattr(older, "IDS_PER_PAGE", 5)
    await fill(database)
    repo = repository(database, Phase.V1_ONLY)
    seen: list[RewriteReport] = []

    def stop_later(report: RewriteReport) -> None:
        seen.append(report)
        if report.scanned >= 10:
            first.stop()

    first = rewriter(repo, on_progress=stop_later)
    one = await first.run()
    assert not one.finished
    assert 0 < one.scanned < 30
    assert one.versions is None
    two = await rewriter(repo).run()
    assert two.finished
    assert one.scanned + two.scanned == 30
    assert await stored(database) == {id: document(3, id) for id in range(30)}


async def test_a_killed_run_loses_nothing(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies before or after a statement leaves whole documents, and the next run does the rest."""
    monkeypatch.setattr(older, "IDS_PER_PAGE", 5)
    await fill(database)
    repo = repository(database, Phase.V1_ONLY)
    store = rewrites.Rewrites.store
    for dies_at, after in ((2, False), (2, True)):
        left = [dies_at]

        async def dying(self: Any, made: Any, left: list[int] = left, after: bool = after) -> Any:
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Died
            done = await store(self, made)
            if left[0] == 0:
                raise Died
            return done

        monkeypatch.setattr(rewrites.Rewrites, "store", dying)
        with pytest.raises(Died):
            await rewriter(repo).run()
        found = await stored(database)
        assert all(one in (document(3, id), document(VERSIONS[id % 4], id)) for id, one in found.items())
    monkeypatch.setattr(rewrites.Rewrites, "store", store)
    report = await rewriter(repo).run()
    assert report.finished
    assert await stored(database) == {id: document(3, id) for id in range(30)}


async def test_two_processes_share_a_pass(database: Any, phase: Phase) -> None:
    """Each takes partitions that the other has not; together they rewrite every document once, by one pass."""
    await fill(database)
    began = SYSTEM_CLOCK.now()  # of two that begin together, the later one may find the pass finished
    one, other = [rewriter(repository(database, phase), partition_size=3, since=began) for _ in range(2)]
    reports = await asyncio.gather(one.run(), other.run())
    assert [report.finished for report in reports] == [True, True]
    assert sum(report.rewritten + report.moved_by_clients for report in reports) == 23
    assert sum(report.scanned for report in reports) == 30
    assert await stored(database) == {id: document(3, id) for id in range(30)}


@pytest.mark.parametrize("seed", range(20 if WIDENING.full else 2))
async def test_writers_beside_a_run(database: Any, phase: Phase, seed: int) -> None:
    """Updates by lazymig and by a plain driver, at the same time as the pass, are all in the documents at the end."""
    print(f"seed {seed}")
    choice = random.Random(seed)
    await fill(database)
    repo = repository(database, phase)
    expected = {id: document(3, id) for id in range(30)}

    async def write(id: int) -> None:
        for _ in range(choice.randrange(3)):
            await asyncio.sleep(0)
        await repo.v1.update(id, lambda one: evolve(one, visits=one.visits + 10))
        expected[id]["visits"] = 12

    async def write_directly(id: int) -> None:
        for _ in range(choice.randrange(3)):
            await asyncio.sleep(0)
        # Without a revision, as a program does that knows nothing of lazymig.
        await database["v1"].update_one({"_id": id}, {"$set": {"shoe": 45}})
        expected[id]["shoe"] = 45

    ids = choice.sample(range(30), 20)
    writers = [write(id) for id in ids[:10]] + [write_directly(id) for id in ids[10:]]
    choice.shuffle(writers)
    report, *_ = await asyncio.gather(rewriter(repo).run(), *writers)
    assert report.failed == 0
    assert (await rewriter(repo).run()).finished
    assert await stored(database) == expected


async def test_a_document_that_changed_since_it_was_read(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain driver changes what an upcaster reads, between reading and storing: the new value is the one upcast."""
    await fill(database, 2)
    repo = repository(database, Phase.V1_ONLY)
    store = rewrites.Rewrites.store

    async def overtaken(self: Any, made: Any) -> Any:
        await database["v1"].update_one({"_id": 0}, {"$set": {"name": "Grace Hopper"}})
        await database["v1"].delete_one({"_id": 1})
        return await store(self, made)

    monkeypatch.setattr(rewrites.Rewrites, "store", overtaken)
    report = await rewriter(repo).run()
    assert report.rewritten == 1
    assert await stored(database) == {0: document(3, 0, first="Grace", last="Hopper")}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_document_that_v1_refuses(database: Any, driver: str, phase: Phase) -> None:
    """A unique index that the newest version breaks: one is stored, the other is named and stays, the rest goes on."""
    await fill(database)
    await database["v1"].insert_many([document(2, 50, address=1, passport=1), document(2, 51, passport=1)])
    await database["v1"].update_one({"_id": 50}, {"$unset": {"address": ""}})
    await database["v1"].create_index("no", unique=True, partialFilterExpression={"no": {"$exists": True}})

    def number(one: dict[str, Any]) -> dict[str, Any]:
        return {**one, **({"no": one["passport"]} if "passport" in one else {})}

    longer = upcasters({**chain().steps, 3: number}, persist=True)
    repo = Repository(buyers(upcasters=longer), v1=database["v1"], v2=database["v2"], phase=phase)
    report = await rewriter(repo).run()
    assert (report.rewritten, report.failed) == (31, 1)
    (letter,) = report.failures
    assert letter.direction == "store"
    assert (await stored(database))[letter.id]["schema_version"] == 2


async def test_a_chain_is_needed(database: Any) -> None:
    """Without upcasters there is nothing to rewrite, and the error says what to pass."""
    repo = Repository(buyers(upcasters=None), v1=database["v1"], v2=database["v2"], phase=Phase.V1_ONLY)
    with pytest.raises(ConfigurationError, match="upcasters"):
        rewriter(repo)
    await database["v1"].insert_one(document(1))
    with pytest.raises(ConversionError):
        await repo.get(1)
