"""A sweep that dies after any of its statements: the next one completes it, and nothing that was right is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from lazymig.sweeping import remainder
from tests.clocks import RestlessClock
from tests.sweeps import LaterClock, letters, moved, passes, stored, sweeper, thing

LONG_AGO = datetime(2024, 5, 1)
STATEMENTS = (
    "insert_many",
    "insert_one",
    "update_one",
    "find_one_and_update",
    "delete_one",
    "delete_many",
    "create_index",
)
COUNT, BAD, TWINS, MARKED = 22, 3, (5, 6), 20
FAR_MORE = 200


class Killed(BaseException):
    """What `kill -9` is to the code: no handler runs to its end."""


class Death:
    """Strikes right after the n-th statement that changes something; the dead send nothing more."""

    def __init__(self, after: int) -> None:
        self._after = after
        self.sent = 0

    def over(self, statement: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The statement, under this death."""

        async def mortal(*arguments: Any, **options: Any) -> Any:
            if self.sent >= self._after:
                raise Killed
            self.sent += 1
            result = await statement(*arguments, **options)
            if self.sent >= self._after:
                raise Killed
            return result

        return mortal


async def fill(database: Any) -> None:
    """Work of every kind: documents to move, a bad one, a refused one, a mark, a remainder, a letter that is over."""
    documents = [thing(id, id, code=f"c{5 if id in TWINS else id}") for id in range(COUNT)]
    documents[BAD]["n"] = -1
    await database["v1"].insert_many(documents)
    await database["v2"].create_index("code", unique=True, sparse=True)
    meta = {"rev": 0, "intent": 1, "at": LONG_AGO}
    await database["v2"].insert_one(moved(MARKED, MARKED, code=f"c{MARKED}", note="kept") | {"_lazymig": meta})
    await database["v2"].insert_one({"_id": 77, "_lazymig": {"rev": 4, "intent": 4, "gone": True, "at": LONG_AGO}})


async def check(database: Any) -> None:
    """V2 holds every entity at V1's revision, but for the failing ones, which have one letter each."""
    v1, v2 = await stored(database["v1"]), await stored(database["v2"])
    failing = {str(BAD), *(str(id) for id in TWINS if str(id) not in v2)}
    assert len(failing) == 2
    assert set(await letters(database)) == failing
    assert set(v2) == set(v1) - failing
    for id, document in v2.items():
        by = None if id == str(MARKED) else "sweep"
        expected = moved(document["_id"], v1[id]["n"], v1[id].get("_lazymig_rev", 0), by, code=v1[id]["code"])
        if id == str(MARKED):
            expected |= {"note": "kept"}
        assert document == expected
    assert (await passes(database).current())["state"] == "done"


async def swept_until(database: Any, death: Death, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the sweep died before it was through."""
    with monkeypatch.context() as patched:
        kind = type(database["v2"])
        for name in STATEMENTS:
            patched.setattr(kind, name, death.over(getattr(kind, name)))
        try:
            # Its time stands: a pass that a busy machine holds up takes samples, which would be statements too.
            await sweeper(database, clock=RestlessClock()).run()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_death_after_every_statement(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After whichever statement a sweep dies, one more sweep completes it, and a third has nothing to do."""
    monkeypatch.setattr(remainder, "IDS_PER_PAGE", 4)
    for after in range(1, FAR_MORE):
        for name in ("v1", "v2", "lazymig_control"):
            await database[name].delete_many({})  # dropping them takes longer than all the rest
        await fill(database)
        died = await swept_until(database, Death(after), monkeypatch)
        before = await stored(database["v2"])
        report = await sweeper(database, clock=LaterClock(61)).run()
        assert report.finished
        after_it = await stored(database["v2"])
        marks = {id for id, body in before.items() if "at" in body["_lazymig"]}
        assert {id: after_it[id] for id in before if id not in marks} == {
            id: body for id, body in before.items() if id not in marks
        }
        await check(database)
        third = await sweeper(database, clock=LaterClock(122)).run()
        assert (third.migrated, third.healed, third.purged, third.dead) == (0, 0, 0, 2)
        assert await stored(database["v2"]) == after_it
        if not died:
            print(f"{after - 1} statements")
            assert after > 20
            return
    raise AssertionError("the sweep never came to its end")
