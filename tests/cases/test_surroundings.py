"""What the collections are: looked at before the first call, and refused with what to change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, BulkWriteError, NotPrimaryError, WriteError

from lazymig import ConfigurationError, Control, Phase, Repository, Sweeper
from lazymig.cli.status import looked_up
from lazymig.repository import calls_of
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.surroundings.judging import find_problems
from lazymig.surroundings.looking import Seen
from lazymig.testing import ReplicaSet
from tests.people import PersonV1, PersonV2, ada, ada_v1, people
from tests.watching import Watch

INSENSITIVE = {"locale": "en", "strength": 2}
#: What each kind of collection is made with, and what the error names.
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "capped": ({"capped": True, "size": 100_000}, "capped"),
    "view": ({"viewOn": "base", "pipeline": []}, "a view"),
    "time series": ({"timeseries": {"timeField": "t"}}, "a time series"),
    "case-insensitive": ({"collation": INSENSITIVE}, 'collated .locale "en"'),
    "another order": ({"collation": {"locale": "de"}}, 'collated .locale "de"'),
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda door: door.get(1),
    "get_many": lambda door: door.get_many([1, 2]),
    "exists": lambda door: door.exists(1),
    "delete": lambda door: door.delete(1),
    "update": lambda door: door.update(1, lambda person: person),
    "list": lambda door: anext(door.list()),
    "count": lambda door: door.count(),
}


@pytest.fixture
def database(server_database: Any) -> Any:
    """A database with one entity in V1, unless the test makes V1 itself."""
    return server_database


def opened(database: Any, **options: Any) -> Repository[PersonV1, PersonV2]:
    """A repository of people on the database's collections `v1` and `v2`."""
    collections = {"v1": database["v1"], "v2": database["v2"], "phase": Phase.COEXIST}
    return Repository(people(), **(collections | options))


async def state(database: Any) -> dict[str, list[Any]]:
    """All collections with their documents."""
    return {name: await database[name].find().to_list() for name in await database.list_collection_names()}


@pytest.mark.parametrize("side", ["v1", "v2"])
@pytest.mark.parametrize("kind", KINDS)
async def test_case_13_a_collection_of_the_wrong_kind_is_refused(database: Any, side: str, kind: str) -> None:
    """Reads, writes, sweep and status end in one error that names the collection and the reason; nothing is written."""
    options, reason = KINDS[kind]
    await database.create_collection(side, **options)
    if side == "v2":
        await database["v1"].insert_one(ada_v1())
    before = await state(database)
    text = f"{side}: .*{reason}"
    for call in (
        lambda: opened(database).get(1),
        lambda: opened(database).insert(ada(5)),
        lambda: opened(database).v1.insert(PersonV1(5, "Ada Lovelace")),
        lambda: Sweeper(opened(database)).run(),
        lambda: Sweeper(opened(database), dry_run=True).run(),
        lambda: looked_up(opened(database), exact=False),
    ):
        with pytest.raises(ConfigurationError, match=text):
            await call()
    assert await state(database) == before


@pytest.mark.parametrize("door", ["v1", "v2"])
@pytest.mark.parametrize("call", CALLS)
async def test_case_13_every_first_call_looks(database: Any, call: str, door: str) -> None:
    """Any verb of either door may come first, and comes again after it was refused."""
    await database.create_collection("v2", capped=True, size=100_000)
    await database["v1"].insert_one(ada_v1())
    repository = opened(database)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"capped"):
            await CALLS[call](repository.v1 if door == "v1" else repository)
    assert await database["v2"].find().to_list() == []


async def test_case_13_in_v1_only_v2_is_nobodys_business(database: Any) -> None:
    """The phase that does not touch V2 does not ask what it is, but V1 must be right."""
    await database.create_collection("v2", capped=True, size=100_000)
    await database["v1"].insert_one(ada_v1())
    assert await opened(database, phase=Phase.V1_ONLY).get(1) == ada(1)
    await database.create_collection("other", collation=INSENSITIVE)
    with pytest.raises(ConfigurationError, match=r"v1: .*collated"):
        await opened(database, phase=Phase.V1_ONLY, v1=database["other"]).get(1)


async def test_case_13_a_clustered_collection_works(database: Any) -> None:
    """Collections that are clustered by _id take every call and a sweep; one whose documents expire is refused."""
    for name in ("v1", "v2"):
        await database.create_collection(name, clusteredIndex={"key": {"_id": 1}, "unique": True})
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repository = opened(database)
    assert await repository.get(1) == ada(1)
    await repository.insert(ada(3))
    await repository.delete(1)
    assert (await Sweeper(repository).run()).migrated == 1
    assert [person.id async for person in repository.list()] == [2, 3]
    index = {"key": {"_id": 1}, "unique": True}
    await database.create_collection("v3", clusteredIndex=index, expireAfterSeconds=60)
    with pytest.raises(ConfigurationError, match=r"v2: .*TTL"):
        await opened(database, v2=database["v3"]).get(1)


@pytest.mark.parametrize("field", ["_lazymig.at", "created"])
async def test_case_13_a_v2_that_expires_is_refused(database: Any, field: str) -> None:
    """V2 would forget what was migrated, or a mark that is still needed."""
    await database["v2"].create_index(field, expireAfterSeconds=60)
    with pytest.raises(ConfigurationError, match=f"v2: .*TTL index .{field}_1.*Drop it"):
        await opened(database).get(1)


async def test_case_13_a_v1_that_expires_needs_checked_reads(database: Any) -> None:
    """V2 would go on serving what V1's index deletes; where each read looks at V1, and in v1_only, it does no harm."""
    await database["v1"].create_index("created", expireAfterSeconds=60)
    with pytest.raises(ConfigurationError, match=r"v1: .*TTL.*checked=True"):
        await opened(database).get(1)
    assert await opened(database, checked=True).get(1) is None
    assert await opened(database, phase=Phase.V1_ONLY).get(1) is None


async def test_case_13_the_control_collection_is_looked_at_too(database: Any) -> None:
    """A capped or expiring control collection, and one of the others in its place, are refused before it writes."""
    await database["v1"].insert_one(ada_v1())
    await database.create_collection("lazymig_control", capped=True, size=100_000)
    for call in (Sweeper(opened(database)).run, lambda: looked_up(opened(database), exact=False)):
        with pytest.raises(ConfigurationError, match=r"control: .*capped"):
            await call()
    assert set(await state(database)) == {"v1", "lazymig_control"}
    await database["rows"].create_index("at", expireAfterSeconds=60)
    with pytest.raises(ConfigurationError, match=r"control: .*TTL"):
        await Sweeper(opened(database), control=Control(database["rows"])).run()
    for side in ("v1", "v2"):
        with pytest.raises(ConfigurationError, match=f"control: .* is {side} itself"):
            Sweeper(opened(database), control=Control(database[side]))


@pytest.fixture(scope="module")
def pair_of_servers() -> Iterator[ReplicaSet]:
    """A primary and a secondary."""
    with ReplicaSet(2, election_s=10) as servers:
        yield servers


@pytest.fixture
async def straight(pair_of_servers: ReplicaSet) -> AsyncIterator[Callable[..., Any]]:
    """Makes a database by a client that talks to the primary or to the secondary only."""
    clients: list[Any] = []

    def make(*, primary: bool) -> Any:
        first = pair_of_servers.primary
        member = next(one for one in pair_of_servers.members if (one.port == first.port) is primary)
        clients.append(AsyncMongoClient(member.address, directConnection=True))
        return clients[-1]["straight"]

    yield make
    for client in clients:
        await client.close()


async def test_case_14_a_secondary_is_refused(straight: Callable[..., Any]) -> None:
    """A client that is connected to a secondary directly is refused by each door; to the primary, it may go on."""
    right, wrong = straight(primary=True), straight(primary=False)
    await right["v1"].insert_one(ada_v1())
    assert await opened(right).get(1) == ada(1)
    repository = opened(wrong)
    for call in (repository.get, repository.v1.get, repository.delete):
        with pytest.raises(ConfigurationError, match=r"v1: .*not a primary.*directConnection"):
            await call(1)
    with pytest.raises(ConfigurationError, match=r"v2: .*not a primary"):
        await opened(right, v2=wrong["v2"]).get(1)


async def test_case_14_a_primary_that_steps_down_later_is_refused_then(
    pair_of_servers: ReplicaSet, straight: Callable[..., Any]
) -> None:
    """A direct client whose server was the primary at its first call gets no old answers once that is a secondary."""
    database = straight(primary=True)
    await database["v1"].insert_one(ada_v1(7))
    repository = opened(database)
    assert await repository.get(7) == ada(7)
    await asyncio.to_thread(pair_of_servers.step_down)
    left = database.client.topology_description
    while all(server.server_type_name == "RSPrimary" for server in left.server_descriptions().values()):
        with suppress(AutoReconnect):
            await database.client.admin.command("ping")  # until the driver's monitor knows of it
        left = database.client.topology_description
    with pytest.raises((ConfigurationError, NotPrimaryError), match="not a primary"):
        await repository.get(7)
    with pytest.raises((ConfigurationError, NotPrimaryError), match="not a primary"):
        await repository.v1.get(7)


async def test_case_14_an_election_is_waited_for(pair_of_servers: ReplicaSet) -> None:
    """The first call of a client that knows the whole set goes on once there is a primary."""
    async with AsyncMongoClient(pair_of_servers.uri) as client:
        database = client["election"]
        await database["v1"].insert_one(ada_v1())
        await opened(database).insert(ada(2))
        step_down = asyncio.create_task(asyncio.to_thread(pair_of_servers.step_down))
        looks = 0
        while not step_down.done():
            await opened(database).check()
            looks += 1
        assert looks > 0
        assert await opened(database).get(2) == ada(2)


def test_case_14_a_member_that_knows_of_no_primary_is_tried_again() -> None:
    """In an election a direct client gets the driver's own passing error; a discovering one nothing at all."""
    voting = {"isWritablePrimary": False, "secondary": True, "setName": "a"}
    with pytest.raises(NotPrimaryError, match=r"try again"):
        list(find_problems(Seen("v1", "d.v1", hello=voting, direct=True)))
    assert list(find_problems(Seen("v1", "d.v1", hello=voting))) == []


def test_case_14_a_sharded_v2_goes_by_id() -> None:
    """Where documents cannot be announced by _id, V2 is refused."""
    assert list(find_problems(Seen("v2", "d.v2", shard_key={"_id": "hashed"}))) == []
    (problem,) = find_problems(Seen("v2", "d.v2", shard_key={"region": 1, "_id": 1}))
    assert "sharded by (region, _id)" in problem


async def test_case_14f_a_collated_v1_is_refused(database: Any) -> None:
    """Where V1 takes "a" for "A", no call is answered."""
    await database.create_collection("v1", collation=INSENSITIVE)
    with pytest.raises(ConfigurationError, match=r"v1: .*collated.*simple"):
        await opened(database).delete(1)


async def test_case_14f_a_document_under_another_id_is_an_error(database: Any) -> None:
    """Should a store be answered with another document than it asked for, it serves nothing."""
    for name in ("v1", "v2"):
        await database.create_collection(name, collation=INSENSITIVE)
        await database[name].insert_one({"_id": "A", "_lazymig": {"rev": 0, "intent": 0}})
    v1, v2 = V1Store(database["v1"]), V2Store(database["v2"], [])
    for find in (v1.find, v1.find_local, v2.find):
        with pytest.raises(ConfigurationError, match=r"id 'a'.*another one"):
            await find("a")


BODY, OURS = ("first", "last", "address.city"), ("_id", "_lazymig.rev", "_lazymig.gone", "_lazymig.at")
KEYS = [*((one,) for one in (*BODY, *OURS[1:])), *product(BODY[:2], OURS), ("first", "address.city"), OURS[2:]]
FILTERS: list[dict[str, Any]] = [
    {},
    {"first": {"$exists": True}},
    {"first": {"$gt": ""}},
    {"first": None},
    {"first": {"$type": "string"}},
    {"_lazymig.gone": True},
    {"$and": [{"_lazymig.gone": True}, {"last": {"$exists": True}}]},
]


async def collide(collection: Any) -> bool:
    """Whether two placeholders, or two tombstones, cannot both be stored."""
    found = False
    for rev in (-1, 5):
        common = {"rev": rev, "intent": rev + 2, "by": "write", "gone": True, "at": None}
        try:
            await collection.insert_many([{"_id": id, "_lazymig": common} for id in (1, 2)])
        except BulkWriteError:
            found = True
        await collection.delete_many({})
    return found


@pytest.mark.parametrize("keys", KEYS, ids=", ".join)
async def test_case_18_unique_indexes_are_refused_where_they_collide(database: Any, keys: tuple[str, ...]) -> None:
    """Plain, compound, sparse and partial: the look says the same as storing two documents without a body does."""
    await database["v1"].insert_one(ada_v1())
    for sparse, where in product([False, True], FILTERS):
        if sparse and where:
            continue  # the server takes one or the other
        partial = {"partialFilterExpression": where} if where else {}
        await database["v2"].drop()
        await database["v2"].create_index([(key, 1) for key in keys], unique=True, sparse=sparse, name="own", **partial)
        found = await calls_of(opened(database)).first_use.look()
        assert found.unseen == ()
        assert bool(found.problems) == await collide(database["v2"]), (sparse, where)
        assert all("unique index own" in problem for problem in found.problems)


async def test_case_18_the_index_to_create_instead_works(database: Any) -> None:
    """The error names index and filter; with it, two inserts, updates and deletes are served."""
    await database["v1"].insert_many([ada_v1(1, name="Ada King"), ada_v1(2)])
    await database["v2"].create_index("last", unique=True)
    repository = opened(database)
    for call in (repository.get(1), repository.insert(ada(3)), Sweeper(repository).run()):
        with pytest.raises(ConfigurationError, match=r"last_1.*partialFilterExpression={'last': {'.exists': True}}"):
            await call
    await database["v2"].drop_index("last_1")
    await database["v2"].create_index("last", unique=True, partialFilterExpression={"last": {"$exists": True}})
    for id in (4, 5):
        await repository.insert(ada(id, last=f"Nr {id}"))
    for id in (1, 2):
        await repository.update(id, lambda person: person)
    for id in (1, 2, 4, 5):
        await repository.delete(id)
    assert [person.id async for person in repository.list()] == []


VALIDATORS: list[dict[str, Any]] = [
    {"first": {"$exists": True}},
    {"age": {"$lt": 200}},
    {"age": {"$not": {"$gt": 200}}},
    {"$jsonSchema": {"required": ["first"]}},
    {"$jsonSchema": {"properties": {"first": {"bsonType": "string"}}}},
    {"$expr": {"$gt": [{"$strLenCP": {"$ifNull": ["$first", ""]}}, 0]}},
    {"$expr": {"$gt": [{"$strLenCP": "$first"}, 0]}},  # an error without the field, which refuses as well
    {"$expr": {"$or": ["$_lazymig.gone", {"$gt": [{"$strLenCP": "$first"}, 0]}]}},
    {"$or": [{"_lazymig.gone": True}, {"$jsonSchema": {"required": ["first"]}}]},
    {"_id": {"$type": "int"}},
    {"$nor": [{"_lazymig.gone": True}]},
]


@pytest.mark.parametrize("validator", VALIDATORS, ids=str)
async def test_case_18_validators_are_refused_where_they_refuse(database: Any, validator: dict[str, Any]) -> None:
    """The look says the same as storing a document without a body does, and names what to set."""
    await database["v1"].insert_one(ada_v1())
    await database.create_collection("v2", validator=validator)
    refused = False
    try:
        await database["v2"].insert_one({"_id": 1, "_lazymig": {"rev": -1, "intent": 1, "by": "write", "gone": True}})
    except WriteError:
        refused = True
    await database["v2"].delete_many({})
    found = await calls_of(opened(database)).first_use.look()
    assert found.unseen == ()
    assert bool(found.problems) == refused
    assert all("$or: [{'_lazymig.gone': true}" in problem for problem in found.problems)


async def test_case_18_the_validator_to_set_instead_works(database: Any) -> None:
    """With the remedy that the error names, every kind of call is served; a server that only warns refuses nothing."""
    rule = {"$jsonSchema": {"required": ["first"]}}
    await database["v1"].insert_one(ada_v1())
    await database.create_collection("v2", validator=rule)
    repository = opened(database)
    with pytest.raises(ConfigurationError, match=r"the validator of .* refuses announcements"):
        await repository.get(1)
    await database.command("collMod", "v2", validator={"$or": [{"_lazymig.gone": True}, rule]})
    await repository.insert(ada(2))
    await repository.update(1, lambda person: person)
    await repository.delete(2)
    assert [person.id async for person in repository.list()] == [1]
    await database.command("collMod", "v2", validator=rule, validationAction="warn")
    assert await opened(database).get(1) == ada(1)


async def test_case_18_schemas_that_forbid_other_fields(database: Any) -> None:
    """A schema without room for lazymig's own field is refused on either side, and taken once it has room."""
    shapes = {"v1": ("_lazymig_rev", "name"), "v2": ("_lazymig", "first")}
    for side, (own, field) in shapes.items():
        closed = {"properties": {name: {} for name in ("_id", field, "last", "age", "tags", "note", "shoe_size")}}
        closed["additionalProperties"] = False  # type: ignore[assignment]
        rule = {"$or": [{"_lazymig.gone": True}, {"$jsonSchema": closed}]} if side == "v2" else {"$jsonSchema": closed}
        await database.create_collection(side, validator=rule)
        with pytest.raises(ConfigurationError, match=f"{side}: the validator .*'{own}'"):
            await opened(database).get(1)
        if side == "v2":  # room for some of it is not enough: marks come and go
            closed["properties"][own] = {"properties": {"rev": {}, "intent": {}}, "additionalProperties": False}
            await database.command("collMod", side, validator=rule)
            with pytest.raises(ConfigurationError, match="any fields"):
                await opened(database).get(1)
        closed["properties"][own] = {}
        await database.command("collMod", side, validator=rule)
    repository = opened(database)
    await repository.insert(ada(1))
    await repository.update(1, lambda person: person)
    await repository.delete(1)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"$jsonSchema": {"properties": {"_lazymig_rev": {"bsonType": "int"}}}}, False),
        ({"$jsonSchema": {"properties": {"_lazymig_rev": {"bsonType": ["int", "long"]}}}}, True),
        ({"$expr": {"$lte": [{"$size": {"$objectToArray": "$$ROOT"}}, 5]}}, False),
        ({"name": {"$type": "string"}}, True),
        ({"name": {"$type": "int"}}, True),  # refuses with and without the field: no business of lazymig's
    ],
    ids=str,
)
async def test_case_18_a_v1_that_refuses_revisions(database: Any, rule: dict[str, Any], fits: bool) -> None:
    """V1's validator is tried with a document that V1 has, and a revision as large as they become."""
    await database["v1"].insert_one(ada_v1())
    await database.command("collMod", "v1", validator=rule)
    if fits:
        assert await opened(database).get(1) == ada(1)
    else:
        with pytest.raises(ConfigurationError, match=r"v1: the validator .* does not allow .*'_lazymig_rev'"):
            await opened(database).get(1)


async def test_case_18_a_rule_about_ids_that_cannot_be_asked_is_said(database: Any) -> None:
    """Where V1 has no id to ask with, a rule about ids is not guessed at: the status says that it was not looked at."""
    await database.create_collection("v2", validator={"_id": {"$gt": 1000}})
    found = await looked_up(opened(database), exact=False)
    assert found.unseen == ("v2: whether its validator takes documents without a body",)


async def test_case_18_an_index_that_is_younger_than_the_process(database: Any) -> None:
    """A write that a new index refuses ends in the same error, which quotes no document."""
    repository = opened(database)
    await repository.insert(ada(1))
    await repository.insert(ada(2, last="Secret"))
    await repository.delete(1)
    await database["v2"].create_index("first", unique=True)
    with pytest.raises(ConfigurationError, match=r"unique index first_1") as caught:
        await repository.insert(ada(3))
    assert caught.value.__suppress_context__
    assert await database["v1"].find_one({"_id": 3}) is None
    await database["v2"].drop_index("first_1")
    await database.command("collMod", "v2", validator={"first": {"$exists": True}})
    with pytest.raises(ConfigurationError, match=r"the validator of"):
        await repository.insert(ada(3))


async def test_case_27_an_index_under_another_name_serves(database: Any) -> None:
    """The sweep's own indexes may stand already, whatever their names."""
    await database["v1"].insert_one(ada_v1())
    await database["v2"].create_index([("_lazymig.at", 1)], sparse=True, name="mine")
    control = database["lazymig_control"]
    await control.create_index([("kind", 1), ("migration", 1), ("state", 1)], name="ours")
    report = await Sweeper(opened(database)).run()
    assert (report.finished, report.migrated) == (True, 1)
    assert set(await database["v2"].index_information()) == {"_id_", "mine", "lazymig_unmoved"}
    assert set(await control.index_information()) == {"_id_", "ours", "lazymig_first_at"}


async def test_case_27_an_index_of_another_kind_is_in_the_way(database: Any) -> None:
    """One with the name that is needed and other keys is refused in words, not by a code of the server."""
    await database["v1"].insert_one(ada_v1())
    await database["v2"].create_index("first", name="lazymig_at")
    with pytest.raises(ConfigurationError, match=r"lazymig_at.*_lazymig.at.*drop it"):
        await Sweeper(opened(database)).run()


@pytest.fixture
async def watched(lazymig_server: Any, server_database: Any) -> AsyncIterator[tuple[Any, Watch]]:
    """The database by a client of its own, whose commands are seen."""
    watch = Watch()
    async with AsyncMongoClient(lazymig_server.uri, event_listeners=[watch]) as client:
        yield client[server_database.name], watch


async def test_the_look_is_shared_and_made_once(watched: tuple[Any, Watch]) -> None:
    """Many first calls wait for one look; later ones send nothing but their own statements."""
    database, watch = watched
    await database["v1"].insert_many([ada_v1(id) for id in range(20)])
    repository = opened(database)
    with watch.sent(database) as sent:
        await asyncio.gather(*(repository.get(id) for id in range(20)), repository.v1.get(1), repository.count())
    looks = [event.command.get("filter") for event in sent if event.command_name == "listCollections"]
    assert sorted(look["name"] for look in looks) == ["v1", "v2"]
    with watch.sent(database) as sent:
        await repository.get(1)
        await repository.with_session(None).get(1)
    assert [event.command_name for event in sent] == ["find", "find"]


async def test_calls_that_share_the_look_get_errors_of_their_own(database: Any) -> None:
    """The tasks that an error passes add to it. A call that looks by itself gets the error that was raised."""
    await database.create_collection("v2", capped=True, size=100_000)
    repository = opened(database)
    errors = await asyncio.gather(*(repository.get(id) for id in range(20)), return_exceptions=True)
    assert {type(error) for error in errors} == {ConfigurationError}
    assert len({str(error) for error in errors}) == 1
    assert len({id(error) for error in errors}) == len(errors)
    with pytest.raises(ConfigurationError, match="capped") as alone:
        await repository.get(1)
    assert alone.value.__cause__ is None


async def test_a_caller_that_gives_up_leaves_the_look_to_the_others(database: Any) -> None:
    """The first caller is cancelled while it waits; the second is served."""
    await database["v1"].insert_one(ada_v1())
    repository = opened(database)
    first, second = (asyncio.create_task(repository.get(1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ada(1)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_server_that_cannot_be_reached_stops_writes_only(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read goes on, for the other server may have its answer; a write waits for the look, and the look stays due."""
    await database["v1"].insert_one(ada_v1())
    repository = opened(database)

    async def unreachable() -> None:
        raise AutoReconnect("gone")

    monkeypatch.setattr(calls_of(repository).first_use, "recheck", unreachable)
    assert await repository.get(1) == ada(1)
    assert calls_of(repository).first_use.due
    with pytest.raises(AutoReconnect):
        await repository.delete(1)
    monkeypatch.undo()
    await repository.delete(1)
    assert not calls_of(repository).first_use.due


async def test_check_looks_before_the_first_call(database: Any) -> None:
    """A service that would rather not start asks at once."""
    await database.create_collection("v2", capped=True, size=100_000)
    with pytest.raises(ConfigurationError, match=r"capped"):
        await opened(database).check()
