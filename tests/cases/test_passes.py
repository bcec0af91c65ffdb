"""Passes belong to the collections they were planned over, and to a control collection that still holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lazymig import LazymigError
from lazymig.errors import PassVanished
from lazymig.fleet.jobs import sum_reports
from lazymig.stores.records import Partition
from tests.sweeps import moved, passes, stored, sweeper, thing

COUNT = 40


@pytest.fixture(params=["pymongo", "motor"])
def driver(request: pytest.FixtureRequest) -> str:
    """In memory, collections have no identity."""
    return request.param


async def filled(database: Any) -> Any:
    """V1 with some things."""
    await database["v1"].insert_many([thing(id, id) for id in range(COUNT)])
    return database


async def swept_to(database: Any, pages: int, then: Callable[[], Awaitable[Any]] | None = None, **options: Any) -> Any:
    """A sweep that is stopped after some pages, or in which something happens then; its report."""
    left, tasks = [pages], []

    def shown(_: Any) -> None:
        left[0] -= 1
        if left[0] == 0 and then is None:
            one.stop()
        elif left[0] == 0:
            tasks.append(asyncio.ensure_future(then()))

    one = sweeper(database, concurrency=1, on_progress=shown, **options)
    try:
        return await one.run()
    finally:
        await asyncio.gather(*tasks)


async def copied(database: Any, name: str) -> None:
    """Drop a collection and make it anew with the same documents and indexes, as a restore does."""
    documents = await database[name].find().to_list(None)
    await database[name].drop()
    if documents:
        await database[name].insert_many(documents)


@pytest.mark.parametrize("change", ["drop V2", "empty V2", "restore V2", "restore V1", "rename another over V2"])
async def test_case_11_a_checkpoint_belongs_to_its_collections(database: Any, change: str) -> None:
    """A sweep that was stopped half way says nothing about collections that were made anew since: all is swept."""
    await filled(database)
    assert not (await swept_to(database, 5)).finished
    before = len(await stored(database["v2"]))
    assert 0 < before < COUNT
    if change == "drop V2":
        await database["v2"].drop()
    elif change == "empty V2":
        await database.create_collection("v3")
        await database["v3"].rename("v2", dropTarget=True)
    elif change == "rename another over V2":
        await database["v3"].insert_one(moved(COUNT - 1, COUNT - 1))
        await database["v3"].rename("v2", dropTarget=True)
    else:
        await copied(database, change[-2:].lower())
    report = await sweeper(database).run()
    assert (report.finished, report.scanned) == (True, COUNT)
    assert await stored(database["v2"]) == {repr(id): moved(id, id) for id in range(COUNT)}
    row = await passes(database).current()
    assert (row["number"], row["state"], row["completed"]) == (2, "done", 2)
    assert await database["lazymig_control"].count_documents({"kind": "partition"}) == 0


async def test_case_11_the_same_collections_go_on_from_the_checkpoint(database: Any) -> None:
    """A stopped sweep of collections that still stand is not begun again, by this process or another."""
    await filled(database)
    first = await swept_to(database, 5)
    second = await sweeper(database).run()
    assert (first.finished, second.finished) == (False, True)
    assert first.scanned + second.scanned == COUNT
    assert (await passes(database).current())["number"] == 1


@pytest.mark.parametrize("side", ["v1", "v2"])
async def test_case_11_a_collection_that_goes_while_it_is_swept(database: Any, side: str) -> None:
    """A run in which a collection is dropped or restored never says that it finished; the next one sweeps all of it."""
    await filled(database)

    async def gone() -> None:
        await copied(database, "v1") if side == "v1" else await database["v2"].drop()

    with pytest.raises(LazymigError, match="dropped or replaced while it was swept; run the sweep again"):
        await swept_to(database, 3, gone)
    report = await sweeper(database).run()
    assert (report.finished, report.scanned) == (True, COUNT)
    assert await stored(database["v2"]) == {repr(id): moved(id, id) for id in range(COUNT)}


async def test_case_11_whoever_cannot_see_what_they_are_keeps_the_pass(database: Any) -> None:
    """A sweeper that may not ask for the collections' identity joins the open pass, and so is its own joined."""
    rows = passes(database)
    await filled(database)
    assert not (await swept_to(database, 5)).finished
    assert await rows.claim_planning("blind") is None
    await database["lazymig_control"].update_one({"_id": "things/pass"}, {"$unset": {"collections": ""}})
    report = await sweeper(database).run()
    assert report.finished
    assert report.scanned < COUNT
    assert (await rows.current())["number"] == 1


@pytest.mark.parametrize("what", ["all", "the pass", "the partitions", "one partition", "its number"])
async def test_case_14i_a_pass_that_vanishes_is_an_error(database: Any, what: str) -> None:
    """Whatever of its rows is removed while it runs, the run ends with an error and the next one sweeps everything."""
    await filled(database)
    rows = database["lazymig_control"]

    async def vanish() -> None:
        if what == "all":
            await rows.drop()
        elif what == "the pass":
            await rows.delete_one({"kind": "pass"})
        elif what == "the partitions":
            await rows.delete_many({"kind": "partition"})
        elif what == "one partition":
            last = await rows.find({"kind": "partition"}).sort("index", -1).limit(1).to_list(None)
            await rows.delete_one({"_id": last[0]["_id"]})
        else:
            await rows.update_one({"kind": "pass"}, {"$inc": {"number": 1}})

    with pytest.raises(PassVanished, match=r"vanished from the control collection.*run it again"):
        await swept_to(database, 3, vanish)
    report = await sweeper(database).run()
    assert (report.finished, report.remaining) == (True, 0)
    assert await stored(database["v2"]) == {repr(id): moved(id, id) for id in range(COUNT)}


async def test_case_14i_a_shard_notices_too(database: Any) -> None:
    """Each shard of a sweep says so, not only the one that would close the pass."""
    await filled(database)
    with pytest.raises(PassVanished):
        await swept_to(database, 1, database["lazymig_control"].drop, shard=(0, 3))


async def test_case_14i_a_pass_that_others_completed_did_not_vanish(database: Any) -> None:
    """Peers may close it and begin the next; releases before this one note no more than the state."""
    await filled(database)
    rows = passes(database)
    assert (await sweeper(database).run()).finished
    assert await rows.close_pass(1)
    assert await rows.claim_planning("next") == 2
    assert await rows.close_pass(1)
    with pytest.raises(PassVanished):
        await rows.close_pass(2)
    await database["lazymig_control"].update_one(
        {"_id": "things/pass"}, {"$set": {"state": "done"}, "$unset": {"completed": ""}}
    )
    assert await rows.close_pass(2)


async def test_case_14i_a_plan_of_the_same_number_is_another(database: Any) -> None:
    """After a drop the numbers begin anew: a lease of the old plan checkpoints nothing of the new one."""
    rows = passes(database)
    old = await _planned(rows, Partition("int", None, 9))
    await database["lazymig_control"].drop()
    new = await _planned(rows, Partition("int", 9, None))
    assert (old.fence, new.fence) == (1, 1)
    assert not await rows.checkpoint(old, 8, done=True)
    assert not await rows.renew(old)
    row = await database["lazymig_control"].find_one({"kind": "partition"})
    assert (row["position"], row["state"]) == (9, "open")


async def _planned(rows: Any, partition: Partition) -> Any:
    number = await rows.claim_planning("somebody")
    assert await rows.open_pass(number, [partition])
    return await rows.acquire(number, "somebody", (0, 1))


async def test_case_11_two_sweepers_of_one_pass_agree(database: Any) -> None:
    """Several processes that sweep the same collections share one pass, and all see its end."""
    await filled(database)
    reports = await asyncio.gather(*(sweeper(database).run() for _ in range(3)))
    assert all(report.finished for report in reports)
    assert sum_reports(reports).migrated == COUNT
    assert await stored(database["v2"]) == {repr(id): moved(id, id) for id in range(COUNT)}


async def test_case_11_the_identity_is_what_finds_it(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at what the collections are, the same sweep says "finished" with most of V2 missing."""

    async def unknown(*_: Any) -> None:
        return None

    monkeypatch.setattr("lazymig.sweeping.two_collections.identify", unknown)
    await filled(database)
    assert not (await swept_to(database, 5)).finished
    await database["v2"].drop()
    assert (await sweeper(database).run()).finished
    assert len(await stored(database["v2"])) < COUNT
