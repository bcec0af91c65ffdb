"""The rows of a control collection: one statement each, on every driver, read back from what is stored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazymig.stores.rows import Rows, control_collection_beside
from tests.sweeps import stored


@pytest.fixture
async def rows(database: Any) -> Rows:
    """Three rows: a, b and c, numbered 1 to 3."""
    await database["rows"].insert_many([{"_id": key, "n": n} for n, key in enumerate("abc", 1)])
    return Rows(database["rows"])


async def test_finding(rows: Rows) -> None:
    """Rows are found whole or in part, in order, and at most as many as asked for."""
    assert await rows.find_first({"_id": "b"}) == {"_id": "b", "n": 2}
    assert await rows.find_first({"_id": "x"}) is None
    assert await rows.find_all({"n": {"$gt": 1}}, sort=[("n", -1)]) == [{"_id": "c", "n": 3}, {"_id": "b", "n": 2}]
    assert await rows.find_all({"n": 1}, ["other"]) == [{"_id": "a"}]
    assert await rows.find_page({}, 2, sort=[("n", -1)]) == [{"_id": "c", "n": 3}, {"_id": "b", "n": 2}]
    assert await rows.count({"n": {"$lt": 3}}) == 2


async def test_a_change_is_a_compare_and_set(database: Any, rows: Rows) -> None:
    """Where the row does not stand as the filter says, nothing is changed and nothing is made."""
    assert await rows.change({"_id": "a", "n": 1}, {"$set": {"n": 10}})
    assert not await rows.change({"_id": "a", "n": 1}, {"$set": {"n": 20}})
    assert not await rows.change({"_id": "x"}, {"$set": {"n": 20}})
    assert {row["_id"]: row["n"] for row in (await stored(database["rows"])).values()} == {"a": 10, "b": 2, "c": 3}


async def test_put_makes_what_is_missing_and_never_overwrites_what_differs(database: Any, rows: Rows) -> None:
    """A row is made or changed; one that stands otherwise than the filter says stays, and that is no error."""
    assert await rows.put({"_id": "d", "n": {"$lt": 5}}, {"$set": {"n": 4}})
    assert await rows.put({"_id": "d", "n": {"$lt": 5}}, {"$set": {"n": 6}})
    assert not await rows.put({"_id": "d", "n": {"$lt": 5}}, {"$set": {"n": 7}})
    assert (await database["rows"].find_one({"_id": "d"}))["n"] == 6


async def test_one_claim_wins(database: Any, rows: Rows) -> None:
    """Of claims at once, one is given the row as it is afterwards, and the others nothing."""
    free = {"_id": "new", "owner": {"$exists": False}}
    claims = await asyncio.gather(*(rows.claim(free, {"$set": {"owner": n}}) for n in range(6)))
    (won,) = [claim for claim in claims if claim is not None]
    assert won == await database["rows"].find_one({"_id": "new"})


async def test_adding_and_removing(database: Any, rows: Rows) -> None:
    """Rows are added one or many at a time, and removed by a filter; adding none sends nothing."""
    await rows.add({"_id": "d", "n": 4})
    await rows.add_all([{"_id": "e", "n": 5}, {"_id": "f", "n": 6}])
    await rows.add_all([])
    assert await rows.remove({"n": {"$gte": 5}}) == 2
    assert len(await stored(database["rows"])) == 4


async def test_many_changes_at_once(server_database: Any) -> None:
    """Rows are changed or made by their pipelines, each by its own filter, in one statement."""
    rows = Rows(server_database["rows"])
    await rows.add({"_id": "a", "n": 1})
    raised = [{"$set": {"n": {"$add": [{"$ifNull": ["$n", 0]}, 1]}}}]
    await rows.put_each([({"_id": key}, raised) for key in "aba"])
    assert await rows.find_all({}, sort=[("_id", 1)]) == [{"_id": "a", "n": 3}, {"_id": "b", "n": 1}]


async def test_the_usual_place(database: Any) -> None:
    """Beside a collection lies the control collection of its database."""
    assert control_collection_beside(database["v2"]).full_name == f"{database.name}.lazymig_control"
