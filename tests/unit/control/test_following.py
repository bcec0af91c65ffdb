"""The follower's row: one holder at a time, positions with their counts, and what is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient

from lazymig import Control
from lazymig.control import LEASE, Following, parts_of
from lazymig.control.following import KEPT, CatchUp, Handled
from tests.people import TestClock

TOKEN = {"_data": "8264"}


@pytest.fixture
def clock() -> TestClock:
    """A clock that the test moves."""
    return TestClock()


@pytest.fixture
def following(clock: TestClock) -> Following:
    """The row of one migration in a control collection in memory."""
    collection: Any = AsyncMongoMockClient()["test"]["control"]
    return parts_of(Control(collection, clock)).following("people")


def counted(moment: datetime, count: int = 1) -> Handled:
    return Handled(rogue={(moment.replace(minute=0, second=0, microsecond=0), "update"): count})


async def test_one_follows(following: Following, clock: TestClock) -> None:
    """A second claim waits until the first is given back or its lease is over; the first then stores nothing."""
    assert await following.find() is None
    first = await following.claim("one")
    assert first is not None
    assert (first.token, first.catch_up) == (None, None)
    assert await following.claim("two") is None
    await following.release(first)
    second = await following.claim("two")
    assert second is not None
    clock.time += LEASE / 2
    assert await following.renew(second)
    clock.time += LEASE + timedelta(seconds=1)
    third = await following.claim("three")
    assert third is not None
    assert not await following.save(second, TOKEN, counted(clock.now()))
    assert not await following.renew(second)
    await following.release(second)
    found = await following.find()
    assert found is not None
    assert (found.running, found.rogue_by_hour) == (True, {})


async def test_counts_are_kept_for_a_month(following: Following, clock: TestClock) -> None:
    """Counts add up by hour and operation, and go when they are thirty days old."""
    claim = await following.claim("one")
    assert claim is not None
    first = clock.now()
    for _ in range(2):
        assert await following.save(claim, TOKEN, counted(first, 3))
    clock.time += timedelta(hours=1, minutes=5)
    assert await following.save(claim, TOKEN, counted(clock.now()))
    found = await following.find()
    assert found is not None
    assert found.count_since(first) == {"update": 7}
    assert found.count_since(clock.now()) == {"update": 1}
    # A new holder knows which hours there are.
    await following.release(claim)
    claim = await following.claim("two")
    assert claim is not None
    assert claim.token == TOKEN
    clock.time += KEPT - timedelta(minutes=5)
    assert await following.save(claim, TOKEN, Handled())
    found = await following.find()
    assert found is not None
    assert list(found.rogue_by_hour) == [datetime(2024, 5, 1, 13)]
    # A change of an hour that is too old to be kept does not conflict with its removal.
    clock.time += KEPT
    assert await following.save(claim, TOKEN, counted(datetime(2024, 5, 1, 13)))


async def test_a_verification_is_due_until_its_end(following: Following, clock: TestClock) -> None:
    """What is due survives its holder, and only the end of that very verification ends it."""
    claim = await following.claim("one")
    assert claim is not None
    old = CatchUp("first", clock.now(), 0)
    assert await following.begin_catch_up(claim, TOKEN, old)
    clock.time += timedelta(seconds=1)
    new = CatchUp("lost", clock.now(), 3)
    assert await following.begin_catch_up(claim, TOKEN, new)
    assert not await following.end_catch_up(claim, old)
    await following.release(claim)
    claim = await following.claim("two")
    assert claim is not None
    assert claim.catch_up == new
    found = await following.find()
    assert found is not None
    assert (found.catching_up, found.catch_ups) == ("lost", 2)
    assert await following.end_catch_up(claim, new)
    found = await following.find()
    assert found is not None
    assert found.catching_up is None
