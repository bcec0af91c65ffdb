"""The follower's steps on collections in memory, without a stream: what explorations call."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from attrs import evolve
from mongomock_motor import AsyncMongoMockClient

from lazymig.following.feed import Batch
from lazymig.following.handling import Handler, handle_events
from lazymig.following.healing import Terms
from lazymig.histogram import Histogram
from lazymig.repository import calls_of
from lazymig.stores.events import Event, Operation
from tests.following import find_wrong
from tests.sweeps import StandingClock, control, repository, thing

#: When everything happened.
AT = datetime(2024, 5, 1)


def event(id: int, operation: Operation, revision: int | None = None) -> Event:
    return Event(id, operation, revision, AT, {})


async def test_handling_in_memory() -> None:
    """What was changed without an announcement is healed; an own write whose last step is missing is open or left."""
    database: Any = AsyncMongoMockClient()["test"]
    repo = repository(database)
    await database["v1"].insert_many([thing(id) for id in range(4)])
    for id in range(4):
        await repo.update(id, lambda v2: evolve(v2, count=5, note="only V2"))
    await database["v1"].update_one({"_id": 0}, {"$set": {"n": 7}})
    await database["v1"].delete_one({"_id": 1})
    # A delete of lazymig that is not finished.
    await database["v2"].update_one({"_id": 2}, {"$inc": {"_lazymig.intent": 1}})
    await database["v1"].delete_one({"_id": 2})
    events = [
        event(0, Operation.UPDATE),
        event(1, Operation.DELETE),
        event(2, Operation.DELETE),
        event(3, Operation.UPDATE, 1),
    ]
    assert await handle_events(calls_of(repo).pair, events) == [events[2]]
    assert await find_wrong(database) == {}
    healed = await repo.get(0)
    assert healed is not None
    assert (healed.count, healed.note) == (7, "only V2")
    assert await repo.get(1) is None
    assert (await database["v1"].find_one({"_id": 3}))["_lazymig_rev"] == 1


async def test_staleness_is_from_the_change_to_its_durable_heal() -> None:
    """It is taken from the server's times of both, for what was not announced only."""
    database: Any = AsyncMongoMockClient()["test"]
    repo = repository(database)
    await database["v1"].insert_many([thing(1), thing(2)])
    for id in (1, 2):
        await repo.update(id, lambda v2: evolve(v2, count=5))
    await database["v1"].update_one({"_id": 1}, {"$set": {"n": 7}})
    staleness = Histogram()
    changes: Any = SimpleNamespace(now=AsyncMock(return_value=AT + timedelta(seconds=30)))
    terms = Terms(
        concurrency=1, under_way=1, in_flight=timedelta(hours=1), stopping=lambda: False, clock=StandingClock()
    )
    handler = Handler(calls_of(repo).pair, control(database), changes, Counter(), staleness, terms)
    await handler.handle(Batch([event(1, Operation.UPDATE), event(2, Operation.UPDATE, 1)], {"_data": "1"}))
    assert staleness.count == 0  # nothing is healed yet
    await handler.drain()
    assert await find_wrong(database) == {}
    assert staleness.count == 1
    assert staleness.quantile(0.99) == pytest.approx(30, rel=0.05)


async def test_a_delete_that_is_handled_late_ends_a_life() -> None:
    """Another program deleted the entity and inserted one with its id, before the first event is handled.

    What only V2 held of the first does not reach the second, whose event finds both sides in agreement.
    """
    database: Any = AsyncMongoMockClient()["test"]
    repo = repository(database)
    await database["v1"].insert_one(thing(1))
    await repo.update(1, lambda v2: evolve(v2, note="only V2"))
    await database["v1"].delete_one({"_id": 1})
    await database["v1"].insert_one({"_id": 1, "n": 7})
    for operation in (Operation.DELETE, Operation.INSERT):
        assert await handle_events(calls_of(repo).pair, [event(1, operation)]) == []
        second = await repo.get(1)
        assert second is not None
        assert (second.count, second.note) == (7, None)
