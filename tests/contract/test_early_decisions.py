"""Changes that are decided while their announcements are stored: they count only if V2 is what they were made from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import AutoReconnect

from lazymig import Phase, Repository
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import calls_of
from lazymig.stores.announcing import Announcements
from lazymig.stores.coalescing import CoalescingV2
from tests.people import ada, ada_v1, people
from tests.tasks import run_until

META = "_lazymig"
pytestmark = pytest.mark.parametrize("driver", ["pymongo", "motor"])


class Gate:
    """Holds announcements of several writes until it is opened; `before` happens then, before they are sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.reached = asyncio.Event(), asyncio.Event()
        self.before: Any = None
        announce = Announcements.announce_each

        async def held(announcements: Announcements, expected: Any) -> Any:
            self.reached.set()
            await self.opened.wait()
            if self.before is not None:
                before, self.before = self.before, None
                await before()
            return await announce(announcements, expected)

        monkeypatch.setattr(Announcements, "announce_each", held)


def opened(database: Any) -> Any:
    """A repository of people."""
    return Repository(people(), v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)


@pytest.fixture
async def repo(database: Any) -> Any:
    """A repository with three people in V2, whose calls share statements."""
    await database["v1"].insert_many([ada_v1(id) for id in (1, 2, 3)])
    repository = opened(database)
    await repository.get_many([1, 2, 3])
    return repository


async def intents(database: Any) -> dict[Any, tuple[int, int]]:
    """Revision and intent by id."""
    return {one["_id"]: (one[META]["rev"], one[META]["intent"]) async for one in database["v2"].find({})}


async def test_changes_are_decided_while_announcements_are_stored(repo: Any, database: Any, monkeypatch: Any) -> None:
    """Each is called once, before its announcement is durable, and V1 is written after it."""
    gate, called, both = Gate(monkeypatch), [], asyncio.Event()

    def older(person: Any) -> Any:
        called.append(person.id)
        if len(called) == 2:
            both.set()
        return evolve(person, age=40)

    tasks = [asyncio.create_task(repo.update(id, older)) for id in (1, 2)]
    await gate.reached.wait()
    await both.wait()
    assert await intents(database) == {1: (0, 0), 2: (0, 0), 3: (0, 0)}
    assert {one["age"] async for one in database["v1"].find({})} == {36}
    gate.opened.set()
    assert [person.age for person in await asyncio.gather(*tasks)] == [40, 40]
    assert sorted(called) == [1, 2]
    assert await intents(database) == {1: (1, 1), 2: (1, 1), 3: (0, 0)}
    assert {one["_id"]: one["age"] async for one in database["v1"].find({})} == {1: 40, 2: 40, 3: 36}


async def test_a_write_in_between_makes_it_decide_again(repo: Any, database: Any, monkeypatch: Any) -> None:
    """Another process updates the entity before the announcement: its update is not lost, and the change sees it."""
    gate, rival, seen = Gate(monkeypatch), opened(database), []
    gate.before = lambda: rival.update(1, lambda person: evolve(person, age=70))

    def older(person: Any) -> Any:
        seen.append((person.id, person.age))
        return evolve(person, age=person.age + 1)

    gate.opened.set()
    changed = await asyncio.gather(*(repo.update(id, older) for id in (1, 2)))
    assert [person.age for person in changed] == [71, 37]
    assert sorted(seen) == [(1, 36), (1, 70), (2, 36)]
    assert [(await repo.v1.get(id)).age for id in (1, 2)] == [71, 37]
    assert await repo.get(1) == ada(1, age=71)


async def test_an_error_of_a_change_from_an_old_entity_is_dropped(repo: Any, database: Any, monkeypatch: Any) -> None:
    """It raises for what was there before another process has written it, and is called again."""
    gate, rival = Gate(monkeypatch), opened(database)
    gate.before = lambda: rival.update(1, lambda person: evolve(person, age=70))

    def older(person: Any) -> Any:
        if person.id == 1 and person.age == 36:
            raise ValueError("too young")
        return evolve(person, age=person.age + 1)

    gate.opened.set()
    assert (await asyncio.gather(*(repo.update(id, older) for id in (1, 2))))[0].age == 71


async def test_a_change_that_raises_leaves_nothing(repo: Any, database: Any, monkeypatch: Any) -> None:
    """Its caller gets the error once the announcement is made, which is withdrawn; the other write is done."""
    gate = Gate(monkeypatch)
    gate.opened.set()

    def fail(person: Any) -> Any:
        raise ValueError("no")

    changes = (fail, lambda person: evolve(person, age=40))
    results = await asyncio.gather(*map(repo.update, (1, 2), changes), return_exceptions=True)
    assert isinstance(results[0], ValueError)
    assert await intents(database) == {1: (0, 0), 2: (1, 1), 3: (0, 0)}
    assert not await database["v2"].count_documents({f"{META}.at": {"$exists": True}})


def make_undecided() -> tuple[Any, asyncio.Event]:
    """A change that never decides, and what is set once it has begun."""
    deciding = asyncio.Event()

    async def wait(person: Any) -> Any:
        deciding.set()
        await asyncio.Event().wait()

    return wait, deciding


async def test_a_call_that_is_cancelled_while_it_decides_leaves_nothing(
    repo: Any, database: Any, monkeypatch: Any
) -> None:
    """Its announcement is on its way, and is withdrawn once it is made."""
    gate, (wait, deciding) = Gate(monkeypatch), make_undecided()
    tasks = [asyncio.create_task(repo.update(1, wait))]
    tasks.append(asyncio.create_task(repo.update(2, lambda person: evolve(person, age=40))))
    await deciding.wait()
    tasks[0].cancel()
    await asyncio.sleep(0)
    assert not tasks[0].done()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await tasks[1]
    assert await intents(database) == {1: (0, 0), 2: (1, 1), 3: (0, 0)}


async def test_a_call_that_is_closed_while_it_decides_waits_for_nothing(
    repo: Any, database: Any, monkeypatch: Any
) -> None:
    """Python refuses that. Its announcement, on its way, is left to the next reader; the other write is done."""
    gate, (wait, deciding) = Gate(monkeypatch), make_undecided()
    closed = repo.update(1, wait)
    first = asyncio.ensure_future(run_until(deciding, closed))
    other = asyncio.create_task(repo.update(2, lambda person: evolve(person, age=40)))
    await first
    closed.close()
    gate.opened.set()
    await other
    assert await intents(database) == {1: (0, 1), 2: (1, 1), 3: (0, 0)}
    assert (await repo.get(1)).age == 36


async def test_a_call_that_is_cancelled_while_v2_is_read_announces_nothing(database: Any, monkeypatch: Any) -> None:
    """While a statement is under way, those that wait for the next one and are cancelled have no part in it."""
    store, gate = CoalescingV2(database["v2"], SYSTEM_CLOCK, 1, 20.0), Gate(monkeypatch)
    await database["v2"].insert_many([{"_id": id, META: {"rev": 3, "intent": 3}} for id in (1, 2, 3, 4)])
    first = [asyncio.create_task(store.ticket(id)) for id in (1, 2)]
    await gate.reached.wait()
    cancelled, last = (asyncio.create_task(store.ticket(id)) for id in (3, 4))
    await asyncio.sleep(0)
    cancelled.cancel()
    gate.opened.set()
    await asyncio.gather(*first, last)
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert {one["_id"]: one[META]["intent"] async for one in database["v2"].find({})} == {1: 4, 2: 4, 3: 3, 4: 4}


@pytest.mark.parametrize("step", ["find_many", "announce_each"])
async def test_an_announcement_that_fails_is_every_callers_error(repo: Any, monkeypatch: Any, step: str) -> None:
    """Nobody waits for ever, whether V2 could not be read or not be written, and V1 is not written."""

    async def fail(*_: Any) -> Any:
        raise AutoReconnect("away")

    owner: Any = calls_of(repo).pair.bodies if step == "find_many" else Announcements
    monkeypatch.setattr(owner, step, fail)
    results = await asyncio.gather(
        *(repo.update(id, lambda person: evolve(person, age=40)) for id in (1, 2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [AutoReconnect] * 2
    monkeypatch.undo()
    assert [person.age for person in (await repo.get_many([1, 2])).values()] == [36, 36]
