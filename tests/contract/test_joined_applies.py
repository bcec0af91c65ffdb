"""Applies of several writers by one statement: each has its own outcome, as if it had gone alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazymig.stores.coalescing import CoalescingV2
from lazymig.stores.records import Applied

META = "_lazymig"


@pytest.fixture
def store(database: Any) -> CoalescingV2:
    """The port with shared statements."""
    return CoalescingV2(database["v2"], ["first", "note"], 20.0)


def live(id: Any, rev: int, intent: int, first: str = "Ada") -> dict[str, Any]:
    """A V2 document with a body."""
    return {"_id": id, "first": first, META: {"rev": rev, "intent": intent}}


async def stored(database: Any) -> dict[Any, Any]:
    """First name, revision and intent by id."""
    documents = await database["v2"].find().to_list(None)
    return {one["_id"]: (one["first"], one[META]["rev"], one[META]["intent"]) for one in documents}


async def test_each_has_its_own_outcome(store: CoalescingV2, database: Any) -> None:
    """Applied, created, already newer, and overtaken by a later announcement that stays open."""
    await database["v2"].insert_many([live(1, 3, 4), live(2, 7, 7), live(3, 3, 5)])
    applied = await asyncio.gather(*(store.apply(id, {"first": "Bob"}, 4, own=True) for id in (1, 2, 3, 4)))
    assert applied == [Applied.APPLIED, Applied.NEWER, Applied.APPLIED, Applied.APPLIED]
    assert await stored(database) == {1: ("Bob", 4, 4), 2: ("Ada", 7, 7), 3: ("Bob", 4, 5), 4: ("Bob", 4, 4)}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_refused_body_is_its_own_writers_concern(store: CoalescingV2, database: Any) -> None:
    """A unique index refuses one of them; the others are stored."""
    await database["v2"].create_index("first", unique=True)
    await database["v2"].insert_many([live(1, 3, 4, "a"), live(2, 3, 4, "b"), live(3, 3, 4, "c")])
    names = {1: "x", 2: "c", 4: "y"}
    applied = await asyncio.gather(*(store.apply(id, {"first": name}, 4, own=True) for id, name in names.items()))
    assert applied == [Applied.APPLIED, Applied.REFUSED, Applied.APPLIED]
    assert await stored(database) == {1: ("x", 4, 4), 2: ("b", 3, 4), 3: ("c", 3, 4), 4: ("y", 4, 4)}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_body_too_large_holds_up_nobody(store: CoalescingV2, database: Any) -> None:
    """The driver refuses the joined statement without a name; the others are stored nevertheless."""
    await database["v2"].insert_many([live(id, 3, 4) for id in (1, 2, 3)])
    names = {1: "x", 2: "x" * 17_000_000, 3: "y"}
    applied = await asyncio.gather(*(store.apply(id, {"first": name}, 4, own=True) for id, name in names.items()))
    assert applied == [Applied.APPLIED, Applied.REFUSED, Applied.APPLIED]
    assert await stored(database) == {1: ("x", 4, 4), 2: ("Ada", 3, 4), 3: ("y", 4, 4)}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_an_error_of_one_body_is_its_own_writers(store: CoalescingV2, database: Any) -> None:
    """A body that the server cannot take, for whatever reason, is refused; the others are stored."""
    await database["v2"].insert_many(
        [live(1, 3, 4), {"_id": 2, "first": "Ada", META: {"rev": 3, "intent": 4, "gone": 1}}]
    )
    update = ({"_id": 2}, [{"$set": {"first": {"$add": ["$first", 1]}}}])  # a text cannot be incremented
    results = await asyncio.gather(store.apply(1, {"first": "Bob"}, 4, own=True), store._update(*update, upsert=True))
    assert results[0] is Applied.APPLIED
    assert results[1] is Applied.REFUSED
    assert (await stored(database))[1] == ("Bob", 4, 4)
