"""Cases 4, 14b, 14c and 50: what comes late, and whose clock says so."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import AutoReconnect, NetworkTimeout

from lazymig import Phase, Repository, Sweeper
from lazymig.loop.clock import SystemClock
from lazymig.repository import calls_of
from tests.people import ada, ada_v1, people
from tests.sweeps import moved, repository, sweeper, thing

META = "_lazymig"


def opened(database: Any, **options: Any) -> Repository[Any, Any]:
    """A repository of people."""
    return Repository(people(), v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


class Ahead(SystemClock):
    """The machine's clock, wrong by some time, whose monotonic time a test moves on."""

    def __init__(self, wrong: timedelta = timedelta(0)) -> None:
        self.wrong = wrong
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        return super().now() + self.wrong

    def monotonic(self) -> float:
        return super().monotonic() + self.elapsed_s


async def forget_delete(database: Any, id: int) -> None:
    """Delete an entity, and let V2 forget that there was one, as a purge past the grace does."""
    await repository(database).delete(id)
    await database["v2"].delete_one({"_id": id, f"{META}.gone": True})


@pytest.mark.parametrize("when", ["before the store", "while it is stored"])
async def test_case_4_a_slow_sweep_brings_no_deleted_entity_back(database: Any, when: str) -> None:
    """A page was read, the entity was deleted and its tombstone purged, then the page is stored: it stays deleted."""
    await database["v1"].insert_many([thing(id) for id in range(10)])
    clock = Ahead()
    repo = repository(database, clock=clock)
    slow = sweeper(database, repo=repo, clock=clock, batch_size=100, partition_size=1000)
    put_many, convert = calls_of(repo).pair.bodies.put_many, slow._sweep._work._mover._convert

    async def late() -> None:
        clock.elapsed_s += 7200
        if await database["v1"].find_one({"_id": 3}):
            await forget_delete(database, 3)

    async def slowly_stored(*arguments: Any, **options: Any) -> Any:
        await late()
        return await put_many(*arguments, **options)

    async def slowly_converted(*arguments: Any) -> Any:
        converted = await convert(*arguments)
        await late()
        return converted

    if when == "before the store":
        slow._sweep._work._mover._convert = slowly_converted  # type: ignore[method-assign]
    else:
        calls_of(repo).pair.bodies.put_many = slowly_stored  # type: ignore[method-assign]
    report = await slow.run()
    assert report.finished
    other = repository(database)
    assert await other.get(3) is None
    assert sorted(await other.get_many(range(10))) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    await other.insert(type(await other.get(1))(3, 7))
    assert (await other.get(3)).count == 7


async def test_case_4_documents_wait_for_their_rate_before_they_are_read(database: Any) -> None:
    """Under a rate limit nothing is read that may not be stored at once: V1 is read between asking and storing."""
    await database["v1"].insert_many([thing(id) for id in range(40)])
    limited = sweeper(database, rate_limit=1000, batch_size=10, partition_size=1000, concurrency=1)
    order: list[str] = []
    remainder_page, move = limited._sweep._work._flow._move, limited._sweep._work._mover.move

    class Limiter:
        max_rate = 100.0

        async def acquire(self, amount: float) -> None:
            order.append("asked")

    async def moving(documents: Any, read_at_s: float) -> float:
        order.append("read")
        assert limited._sweep._clock.monotonic() - read_at_s < 1
        return await move(documents, read_at_s)

    del remainder_page
    limited._sweep._work._flow._throttle._limiter = Limiter()
    limited._sweep._work._mover.move = moving  # type: ignore[method-assign]
    report = await limited.run()
    assert report.migrated == 40
    assert order == ["asked", "read"] * 4


@pytest.mark.parametrize("many", [False, True], ids=["get", "get_many"])
async def test_case_4_a_read_that_was_paused_looks_again(database: Any, many: bool) -> None:
    """A process sleeps for two hours between reading V1 and storing: what it stores does not stay."""
    await database["v1"].insert_one(thing(3))
    clock = Ahead()
    repo = repository(database, clock=clock, coalesce=False)
    name = "put_many" if many else "put_if_absent"
    original = getattr(calls_of(repo).pair.bodies, name)

    async def late(*arguments: Any, **options: Any) -> Any:
        clock.elapsed_s += 7200
        await forget_delete(database, 3)
        return await original(*arguments, **options)

    setattr(calls_of(repo).pair.bodies, name, late)
    await (repo.get_many([3]) if many else repo.get(3))
    assert await repository(database).get(3) is None


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("arity", [1, 2])
async def test_case_14b_a_client_overtakes_no_body_of_its_own(database: Any, arity: int) -> None:
    """`write_behind`, V2's step late: the next update by the same client keeps the note of the one before."""
    from tests.people import split

    changed = {} if arity == 2 else {"upgrade": lambda v1: split(v1)}
    repo = Repository(people(**changed), v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, write_behind=True)
    await repo.insert(ada())
    async with repo:
        pass
    apply = calls_of(repo).pair.bodies.apply
    arrived = asyncio.Event()

    async def late(*arguments: Any, **options: Any) -> Any:
        if not arrived.is_set():
            arrived.set()
            await asyncio.get_running_loop().run_in_executor(None, _busy)
        return await apply(*arguments, **options)

    calls_of(repo).pair.bodies.apply = late  # type: ignore[method-assign]
    async with repo:
        await repo.update(1, lambda person: evolve(person, note="important"))
        changed_again = await repo.update(1, lambda person: evolve(person, first="Eve"))
        assert (changed_again.note, changed_again.first) == ("important", "Eve")
    stored = await database["v2"].find_one({"_id": 1})
    assert (stored["note"], stored["first"]) == ("important", "Eve")


def _busy() -> None:
    """Takes a moment in another thread, so that the event loop goes on."""
    sum(range(3_000_000))


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("wrong", [timedelta(minutes=-61), timedelta(minutes=61)], ids=["slow", "fast"])
async def test_case_14c_a_wrong_clock_purges_nothing_young(database: Any, wrong: timedelta) -> None:
    """A client whose clock is an hour off deletes, another sweeps, or the other way round: the tombstone stays."""
    await database["v1"].insert_many([thing(1), thing(2)])
    wrong_clock = Ahead(wrong)
    await repository(database, clock=wrong_clock).delete(1)
    await repository(database).delete(2)
    for clock in (SystemClock(), wrong_clock):
        report = await Sweeper(repository(database, clock=clock), clock=clock, grace_s=3600).run()
        assert report.purged == 0
    assert await database["v2"].count_documents({f"{META}.gone": True}) == 2
    await database["v2"].update_many({}, [{"$set": {f"{META}.at": {"$subtract": ["$$NOW", 3_700_000]}}}])
    assert (await Sweeper(repository(database, clock=wrong_clock), clock=wrong_clock).run()).purged == 2


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("wrong", [timedelta(minutes=-61), timedelta(minutes=61)], ids=["slow", "fast"])
async def test_case_14c_a_wrong_clock_heals_no_living_writer(database: Any, wrong: timedelta) -> None:
    """A reader whose clock is an hour off takes a young mark for young, and an old one for old."""
    await database["v1"].insert_one(ada_v1())
    reader = opened(database, clock=Ahead(wrong))
    await reader.get(1)
    await calls_of(opened(database)).pair.ledger.ticket(1)
    assert await reader.get(1) == ada()
    assert "lazymig.healed" not in reader.tally.counts
    await database["v2"].update_one({"_id": 1}, [{"$set": {f"{META}.at": {"$subtract": ["$$NOW", 6000]}}}])
    assert await reader.get(1) == ada()
    assert reader.tally.counts["lazymig.healed"] == 1


async def hanging(*_: Any, **__: Any) -> Any:
    """V2 does not answer."""
    await asyncio.get_running_loop().create_future()


async def refusing(*_: Any, **__: Any) -> Any:
    """V2 cannot be reached."""
    raise AutoReconnect("gone")


@pytest.mark.parametrize("away", [hanging, refusing])
async def test_case_50_v1_answers_where_v2_cannot_be_reached(database: Any, away: Any) -> None:
    """By choice, reads wait for V2 so long and no longer: get, get_many, list and exists answer from V1."""
    await database["v1"].insert_many([ada_v1(id) for id in (1, 2)])
    repo = opened(database, v2_wait_s=0.05, coalesce=False)
    await repo.get(1)
    for name in ("find", "find_many", "find_each", "put_if_absent", "put_many"):
        setattr(calls_of(repo).pair.bodies, name, away)
    assert await repo.get(1) == ada(1)
    assert await repo.get_many([1, 2, 9]) == {1: ada(1), 2: ada(2)}
    assert [person async for person in repo.list()] == [ada(1), ada(2)]
    assert await repo.exists(2) is True
    assert await repo.get(9) is None
    assert repo.tally.counts["lazymig.v2_away"] >= 4


async def test_case_50_without_the_choice_a_read_waits_as_long_as_it_may(database: Any) -> None:
    """The default: V1 is not asked in the place of V2, and the call ends with its time."""
    await database["v1"].insert_one(ada_v1())
    repo = opened(database, timeout_s=0.05, coalesce=False)
    calls_of(repo).pair.bodies.find = hanging  # type: ignore[method-assign]
    with pytest.raises(NetworkTimeout):
        await repo.get(1)


async def test_a_late_store_of_what_has_not_moved_stays(database: Any) -> None:
    """Looking again costs one read, and heals nothing where V1 stands as it was read."""
    await database["v1"].insert_one(thing(3))
    clock = Ahead()
    repo = repository(database, clock=clock, coalesce=False)
    put = calls_of(repo).pair.bodies.put_if_absent

    async def late(*arguments: Any, **options: Any) -> Any:
        clock.elapsed_s += 5
        return await put(*arguments, **options)

    calls_of(repo).pair.bodies.put_if_absent = late  # type: ignore[method-assign]
    await repo.get(3)
    assert await database["v2"].find_one({"_id": 3}) == moved(3, by="read")


async def test_case_4_a_refused_body_that_is_stored_late_is_looked_at_again(server_database: Any) -> None:
    """A sweep asks once more why V2 refuses a body: it is taken by then, and its entity is deleted and forgotten."""
    await server_database.create_collection("v2", validator={"age": {"$ne": 36}})
    await server_database["v1"].insert_one(ada_v1(1))
    clock = Ahead()
    repository = opened(server_database, clock=clock)
    why_refused = calls_of(repository).pair.bodies.why_refused

    async def late(document: Any) -> tuple[str, str]:
        clock.elapsed_s += 5
        await server_database["v1"].delete_one({"_id": 1})
        await server_database.command("collMod", "v2", validator={})
        return await why_refused(document)

    calls_of(repository).pair.bodies.why_refused = late
    await Sweeper(repository, clock=clock).run()
    assert await opened(server_database).get(1) is None
