"""The watch on V1's fields where one document carries both shapes, on a real replica set: only other programs count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve

from lazymig import ConfigurationError, Control, Phase, PhaseError, Retirement, Switch, WatchReport
from lazymig.control import parts_of
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.retiring import watching
from tests.people import ada, ada_v1, people
from tests.whole_people import ORDER, WITHIN, verified, whole

on_server = pytest.mark.parametrize("driver", ["pymongo", "motor"])
CONFIRMED = {"confirm": "people"}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers soon that nothing happened, and each position is recorded."""
    for name, seconds in (("IDLE_S", 0.02), ("_SAVE_EVERY_S", 0.0)):
        monkeypatch.setattr(watching, name, seconds)


class Watch:
    """A watch that runs in a task of its own."""

    def __init__(self, work: Retirement[Any, Any]) -> None:
        self._turn, self._work = asyncio.Event(), work
        self._report: WatchReport | None = None
        self._task = asyncio.ensure_future(work.watch(on_progress=self._note))

    def _note(self, report: WatchReport) -> None:
        self._report = report
        self._turn.set()

    async def until(self, holds: Callable[[WatchReport], bool]) -> WatchReport:
        """Wait for a report of which this holds."""
        async with asyncio.timeout(20):
            while self._report is None or not holds(self._report):
                self._turn.clear()
                await self._turn.wait()
        return self._report

    async def __aenter__(self) -> Watch:
        await self.until(lambda report: report.since is not None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._work.stop()
        with suppress(asyncio.CancelledError):
            await self._task


@on_server
@pytest.mark.parametrize("placed", [{}, WITHIN], ids=["at the top", "within"])
async def test_only_other_programs_writes_of_v1s_fields_count(database: Any, placed: dict[str, str]) -> None:
    """Each kind of write by others counts, by operation; none of lazymig's does, nor one of fields that V1 lacks."""
    migration, people_ = people(**placed), database["people"]
    await parts_of(Control(database["lazymig_control"])).phases("people").begin(Phase.V2_ONLY, **ORDER)
    await people_.insert_many([ada_v1(id) for id in range(6)])
    repo = whole(database, migration=migration)
    both = whole(database, Phase.V2_PRIMARY, migration=migration)
    work = Retirement(repo, unwatched=True, soak_s=0.0)
    async with repo, Watch(work) as watch:
        # lazymig's own writes, of each kind and in both phases that may run beside the watch
        await both.get_many(range(3))
        for id in range(3):
            await both.update(id, lambda person: evolve(person, first="Augusta"))
            await both.v1.update(id, lambda person: evolve(person, age=1, tags=["a", "b"]))
        await both.insert(ada(10))
        await repo.insert(ada(11))
        await repo.update(0, lambda person: evolve(person, age=9, tags=[]))
        await repo.delete(11)
        await people_.update_one({"_id": 1}, {"$set": {"shoe_size": 1}})
        # other programs'
        await people_.update_one({"_id": 3}, {"$set": {"name": "Grace Hopper"}})
        await people_.update_one({"_id": 3}, {"$push": {"tags": "x"}})
        await people_.update_one({"_id": 4}, {"$unset": {"age": ""}})
        await people_.replace_one({"_id": 4}, ada_v1(4))
        await people_.insert_one(ada_v1(12))
        report = await watch.until(lambda report: report.changes.get("insert", 0) == 1)
        assert report.changes == {"insert": 1, "replace": 1, "update": 3}
        assert report.needs_person
        assert any("deletes" in limit for limit in report.limits)
        # and the end of the fields itself
        await work.reduce(**CONFIRMED)
        await people_.update_one({"_id": 5}, {"$set": {"name": "Late"}})
        report = await watch.until(lambda report: report.changes["update"] > 3)
        assert report.changes == {"insert": 1, "replace": 1, "update": 4}


@on_server
async def test_the_watch_opens_the_last_step(database: Any) -> None:
    """A watch from V2_PRIMARY on that saw nothing since the verification opens the gate; before, it is refused."""
    control = Control(database["lazymig_control"])
    repo = whole(database)
    await parts_of(control).phases("people").begin(Phase.COEXIST, **ORDER)
    with pytest.raises(PhaseError, match="in the phase coexist V1 is needed"):
        await Retirement(repo).watch()
    standing = await control.standing("people")
    assert standing is not None
    await parts_of(control).phases("people").move(standing, Phase.V2_PRIMARY, **ORDER)
    switch = Switch(repo, soak_s=0)

    async def state() -> str:
        return next(gate.state for gate in (await switch.plan("advance")).gates if gate.name == "outside-writes")

    async with repo:
        await repo.insert(ada(1))
        async with Watch(Retirement(repo)) as watch:
            await watch.until(lambda report: report.elapsed_s > 0.1)
            assert await state() == "unknown"
            await verified(database, SYSTEM_CLOCK)
            await watch.until(lambda report: report.elapsed_s > 0.2)
            assert await state() == "open"
            await database["people"].update_one({"_id": 1}, {"$set": {"name": "Grace Hopper"}})
            await watch.until(lambda report: bool(report.changes))
            assert await state() == "closed"
            await verified(database, SYSTEM_CLOCK)
            assert await state() == "open"
            moved = await switch.advance(**ORDER, confirm="people")
            assert moved.after is Phase.V2_ONLY


@pytest.mark.parametrize("driver", ["mock"])
async def test_a_watch_needs_change_streams(database: Any) -> None:
    """In memory there are none, and the watch says so before it records anything."""
    await parts_of(Control(database["lazymig_control"])).phases("people").begin(Phase.V2_ONLY, **ORDER)
    with pytest.raises(ConfigurationError, match="replica set"):
        await Retirement(whole(database)).watch()
    assert await parts_of(Control(database["lazymig_control"])).watching("people").find_watched() is None
