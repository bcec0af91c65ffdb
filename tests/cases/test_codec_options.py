"""lazymig reads and writes with its own codec options and concerns, whatever the clients were given (case 14h)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from attrs import Factory, evolve, frozen
from bson import SON, Decimal128
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion, TypeCodec, TypeRegistry
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from lazymig import Criteria, Migration, Phase, Repository, Sweeper
from lazymig.control import Control
from lazymig.stores.drivers import await_if_needed
from tests.conftest import fresh_database, only_database
from tests.watching import Watch
from tests.widening import WIDENING


class DecimalCodec(TypeCodec):
    """What an application registers so that it may store plain decimals."""

    python_type = Decimal
    bson_type = Decimal128

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128(value)

    def transform_bson(self, value: Decimal128) -> Decimal:
        return value.to_decimal()


REGISTRY = TypeRegistry([DecimalCodec()])
#: Options of a client, or of a collection.
CLIENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "datetimes as milliseconds": {"datetime_conversion": DatetimeConversion.DATETIME_MS},
    "datetimes clamped": {"datetime_conversion": DatetimeConversion.DATETIME_CLAMP},
    "datetimes automatic": {"datetime_conversion": DatetimeConversion.DATETIME_AUTO},
    "types of its own": {"type_registry": REGISTRY},
    "snapshot": {"readConcernLevel": "snapshot"},
    "linearizable": {"readConcernLevel": "linearizable"},
    "available": {"readConcernLevel": "available"},
    "raw documents": {"document_class": RawBSONDocument},
    "SON": {"document_class": SON},
    "damage ignored": {"unicode_decode_error_handler": "ignore"},
    "standard UUIDs": {"uuidRepresentation": "standard"},
    "aware": {"tz_aware": True},
    "aware elsewhere": {"tz_aware": True, "tzinfo": timezone(timedelta(hours=5))},
    "unacknowledged reads": {"readPreference": "secondaryPreferred"},
    "several": {
        "datetime_conversion": DatetimeConversion.DATETIME_MS,
        "type_registry": REGISTRY,
        "document_class": RawBSONDocument,
        "readConcernLevel": "snapshot",
        "tz_aware": True,
    },
}
KINDS: dict[str, Any] = {"pymongo": AsyncMongoClient, "motor": AsyncIOMotorClient}


@frozen
class PriceV1:
    """The old shape."""

    id: UUID
    amount: Decimal
    at: datetime
    owner: UUID | None = None
    parts: dict[str, Decimal] = Factory(dict)


@frozen
class PriceV2:
    """The new shape: another name for the amount."""

    id: UUID
    price: Decimal
    at: datetime
    owner: UUID | None = None
    parts: dict[str, Decimal] = Factory(dict)


MIGRATION = Migration(
    name="prices",
    v1=PriceV1,
    v2=PriceV2,
    upgrade=lambda v1: PriceV2(v1.id, v1.amount, v1.at, v1.owner, v1.parts),
    downgrade=lambda v2: PriceV1(v2.id, v2.price, v2.at, v2.owner, v2.parts),
)
ID = UUID(int=7)


def price(number: int, *, aware: bool = False) -> PriceV2:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC if aware else None)
    return PriceV2(UUID(int=number), Decimal("12.50"), at, ID, {"net": Decimal("10.00")})


#: Motor is the same code below; three will do.
ALL_CLIENTS = [
    *(("pymongo", options) for options in CLIENTS),
    *(("motor", options) for options in ("several", "raw documents", "types of its own")),
]
#: One of each kind of option, and all together: for what goes through the same stores as the calls in `coexist`.
SOME_CLIENTS = ALL_CLIENTS if WIDENING.full else [
    *(("pymongo", options) for options in (
        "datetimes as milliseconds", "types of its own", "snapshot", "linearizable", "raw documents", "damage ignored",
        "aware elsewhere", "unacknowledged reads", "several",
    )),
    ("motor", "several"),
]  # fmt: skip


@pytest.fixture
def kind() -> str:
    """Which driver the test runs on, where it is not parametrized."""
    return "pymongo"


@pytest.fixture
async def database(lazymig_server: Any, kind: str, options: str) -> AsyncIterator[Any]:
    """A database of a client with these options."""
    client = KINDS[kind](lazymig_server.uri, **CLIENTS[options])
    async with fresh_database(client) as database:
        yield database
        await client.drop_database(database.name)
    await await_if_needed(client.close())


def repository(database: Any, **keywords: Any) -> Repository[PriceV1, PriceV2]:
    return Repository(MIGRATION, **({"v1": database["v1"], "v2": database["v2"], "phase": Phase.COEXIST} | keywords))


async def stored(server: Any, database: Any, name: str) -> list[dict[str, Any]]:
    """What stands in a collection, by a client that was given nothing."""
    return await server[database.name][name].find().sort("_id").to_list(None)


@pytest.mark.parametrize(
    ("kind", "options", "phase"),
    [(*client, Phase.COEXIST) for client in ALL_CLIENTS] + [(*client, Phase.V1_ONLY) for client in SOME_CLIENTS],
    ids=str,
)
async def test_case_14h_every_call_works_whatever_the_client_was_given(
    server_clients: Any, database: Any, options: str, phase: Phase
) -> None:
    """Through both doors, each entity comes back as it was stored, and the stored bytes do not depend on the client."""
    server, aware = server_clients["pymongo"], CLIENTS[options].get("tz_aware", False)
    repo = repository(database, phase=phase)
    whole = [price(number, aware=aware) for number in range(1, 5)]
    for entity in whole[:2]:
        await repo.insert(entity)
    for entity in whole[2:]:
        await repo.v1.insert(PriceV1(entity.id, entity.price, entity.at, entity.owner, entity.parts))
    ids = [entity.id for entity in whole]
    assert await asyncio.gather(*map(repo.get, ids)) == whole
    assert await repo.get_many(ids) == dict(zip(ids, whole, strict=True))
    assert [entity async for entity in repo.list(sort=("amount", "price"))] == whole
    assert [entity.amount async for entity in repo.v1.list()] == [Decimal("12.50")] * 4
    changed = await repo.update(ids[0], lambda entity: evolve(entity, price=Decimal("1.10"), parts={}))
    assert await repo.get(ids[0]) == changed
    await repo.v1.update(ids[1], lambda entity: evolve(entity, amount=Decimal("2.20")))
    assert (await repo.get(ids[1])).price == Decimal("2.20")
    await repo.delete(ids[3])
    assert [await repo.exists(id) for id in ids] == [True, True, True, False]
    rows = {row["_id"].as_uuid(): row for row in await stored(server, database, "v1")}
    assert rows[ids[0]]["amount"] == Decimal128("1.10")
    assert rows[ids[2]] == {
        "_id": Binary.from_uuid(ids[2]),
        "amount": Decimal128("12.50"),
        "at": datetime(2024, 5, 1, 12),
        "owner": Binary.from_uuid(ID),
        "parts": {"net": Decimal128("10.00")},
        "_lazymig_rev": rows[ids[2]]["_lazymig_rev"],
    }


@pytest.mark.parametrize("level", ["snapshot", "available", "linearizable", "local"])
async def test_case_14h_every_statement_has_a_concern_of_its_own(lazymig_server: Any, level: str) -> None:
    """What a snapshot read does not see yet, a clean document would say of V1: reads are local or majority, always."""
    watch = Watch()
    keywords: dict[str, Any] = {"readConcernLevel": level, "readPreference": "secondaryPreferred", "w": 1}
    async with only_database(AsyncMongoClient(lazymig_server.uri, event_listeners=[watch], **keywords)) as database:
        repo = repository(database)
        with watch.sent(database) as sent:
            for number in (1, 2):
                await repo.insert(price(number))
            await asyncio.gather(*(repo.get(UUID(int=number)) for number in (1, 2, 3)))
            await repo.get_many([UUID(int=1), UUID(int=3)])
            await repo.v1.get(UUID(int=1))
            assert len([entity async for entity in repo.list(sort=("amount", "price"))]) == 2
            assert await repo.count() == 2
            await repo.update(UUID(int=1), lambda entity: entity)
            await repo.delete(UUID(int=2))
            await Sweeper(repo).run()
    reads = [event for event in sent if event.command_name in ("find", "aggregate", "count")]
    assert len(reads) > 10
    assert {event.command["readConcern"]["level"] for event in reads} == {"local", "majority"}
    assert all(event.command.get("$readPreference", {"mode": "primary"})["mode"] == "primary" for event in sent)


@pytest.mark.parametrize(("kind", "options"), SOME_CLIENTS)
async def test_case_14h_sweeps_work_whatever_the_client_was_given(
    server_clients: Any, database: Any, options: str
) -> None:
    """What V2 lacks is moved, marks are healed, dead letters kept, and V2's bytes do not depend on the client."""
    server = server_clients["pymongo"][database.name]
    good = [
        {"_id": Binary.from_uuid(UUID(int=number)), "amount": Decimal128("5.00"), "at": datetime(2024, 1, 1)}
        for number in range(1, 31)
    ]
    await server["v1"].insert_many([*good, {"_id": Binary.from_uuid(UUID(int=99)), "amount": "five"}])
    marked = {"rev": 0, "intent": 1, "at": datetime(2024, 1, 1)}
    old = {key: value for key, value in good[0].items() if key != "amount"}
    await server["v2"].insert_one({**old, "price": Decimal128("5.00"), "_lazymig": marked})
    for _ in range(2):
        report = await Sweeper(repository(database), batch_size=7, partition_size=10).run()
        assert (report.finished, report.scanned, report.dead_letters) == (True, 31, 1)
    rows = await server["v2"].find().sort("_id").to_list(None)
    assert [row["_id"].as_uuid().int for row in rows] == list(range(1, 31))
    assert all((row["price"], row["at"]) == (Decimal128("5.00"), datetime(2024, 1, 1)) for row in rows)
    assert all("at" not in row["_lazymig"] for row in rows)
    letters = [letter async for letter in Control(database["lazymig_control"]).dead_letters("prices")]
    assert [letter.id for letter in letters] == [Binary.from_uuid(UUID(int=99))]


@pytest.mark.parametrize("options", ["several", "standard UUIDs", "types of its own"])
async def test_case_14h_collections_may_have_options_of_their_own(
    database: Any, server_database: Any, options: str
) -> None:
    """Those of `get_collection` are as irrelevant as the client's, but for `tz_aware`."""
    given = CodecOptions(
        document_class=SON, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD, type_registry=REGISTRY
    )
    repo = repository(database, v1=database["v1"].with_options(given), v2=database["v2"].with_options(given))
    entity = await repo.insert(price(1, aware=True))
    assert await repo.get(entity.id) == entity
    assert (await database.client[database.name]["v1"].with_options(CodecOptions()).find_one())[
        "_id"
    ] == Binary.from_uuid(entity.id)
    assert server_database is not None


@pytest.mark.parametrize("options", ["standard UUIDs", "types of its own", "several", "raw documents"])
async def test_case_14h_criteria_are_encoded_as_the_callers_client_would(database: Any, options: str) -> None:
    """A filter may hold what this client can send: UUIDs of its representation, or types of its own."""
    aware = CLIENTS[options].get("tz_aware", False)
    repo = repository(database)
    at = datetime(2024, 1, 1)
    await database["v1"].insert_many(
        [
            {"_id": Binary.from_uuid(UUID(int=n)), "amount": Decimal128("1"), "at": at, "owner": Binary.from_uuid(ID)}
            for n in range(1, 151)  # more than a page
        ]
    )
    await repo.insert(price(999, aware=aware))
    value: Any = {"owner": Binary.from_uuid(ID)}
    if options == "standard UUIDs":
        value = {"owner": ID}
    elif CLIENTS[options].get("type_registry"):
        value = {"amount": {"$in": [Decimal(1), Decimal("12.5")]}}
    where = Criteria(v1=value, v2={})
    for door in (repo, repo.v1, repo.with_session(None)):
        assert await door.count(where) == 151
        assert [entity.id.int async for entity in door.list(where)] == [*range(1, 151), 999]


@pytest.mark.parametrize("options", ["aware elsewhere"])
async def test_case_14h_aware_datetimes_are_utc(database: Any, options: str) -> None:
    """Whatever time zone the client shows: the moment is the same, and its zone is UTC."""
    repo = repository(database)
    given = datetime(2024, 5, 1, 17, tzinfo=CLIENTS[options]["tzinfo"])
    await repo.insert(evolve(price(1, aware=True), at=given))
    found = await repo.get(UUID(int=1))
    assert (found.at, found.at.utcoffset()) == (given, timedelta(0))


@pytest.mark.parametrize("options", ["snapshot", "several"])
async def test_case_14h_sessions_work_whatever_the_client_was_given(database: Any, options: str) -> None:
    """In a transaction too."""
    aware = CLIENTS[options].get("tz_aware", False)
    repo = repository(database)
    await repo.insert(price(1, aware=aware))
    session = await await_if_needed(database.client.start_session())
    async with session, await await_if_needed(session.start_transaction()):
        within = repo.with_session(session)
        await within.update(UUID(int=1), lambda entity: evolve(entity, price=Decimal("3.30")))
        assert (await within.get(UUID(int=1))).price == Decimal("3.30")
    assert (await repo.get(UUID(int=1))).price == Decimal("3.30")
