"""Bodies that a writer stores by replacing the document that it has announced: what a pipeline would have stored."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from bson import Timestamp
from pymongo import monitoring

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.coalescing import CoalescingV2
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.pipelines import build_replacement
from lazymig.stores.records import Applied, Document, StoredV2, Unmoved

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
    "a remembered insert": document(inserts=[4]),
    "a repair at the same revision": document(rev=4),
    "a later body": document(rev=5, intent=5),
    "it came in otherwise": document(by="sweep"),
    "it has been removed": None,
    "it was a placeholder": {"_id": 1, META: {"rev": -1, "intent": 4, "by": "read", "gone": True, "at": NOW}},
}


async def applied(store: V2Store, held: Document | None, seen: StoredV2 | None, conv: int = 1) -> tuple[Any, Any]:
    """The outcome of the writer's last step, and what is stored then."""
    await store.collection.delete_many({})
    if held is not None:
        await store.collection.insert_one(dict(held))
    outcome = await store.apply(1, BODY, 4, own=True, since=3, conv=conv, announced=seen)
    return outcome, await store.collection.find_one({"_id": 1})


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("conv", [1, 2])
@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
async def test_it_stores_what_a_pipeline_would(database: Any, held: Document | None, conv: int) -> None:
    """Whatever has happened since the announcement, the outcome and the document are those of the pipeline."""
    store = V2Store(database["v2"])
    assert await applied(store, held, announced(), conv) == await applied(store, held, None, conv)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_those_of_one_statement_store_what_pipelines_would(database: Any) -> None:
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
    missing = list(HELD).index("it has been removed")
    # Nobody can ask any more how it came in.
    assert stored[0][1][missing][META].pop("by") == "read"
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


class Commands(monitoring.CommandListener):
    """The updates that were sent: whether each is a pipeline."""

    def __init__(self) -> None:
        self.pipelines: list[bool] = []

    def started(self, event: Any) -> None:
        if event.command_name == "update":
            self.pipelines += [isinstance(one["u"], list) for one in event.command["updates"]]

    def succeeded(self, event: Any) -> None:
        """Nothing is asked of it."""

    def failed(self, event: Any) -> None:
        """Nothing is asked of it."""


async def test_one_statement_is_enough(lazymig_server: Any) -> None:
    """Where nobody has announced more, the document is replaced, and no pipeline is sent."""
    from pymongo import AsyncMongoClient

    commands = Commands()
    async with AsyncMongoClient[dict[str, Any]](lazymig_server.uri, event_listeners=[commands]) as client:
        await client.drop_database("replaced_bodies")
        store = V2Store(client["replaced_bodies"]["v2"])
        await store.collection.insert_one({"_id": 1, "first": "Ada", META: {"rev": 3, "intent": 3, "by": "read"}})
        seen = await store.ticket(1)
        assert await store.apply(1, BODY, seen.intent, own=True, announced=seen) is Applied.APPLIED
        assert commands.pipelines == [False]
        assert await store.collection.find_one({"_id": 1}) == {
            "_id": 1, **BODY, META: {"rev": 4, "intent": 4, "by": "read"},
        }  # fmt: skip
        await client.drop_database("replaced_bodies")


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (BODY, {"intent": 5}),
        (BODY, {"inserts": (4,)}),
        (Unmoved("left"), {}),
        ({"at": Timestamp(0, 0)}, {}),
        ({"$first": 1}, {}),
    ],
    ids=["another ticket", "a remembered insert", "no body", "a timestamp", "a name that begins with a dollar"],
)
def test_what_must_be_computed_is_left_to_the_pipeline(body: Any, changes: dict[str, Any]) -> None:
    """The server would store something else, or the writer does not know what."""
    assert build_replacement(BODY, 4, 1, announced()) is not None
    assert build_replacement(body, 4, 1, announced(**changes)) is None
