"""Many updates of one entity at once, on a real server: all are made, each once, and none waits for another's code."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError, NetworkTimeout

from lazymig import Phase
from lazymig.protocol import joining
from tests.clocks import standing_loop
from tests.conftest import only_database
from tests.layouts import Layout
from tests.people import PersonV2, ada, people
from tests.taking_turns import check_order, tagging
from tests.watching import Watch

BOTH_LAYOUTS = pytest.mark.parametrize("layout", Layout, ids=str)


class Refused(Exception):
    """What a change may raise."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns do not end early because the machine is busy."""
    monkeypatch.setattr(joining, "DECIDING_S", 60.0)


@BOTH_LAYOUTS
async def test_a_counter_is_exact(server_database: Any, layout: Layout) -> None:
    """A hundred tasks raise it through both doors; every tenth raises an error, and every tenth is cancelled."""
    repository = layout.open(server_database, people(), write_behind=True)
    await repository.insert(ada(1, age=0, tags=[]))

    def count(number: int) -> Any:
        def change(person: Any) -> Any:
            if number % 10 == 3:
                person.tags.append("never stored")
                raise Refused
            return evolve(person, age=person.age + 1, tags=[*person.tags, str(number)])

        return change

    tasks = [
        asyncio.ensure_future((repository.v1 if number % 3 == 0 else repository).update(1, count(number)))
        for number in range(100)
    ]
    await asyncio.wait(tasks[:1])
    cancelled = [number for number in range(100) if number % 10 == 7]
    for number in cancelled:
        tasks[number].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    seen = {str(number): result.tags for number, result in enumerate(results) if not isinstance(result, BaseException)}
    final = await repository.get(1)
    assert final.age == len(final.tags) == len((await repository.v1.get(1)).tags)
    check_order(final.tags, seen, [str(number) for number in cancelled])
    for number, result in enumerate(results):
        if number % 10 == 3:
            assert isinstance(result, Refused)
        elif number not in cancelled:
            assert not isinstance(result, BaseException)
            assert result.age == len(result.tags)
    async with repository:  # what was stored behind the callers
        pass
    assert (await layout.find_v1(server_database))[0]["age"] == final.age
    assert (await layout.find_bodies(server_database))[1]["age"] == final.age


@BOTH_LAYOUTS
async def test_fifty_updates_are_two_writes(lazymig_server: Any, layout: Layout) -> None:
    """One of the first, by itself, and one of all that came meanwhile."""
    watch = Watch()
    async with only_database(AsyncMongoClient(lazymig_server.uri, event_listeners=[watch])) as database:
        repository = layout.open(database, people())
        await repository.insert(ada(1, age=0))
        await repository.get(1)
        sent: list[str] = []
        watch.then = lambda event: sent.append(event.command_name)
        older = lambda person: evolve(person, age=person.age + 1)  # noqa: E731
        found = await asyncio.gather(*(repository.update(1, older) for _ in range(50)))
        assert sorted(person.age for person in found) == list(range(1, 51))
        one = ["find", "update"] if layout is Layout.ONE else ["findAndModify", "update", "update"]
        assert [name for name in sent if name not in ("hello", "endSessions")] == 2 * one


@BOTH_LAYOUTS
async def test_what_an_index_refuses_is_its_own_callers(server_database: Any, layout: Layout) -> None:
    """Nothing of their write was stored, so the others are made one by one."""
    repository = layout.open(server_database, people())
    await server_database["v1"].create_index("age", unique=True)
    await repository.insert(ada(1, age=36, tags=[]))
    await repository.insert(ada(2, age=77))
    changes = [tagging("a"), tagging("b"), lambda person: evolve(person, age=77), tagging("c")]
    results = await asyncio.gather(*(repository.update(1, change) for change in changes), return_exceptions=True)
    assert [getattr(result, "tags", type(result)) for result in results] == [
        list("a"), list("ab"), DuplicateKeyError, list("abc"),
    ]  # fmt: skip
    stored = await repository.v1.get(1)
    assert (stored.tags, stored.age) == (list("abc"), 36)


@BOTH_LAYOUTS
@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.SHADOW, Phase.V2_PRIMARY, Phase.V2_ONLY])
async def test_in_every_phase(server_database: Any, layout: Layout, phase: Phase) -> None:
    """Through either door, each update has the result of its own."""
    repository = layout.open(server_database, people(), phase=phase)
    await repository.insert(ada(1, tags=[]))
    for door in (repository, repository.v1):
        names = [f"{type(door).__name__}{number}" for number in range(8)]
        found = await asyncio.gather(*(door.update(1, tagging(name)) for name in names))
        final = (await door.get(1)).tags
        for name, person in zip(names, found, strict=True):
            assert person.tags == final[: final.index(name) + 1]
    assert len((await repository.get(1)).tags) == 16


async def test_a_change_that_hangs_costs_its_own_caller_alone(server_database: Any) -> None:
    """It is out of time; the others are made meanwhile."""
    repository = Layout.TWO.open(server_database, people(), timeout_s=30.0)
    await repository.insert(ada(1, tags=[]))
    hanging = asyncio.Event()

    async def hang(person: PersonV2) -> PersonV2:
        await hanging.wait()
        return person

    changes = [tagging("a"), hang, tagging("b"), hang, tagging("c")]
    tasks = [asyncio.ensure_future(repository.update(1, change)) for change in changes]
    done, waiting = await asyncio.wait([tasks[0], tasks[2], tasks[4]])
    assert not waiting
    assert not tasks[1].done()
    assert not tasks[3].done()
    assert sorted(len(task.result().tags) for task in done) == [1, 2, 3]
    with standing_loop() as time:
        time.move(31)
        results = await asyncio.gather(tasks[1], tasks[3], return_exceptions=True)
    assert [type(result) for result in results] == [NetworkTimeout] * 2


@BOTH_LAYOUTS
async def test_four_processes_of_sixteen_tasks(server_database: Any, layout: Layout) -> None:
    """None of them loses all its attempts, and no update is lost. Here they share an event loop and nothing else."""
    processes = [layout.open(server_database, people()) for _ in range(4)]
    await processes[0].insert(ada(1, tags=[]))

    async def work(number: int, task: int) -> dict[str, list[str]]:
        seen = {}
        for step in range(2):
            name = f"{number}.{task}.{step}"
            seen[name] = (await processes[number].update(1, tagging(name))).tags
        return seen

    seen: dict[str, list[str]] = {}
    for some in await asyncio.gather(*(work(number, task) for number in range(4) for task in range(16))):
        seen |= some
    assert len(seen) == 128
    check_order((await processes[0].get(1)).tags, seen)
