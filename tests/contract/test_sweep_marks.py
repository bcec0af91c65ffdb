"""A sweep settles what crashes and deletes leave in V2: it heals marks and purges remainders, and nothing too early."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from lazymig.repository import calls_of
from tests.sweeps import (
    StandingClock,
    letters,
    moved,
    repository,
    server_says,
    stored,
    sweeper,
    thing,
    unique_codes,
)

NOW = datetime(2024, 5, 1, 12)
LONG_AGO, JUST_NOW = NOW - timedelta(hours=2), NOW - timedelta(seconds=2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StandingClock:
    """Stands at `NOW`, and the server's clock with it."""
    clock = StandingClock()
    server_says(monkeypatch, clock)
    return clock


def dirty(id: int, rev: int, intent: int, at: datetime, **changed: Any) -> dict[str, Any]:
    """A V2 document with an open announcement."""
    return {**moved(id), **changed, "_lazymig": {"rev": rev, "intent": intent, "by": "read", "at": at}}


def gone(id: int, rev: int, intent: int, at: datetime) -> dict[str, Any]:
    """A tombstone, or (at revision -1) a placeholder."""
    return {"_id": id, "_lazymig": {"rev": rev, "intent": intent, "by": "write", "gone": True, "at": at}}


async def test_a_mark_of_a_dead_writer_is_healed(database: Any, clock: StandingClock) -> None:
    """A ticket whose writer died before V1 ends at a fresh revision in both, with the body and V2's own field kept."""
    await database["v1"].insert_one(thing(1, _lazymig_rev=2))
    await database["v2"].insert_one(dirty(1, 2, 3, LONG_AGO, note="kept"))
    report = await sweeper(database, clock=clock).run()
    assert (await stored(database["v2"]))["1"] == moved(1, rev=4, by="read", note="kept")
    assert (await stored(database["v1"]))["1"] == thing(1, _lazymig_rev=4)
    assert (report.healed, report.purged, report.dead) == (1, 0, 0)


async def test_a_body_that_never_arrived_is_repaired(database: Any, clock: StandingClock) -> None:
    """Where only V2's last step is missing, V2 is brought up to V1 and V1 is not written."""
    await database["v1"].insert_one(thing(1, 8, _lazymig_rev=3))
    await database["v2"].insert_one(dirty(1, 2, 3, LONG_AGO))
    report = await sweeper(database, clock=clock).run()
    assert (await stored(database["v2"]))["1"] == moved(1, 8, rev=3, by="read")
    assert (await stored(database["v1"]))["1"] == thing(1, 8, _lazymig_rev=3)
    assert report.healed == 1


async def test_a_repair_swallows_no_body_that_came_between(database: Any, clock: StandingClock) -> None:
    """Two writes come while the sweep looks at V1: one with a note, and one that dies past V1. The note stays.

    The second writer may still be alive, so the sweep leaves its body to it. One that comes later does not.
    """
    await database["v1"].insert_one(thing(1, 8, _lazymig_rev=3))
    await database["v2"].insert_one(dirty(1, 2, 3, NOW - timedelta(minutes=10)))
    repo = repository(database, clock=clock)
    find = calls_of(repo).pair.v1.find

    async def found_late(id: Any) -> Any:
        calls_of(repo).pair.v1.find = find  # type: ignore[method-assign]
        await repo.update(1, lambda entity: evolve(entity, note="kept"))
        seen = await calls_of(repo).pair.ledger.ticket(1)
        assert await calls_of(repo).pair.v1.compare_and_set(1, seen.revision, seen.intent, {"n": 9})
        return await find(id)

    calls_of(repo).pair.v1.find = found_late  # type: ignore[method-assign]
    await sweeper(database, clock=clock, repo=repo).run()
    left = (await stored(database["v2"]))["1"]
    assert left == dirty(1, 4, 5, left["_lazymig"]["at"], count=8, note="kept")
    await database["v2"].update_one({"_id": 1}, {"$set": {"_lazymig.at": LONG_AGO}})
    assert (await sweeper(database, clock=clock, repo=repo).run()).healed == 1
    assert (await stored(database["v2"]))["1"] == moved(1, 9, rev=5, by="read", note="kept")


async def test_a_placeholder_of_an_insert_is_filled(database: Any, clock: StandingClock) -> None:
    """An insert that died after V1 gets its body; one that died before V1 leaves nothing behind."""
    await database["v1"].insert_one(thing(1, _lazymig_rev=1))
    await database["v2"].insert_many([gone(1, -1, 1, LONG_AGO), gone(2, -1, 1, LONG_AGO)])
    report = await sweeper(database, clock=clock).run()
    assert await stored(database["v2"]) == {"1": moved(1, rev=1, by="write")}
    assert (report.healed, report.purged) == (1, 1)


async def test_young_marks_are_left(database: Any, clock: StandingClock) -> None:
    """A mark of two seconds probably has a living writer: it is not touched."""
    await database["v1"].insert_one(thing(1))
    before = [dirty(1, 0, 1, JUST_NOW), gone(2, 4, 4, JUST_NOW)]
    await database["v2"].insert_many(before)
    report = await sweeper(database, clock=clock).run()
    assert list((await stored(database["v2"])).values()) == before
    assert (report.healed, report.purged) == (0, 0)


@pytest.mark.parametrize(("age_s", "left"), [(3599, True), (3600, False), (7200, False)])
async def test_tombstones_are_purged_past_their_grace(
    database: Any, clock: StandingClock, age_s: int, left: bool
) -> None:
    """A tombstone, and a body whose delete died half way, stand for the grace period and not longer."""
    at = NOW - timedelta(seconds=age_s)
    before = {"1": gone(1, 4, 4, at), "2": dirty(2, 3, 4, at)}
    await database["v2"].insert_many(list(before.values()))
    report = await sweeper(database, clock=clock, grace_s=3600).run()
    assert await stored(database["v2"]) == (before if left else {})
    assert report.purged == (0 if left else 2)
    assert await stored(database["v1"]) == {}


async def test_a_tombstone_of_an_entity_that_stands_is_no_remainder(database: Any, clock: StandingClock) -> None:
    """An old tombstone is not purged but overwritten while V1 holds the entity: it was inserted again."""
    await database["v1"].insert_one(thing(1, 5, _lazymig_rev=7))
    await database["v2"].insert_one(gone(1, 4, 7, LONG_AGO))
    report = await sweeper(database, clock=clock).run()
    assert await stored(database["v2"]) == {"1": moved(1, 5, rev=7, by="write")}
    assert (report.healed, report.purged) == (1, 0)


async def test_a_mark_without_v1_is_never_healed(database: Any, clock: StandingClock) -> None:
    """Healing a deleted entity's remainder would make it young again: until its grace is over it stays as it is."""
    before = dirty(1, 3, 4, NOW - timedelta(minutes=10))
    await database["v2"].insert_one(before)
    report = await sweeper(database, clock=clock).run()
    assert await stored(database["v2"]) == {"1": before}
    assert (report.healed, report.purged, report.dead) == (0, 0, 0)


async def test_a_legacy_replacement_is_healed(database: Any, clock: StandingClock) -> None:
    """V1's content wins where a client replaced the document and dropped its revision."""
    await database["v1"].insert_one(thing(1, 77))
    await database["v2"].insert_one(dirty(1, 5, 6, LONG_AGO))
    await sweeper(database, clock=clock).run()
    assert (await stored(database["v2"]))["1"] == moved(1, 77, rev=7, by="read")
    assert (await stored(database["v1"]))["1"] == thing(1, 77, _lazymig_rev=7)


async def test_many_marks(database: Any, clock: StandingClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks are all met, over several pages, with equal and with different times."""
    monkeypatch.setattr("lazymig.sweeping.marks._PAGE", 3)
    times = [LONG_AGO + timedelta(seconds=number // 5) for number in range(20)]
    await database["v1"].insert_many([thing(id) for id in range(10)])
    await database["v2"].insert_many([dirty(id, 0, 1, times[id]) for id in range(10)])
    await database["v2"].insert_many([gone(id, 2, 2, times[id]) for id in range(10, 20)])
    report = await sweeper(database, clock=clock).run()
    assert (report.healed, report.purged) == (10, 10)
    assert {id: body["_lazymig"] for id, body in (await stored(database["v2"])).items()} == {
        str(id): {"rev": 2, "intent": 2, "by": "read"} for id in range(10)
    }


async def test_a_refused_mark_is_told_and_v1_left_alone(database: Any, driver: str, clock: StandingClock) -> None:
    """A body that V2 refuses becomes one dead letter, and V1 keeps its revision however often one sweeps."""
    await unique_codes(database, driver)
    await database["v1"].insert_many([thing(1, code="same"), thing(2, code="same", _lazymig_rev=1)])
    await database["v2"].insert_many([moved(1, code="same"), dirty(2, 0, 1, LONG_AGO, code="other")])
    before = await stored(database["v1"])
    for attempts in (1, 2, 3):
        report = await sweeper(database, clock=clock).run()
        letter = (await letters(database))["2"]
        assert (letter.direction, letter.error, letter.revision, letter.attempts) == ("store", "Refused", 1, attempts)
        assert (report.dead, report.dead_letters, report.healed) == (1, 1, 0)
    assert await stored(database["v1"]) == before
    await database["v1"].update_one({"_id": 1}, {"$set": {"code": "free", "_lazymig_rev": 1}})
    await database["v2"].update_one({"_id": 1}, {"$set": {"code": "free", "_lazymig": {"rev": 1, "intent": 1}}})
    assert (await sweeper(database, clock=clock).run()).dead_letters == 0
    assert (await stored(database["v2"]))["2"] == moved(2, rev=1, by="read", code="same")


async def test_marks_of_entities_that_do_not_convert(database: Any, clock: StandingClock) -> None:
    """A dirty entity that no longer converts is a dead letter; V1 and V2 stay as they are."""
    await database["v1"].insert_one(thing(1, -5, _lazymig_rev=3))
    await database["v2"].insert_one(dirty(1, 2, 3, LONG_AGO))
    before = await stored(database["v1"]), await stored(database["v2"])
    report = await sweeper(database, clock=clock).run()
    assert (report.healed, report.dead, report.dead_letters) == (0, 1, 1)
    assert (await letters(database))["1"].error == "ValueError"
    assert (await stored(database["v1"]), await stored(database["v2"])) == before


async def test_write_behind_is_no_failure(database: Any, clock: StandingClock) -> None:
    """A repository that stores V2's bodies behind its callers heals as well, and nothing is taken for refused."""
    await database["v1"].insert_one(thing(1))
    await database["v2"].insert_one(dirty(1, 0, 1, LONG_AGO, note="kept"))
    async with repository(database, clock=clock, write_behind=True) as repo:
        report = await sweeper(database, repo=repo, clock=clock).run()
    assert (report.healed, report.dead_letters) == (1, 0)
    assert (await stored(database["v2"]))["1"] == moved(1, rev=2, by="read", note="kept")


async def test_stopped_marks_are_left_to_the_next_run(database: Any, clock: StandingClock) -> None:
    """A run that is stopped while it resolves marks says that it did not finish."""
    await database["v1"].insert_many([thing(id) for id in range(4)])
    await database["v2"].insert_many([dirty(id, 0, 1, LONG_AGO) for id in range(4)])
    stopping = sweeper(database, clock=clock, on_progress=lambda progress: stopping.stop())
    report = await stopping.run()
    assert (report.finished, report.healed) == (False, 0)
    assert (await sweeper(database, clock=clock).run()).healed == 4


async def test_a_live_writer_wins(database: Any, clock: StandingClock) -> None:
    """An entity that is written after the sweep saw its mark keeps the writer's content."""
    await database["v1"].insert_one(thing(1))
    await database["v2"].insert_one(dirty(1, 0, 1, LONG_AGO))
    repo = repository(database, clock=clock)
    heal_next = calls_of(repo).pair.v1.find
    wrote = []

    async def find(id: Any) -> Any:
        if not wrote:
            wrote.append(True)
            await repo.update(1, lambda thing: evolve(thing, count=50))
        return await heal_next(id)

    calls_of(repo).pair.v1.find = find  # type: ignore[method-assign]
    report = await sweeper(database, repo=repo, clock=clock).run()
    assert wrote == [True]
    assert report.dead_letters == 0
    assert (await stored(database["v1"]))["1"]["n"] == 50
    assert (await stored(database["v2"]))["1"]["count"] == 50
    assert (await repo.get(1)).count == 50
