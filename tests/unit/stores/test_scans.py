"""Scans, counts and what else the tools see of a collection, on every driver."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from lazymig.stores.clients import clients_of
from lazymig.stores.counts import Counts, Marked
from lazymig.stores.foreign import ForeignDocuments
from lazymig.stores.keyset import Order
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.probes import probe_of
from lazymig.stores.records import Partition
from lazymig.stores.replication import Replication
from lazymig.stores.scans import Scan
from tests.sweeps import moved, stored

AT = datetime(2024, 5, 1)


def decoded(scan: Scan, documents: list[Any]) -> list[dict[str, Any]]:
    """The documents of a page."""
    return [scan.decoded(document) for document in documents]


async def test_pages_in_order(database: Any) -> None:
    """Ids come alone and whole documents whole, both in order, of a store as of its collection."""
    await database["v1"].insert_many([{"_id": id, "x": "y" * id} for id in (3, 1, 2, 5, 4)])
    for scan in (Scan(database["v1"]), Scan(V1Store(database["v1"]), majority=True)):
        assert decoded(scan, await scan.find_ids({})) == [{"_id": id} for id in range(1, 6)]
        assert decoded(scan, await scan.find_ids({"_id": {"$gt": 2}}, 2)) == [{"_id": 3}, {"_id": 4}]
        assert decoded(scan, await scan.find_ids({}, per_reply=2)) == [{"_id": id} for id in range(1, 6)]
        assert decoded(scan, await scan.find_whole({"_id": {"$gt": 1}}, 2)) == [
            {"_id": 2, "x": "yy"}, {"_id": 3, "x": "yyy"}
        ]  # fmt: skip
        assert await scan.find_whole({"_id": 9}, 2) == []


async def test_a_page_of_whole_documents_is_one_reply(server_database: Any) -> None:
    """Documents beyond 16 MB are left for the next page, and no cursor is left open for them."""
    await server_database["v1"].insert_many([{"_id": id, "x": b"x" * 6_000_000} for id in range(4)])

    async def open_cursors() -> int:
        status = await server_database.client.admin.command("serverStatus")
        return int(status["metrics"]["cursor"]["open"]["total"])

    before = await open_cursors()
    page = await Scan(server_database["v1"]).find_whole({}, 4)
    assert 0 < len(page) < 4
    assert await open_cursors() <= before


async def test_some_fields_however_the_rest_decodes(server_database: Any) -> None:
    """One field of each document is found where another one does not decode, or where the id cannot be hashed."""
    broken = RawBSONDocument(b"\x17\x00\x00\x00\x10_id\x00\x01\x00\x00\x00\x02t\x00\x02\x00\x00\x00\xff\x00\x00")
    await server_database["v1"].insert_many([broken, {"_id": {"a": 1}, "n": 2}])
    scan = Scan(server_database["v1"], majority=True)
    assert await scan.find_field(1, "n") == {"_id": 1}
    assert await scan.find_field(2, "n") is None
    found = await scan.find_fields([1, {"a": 1}, "absent"], "n")
    assert sorted(found, key=repr) == [{"_id": 1}, {"_id": {"a": 1}, "n": 2}]
    assert await scan.find_fields([], "n") == []
    assert (await scan.find_document({"a": 1}))["n"] == 2
    assert (await scan.find_document(1))["_id"] == 1


async def test_what_a_plan_asks(database: Any, driver: str) -> None:
    """The brackets that hold ids are known, and a sample has ids alone, in order, and never NaN."""
    ids = [1, 2.5, "a", ObjectId(), *([math.nan] if driver != "mock" else [])]
    await database["v1"].insert_many([{"_id": id} for id in ids])
    scan = Scan(database["v1"])
    assert [name for name in scan.brackets() if await scan.has_bracket(name)] == ["int", "string", "objectId"]
    sample = await scan.sample_ids(100)
    assert all(value in ids and value == value for value in sample)
    numbers = [value for value in sample if isinstance(value, int | float)]
    assert numbers == sorted(numbers)


async def test_within_a_partition(database: Any) -> None:
    """A partition's filter begins behind a position and ends at its high end, or earlier."""
    await database["v1"].insert_many([{"_id": id} for id in [*range(10), "text"]])
    scan, part = Scan(database["v1"]), Partition("int", None, 7)
    for position, last, ids in ((None, None, range(8)), (3, None, range(4, 8)), (3, 5, (4, 5))):
        assert decoded(scan, await scan.find_ids(scan.within(part, position, last))) == [{"_id": id} for id in ids]
    after = scan.after(Order("_id", 1), {"_id": 8})
    assert decoded(scan, await scan.find_ids(after)) == [{"_id": 9}, {"_id": "text"}]


async def test_counts(database: Any) -> None:
    """V2's documents are counted in all, by mark, and the live ones by what their meta data says."""

    def marked(id: int, **meta: Any) -> dict[str, Any]:
        return {"_id": id, "_lazymig": {"rev": 1, "intent": 2, "at": AT, **meta}}

    await database["v2"].insert_many([moved(1, by="read"), moved(2), moved(3), marked(4), marked(5, by="read")])
    await database["v2"].insert_many([marked(6, rev=-1, gone=True), marked(7, gone=True), marked(8, gone=True)])
    counts = Counts(V2Store(database["v2"]))
    assert (await counts.count_all(), await counts.count_all(exact=True), await counts.count_live()) == (8, 8, 5)
    assert await counts.count_marked() == Marked(dirty=2, placeholders=1, tombstones=2)
    assert await counts.count_live_by("by") == {"read": 2, "sweep": 2, None: 1}


async def test_strangers(database: Any) -> None:
    """Documents that lazymig did not store are found in pages and replaced; all others stay as they are."""
    await database["v2"].insert_many([{"_id": id, "x": 1} for id in range(3)])
    await database["v2"].insert_one(moved(3))
    strangers = ForeignDocuments(V2Store(database["v2"]))
    first = await strangers.find_ids(2)
    rest = await strangers.find_ids(2, first[-1])
    assert decoded(Scan(database["v2"]), first + rest) == [{"_id": 0}, {"_id": 1}, {"_id": 2}]
    assert await strangers.replace([moved(1, 9), moved(3, 9)]) == (1, [])
    now = await stored(database["v2"])
    assert (now["1"], now["3"], now["0"]) == (moved(1, 9), moved(3), {"_id": 0, "x": 1})


@pytest.mark.parametrize("lag_s", [0.0, 2.5])
async def test_replication_lag(server_database: Any, monkeypatch: pytest.MonkeyPatch, lag_s: float) -> None:
    """The lag is the time between the primary's newest write and the majority's; nothing without a replica set."""
    replication = Replication(server_database["v2"])
    assert await replication.measure_lag_s() >= 0

    async def hello(name: str) -> dict[str, Any]:
        return {"lastWrite": {"lastWriteDate": AT + timedelta(seconds=lag_s), "majorityWriteDate": AT}}

    admin = type("Admin", (), {"command": staticmethod(hello)})
    monkeypatch.setattr(replication, "_database", type("D", (), {"client": type("C", (), {"admin": admin})}))
    assert await replication.measure_lag_s() == lag_s


async def test_clients(database: Any, driver: str) -> None:
    """The client of two collections is one, it answers, and knows where its servers are; in memory there is none."""
    clients = clients_of(database["v1"], V2Store(database["v2"]))
    assert len(clients) == (0 if driver == "mock" else 1)
    for client in clients:
        await client.ping(5)
        assert client.patience_s > 0
        assert client.database_named("x").name == "x"
    if driver == "pymongo":
        assert ":" in clients[0].addresses[0]


async def test_probes(database: Any, driver: str) -> None:
    """A probe knows its collection from others, whatever it was made of, and the server describes what stands."""
    await database["v1"].insert_one({"_id": 1})
    probe = probe_of(V1Store(database["v1"]))
    assert probe_of(probe) is probe
    assert probe.is_same(probe_of(database["v1"]))
    assert not probe.is_same(probe_of(database["v2"]))
    assert (probe.name, probe.in_memory) == (f"{database.name}.v1", driver == "mock")
    assert await probe.find_documents({}, {"_id": 1}) == [{"_id": 1}]
    if driver != "mock":
        assert (await probe.describe())["type"] == (await probe.describe(name_only=True))["type"] == "collection"
        assert await probe_of(database["absent"]).describe() == {}
        assert [index["name"] for index in await probe.find_indexes()] == ["_id_"]
        assert (await probe.greet())["isWritablePrimary"]
        assert await probe.count_matching([{"_id": "$x"}, {"_id": 2}], {"_id": "$x"}) == 1
