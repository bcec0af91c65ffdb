"""`with_session`: every step in a driver session, and in its transaction if one is open. Real servers only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import OperationFailure

from lazymig import AlreadyExists, NotFound, Phase, Repository
from lazymig.repository import calls_of
from lazymig.stores.drivers import await_if_needed
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_wholes import WholeStore
from tests.contract.conftest import Watched
from tests.fleets import until
from tests.layouts import Layout
from tests.people import PersonV1, PersonV2, ada, ada_v1, people


@pytest.fixture
async def repository(watched: Watched, phase: Phase, open_repository: Callable[..., Any]) -> Any:
    """People, in one of the phases; the first is migrated, the second not; `other` is the application's own."""
    for name in ("v1", "v2", "other"):
        await watched.database.create_collection(name)
    await watched.database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repository: Repository[PersonV1, PersonV2] = open_repository(watched.database, phase=phase)
    await repository.get(1)
    return repository


@pytest.fixture
async def session(watched: Watched) -> AsyncIterator[Any]:
    """A session of the watched client."""
    async with await await_if_needed(watched.database.client.start_session()) as session:
        yield session


@asynccontextmanager
async def transaction(session: Any) -> AsyncIterator[None]:
    """A transaction, by whichever driver."""
    async with await await_if_needed(session.start_transaction()):
        yield


async def every_call(bound: Repository[PersonV1, PersonV2]) -> None:
    """Each kind of call once."""
    assert await bound.get(1) == ada(1)
    assert await bound.get(2) == ada(2)
    await bound.update(1, lambda person: evolve(person, age=1))
    await bound.insert(ada(3))
    await bound.v1.insert(PersonV1(4, "Grace Hopper"))
    await bound.delete(2)
    assert list(await bound.get_many([1, 2, 3, 4])) == [1, 3, 4]
    assert await bound.exists(3)
    assert await bound.count() == 3
    assert [person.id async for person in bound.list()] == [1, 3, 4]
    assert [person.id async for person in bound.v1.list()] == [1, 3, 4]


async def test_a_committed_transaction_stands(watched: Watched, repository: Any, session: Any) -> None:
    """The application's own write and lazymig's are seen together, and not before the commit."""
    async with transaction(session):
        bound = repository.with_session(session)
        await watched.database["other"].insert_one({"_id": 1}, session=session)
        await every_call(bound)
        assert await repository.get(3) is None
        assert (await repository.get(1)).age == 36
        assert await watched.database["other"].count_documents({}) == 0
    assert await repository.get_many([1, 2, 3]) == {1: ada(1, age=1), 3: ada(3)}
    assert await repository.v1.get(4) == PersonV1(4, "Grace Hopper")
    assert await watched.database["other"].count_documents({}) == 1


async def test_an_aborted_transaction_leaves_nothing(watched: Watched, repository: Any, session: Any) -> None:
    """Both collections are as they were, announcements and tombstones included."""
    before = [await watched.database[name].find().to_list(None) for name in ("v1", "v2")]
    bound = repository.with_session(session)
    await await_if_needed(session.start_transaction())
    await every_call(bound)
    await session.abort_transaction()
    assert [await watched.database[name].find().to_list(None) for name in ("v1", "v2")] == before
    assert await repository.get_many([1, 2, 3, 4]) == {1: ada(1), 2: ada(2)}


async def test_every_step_goes_through_the_session(watched: Watched, repository: Any, session: Any) -> None:
    """Each command carries the session's id, inside the transaction and without one."""
    with watched.sent() as sent:
        async with transaction(session):
            await every_call(repository.with_session(session))
    assert {event.command["lsid"]["id"] for event in sent} == {session.session_id["id"]}
    assert {event.command.get("autocommit") for event in sent} == {False}
    with watched.sent() as sent:
        await repository.with_session(session).get(1)
        await repository.v1.with_session(session).get(1)
    assert {event.command["lsid"]["id"] for event in sent} == {session.session_id["id"]}


async def test_normal_outcomes_do_not_abort_the_transaction(watched: Watched, repository: Any, session: Any) -> None:
    """`AlreadyExists` and `NotFound` may be caught, and the transaction goes on."""
    bound = repository.with_session(session)
    async with transaction(session):
        for id in (1, 2):
            with pytest.raises(AlreadyExists):
                await bound.insert(ada(id))
        with pytest.raises(NotFound):
            await bound.update(9, lambda person: person)
        await bound.insert(ada(3))
    assert await repository.get_many([1, 2, 3]) == {id: ada(id) for id in (1, 2, 3)}


async def test_what_a_transaction_has_made_is_not_missing(watched: Watched, session: Any) -> None:
    """The confirming update looks in the transaction, and leaves it as it is."""
    people = watched.database["v1"]
    async with transaction(session):
        await people.insert_one({"_id": 7, "name": "Ada", "_lazymig_rev": 2}, session=session)
        for store in (V1Store(people, session), WholeStore(people, session)):
            assert [await store.confirm_missing(id) for id in (7, 9)] == [False, True]
        assert await V1Store(people, session).confirm_missing(7, 2) is True
    assert await people.find_one({"_id": 7}) == {"_id": 7, "name": "Ada", "_lazymig_rev": 2}


async def test_another_writers_change_is_the_drivers_transient_error(
    watched: Watched, repository: Any, session: Any, layout: Layout
) -> None:
    """A write conflict shows as `TransientTransactionError`; run again, the transaction sees the winner's write."""
    bound = repository.with_session(session)
    await await_if_needed(session.start_transaction())
    assert await bound.get(1) == ada(1)
    await repository.update(1, lambda person: evolve(person, age=40))
    with pytest.raises(OperationFailure) as caught:
        await bound.update(1, lambda person: evolve(person, last="King"))
    assert caught.value.has_error_label("TransientTransactionError")
    await session.abort_transaction()
    async with transaction(session):
        await bound.update(1, lambda person: evolve(person, last="King"))
    assert await repository.get(1) == ada(1, age=40, last="King")
    (stored, _) = await layout.find_v1(watched.database)
    assert (stored["name"], stored["age"]) == ("Ada King", 40)
    await layout.assert_written(watched.database, 1, 2)


class Addressed(Repository[PersonV1, PersonV2]):
    """A user's own repository, with a call and an attribute of its own."""

    label = "none"

    async def find_first_name(self, id: int) -> str | None:
        person = await self.get(id)
        return None if person is None else person.first


async def test_with_session_keeps_a_users_own_class(watched: Watched, session: Any) -> None:
    """The bound repository has the class, the attributes, the migration and the counts of the one it came from."""
    v1, v2 = watched.database["v1"], watched.database["v2"]
    repository = Addressed(people(), v1=v1, v2=v2, phase=Phase.COEXIST)
    repository.label = "mine"
    await repository.insert(ada(1))
    bound = repository.with_session(session)
    assert (type(bound), bound.label, bound.migration) == (Addressed, "mine", repository.migration)
    assert await bound.find_first_name(1) == "Ada"
    assert bound.tally is repository.tally
    assert bound.collections == repository.collections == (v1, v2)
    assert await repository.find_first_name(1) == "Ada"


async def test_calls_in_a_session_share_the_check_of_the_collections(repository: Any, session: Any) -> None:
    """A repository that is bound anew for each transaction does not check anew each time."""
    assert calls_of(repository.with_session(session)).first_use is calls_of(repository).first_use


async def writes_under_way(database: Any) -> list[Any]:
    """What the server is writing in this database now."""
    writing = {"active": True, "op": {"$in": ["update", "command"]}, "ns": {"$regex": f"^{database.name}[.]"}}
    found = await database.client.admin.aggregate([{"$currentOp": {}}, {"$match": writing}])
    return await found.to_list(None)


@pytest.mark.parametrize("layout", Layout)
async def test_a_transaction_may_wait_for_writes_beside_it(server_database: Any, layout: Layout) -> None:
    """Though others wait for what it has written: the server holds up their statement until the transaction ends."""
    repository = layout.open(server_database, people(), timeout_s=10.0)
    for id in (1, 2):
        await repository.insert(ada(id, age=0))
    async with server_database.client.start_session() as session, transaction(session):
        await repository.with_session(session).update(1, lambda person: evolve(person, age=1))
        other = asyncio.ensure_future(repository.update(1, lambda person: evolve(person, age=person.age + 10)))
        await until(lambda: writes_under_way(server_database))  # it shares its statement with nobody who comes later
        assert (await repository.update(2, lambda person: evolve(person, age=2))).age == 2
        assert not other.done()
    assert (await other).age == 11
