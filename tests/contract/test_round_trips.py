"""How many commands each call sends: counted by the driver's own command listener, on PyMongo and Motor."""

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
from tests.layouts import Layout
from tests.people import PersonV2, ada, ada_v1, join_on, people
from tests.watching import steps

Open = Callable[..., Any]
V1_ONLY = {"phase": Phase.V1_ONLY}


@pytest.fixture
def layout() -> Layout:
    """The statements of two collections; `test_round_trips_in_place.py` has those of one document."""
    return Layout.TWO


def older(person: PersonV2) -> PersonV2:
    """A change."""
    return evolve(person, age=(person.age or 0) + 1)


@pytest.fixture
def repository(watched: Watched, open_repository: Open) -> Any:
    """People, in `coexist`."""
    return open_repository(watched.database)


@pytest.fixture(autouse=True)
async def documents(watched: Watched, repository: Any) -> None:
    """Two people that no one has read yet, and a repository that has looked at what the collections are."""
    await watched.database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    await repository.check()


async def test_a_migrated_read_takes_one(watched: Watched, repository: Any) -> None:
    """V2 alone is asked."""
    await repository.get(1)
    with watched.sent() as sent:
        assert await repository.get(1) == ada(1)
    assert steps(sent) == ["v2 find"]


async def test_a_first_read_takes_three(watched: Watched, repository: Any) -> None:
    """Find V2, find V1, put if absent."""
    with watched.sent() as sent:
        await repository.get(1)
    assert steps(sent) == ["v2 find", "v1 find", "v2 insert"]


async def test_a_missing_entity_takes_two(watched: Watched, repository: Any) -> None:
    """Both have to be asked."""
    with watched.sent() as sent:
        assert await repository.get(9) is None
    assert steps(sent) == ["v2 find", "v1 find"]


async def test_a_first_read_with_write_behind_takes_two_before_its_answer(
    watched: Watched, open_repository: Open
) -> None:
    """The body follows behind the caller."""
    async with open_repository(watched.database, write_behind=True) as repository:
        await repository.check()
        with watched.sent() as sent:
            assert await repository.get(1) == ada(1)
        assert steps(sent) == ["v2 find", "v1 find"]
        with watched.sent() as sent:
            await calls_of(repository).pair.behind.drain()
        assert steps(sent) == ["v2 insert"]


async def test_an_update_of_a_clean_entity_takes_three(watched: Watched, repository: Any) -> None:
    """Ticket, compare-and-set, apply."""
    await repository.get(1)
    with watched.sent() as sent:
        await repository.update(1, older)
    assert steps(sent) == ["v2 findAndModify", "v1 update", "v2 update"]


async def test_an_update_with_write_behind_takes_two_before_its_answer(watched: Watched, open_repository: Open) -> None:
    """The body follows behind the caller, who meanwhile reads its own write."""
    async with open_repository(watched.database, write_behind=True) as repository:
        await repository.check()
        await repository.get(1)
        await calls_of(repository).pair.behind.drain()
        with watched.sent() as sent:
            await repository.update(1, older)
        assert steps(sent) == ["v2 findAndModify", "v1 update"]
        assert await repository.get(1) == ada(1, age=37)


async def test_an_update_of_an_unmigrated_entity_takes_four(watched: Watched, repository: Any) -> None:
    """V1 has to be read; the write migrates the entity on its way."""
    with watched.sent() as sent:
        await repository.update(1, older)
    assert steps(sent) == ["v2 findAndModify", "v1 find", "v1 update", "v2 update"]


async def test_an_update_of_an_entity_that_v2_has_lost_takes_five(watched: Watched, repository: Any) -> None:
    """V1 is ahead of the ticket, which is raised; nobody's body is waited for."""
    await repository.update(1, older)
    await watched.database["v2"].drop()
    with watched.sent() as sent:
        await repository.update(1, older)
    assert steps(sent) == ["v2 findAndModify", "v1 find", "v2 update", "v1 update", "v2 update"]


async def test_a_downgrade_that_looks_at_v1_takes_one_more(watched: Watched, open_repository: Open) -> None:
    """V1 has to be read even where V2 is clean."""
    repository = open_repository(watched.database, migration=people(downgrade=join_on))
    await repository.get(1)
    with watched.sent() as sent:
        await repository.update(1, older)
    assert steps(sent) == ["v2 findAndModify", "v1 find", "v1 update", "v2 update"]


async def test_a_replace_takes_three(watched: Watched, repository: Any) -> None:
    """As an update."""
    await repository.get(1)
    with watched.sent() as sent:
        await repository.replace(ada(1))
    assert steps(sent) == ["v2 findAndModify", "v1 update", "v2 update"]


async def test_a_delete_takes_three(watched: Watched, repository: Any) -> None:
    """Ticket, delete, tombstone."""
    await repository.get(1)
    with watched.sent() as sent:
        await repository.delete(1)
    assert steps(sent) == ["v2 findAndModify", "v1 delete", "v2 update"]


async def test_an_insert_takes_three(watched: Watched, repository: Any) -> None:
    """Vacant ticket, insert, apply."""
    with watched.sent() as sent:
        await repository.insert(ada(3))
    assert steps(sent) == ["v2 findAndModify", "v1 insert", "v2 update"]


async def test_an_insert_that_finds_a_clean_entity_takes_two(watched: Watched, repository: Any) -> None:
    """The vacant ticket fails, and V2 is clean: nothing else is needed to refuse."""
    await repository.get(1)
    with watched.sent() as sent, pytest.raises(AlreadyExists):
        await repository.insert(ada(1))
    assert steps(sent) == ["v2 findAndModify", "v2 find"]


async def test_a_write_through_the_v1_view_takes_four(watched: Watched, repository: Any) -> None:
    """V1 is read, so that fields which do not change stay as they are."""
    await repository.get(1)
    with watched.sent() as sent:
        await repository.v1.update(1, lambda person: evolve(person, age=1))
    assert steps(sent) == ["v2 findAndModify", "v1 find", "v1 update", "v2 update"]
    with watched.sent() as sent:
        await repository.v1.get(1)
    assert steps(sent) == ["v1 find"]


@pytest.mark.parametrize("migrated", [0, 500, 1000])
async def test_get_many_takes_at_most_three_for_a_thousand_ids(
    watched: Watched, repository: Any, migrated: int
) -> None:
    """Whether nothing, half or all of them is migrated."""
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 1001)])
    if migrated:
        await repository.get_many(range(1, migrated + 1))
    with watched.sent() as sent:
        found = await repository.get_many(range(1, 1001))
    assert found == {id: ada(id) for id in range(1, 1001)}
    assert steps(sent) == ["v2 find", "v1 find", "v2 insert"][: 1 if migrated == 1000 else 3]


async def test_get_many_of_a_thousand_large_documents_takes_no_more(watched: Watched, repository: Any) -> None:
    """One reply holds what fits into one reply, not a first batch of 101."""
    await watched.database["v1"].insert_many([ada_v1(id, tags=["x" * 1000]) for id in range(3, 1001)])
    with watched.sent() as sent:
        await repository.get_many(range(1, 1001))
    assert steps(sent) == ["v2 find", "v1 find", "v2 insert"]


async def test_sixty_four_gets_in_one_turn_share_their_round_trips(watched: Watched, repository: Any) -> None:
    """One command where sixty-four would go one by one, and three for first reads."""
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 65)])
    with watched.sent() as first:
        await asyncio.gather(*(repository.get(id) for id in range(1, 65)))
    with watched.sent() as sent:
        found = await asyncio.gather(*(repository.get(id) for id in range(1, 65)))
    assert found == [ada(id) for id in range(1, 65)]
    assert steps(sent) == ["v2 find"]
    assert steps(first) == ["v2 find", "v1 find", "v2 insert"]


async def test_sixty_four_updates_share_their_steps(watched: Watched, repository: Any) -> None:
    """Each of the four statements of an update is sent once for all that wait for it."""
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 65)])
    await repository.get_many(range(1, 65))
    with watched.sent() as sent:
        await asyncio.gather(*(repository.update(id, older) for id in range(1, 65)))
    assert await repository.get_many(range(1, 65)) == {id: ada(id, age=37) for id in range(1, 65)}
    assert steps(sent) == ["v2 find", "v2 update", "v1 update", "v2 update"]


async def test_sixty_four_inserts_share_their_steps(watched: Watched, repository: Any) -> None:
    """Announcements, inserts into V1 and bodies are one statement each."""
    with watched.sent() as sent:
        await asyncio.gather(*(repository.insert(ada(id)) for id in range(3, 67)))
    assert await repository.get_many(range(3, 67)) == {id: ada(id) for id in range(3, 67)}
    assert steps(sent) == ["v2 update", "v1 insert", "v2 update"]


async def test_sixty_four_deletes_share_their_steps(watched: Watched, repository: Any) -> None:
    """Announcements, deletes and tombstones are one statement each."""
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 65)])
    await repository.get_many(range(1, 65))
    with watched.sent() as sent:
        await asyncio.gather(*(repository.delete(id) for id in range(1, 65)))
    assert await repository.get_many(range(1, 65)) == {}
    assert steps(sent) == ["v2 find", "v2 update", "v1 delete", "v2 update"]


async def test_sixty_four_writes_of_v2_alone_share_their_steps(watched: Watched, open_repository: Open) -> None:
    """One read and one statement for all; what is missing is asked of the majority once."""
    await open_repository(watched.database).get_many([1, 2])
    repository = open_repository(watched.database, phase=Phase.V2_ONLY)
    await repository.check()
    ids = range(3, 67)
    with watched.sent() as sent:
        await asyncio.gather(*(repository.insert(ada(id)) for id in ids))
    assert steps(sent) == ["v2 insert"]
    with watched.sent() as sent:
        await asyncio.gather(*(repository.update(id, older) for id in ids))
    assert steps(sent) == ["v2 find", "v2 update"]
    assert await repository.get_many(ids) == {id: ada(id, age=37) for id in ids}
    for after in (["v2 find", "v2 update"], ["v2 find", "v2 update"]):
        with watched.sent() as sent:
            found = await asyncio.gather(*(repository.delete(id) for id in ids), return_exceptions=True)
        assert steps(sent) == after
    assert {type(one) for one in found} == {NotFound}
    assert await repository.get_many(ids) == {}


async def test_without_coalescing_each_get_goes_alone(watched: Watched, open_repository: Open) -> None:
    """`coalesce=False` is one command for each."""
    repository = open_repository(watched.database, coalesce=False)
    await repository.get_many([1, 2])
    with watched.sent() as sent:
        await asyncio.gather(*(repository.get(id) for id in (1, 2, 1)))
    assert steps(sent) == ["v2 find"] * 3


@pytest.mark.parametrize(
    ("migrated", "expected"),
    [
        (300, ["v1 find", "v2 find"] * 3 + ["v1 find"]),
        # What V2 lacks of a page is asked of V1 by one statement more.
        (250, ["v1 find", "v2 find"] * 3 + ["v1 find", "v1 find"]),
        # The first page expects the best, and learns.
        (0, ["v1 find", "v2 find", "v1 find"] + ["v1 find", "v2 find"] * 2 + ["v1 find"]),
    ],
    ids=["all migrated", "most migrated", "none migrated"],
)
async def test_a_listing_takes_two_for_a_page(
    watched: Watched, repository: Any, migrated: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids and revisions from V1, bodies from V2; or V1's documents where V2 has few."""
    assert (listing.FIRST_PAGE, listing.PAGE) == (100, 1000)
    monkeypatch.setattr(listing, "PAGE", 100)
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 301)])
    await repository.get_many(range(1, migrated + 1))
    with watched.sent() as sent:
        assert [person.id async for person in repository.list()] == list(range(1, 301))
    assert steps(sent) == expected
    projections = [event.command.get("projection") for event in sent if event.command.get("find") == "v1"]
    lean = {"_id": 1, "_lazymig_rev": 1}
    assert projections[0] == lean
    assert projections[-1] == (lean if migrated else None)


async def test_exists_and_count(watched: Watched, repository: Any) -> None:
    """One where V2 knows, two where it does not; a count is V1's."""
    await repository.get(1)
    with watched.sent() as sent:
        assert [await repository.exists(id) for id in (1, 2)] == [True, True]
        assert await repository.count() == 2
    assert steps(sent) == ["v2 find", "v2 find", "v1 find", "v1 aggregate"]


async def test_a_checked_read_takes_two(watched: Watched, open_repository: Open) -> None:
    """V1 is read beside V2."""
    repository = open_repository(watched.database, checked=True)
    await repository.get(1)
    with watched.sent() as sent:
        await repository.get(1)
    assert steps(sent) == ["v2 find", "v1 find"]


async def test_v1_only(watched: Watched, open_repository: Open) -> None:
    """One for a read or an insert, two for an update, a delete or a refusal, and never one to V2."""
    repository = open_repository(watched.database, **V1_ONLY)
    await repository.check()
    with watched.sent() as sent:
        await repository.get(1)
        await repository.get_many([1, 2])
        await repository.insert(ada(3))
        await repository.update(1, older)
        await repository.delete(2)
        with pytest.raises(NotFound):
            await repository.delete(2)
    reads = ["v1 find", "v1 find", "v1 insert"]
    missing = ["v1 find", "v1 update"]  # the update matches nothing: see `confirm_missing`
    assert steps(sent) == [*reads, "v1 find", "v1 update", "v1 find", "v1 delete", *missing]


# ---- every phase ----------------------------------------------------------------------------------------------------

TICKET, READ_V1, READ_V2, STORE = "v2 findAndModify", "v1 find", "v2 find", "v2 update"
MOVE, PUT_V1, DROP_V1 = "v1 update", "v1 insert", "v1 delete"
#: What each call sends in each phase when V2 holds what that phase puts there: get, exists, get_many, update, insert,
#: delete, get by V1's view, update by V1's view, count.
SENT = {
    Phase.V1_ONLY: [
        [READ_V1], [READ_V1], [READ_V1], [READ_V1, MOVE], [PUT_V1], [READ_V1, DROP_V1], [READ_V1], [READ_V1, MOVE],
        ["v1 aggregate"],
    ],
    Phase.PREPARE: [
        [READ_V1], [READ_V1], [READ_V1], [TICKET, READ_V1, MOVE], [TICKET, PUT_V1], [TICKET, READ_V1, DROP_V1],
        [READ_V1], [TICKET, READ_V1, MOVE], ["v1 aggregate"],
    ],
    Phase.SHADOW: [
        [READ_V1, READ_V2], [READ_V1], [READ_V1, READ_V2], [TICKET, MOVE, STORE], [TICKET, PUT_V1, STORE],
        [TICKET, DROP_V1, STORE], [READ_V1], [TICKET, READ_V1, MOVE, STORE], ["v1 aggregate"],
    ],
    Phase.V2_PRIMARY: [
        [READ_V2], [READ_V2], [READ_V2], [TICKET, MOVE, STORE], [TICKET, PUT_V1, STORE],
        [TICKET, DROP_V1, STORE], [READ_V1], [TICKET, READ_V1, MOVE, STORE], [READ_V2, "v2 aggregate"],
    ],
    Phase.V2_ONLY: [
        [READ_V2], [READ_V2], [READ_V2], [READ_V2, STORE], ["v2 insert"], [READ_V2, STORE], [READ_V2],
        [READ_V2, STORE], ["v2 aggregate"],
    ],
}  # fmt: skip
SENT[Phase.COEXIST] = [[READ_V2], [READ_V2], [READ_V2], *SENT[Phase.SHADOW][3:]]


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
@pytest.mark.parametrize("every", list(Phase))
async def test_what_each_call_sends_in_each_phase(watched: Watched, open_repository: Open, every: Phase) -> None:
    """The whole table, as the documentation of the phases has it."""
    await open_repository(watched.database).get_many([1, 2])
    repo = open_repository(watched.database, phase=every)
    await repo.check()
    calls: list[Callable[[], Any]] = [
        lambda: repo.get(1),
        lambda: repo.exists(1),
        lambda: repo.get_many([1, 2]),
        lambda: repo.update(1, older),
        lambda: repo.insert(ada(3)),
        lambda: repo.delete(2),
        lambda: repo.v1.get(1),
        lambda: repo.v1.update(1, lambda person: evolve(person, age=1)),
        lambda: repo.count(),
    ]
    for call, expected in zip(calls, SENT[every], strict=True):
        with watched.sent() as sent:
            await call()
        assert steps(sent) == expected


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
async def test_what_is_missing_or_taken_costs_in_the_last_phases(watched: Watched, open_repository: Open) -> None:
    """A missing entity is V2's answer alone; a tombstone is taken over; a refusal waits for the majority."""
    await open_repository(watched.database).get_many([1, 2])
    primary, alone = (open_repository(watched.database, phase=phase) for phase in (Phase.V2_PRIMARY, Phase.V2_ONLY))
    for repo in (primary, alone):
        await repo.check()
        with watched.sent() as sent:
            assert [await repo.get(9), await repo.exists(9), await repo.get_many([9])] == [None, False, {}]
        assert steps(sent) == [READ_V2] * 3
    await alone.delete(1)
    with watched.sent() as sent:
        await alone.insert(ada(1))
    assert steps(sent) == ["v2 insert", READ_V2, STORE]
    with watched.sent() as sent, pytest.raises(NotFound):
        await alone.update(9, older)
    assert steps(sent) == [READ_V2, STORE]  # the update matches nothing: see `confirm_missing`
    with watched.sent() as sent, pytest.raises(AlreadyExists):
        await alone.insert(ada(2))
    assert steps(sent) == ["v2 insert", READ_V2]


@pytest.mark.parametrize("watched", ["pymongo"], indirect=True)
@pytest.mark.parametrize(("every", "expected"), [(Phase.V2_PRIMARY, 5), (Phase.V2_ONLY, 4)])
async def test_a_listing_by_v2_takes_one_for_a_page(
    watched: Watched, open_repository: Open, every: Phase, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in `v2_primary` one more at the beginning, for open marks."""
    monkeypatch.setattr(listing, "PAGE", 100)
    await watched.database["v1"].insert_many([ada_v1(id) for id in range(3, 301)])
    await open_repository(watched.database).get_many(range(1, 301))
    repository = open_repository(watched.database, phase=every)
    await repository.check()
    with watched.sent() as sent:
        assert [person.id async for person in repository.list()] == list(range(1, 301))
    assert steps(sent) == [READ_V2] * expected
