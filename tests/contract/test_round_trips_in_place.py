"""How many commands each call sends where one document carries both shapes: counted by the driver's own listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from lazymig import AlreadyExists, NotFound, Phase
from lazymig.protocol import listing
from lazymig.repository import calls_of
from tests.contract.conftest import Watched
from tests.layouts import Layout, settle
from tests.people import PersonV1, PersonV2, ada, ada_v1, join, people
from tests.watching import steps

FIND, STORE, PUT, DROP, COUNT = "v1 find", "v1 update", "v1 insert", "v1 delete", "v1 aggregate"
PHASES = (Phase.V1_ONLY, Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY)
FILLING = PHASES[1:]
EVERY = pytest.mark.parametrize("every", PHASES)


def older(person: Any) -> Any:
    """A change, of either class."""
    return evolve(person, age=(person.age or 0) + 1)


async def opened(watched: Watched, phase: Phase, **options: Any) -> Any:
    """A repository that has looked at what the collection is; nobody has read the two people in it."""
    await watched.database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repo = Layout.ONE.open(watched.database, people(), phase=phase, **options)
    await repo.check()
    return repo


@EVERY
async def test_what_each_call_sends_in_each_phase(watched: Watched, every: Phase) -> None:
    """The whole table, by both doors, where the V2 parts stand; in `v1_only` nothing needs them."""
    repo = await opened(watched, every)
    await repo.get_many([1, 2])
    await settle(repo)
    view = repo.v1
    calls: list[tuple[Callable[[], Any], list[str]]] = [
        (lambda: repo.get(1), [FIND]),
        (lambda: repo.get(9), [FIND]),
        (lambda: repo.exists(1), [FIND]),
        (lambda: repo.get_many([1, 2, 9]), [FIND]),
        (lambda: repo.count(), [COUNT]),
        (lambda: listed(repo), [FIND]),
        (lambda: repo.update(1, older), [FIND, STORE]),
        (lambda: repo.replace(ada(1)), [FIND, STORE]),
        (lambda: repo.insert(ada(3)), [PUT]),
        (lambda: repo.delete(3), [FIND, DROP]),
        (lambda: view.get(1), [FIND]),
        (lambda: view.exists(1), [FIND]),
        (lambda: view.get_many([1, 2, 9]), [FIND]),
        (lambda: view.count(), [COUNT]),
        (lambda: listed(view), [FIND]),
        (lambda: view.update(1, older), [FIND, STORE]),
        (lambda: view.replace(PersonV1(2, "Eve Ng")), [FIND, STORE]),
        (lambda: view.insert(PersonV1(4, "Eve Ng")), [PUT]),
        (lambda: view.delete(4), [FIND, DROP]),
    ]
    for call, expected in calls:
        with watched.sent() as sent:
            await call()
        assert steps(sent) == expected
    assert await repo.get_many([1, 2]) == {1: ada(1, age=37), 2: PersonV2(2, "Eve", "Ng")}


async def listed(door: Any) -> list[Any]:
    """All entities of a door."""
    return [entity async for entity in door.list()]


@EVERY
async def test_a_first_read_takes_one_more(watched: Watched, every: Phase) -> None:
    """What it converts is stored, alone and by one statement for many; V1's door stores nothing."""
    repo = await opened(watched, every)
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 9)])
    stored = [] if every is Phase.V1_ONLY else [STORE]
    calls: list[Callable[[], Any]] = [
        lambda: repo.get(1), lambda: repo.get_many([1, 2, 3]), lambda: listed(repo),
    ]  # fmt: skip
    for call in calls:
        with watched.sent() as sent:
            await call()
        assert steps(sent) == [FIND, *stored]
        await settle(repo)
        with watched.sent() as sent:
            await call()
        assert steps(sent) == [FIND]
    found = await Layout.ONE.find_bodies(watched.database)
    assert len(found) == (0 if every is Phase.V1_ONLY else 8)


@pytest.mark.parametrize("every", PHASES[:-1])
async def test_v1s_door_stores_nothing_when_it_reads(watched: Watched, every: Phase) -> None:
    """One, the first time as well."""
    repo = await opened(watched, every)
    for call in (lambda: repo.v1.get(1), lambda: repo.v1.get_many([1, 2]), lambda: listed(repo.v1)):
        with watched.sent() as sent:
            await call()
        assert steps(sent) == [FIND]
    assert await Layout.ONE.find_bodies(watched.database) == {}


@pytest.mark.parametrize("every", FILLING)
async def test_a_first_read_with_write_behind_takes_one_before_its_answer(watched: Watched, every: Phase) -> None:
    """What it converts follows behind the caller."""
    async with await opened(watched, every, write_behind=True) as repo:
        with watched.sent() as sent:
            assert await repo.get(1) == ada(1)
        assert steps(sent) == [FIND]
        with watched.sent() as sent:
            await calls_of(repo).place.behind.drain()
        assert steps(sent) == [STORE]
    assert list(await Layout.ONE.find_bodies(watched.database)) == [1]


@EVERY
async def test_a_first_write_takes_no_more(watched: Watched, every: Phase) -> None:
    """It converts what it found, and stores both shapes by one statement."""
    repo = await opened(watched, every)
    for door, id in ((repo, 1), (repo.v1, 2)):
        with watched.sent() as sent:
            await door.update(id, older)
        assert steps(sent) == [FIND, STORE]
    assert await repo.get_many([1, 2]) == {id: ada(id, age=37) for id in (1, 2)}


@EVERY
async def test_what_is_missing_or_taken(watched: Watched, every: Phase) -> None:
    """A write that finds nothing waits for the majority; an insert is refused by the server."""
    repo = await opened(watched, every)
    for door, entity in ((repo, ada(1)), (repo.v1, join(ada(1)))):
        for call in (lambda door=door: door.update(9, older), lambda door=door: door.delete(9)):
            with watched.sent() as sent, pytest.raises(NotFound):
                await call()
            assert steps(sent) == [FIND, STORE]  # the update matches nothing: see `confirm_missing`
        with watched.sent() as sent, pytest.raises(AlreadyExists):
            await door.insert(entity)
        assert steps(sent) == [PUT]


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
@pytest.mark.parametrize("every", [Phase.COEXIST, Phase.V2_PRIMARY])
async def test_get_many_takes_one_for_a_thousand_ids(watched: Watched, every: Phase) -> None:
    """And one more where it fills, however many of them."""
    repo = await opened(watched, every)
    await watched.database["v1"].insert_many([ada_v1(id, tags=["x" * 500]) for id in range(3, 1502)])
    await repo.get_many(range(1, 500))
    await settle(repo)
    with watched.sent() as sent:
        assert len(await repo.get_many(range(1, 1001))) == 1000
    assert steps(sent) == [FIND, STORE]
    await settle(repo)
    with watched.sent() as sent:
        assert len(await repo.get_many(range(1, 1502))) == 1501
    assert steps(sent) == [FIND, FIND, STORE]


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
@EVERY
async def test_a_listing_takes_one_for_a_page(watched: Watched, every: Phase, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one more for a page that fills. Rows are filled as they are converted, some at a time."""
    assert (listing.FIRST_PAGE, listing.PAGE) == (100, 1000)
    monkeypatch.setattr(listing, "PAGE", 100)
    repo = await opened(watched, every)
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 301)])
    with watched.sent() as sent:
        assert [person.id async for person in repo.list()] == list(range(1, 301))
    assert steps(sent).count(FIND) == 4
    assert steps(sent).count(STORE) == (0 if every is Phase.V1_ONLY else 3)
    await settle(repo)
    for door in (repo, repo.v1):
        with watched.sent() as sent:
            assert [person.id async for person in door.list()] == list(range(1, 301))
        assert steps(sent) == [FIND] * 4


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
async def test_sixty_four_gets_in_one_turn_share_their_round_trips(watched: Watched) -> None:
    """One find, and for first reads what they fill goes together; without coalescing each goes alone."""
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 65)])
    repo = await opened(watched, Phase.COEXIST)
    with watched.sent() as first:
        await asyncio.gather(*(repo.get(id) for id in range(1, 65)))
    await settle(repo)
    with watched.sent() as sent:
        found = await asyncio.gather(*(repo.get(id) for id in range(1, 65)))
    assert found == [ada(id) for id in range(1, 65)]
    assert steps(sent) == [FIND]
    assert steps(first)[0] == FIND
    assert set(steps(first)[1:]) == {STORE}
    assert len(first) <= 3
    apart = Layout.ONE.open(watched.database, people(), coalesce=False)
    await apart.check()
    with watched.sent() as sent:
        await asyncio.gather(*(apart.get(id) for id in (1, 2, 1)))
    assert steps(sent) == [FIND] * 3


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
async def test_a_write_that_loses_its_race_takes_two_more(watched: Watched) -> None:
    """Another program changed the field between the read and the write: find again, decide again, and store."""
    repo = await opened(watched, Phase.COEXIST)

    async def change(person: PersonV2) -> PersonV2:
        if person.age == 36:
            await watched.database["v1"].update_one({"_id": 1}, {"$set": {"age": 50}})
        return evolve(person, age=(person.age or 0) + 1)

    with watched.sent() as sent:
        assert await repo.update(1, change) == ada(1, age=51)
    assert steps(sent) == [FIND, STORE, STORE, FIND, STORE]  # the second one is the other program's
    assert repo.tally.counts["lazymig.contended"] == 1


@EVERY
async def test_sixty_four_writes_share_their_steps(watched: Watched, every: Phase) -> None:
    """Each statement of a call is sent once for all that wait for it; deletes first raise the revisions."""
    repo = await opened(watched, every)
    ids = range(3, 67)
    with watched.sent() as sent:
        await asyncio.gather(*(repo.insert(ada(id)) for id in ids))
    assert steps(sent) == [PUT]
    with watched.sent() as sent:
        await asyncio.gather(*(repo.update(id, older) for id in ids))
    assert steps(sent) == [FIND, STORE]
    assert await repo.get_many(ids) == {id: ada(id, age=37) for id in ids}
    with watched.sent() as sent:
        await asyncio.gather(*(repo.delete(id) for id in ids))
    assert steps(sent) == [FIND, STORE, DROP]
    with watched.sent() as sent:
        found = await asyncio.gather(*(repo.delete(id) for id in ids), return_exceptions=True)
    assert steps(sent) == [FIND, STORE]
    assert {type(one) for one in found} == {NotFound}
    assert [row["_id"] async for row in watched.database["v1"].find()] == [1, 2]
