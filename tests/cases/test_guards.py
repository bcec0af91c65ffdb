"""The guards that the cases found without a test: each is shown to bite, or is gone.

`held()` before a sweep's checkpoint is gone: the checkpoint's own fence is what finds a lease that was taken over.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig import Migration, Phase, Repository
from lazymig.repository import calls_of
from tests.clocks import settle, standing_loop
from tests.people import ada, ada_v1, people

META = "_lazymig"


@frozen
class Defaults:
    """A class that decodes from a document without any field."""

    id: int
    name: str = "nobody"


DEFAULTS: Migration[Any, Any] = Migration(
    name="defaults", v1=Defaults, v2=Defaults, upgrade=lambda v1: v1, downgrade=lambda v2: v2
)


@pytest.mark.parametrize("rev", [3, 4])
async def test_a_listing_takes_no_tombstone_for_an_entity(database: Any, rev: int) -> None:
    """A tombstone at V1's revision has no body, and a class with defaults would be read from it all the same."""
    await database["v1"].insert_one({"_id": 1, "name": "Ada", "_lazymig_rev": 3})
    await database["v2"].insert_one({"_id": 1, META: {"rev": rev, "intent": 9, "gone": True}})
    repository = Repository(DEFAULTS, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)
    assert [entity async for entity in repository.list()] == [Defaults(1, "Ada")]
    assert await repository.get_many([1]) == {1: Defaults(1, "Ada")}
    assert await repository.get(1) == Defaults(1, "Ada")


@pytest.mark.parametrize("driver", ["pymongo"])  # none of them is asked: the step itself hangs
@pytest.mark.parametrize("call", ["update", "insert", "delete", "get"])
async def test_a_v2_step_that_hangs_costs_half_of_the_time_and_no_error(database: Any, driver: str, call: str) -> None:
    """V1 has the write, or the answer: the call returns within its time, and what V2 lacks is counted."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repository = Repository(
        people(), v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, timeout_s=1.0, coalesce=False
    )
    await repository.get(1)

    async def hang(*_: Any, **__: Any) -> Any:
        time.move(0.55)
        await settle()
        time.move(0.5)  # too late for the step, and for its call
        await asyncio.get_running_loop().create_future()

    for step in ("apply", "bury", "put_if_absent"):
        setattr(calls_of(repository).pair.bodies, step, hang)
    calls: dict[str, Any] = {
        "update": lambda: repository.update(1, lambda person: evolve(person, age=1)),
        "insert": lambda: repository.insert(ada(9)),
        "delete": lambda: repository.delete(1),
        "get": lambda: repository.get(2),
    }
    with standing_loop() as time:
        await calls[call]()
    assert repository.tally.counts["lazymig.left_dirty"] == 1
