"""`keyset.beyond` and `Order.after` against the server's own sort order."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp

from lazymig.stores.drivers import Driver
from lazymig.stores.keyset import Order, make_later_filter

NAN = float("nan")
VALUES: list[Any] = [
    None,
    *(0, -1, 1, 2**40, Int64(1), 1.0, 0.5, -0.5, -0.0, NAN, float("inf"), -float("inf"), 2.0**60, 2**60 + 1),
    *(Decimal128("1"), Decimal128("0.5"), Decimal128("NaN"), Decimal128("-Infinity"), Decimal128("1E+100")),
    *("", "a", "B", "é", "a\0b", "10", "9"),
    *({}, {"a": 1}, {"a": "x"}, {"b": 0}, {"a": 1, "b": 2}, {"$weird": 1}),
    *(b"", b"\0", b"\xff", b"ab", Binary(b"ab", 5), Binary.from_uuid(UUID(int=5)), Binary(bytes(16), 3)),
    *(ObjectId("0" * 24), ObjectId("f" * 24), True, False),
    *(dt.datetime(1960, 1, 1), dt.datetime(2024, 1, 1), Timestamp(0, 1), Timestamp(5, 0), MinKey(), MaxKey()),
]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed that a failing run prints."""
    chosen = random.SystemRandom().randrange(2**32)
    print(f"seed {chosen}")
    return chosen


@pytest.mark.parametrize("direction", [1, -1], ids=["ascending", "descending"])
async def test_paging_by_key_is_the_servers_own_order(server_database: Any, direction: int, seed: int) -> None:
    """Page by page through values of every type, in both directions: the server's one sort, nothing lost or twice."""
    chance = random.Random(seed)
    values = VALUES + chance.choices(VALUES, k=30)
    chance.shuffle(values)
    documents = [{"_id": number, "value": value} for number, value in enumerate(values)]
    documents += [{"_id": 1000 + number} for number in range(3)]
    await server_database["v1"].insert_many(documents)
    order = Order("value", direction)
    expected = [row["_id"] async for row in server_database["v1"].find().sort(order.keys)]
    assert len(expected) == len(documents)
    assert await _paged(server_database["v1"], order, chance) == expected


@pytest.mark.parametrize("direction", [1, -1], ids=["ascending", "descending"])
async def test_paging_by_id_is_the_servers_own_order(server_database: Any, direction: int, seed: int) -> None:
    """The same for ids, which take no two equal numbers, no arrays and no regular expressions."""
    chance = random.Random(seed)
    for value in VALUES:
        if value == {"$weird": 1}:
            continue  # which the server refuses as an id
        await server_database["v1"].update_one({"_id": {"$eq": value}}, {"$set": {"x": 1}}, upsert=True)
    order = Order("_id", direction)
    rows = await server_database["v1"].find().sort(order.keys).to_list(None)
    found = await _paged(server_database["v1"], order, chance)
    assert [_bytes(id) for id in found] == [_bytes(row["_id"]) for row in rows]
    assert len(rows) > 35


async def _paged(collection: Any, order: Order, chance: random.Random) -> list[Any]:
    found: list[Any] = []
    where: dict[str, Any] = {}
    while page := await collection.find(where).sort(order.keys).limit(chance.randrange(1, 5)).to_list(None):
        found += [row["_id"] for row in page]
        where = order.after(page[-1], Driver.PYMONGO)
    return found


def _bytes(value: Any) -> bytes:
    return bson.encode({"": value})


@pytest.mark.parametrize("representation", ["standard", "unspecified"])
async def test_native_uuids_are_paged_too(server_database: Any, representation: str) -> None:
    """A client that returns UUIDs instead of binaries gets all pages."""
    from bson.codec_options import CodecOptions

    options: Any = CodecOptions(uuid_representation={"standard": 4, "unspecified": 0}[representation])
    collection = server_database["v1"].with_options(codec_options=options)
    uuids = [Binary.from_uuid(UUID(int=number)) for number in range(6)]
    await collection.insert_many([{"_id": id} for id in uuids])
    found = await _paged(collection, Order("_id", 1), random.Random(1))
    assert [id if isinstance(id, UUID) else id.as_uuid() for id in found] == [UUID(int=number) for number in range(6)]


async def test_a_path_into_a_sub_document_is_a_key_too(server_database: Any) -> None:
    """Also where the way there is missing or no document: that sorts as null."""
    documents = [
        {"_id": 1, "a": {"b": 2}},
        {"_id": 2, "a": {"b": 1}},
        {"_id": 3, "a": 5},
        {"_id": 4},
        {"_id": 5, "a": {}},
    ]
    await server_database["v1"].insert_many(documents)
    assert await _paged(server_database["v1"], Order("a.b", 1), random.Random(1)) == [3, 4, 5, 2, 1]
    assert await _paged(server_database["v1"], Order("a.b", -1), random.Random(1)) == [1, 2, 5, 4, 3]


def test_nothing_sorts_behind_the_last_key() -> None:
    """Where nothing can follow, the filter says so instead of failing or matching all."""
    assert make_later_filter("_id", MinKey(), -1, Driver.MEMORY) != {}
    assert make_later_filter("x", None, -1, Driver.MEMORY) == {"x": {"$in": []}}


def test_an_order_has_a_direction() -> None:
    """1 or -1, as the driver's own sort."""
    with pytest.raises(ValueError, match="direction"):
        Order("name", 2)
