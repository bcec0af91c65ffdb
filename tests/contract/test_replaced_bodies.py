"""Bodies that a writer stores in the document that it has announced: what is stored where nothing is known of it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import Timestamp

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.coalescing import CoalescingV2
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.pipelines import build_replacement
from lazymig.stores.records import Applied, Document, StoredV2, Unmoved
from tests.contract.conftest import Watched

NOW = datetime(2024, 5, 1, 12)
META = "_lazymig"
BODY: dict[str, Any] = {"first": "Bob", "tags": [{"n": 1}]}


def document(id: Any = 1, /, **meta: Any) -> dict[str, Any]:
    """A document whose next write has the ticket 4, with a field that no class knows."""
    return {"_id": id, "first": "Ada", "left": "over", META: {"rev": 3, "intent": 4, "by": "read", "at": NOW, **meta}}


def announced(**changes: Any) -> StoredV2:
    """What the writer's ticket has returned."""
    return StoredV2(1, 3, 4, False, NOW, document())._replace(**changes)


#: What V2 holds when the body comes, by what has happened since the announcement.
HELD: dict[str, Document | None] = {
    "nothing": document(),
    "another announcement": document(intent=5),
    "a raise to the same number": document(raised=1),
    "a remembered insert": document(intent=5, inserts=[5]),
    "a repair at the same revision": document(rev=4),
    "a later body": document(rev=5, intent=5),
    "it came in otherwise": document(by="sweep"),
    "it has been removed": None,
    "it was a placeholder": {"_id": 1, META: {"rev": -1, "intent": 4, "by": "read", "gone": True, "at": NOW}},
}


async def applied(
    store: V2Store, held: Document | None, seen: StoredV2 | None, conv: int = 1, body: Document = BODY
) -> tuple[Any, bytes | None]:
    """The outcome of the writer's last step, and the bytes that are stored then."""
    await store.collection.delete_many({})
    if held is not None:
        await store.collection.insert_one(dict(held))
    outcome = await store.apply(1, body, 4, own=True, since=3, conv=conv, announced=seen)
    stored = await store.collection.find_one({"_id": 1})
    return outcome, stored and bson.encode(stored)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("conv", [1, 2])
@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
async def test_it_stores_what_is_stored_without_knowledge(database: Any, held: Document | None, conv: int) -> None:
    """Whatever has happened since the announcement, the outcome and the document are the same."""
    store = V2Store(database["v2"])
    assert await applied(store, held, announced(), conv) == await applied(store, held, None, conv)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("since", [2, 3])
@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
async def test_it_buries_what_is_buried_without_knowledge(database: Any, held: Document | None, since: int) -> None:
    """A delete leaves the same tombstone, or none, whatever has happened since its announcement."""
    store, found = V2Store(database["v2"]), []
    for seen in (announced(), None):
        await store.collection.delete_many({})
        if held is not None:
            await store.collection.insert_one(dict(held))
        outcome = await store.bury(1, 4, since=since, announced=seen)
        stored = await store.collection.find_one({"_id": 1})
        assert stored is not None
        # Only the server knows its time.
        stored[META]["at"] = "at" in stored[META] and stored[META]["at"] > NOW
        found.append((outcome, bson.encode(stored)))
    assert found[0] == found[1]


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("by", ["write", None], ids=["a write", "an earlier version"])
async def test_it_keeps_what_brought_the_entity_in(database: Any, by: str | None) -> None:
    """What does not know that stores nothing of it, and one statement is enough in either case."""
    store = V2Store(database["v2"])
    meta = {"rev": 3, "intent": 3} if by is None else {"rev": 3, "intent": 3, "by": by}
    await store.collection.insert_one({"_id": 1, META: meta})
    pipeline = build_replacement(BODY, 4, 1, await store.ticket(1))
    assert pipeline is not None
    assert await store._replace(1, pipeline) is Applied.APPLIED
    assert await store.collection.find_one({"_id": 1}) == {"_id": 1, **BODY, META: {**meta, "rev": 4, "intent": 4}}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize(
    "body",
    [{"at": Timestamp(0, 0)}, {"$first": 1}, {"first.name": 1}, {"z": 1, "a": {"_id": 2}}, {}],
    ids=["an empty timestamp", "a dollar", "a dot", "the order", "nothing"],
)
async def test_it_stores_any_body_as_it_is(database: Any, body: Document) -> None:
    """What statements give a meaning to is stored literally, and the id keeps its type."""
    store = V2Store(database["v2"])
    held = {**document(), "_id": 1.0}
    outcome, stored = await applied(store, held, announced(), body=body)
    assert (outcome, stored) == await applied(store, held, None, body=body)
    assert stored == bson.encode({"_id": 1.0, **body, META: {"rev": 4, "intent": 4, "by": "read"}})


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_those_of_one_statement_store_what_is_stored_without_knowledge(database: Any) -> None:
    """Each has its own outcome, one that nobody has announced more of and one that somebody has."""
    stored = []
    for seen in (announced(), None):
        store = CoalescingV2(database["v2"], SYSTEM_CLOCK, 1, 20.0)
        await store.collection.delete_many({})
        for id, held in enumerate(HELD.values()):
            if held is not None:
                await store.collection.insert_one({**held, "_id": id})
        calls = [store.apply(id, BODY, 4, own=True, since=3, announced=seen) for id in range(len(HELD))]
        outcomes = await asyncio.gather(*calls)
        stored.append((outcomes, {one.pop("_id"): one async for one in store.collection.find({})}))
    assert stored[0] == stored[1]


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_refused_bodies_are_refused(database: Any) -> None:
    """A unique index refuses some of one statement, and one by itself."""
    store = CoalescingV2(database["v2"], SYSTEM_CLOCK, 1, 20.0)
    await store.collection.create_index("first", unique=True)
    await store.collection.insert_many([{**document(id), "first": f"a{id}"} for id in range(3)])
    calls = [
        store.apply(id, {"first": first}, 4, own=True, announced=announced()) for id, first in ((0, "x"), (1, "a2"))
    ]
    assert await asyncio.gather(*calls) == [Applied.APPLIED, Applied.REFUSED]
    assert await store.apply(1, {"first": "a2"}, 4, own=True, announced=announced()) is Applied.REFUSED
    assert {one["_id"]: one["first"] async for one in store.collection.find({})} == {0: "x", 1: "a1", 2: "a2"}


async def stored_by(store: V2Store, seen: StoredV2) -> Applied:
    """The last step of a write."""
    return await store.apply(seen.id, BODY, seen.intent, own=True, announced=seen)


async def buried_by(store: V2Store, seen: StoredV2) -> Applied:
    """The last step of a delete."""
    return await store.bury(seen.id, seen.intent, since=seen.revision, announced=seen)


@pytest.mark.parametrize("step", [stored_by, buried_by])
@pytest.mark.parametrize("ids", [(1,), (1, 2, 3)], ids=["alone", "together"])
async def test_one_statement_is_enough(watched: Watched, ids: tuple[int, ...], step: Any) -> None:
    """Where nobody has announced more, the server finds each document by its id alone, and nothing else is sent."""
    collection = watched.database["v2"]
    await collection.insert_many([{**document(id), META: {"rev": 3, "intent": 3, "by": "read"}} for id in ids])
    store = CoalescingV2(collection, SYSTEM_CLOCK, 1, 20.0)
    tickets = await asyncio.gather(*map(store.ticket, ids))
    with watched.sent() as sent:
        assert await asyncio.gather(*(step(store, one) for one in tickets)) == [Applied.APPLIED] * len(ids)
    [event] = sent
    filters = [dict(one["q"]) for one in event.command["updates"]]
    assert sorted(filters, key=lambda where: where["_id"]) == [{"_id": id} for id in ids]
    metas = [one[META] async for one in collection.find()]
    assert [(one["rev"], one["intent"], "gone" in one) for one in metas] == [(4, 4, step is buried_by)] * len(ids)


@pytest.mark.parametrize(
    ("body", "changes"),
    [(BODY, {"intent": 5}), (BODY, {"inserts": (4,)}), (Unmoved("left"), {})],
    ids=["another ticket", "a remembered insert", "no body"],
)
def test_what_is_not_known_is_left_to_the_server(body: Any, changes: dict[str, Any]) -> None:
    """What the writer would store may differ from what the server makes of V2's document."""
    assert build_replacement(BODY, 4, 1, announced()) is not None
    assert build_replacement(body, 4, 1, announced(**changes)) is None
