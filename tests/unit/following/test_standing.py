"""Positions, counts and the order of changes within a heal."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lazymig.following.healing import Cause, Job
from lazymig.following.standing import Part, Standing
from lazymig.stores.events import Event, Operation

AT = datetime(2024, 5, 1, 12, 34, 56)
INSERT, UPDATE, DELETE = Operation.INSERT, Operation.UPDATE, Operation.DELETE


def event(operation: Operation = UPDATE, at: datetime = AT) -> Event:
    return Event(1, operation, None, at, {})


def test_only_what_is_done_is_stored() -> None:
    """The position is that of the last batch before which nothing is open, and its counts are those up to it."""
    standing = Standing()
    parts = [Part({"_data": str(number)}, AT + timedelta(seconds=number)) for number in range(4)]
    for part in parts:
        part.count(event(at=AT))
        standing.add(part)
    parts[2].open = 1
    assert standing.find_oldest() == AT + timedelta(seconds=2)
    found = standing.find_done()
    assert found == ({"_data": "1"}, {(datetime(2024, 5, 1, 12), "update"): 2}, 2)
    standing.drop(2)
    assert standing.find_done() is None
    parts[2].open = 0
    assert standing.find_oldest() is None
    found = standing.find_done()
    assert found is not None
    assert found[0] == {"_data": "3"}


@pytest.mark.parametrize(
    ("operations", "last"),
    [
        ([INSERT, UPDATE], INSERT),
        ([DELETE, INSERT, UPDATE], INSERT),
        ([INSERT, DELETE], DELETE),
        ([UPDATE, DELETE], DELETE),
        ([DELETE, UPDATE], UPDATE),
    ],
)
def test_one_heal_for_many_events(operations: list[Operation], last: Operation) -> None:
    """An entity that was inserted from outside is new, whatever happened to it since, until it is deleted."""
    first, *others = operations
    job = Job(1, first, [Cause(event(first), Part({}))])
    for operation in others:
        job.add(operation, Cause(event(operation), Part({})))
    assert job.operation is last
    assert len(job.causes) == len(operations)


def test_events_after_the_start_need_another_heal() -> None:
    """V1 may be read once a heal has begun: what comes later is not covered by it."""
    job = Job(1, UPDATE, [Cause(event(), Part({}))], started=True)
    job.add(INSERT, Cause(event(INSERT), Part({})))
    job.add(UPDATE, Cause(event(UPDATE), Part({})))
    assert len(job.causes) == 1
    assert job.later is not None
    assert job.later.operation is INSERT
    assert len(job.later.causes) == 2
