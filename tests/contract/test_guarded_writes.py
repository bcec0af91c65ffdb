"""Guarded writes by one statement, on the server: what their outcomes say when others write between two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import AutoReconnect, OperationFailure

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.coalescing_alone import CoalescingAlone
from lazymig.stores.coalescing_wholes import CoalescingWholes
from lazymig.stores.grouping import GuardedUpdate, GuardedWrites
from lazymig.stores.records import StoredV2, StoredWhole
from lazymig.stores.two_steps import GuardedDelete, TwoStepDeletes
from tests.contract.conftest import Watched
from tests.widening import WIDENING


@pytest.fixture
def collection(database: Any) -> Any:
    """The collection."""
    return database["guarded"]


async def stored_in(collection: Any) -> dict[Any, dict[str, Any]]:
    """What is stored, by id."""
    return {one["_id"]: one async for one in collection.find(sort=[("_id", 1)])}


class Beside:
    """A collection on which another program does something before one of the statements."""

    def __init__(self, collection: Any, before: dict[str, Any]) -> None:
        self._collection = collection
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def find(self, *arguments: Any) -> Any:
        """Find, after what the other program did."""
        return _Found(self._collection.find(*arguments), self._before.get("find"))

    async def bulk_write(self, requests: Sequence[Any], ordered: bool) -> Any:
        """Send the requests, after what the other program did."""
        other = self._before.pop(type(requests[0]).__name__, None)
        if other is not None:
            await other()
        return await self._collection.bulk_write(requests, ordered=ordered)


class _Found:
    def __init__(self, cursor: Any, other: Any) -> None:
        self._cursor, self._other = cursor, other

    async def to_list(self, length: Any) -> Any:
        if self._other is not None:
            await self._other()
        return await self._cursor.to_list(length)


def removal(id: int) -> GuardedDelete:
    """The delete of a document at revision 3."""
    later = {"_id": id, "rev": {"$gte": 100, "$lt": 200}}
    return GuardedDelete(GuardedUpdate({"_id": id, "rev": 3}, {"$set": {"rev": 100}}), {"_id": id, "rev": 100}, later)


GONE, AGAIN = AutoReconnect, {"_id": 2, "rev": 70_000}
#: What another program does between both steps, and after them; the outcomes, and what stands.
CROSSING: dict[str, tuple[Any, Any, list[Any], list[Any]]] = {
    "nothing": (None, None, [True, True, True], []),
    "changes one": (lambda c: c.update_one({"_id": 2}, {"$inc": {"rev": 1}}), None, [True, False, True], [2]),
    "deletes one": (lambda c: c.delete_one({"_id": 2}), None, [GONE] * 3, []),
    "changes all": (lambda c: c.update_many({}, {"$inc": {"rev": 1}}), None, [False] * 3, [1, 2, 3]),
    "deletes all": (lambda c: c.delete_many({}), None, [False] * 3, []),
    "changes one, inserts another again": (
        lambda c: c.update_one({"_id": 1}, {"$inc": {"rev": 1}}), lambda c: c.insert_one(AGAIN),
        [False, True, True], [1, 2],
    ),
    "deletes one, and inserts it again": (
        lambda c: c.delete_one({"_id": 2}), lambda c: c.insert_one(AGAIN), [GONE] * 3, [2],
    ),
}  # fmt: skip


@pytest.mark.parametrize("driver", ["pymongo"])
@pytest.mark.parametrize(("between", "after", "expected", "standing"), CROSSING.values(), ids=list(CROSSING))
async def test_a_delete_says_what_it_knows_when_others_write_between_its_steps(
    collection: Any, between: Any, after: Any, expected: list[Any], standing: list[Any]
) -> None:
    """Never true for what another program deleted, and never false for what is deleted and was inserted again."""
    await collection.insert_many([{"_id": id, "rev": 3} for id in (1, 2, 3)])
    before = {name: other for name, other in (("DeleteOne", between), ("find", after)) if other is not None}
    other = {name: (lambda act=act: act(collection)) for name, act in before.items()}
    writes = GuardedWrites(Beside(collection, other))  # type: ignore[arg-type]
    outcomes = await TwoStepDeletes(writes, writes).delete_each([removal(id) for id in (1, 2, 3)])
    assert [type(one) if isinstance(one, BaseException) else one for one in outcomes] == expected
    assert list(await stored_in(collection)) == standing


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_of_two_deletes_that_raise_one_document_the_later_is_done(collection: Any) -> None:
    """The other has seen the revision that the first gives it, as after a fail-over: it is neither unclear nor done."""
    await collection.insert_many([{"_id": id, "rev": 3} for id in (1, 2)])
    over = GuardedDelete(
        GuardedUpdate({"_id": 1, "rev": 100}, {"$set": {"rev": 101}}), {"_id": 1, "rev": 101}, {"_id": 1}
    )
    writes = GuardedWrites(collection)
    outcomes = await TwoStepDeletes(writes, writes).delete_each([removal(1), over, removal(2)])
    assert outcomes == [False, True, True]
    assert await stored_in(collection) == {}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("layout", ["both shapes", "V2 alone"])
async def test_what_a_validator_keeps_from_getting_a_revision_is_deleted_alone(
    collection: Any, database: Any, layout: str
) -> None:
    """It stays where the first step is refused, and the others are deleted; without company it goes."""
    meta = {"rev": 3, "intent": 3}
    await collection.insert_many([{"_id": id, "age": id - 2, "_lazymig": meta} for id in (1, 2, 3)])
    await database.command("collMod", "guarded", validator={"age": {"$gte": 0}})
    delete = open_deletes(collection, layout)
    assert await asyncio.gather(*(delete(id, True) for id in (1, 2, 3))) == [False, True, True]
    assert await stored_in(collection) == {1: {"_id": 1, "age": -1, "_lazymig": meta}}
    assert await delete(1, False) is True
    assert await stored_in(collection) == {}


@pytest.mark.parametrize("layout", ["both shapes", "V2 alone"])
async def test_only_the_second_step_of_deletes_waits_for_the_majority(watched: Watched, layout: str) -> None:
    """And the server keeps no record of the first, which is not sent again by the driver."""
    collection = watched.database["guarded"]
    await collection.insert_many([{"_id": id, "_lazymig": {"rev": 3, "intent": 3}} for id in (1, 2, 3)])
    delete = open_deletes(collection, layout)
    with watched.sent() as sent:
        assert await asyncio.gather(*(delete(id, True) for id in (1, 2, 3))) == [True] * 3
    concerns = [(event.command_name, event.command["writeConcern"]) for event in sent]
    assert concerns == [("update", {"w": 1}), ("delete", {"w": "majority"})]
    assert ["txnNumber" in event.command for event in sent] == [False, True]
    assert await stored_in(collection) == {}


def open_deletes(collection: Any, layout: str) -> Callable[[int, bool], Awaitable[bool]]:
    """A function that deletes a document at revision 3, in company or alone."""
    if layout == "both shapes":
        wholes = CoalescingWholes(collection, 20.0)
        return lambda id, shared: wholes.delete(StoredWhole(id, 3, {"_id": id}), 9 if shared else None)
    alone = CoalescingAlone(collection, SYSTEM_CLOCK, 1, 20.0, forgets=True)
    return lambda id, shared: alone.bury(StoredV2(id, 3, 3, False, None, {"_id": id}), again=not shared)


#: What the driver cannot send.
BAD = {"too large": "x" * 17_000_000, "no BSON": object()}


@pytest.mark.parametrize("driver", ["pymongo"])
@pytest.mark.parametrize("bad", list(BAD) if WIDENING.full else ["no BSON"])
async def test_a_bulk_of_several_messages_is_not_sent_twice(collection: Any, bad: str) -> None:
    """The driver sends one message before it looks at the next: what was written then is not taken for refused."""
    large = "x" * 12_000_000
    await collection.insert_many([{"_id": id, "n": 0} for id in range(6)])
    updates = [
        GuardedUpdate({"_id": id, "n": 0}, {"$inc": {"n": 1}, "$set": {"text": large if id < 5 else BAD[bad]}})
        for id in range(6)
    ]
    outcomes = await GuardedWrites(collection).update_each(updates)
    stored = await stored_in(collection)
    assert {one["n"] for one in stored.values()} == {0, 1}
    for id, outcome in enumerate(outcomes):
        if id == 5:
            assert not isinstance(outcome, bool | AutoReconnect)
        else:
            assert outcome is True or isinstance(outcome, AutoReconnect)
            assert outcome is not True or stored[id]["n"] == 1
    assert stored[5] == {"_id": 5, "n": 0}


@pytest.mark.parametrize("driver", ["pymongo"])
@pytest.mark.parametrize("bad", list(BAD) if WIDENING.full else ["no BSON"])
async def test_what_comes_after_what_cannot_be_sent_was_not_sent(collection: Any, bad: str) -> None:
    """However large the bulk is: all but that one are written, by statements of their own."""
    large = "x" * 9_000_000
    texts = [large, BAD[bad], *[large] * 4]
    await collection.insert_many([{"_id": id, "n": 0} for id in range(6)])
    updates = [
        GuardedUpdate({"_id": id, "n": 0}, {"$inc": {"n": 1}, "$set": {"text": text}}) for id, text in enumerate(texts)
    ]
    outcomes = await GuardedWrites(collection).update_each(updates)
    assert [outcome for id, outcome in enumerate(outcomes) if id != 1] == [True] * 5
    assert not isinstance(outcomes[1], bool | AutoReconnect)
    stored = await stored_in(collection)
    assert {id: one["n"] for id, one in stored.items()} == {0: 1, 1: 0, 2: 1, 3: 1, 4: 1, 5: 1}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("bad", ["too large", "no BSON"])
async def test_a_filter_that_cannot_be_sent_is_its_own_deleters_error(collection: Any, bad: str) -> None:
    """Held lists stand twice in a filter, so that of a document may be larger than documents may be."""
    held = {"too large": ["x" * 900_000] * 10, "no BSON": object()}[bad]
    stored = {"_id": 2, "of": held if bad == "too large" else 0, "_lazymig": {"rev": 3}}
    await collection.insert_many([stored, *({"_id": id, "of": id, "_lazymig": {"rev": 3}} for id in (1, 3, 4))])
    wholes = CoalescingWholes(collection, 20.0)
    values = {1: 1, 2: held, 3: "another", 4: 4}
    outcomes = await asyncio.gather(
        *(wholes.delete(StoredWhole(id, 3, {"_id": id}), 9, {"of": value}) for id, value in values.items()),
        return_exceptions=True,
    )
    assert [outcomes[0], *outcomes[2:]] == [True, False, True]
    assert isinstance(outcomes[1], OperationFailure | InvalidDocument)
    assert list(await stored_in(collection)) == [2, 3]


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_what_was_deleted_before_a_filter_that_cannot_be_sent_is_not_taken_for_kept(collection: Any) -> None:
    """The driver sends one message before it looks at the next. Whose delete was in the first is not known."""
    await collection.insert_many([{"_id": id, "rev": 3} for id in range(4)])
    deletes = [
        GuardedDelete(
            GuardedUpdate({"_id": id, "rev": 3}, {"$set": {"rev": 9}}),
            {"_id": id, "rev": 9, "text": {"$ne": "x" * size}},
            {"_id": id},
        )
        for id, size in enumerate([12_000_000] * 3 + [18_000_000])
    ]
    writes = GuardedWrites(collection)
    outcomes = await TwoStepDeletes(writes, writes).delete_each(deletes)
    assert [type(outcome) for outcome in outcomes[:3]] == [AutoReconnect] * 3
    assert isinstance(outcomes[3], OperationFailure)
    assert list(await stored_in(collection)) == [3]
