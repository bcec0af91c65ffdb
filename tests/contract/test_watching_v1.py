"""The watch on V1 in `v2_only`, on a real replica set: what it sees of stray writes and reads, and what it records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import InsertOne, UpdateOne
from pymongo.errors import OperationFailure, WriteError

from lazymig import ConfigurationError, Retirement, WatchReport
from lazymig.control import parts_of
from lazymig.control.watching import Watched
from lazymig.retiring import watching
from lazymig.stores.fences import MongoFence
from lazymig.stores.strays import Access, Accesses
from tests.retiring import filled, retirement
from tests.sweeps import control

BOTH = pytest.mark.parametrize("driver", ["pymongo", "motor"])
FIRST = pytest.mark.parametrize("driver", ["pymongo"])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers soon that nothing happened, and is asked for its counts each time."""
    for name, seconds in (("IDLE_S", 0.02), ("_SAVE_EVERY_S", 0.0), ("_SAMPLE_EVERY_S", 0.0)):
        monkeypatch.setattr(watching, name, seconds)


class Watch:
    """A watch that runs in a task of its own."""

    def __init__(self, database: Any) -> None:
        self._turn = asyncio.Event()
        self.report: WatchReport | None = None
        self.retirement: Retirement[Any, Any] = retirement(database)
        self.task = asyncio.ensure_future(self.retirement.watch(on_progress=self._note))

    def _note(self, report: WatchReport) -> None:
        self.report = report
        self._turn.set()

    async def until(self, holds: Callable[[WatchReport], bool]) -> WatchReport:
        """Wait for a report of which this holds."""
        while self.report is None or not holds(self.report):
            self._turn.clear()
            turn = asyncio.ensure_future(self._turn.wait())
            await asyncio.wait({turn, self.task}, return_when=asyncio.FIRST_COMPLETED)
            turn.cancel()
            if self.task.done():
                self.task.result()
                raise AssertionError("the watch ended")
        return self.report

    async def end(self) -> WatchReport:
        """Stop it and return its report."""
        self.retirement.stop()
        return await self.task


@asynccontextmanager
async def watching_v1(database: Any) -> AsyncIterator[Watch]:
    """A watch that has begun."""
    watch = Watch(database)
    try:
        await watch.until(lambda report: report.since is not None)
        yield watch
    finally:
        watch.task.cancel()
        await asyncio.gather(watch.task, return_exceptions=True)


async def recorded(database: Any) -> Watched:
    """What the control collection holds about the watch."""
    found = await parts_of(control(database)).watching("people").find_watched()
    assert found is not None
    return found


@BOTH
async def test_stray_writes_are_counted_by_operation(database: Any) -> None:
    """Each change of a document of V1 is one, also those of a bulk; reads of V2 and writes of others are none."""
    await filled(database)
    v1 = database["v1"]
    async with watching_v1(database) as watch:
        await v1.insert_one({"_id": 7, "name": "Stray Writer"})
        await v1.bulk_write([UpdateOne({"_id": 7}, {"$set": {"age": 1}}), InsertOne({"_id": 8, "name": "An Other"})])
        await v1.replace_one({"_id": 8}, {"name": "Some Body"})
        await v1.delete_one({"_id": 7})
        await database["v2"].update_one({"_id": 1}, {"$set": {"note": "x"}})
        expected = {"insert": 2, "update": 1, "replace": 1, "delete": 1}
        report = await watch.until(lambda report: report.changes == expected)
        assert report.needs_person
        ended = await watch.end()
    assert (ended.changes, ended.limits) == (expected, ())
    found = await recorded(database)
    counts = {name: count for (_, name), count in found.changes.items()}
    assert counts == expected
    assert found.last_stray is not None
    assert found.counted


@FIRST
async def test_refused_writes_and_reads_are_seen_in_the_servers_counts(database: Any) -> None:
    """What V1's fence refuses changes nothing, and still counts as a write; the watch's own questions do not count."""
    await filled(database)
    await MongoFence(database["v1"], "v1").put_up("key", 5.0)
    async with watching_v1(database) as watch:
        for _ in range(2):
            await watch.until(lambda report: report.elapsed_s > 0)
        with pytest.raises(WriteError):
            await database["v1"].insert_one({"_id": 7})
        report = await watch.until(lambda report: report.writes > 0)
        assert (report.writes, report.changes) == (1, {})
        assert report.reads == 0
        for _ in range(3):
            await database["v1"].find_one({"_id": 1})
        assert (await watch.until(lambda report: report.reads >= 3)).reads == 3
        await watch.end()
    found = await recorded(database)
    assert {name: count for (_, name), count in found.accesses.items()} == {"writes": 1, "reads": 3}
    assert found.last_change is None
    assert found.last_stray == found.last_write


@FIRST
async def test_the_watch_goes_on_where_it_was_stopped(database: Any) -> None:
    """What happened between two runs is seen by the second one, and nothing is counted twice."""
    await filled(database)
    async with watching_v1(database) as watch:
        await database["v1"].insert_one({"_id": 7})
        await watch.until(lambda report: report.changes == {"insert": 1})
        await watch.end()
    before = await recorded(database)
    await database["v1"].delete_one({"_id": 7})
    async with watching_v1(database) as watch:
        assert (await watch.until(lambda report: bool(report.changes))).changes == {"delete": 1}
        await watch.end()
    found = await recorded(database)
    assert (found.since, found.gap, found.running) == (before.since, "", False)
    assert sorted(name for (_, name) in found.changes) == ["delete", "insert"]


@FIRST
async def test_quarantine_leaves_no_gap(database: Any) -> None:
    """The watch goes on under the old name, where it sees a program create V1 again."""
    await filled(database)
    async with watching_v1(database) as watch:
        await retirement(database).quarantine()
        await database["v1"].insert_one({"_id": 9})
        assert (await watch.until(lambda report: bool(report.changes))).changes == {"insert": 1}
        await watch.end()
    assert (await recorded(database)).gap == ""


@FIRST
async def test_a_position_that_is_lost_is_a_gap(database: Any) -> None:
    """From then on the soak begins anew, and the record says why."""
    await filled(database)
    async with watching_v1(database) as watch:
        await watch.end()
    before = await recorded(database)
    await database["lazymig_control"].update_one({"_id": "people/watch"}, {"$set": {"token": {"_data": "00"}}})
    async with watching_v1(database) as watch:
        await watch.until(lambda report: report.since is not None and report.since > before.since)
        await watch.end()
    assert "no longer has the changes" in (await recorded(database)).gap


@FIRST
async def test_one_process_watches_at_a_time(database: Any) -> None:
    """The second one waits, and takes over when the first one ends."""
    await filled(database)
    async with watching_v1(database) as watch:
        other = Watch(database)
        await other.until(lambda report: report.waiting)
        await watch.end()
        await other.until(lambda report: not report.waiting and report.since is not None)
        await other.end()


@FIRST
async def test_a_user_who_may_not_see_the_counts_is_told(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are seen all the same; the report and the record say what is not."""
    await filled(database)

    async def refuse(_: Accesses) -> Access:
        raise OperationFailure("not authorized", 13)

    monkeypatch.setattr(Accesses, "sample", refuse)
    async with watching_v1(database) as watch:
        await database["v1"].insert_one({"_id": 7})
        report = await watch.until(lambda report: bool(report.changes))
        assert "does not show $collStats" in report.limits[0]
        await watch.end()
    assert not (await recorded(database)).counted


@pytest.mark.parametrize("driver", ["mock"])
async def test_nothing_is_watched_in_memory(database: Any) -> None:
    """There are no change streams."""
    await filled(database)
    with pytest.raises(ConfigurationError, match="needs a replica set"):
        await retirement(database).watch()


def test_counts_of_another_server_are_not_compared() -> None:
    """A new primary counts from its own start; a restarted one, or a V1 of another name, counts anew."""
    count = watching._count_since
    assert count(None, Access("a", 9, 9)) == {}
    assert count(Access("a", 5, 5), Access("b", 9, 9)) == {}
    assert count(Access("a", 5, 5), Access("a", 9, 6)) == {"reads": 3, "writes": 1}
    assert count(Access("a", 5, 5), Access("a", 6, 5)) == {}
    assert count(Access("a", 5, 5), Access("a", 3, 1)) == {"reads": 2, "writes": 1}
