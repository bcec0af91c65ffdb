"""Ranges: whatever ids both sides have, and wherever a part is cut, each entity comes once with both of its sides."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import bson
import pytest
from bson import Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument

from lazymig import Verdict
from lazymig.comparing.comparer import Comparer
from lazymig.passes.partitions import plan_partitions
from lazymig.stores.drivers import RAW_LENIENT
from lazymig.stores.raw import extract_id_bytes
from lazymig.verifying.judging import TwoSides
from lazymig.verifying.ranges import BothSides, Range, Ranges
from lazymig.verifying.repairs import _UNTAKEN
from tests.damage import element, inside, text
from tests.sweeps import LaterClock, moved, repository, thing
from tests.verifications import fill, rows, verifier

#: Ids of every bracket, several in most.
IDS: list[Any] = [
    MinKey(), None, float("nan"), float("-inf"), -1, 0.5, Int64(2**40), Decimal128("7.5"), *range(1, 9), "a", "b", "",
    "\u00e9", {"a": 1}, {"b": 2}, b"bytes", b"", ObjectId("0" * 24), ObjectId("f" * 24), True, False, Timestamp(1, 2),
    bson.Code("x"), bson.Code("x", {}), MaxKey(),
]  # fmt: skip


def sides_of(database: Any) -> BothSides:
    pair = repository(database)._calls.pair
    return BothSides(pair.v1, pair.bodies, {}, TwoSides(Comparer(pair.conversions)).judge)


def names(both: Range) -> list[tuple[str | None, str | None]]:
    """The ids of each pair as text; those of V2 are marked by their body."""
    return [
        (None if truth is None else repr(truth.id), None if seen is None else repr(getattr(seen, "id", None)))
        for truth, seen in both.pairs()
    ]


@pytest.mark.parametrize("driver", ["pymongo"])
@pytest.mark.parametrize("number", range(8))
async def test_each_entity_once(database: Any, driver: str, number: int) -> None:
    """With any sizes of parts and any interruptions, the union of both sides comes exactly once."""
    rng = random.Random(number)
    ours = [id for id in IDS if rng.random() < rng.choice([0.1, 0.5, 1])]
    theirs = [id for id in IDS if rng.random() < rng.choice([0.1, 0.5, 1])]
    for name, ids in (("v1", ours), ("v2", theirs)):
        if ids:
            await database[name].insert_many([thing(id) if name == "v1" else moved(id) for id in ids])
    size = rng.choice([1, 2, 5, 100])
    pair = repository(database)._calls.pair
    found: Counter[tuple[str | None, str | None]] = Counter()
    for partition in await plan_partitions(pair.v1, beside=pair.bodies):
        ranges = Ranges(sides_of(database), partition, partition.low, size)
        while (both := await ranges.next()) is not None:
            found.update(names(both))
            if rng.random() < 0.3 and both.last is not None:  # another process continues from the checkpoint
                ranges = Ranges(sides_of(database), partition, both.last, size)
    known = {repr(id) for id in ours}, {repr(id) for id in theirs}
    expected = Counter(
        (id if id in known[0] else None, id if id in known[1] else None) for id in sorted(known[0] | known[1])
    )
    assert found == expected


async def test_a_reply_is_cut_by_its_bytes(server_database: Any) -> None:
    """Where V2's documents are larger than one reply holds, or V1's, parts are smaller and nothing is lost."""
    count, large = 14, "x" * 2_000_000
    await fill(server_database, range(count))
    await server_database["v2"].update_many({"_id": {"$lt": 10}}, {"$set": {"code": large}})
    report = await verifier(server_database, batch_size=1000, partition_size=1000).run()
    assert (report.compared, report.different) == (count, 10)
    await server_database["v1"].update_many({"_id": {"$lt": 10}}, {"$set": {"code": large}})
    report = await verifier(server_database, batch_size=1000, partition_size=1000).run()
    assert (report.compared, report.different) == (count, 0)
    assert (await verifier(server_database, batch_size=1000, where={"n": 1}).run()).compared == count


async def test_an_id_that_no_statement_can_name(server_database: Any) -> None:
    """An entity whose id is text that is not UTF-8 cannot be looked at again; it is unknown, and named once."""
    broken = element(0x02, b"_id", text(b"a\xffb")) + element(0x10, b"n", b"\1\0\0\0")
    document: Mapping[str, Any] = RawBSONDocument(inside(broken), RAW_LENIENT)
    await fill(server_database, ["a", "z"])
    await server_database["v1"].insert_one(document)
    assert extract_id_bytes(document.raw) == element(0x02, b"_id", text(b"a\xffb"))  # type: ignore[attr-defined]
    for later_s in (0, 60):
        report = await verifier(server_database, clock=LaterClock(later_s)).run()
        assert [one.verdict for one in report.mismatches] == [Verdict.UNKNOWN]
        assert "no statement can name" in report.mismatches[0].reason
    await server_database["v1"].delete_one({"n": 1, "code": {"$exists": False}})
    assert (await verifier(server_database, clock=LaterClock(120)).run()).agrees
    assert await rows(server_database) == []


async def test_mismatches_with_ids_of_every_type(server_database: Any) -> None:
    """An entity of any type of id is named once, and looked at again by its id; a repair buries its orphan."""
    odd = [id for id in IDS if not isinstance(id, float) or id == id]
    await server_database["v1"].insert_many([thing(id) for id in odd])
    report = await verifier(server_database).run()
    assert (report.missing, report.compared) == (len(odd), len(odd))
    assert {extract_id_bytes({"_id": row.id}) for row in await rows(server_database)} == {
        extract_id_bytes({"_id": id}) for id in odd
    }
    await server_database["v1"].delete_many({})
    # A repair does not empty V2.
    await server_database["v1"].insert_one(thing("one more"))
    await server_database["v2"].insert_many([moved(id) for id in (*odd, "one more")])
    report = await verifier(server_database).run()
    assert (report.orphan, report.missing) == (len(odd), 0)
    report = await verifier(server_database, repair=True).run()
    # No call takes ids of other types, so nothing is written for them.
    left = {repr(one.id) for one in report.mismatches}
    taken = [id for id in odd if type(id) in (int, Int64, float, str, bytes, ObjectId)]
    assert left == {repr(id) for id in odd} - {repr(id) for id in taken}
    assert {one.reason for one in report.mismatches} == {_UNTAKEN}
    assert report.repaired == len(taken)
    assert await server_database["v2"].count_documents({"_lazymig.gone": True}) == len(taken)
