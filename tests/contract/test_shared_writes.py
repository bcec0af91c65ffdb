"""Writes of several callers by one statement: each has its own outcome, and what is stored is as if it had gone alone.

Of documents with both shapes, and of V2 as the only truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DocumentTooLarge,
    DuplicateKeyError,
    PyMongoError,
    WriteConcernError,
    WriteError,
)

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.coalescing_alone import CoalescingAlone
from lazymig.stores.coalescing_wholes import CoalescingWholes
from lazymig.stores.records import StoredV2, StoredWhole, WholeChange
from lazymig.stores.whole_documents import parse_whole, spell_whole
from tests.clocks import CountingClock
from tests.conftest import only_database
from tests.contract.conftest import Watched
from tests.watching import steps

META = "_lazymig"
OF, OTHER = b"0123456789abcdef", b"fedcba9876543210"
TOO_LARGE = "x" * 17_000_000


@pytest.fixture
def collection(database: Any) -> Any:
    """The collection."""
    return database["shared"]


@pytest.fixture
def wholes(collection: Any) -> CoalescingWholes:
    """Documents with both shapes."""
    return CoalescingWholes(collection, 20.0)


@pytest.fixture(params=[False, True], ids=["tombstones", "forgets"])
def alone(collection: Any, request: pytest.FixtureRequest) -> CoalescingAlone:
    """V2 as the only truth, whose deletes leave tombstones or nothing."""
    return CoalescingAlone(collection, CountingClock(), 1, 20.0, forgets=request.param)


ON_SERVER = pytest.mark.parametrize("driver", ["pymongo", "motor"])


def whole(id: Any, revision: int = 3, **fields: Any) -> dict[str, Any]:
    """A document that carries both shapes."""
    return {"_id": id, "name": f"n{id}", **fields, META: spell_whole(revision, OF)}


def live(id: Any, revision: int = 3, intent: int | None = None, **body: Any) -> dict[str, Any]:
    """A document of V2 alone."""
    meta = {"rev": revision, "intent": revision if intent is None else intent}
    return {"_id": id, "name": f"n{id}", **body, META: meta}


async def read(collection: Any) -> dict[Any, dict[str, Any]]:
    """What is stored, by id, without the times of tombstones."""
    documents = {one["_id"]: one async for one in collection.find(sort=[("_id", 1)])}
    for document in documents.values():
        document.get(META, {}).pop("at", None)
    return documents


async def see(collection: Any) -> dict[Any, StoredWhole]:
    """Documents with both shapes as a writer sees them."""
    return {one["_id"]: parse_whole(one) async for one in collection.find()}


async def see_alone(store: CoalescingAlone, ids: Sequence[Any]) -> dict[Any, StoredV2]:
    """Documents of V2 alone as a writer sees them."""
    found = await store.find_many(ids)
    assert all(isinstance(one, StoredV2) for one in found.values())
    return {id: one for id, one in found.items() if isinstance(one, StoredV2)}


def rename(seen: StoredWhole, name: Any = "new", held: Any = None, **more: Any) -> WholeChange:
    """A change of a document with both shapes."""
    return WholeChange(seen, spell_whole(seen.revision + 1, OTHER), {"name": name, **more}, (), held)


# ---- documents with both shapes -------------------------------------------------------------------------------------


@ON_SERVER
async def test_changes_in_one_statement_have_their_own_outcomes(wholes: CoalescingWholes, collection: Any) -> None:
    """Done, changed since, another value than is held, gone, never written by lazymig, and the same document twice."""
    await collection.insert_many([whole(1), whole(2), whole(3), {"_id": 5, "name": "n5", "a": {"b": 1}}, whole(6)])
    seen = await see(collection) | {4: StoredWhole(4, 3, {"_id": 4}, OF)}
    await collection.update_one({"_id": 2}, {"$inc": {f"{META}.rev": 1}})
    changes = [
        rename(seen[1]), rename(seen[2]), rename(seen[3], held={"name": "other"}), rename(seen[4]),
        rename(seen[5], held={"name": "n5", "a": {"b": 1}, "a.b": 1}),
        rename(seen[6], "first"), rename(seen[6], "second"),
    ]  # fmt: skip
    assert await asyncio.gather(*map(wholes.change, changes)) == [True, False, False, False, True, True, False]
    changed = {META: spell_whole(4, OTHER)}
    assert await read(collection) == {
        1: {"_id": 1, "name": "new", **changed}, 2: whole(2, 4), 3: whole(3),
        5: {"_id": 5, "name": "new", "a": {"b": 1}, META: spell_whole(1, OTHER)},
        6: {"_id": 6, "name": "first", **changed},
    }  # fmt: skip


@ON_SERVER
async def test_deletes_in_one_statement_have_their_own_outcomes(wholes: CoalescingWholes, collection: Any) -> None:
    """As changes; a reader that has stored V2's part meanwhile is no other writer.

    What has another value than is held keeps the revision that its deleter gave it.
    """
    await collection.insert_many([whole(1), whole(2), whole(3), {"_id": 5, "name": "n5"}, whole(6), whole(7)])
    seen = await see(collection) | {4: StoredWhole(4, 3, {"_id": 4}, OF)}
    await collection.update_one({"_id": 2}, {"$inc": {f"{META}.rev": 1}})
    await collection.update_one({"_id": 7}, {"$set": {f"{META}.of": OTHER}})
    held: dict[Any, Any] = {3: {"name": "other"}, 5: {"name": "n5"}}
    asked = [1, 2, 3, 4, 5, 6, 6, 7]
    deleted = await asyncio.gather(*(wholes.delete(seen[id], 90 + id, held.get(id)) for id in asked))
    assert deleted == [True, False, False, False, True, True, False, True]
    assert await read(collection) == {2: whole(2, 4), 3: whole(3, 93)}


@ON_SERVER
async def test_inserts_in_one_statement_have_their_own_outcomes(wholes: CoalescingWholes, collection: Any) -> None:
    """Stored, taken by what stands, and taken by another of them."""
    await collection.insert_one(whole(2))
    inserts = [(1, "a"), (2, "b"), (3, "c"), (3, "d")]
    made = await asyncio.gather(*(wholes.insert(id, {"name": name}, spell_whole(7)) for id, name in inserts))
    assert made == [True, False, True, False]
    born = {META: spell_whole(7)}
    assert await read(collection) == {
        1: {"_id": 1, "name": "a", **born},
        2: whole(2),
        3: {"_id": 3, "name": "c"} | born,
    }


@ON_SERVER
async def test_what_the_server_refuses_is_its_own_writers_error(wholes: CoalescingWholes, collection: Any) -> None:
    """A unique index, a validator and the size refuse one write each, with the error that it would have alone."""
    await collection.database.create_collection("shared", validator={"age": {"$ne": -1}})
    await collection.create_index("name", unique=True)
    await collection.insert_many([whole(id) for id in range(1, 6)])
    seen = await see(collection)
    changes = [
        rename(seen[1], "a"), rename(seen[2], "n4"), rename(seen[3], "c", age=-1), rename(seen[4], TOO_LARGE),
        rename(seen[5], "e"),
    ]  # fmt: skip
    changed = await asyncio.gather(*map(wholes.change, changes), return_exceptions=True)
    assert [changed[0], changed[4]] == [True, True]
    assert [type(one) for one in changed[1:4]] == [DuplicateKeyError, WriteError, DocumentTooLarge]
    bodies = [{"name": "f"}, {"name": "n4"}, {"name": "h", "age": -1}, {"name": TOO_LARGE}]
    made = await asyncio.gather(
        *(wholes.insert(6 + number, body, spell_whole(1)) for number, body in enumerate(bodies)), return_exceptions=True
    )
    assert made[0] is True
    assert [type(one) for one in made[1:]] == [DuplicateKeyError, WriteError, DocumentTooLarge]
    names = {id: document["name"] for id, document in (await read(collection)).items()}
    assert names == {1: "a", 2: "n2", 3: "n3", 4: "n4", 5: "e", 6: "f"}


async def test_writers_that_find_nothing_wait_for_the_majority_together(watched: Watched) -> None:
    """One statement for all, which changes nothing, with the concern of a write."""
    collection = watched.database["shared"]
    await collection.insert_one(whole(1))
    for store in (CoalescingWholes(collection, 20.0), CoalescingAlone(collection, SYSTEM_CLOCK, 1, 20.0)):
        with watched.sent() as sent:
            await asyncio.gather(*map(store.confirm_missing, range(2, 66)))
        assert steps(sent) == ["shared update"]
        assert sent[0].command["writeConcern"]["w"] == "majority"
        assert len(sent[0].command["updates"]) == 64
    assert await read(collection) == {1: whole(1)}


@ON_SERVER
async def test_local_finds_that_start_together_give_each_its_own_copy(
    wholes: CoalescingWholes, collection: Any
) -> None:
    """A missing document is None, and two callers of one document share none of its parts."""
    await collection.insert_many([whole(1, tags=["x"]), whole(2)])
    found = await asyncio.gather(*map(wholes.find_local, (1, 2, 3, 1)))
    assert [None if one is None else one.id for one in found] == [1, 2, None, 1]
    first, last = found[0], found[3]
    assert first is not None
    assert last is not None
    first.document["tags"].append("y")
    assert last.document["tags"] == ["x"]


# ---- V2 as the only truth -------------------------------------------------------------------------------------------


@ON_SERVER
async def test_replacements_in_one_statement_store_exactly_their_bodies(
    alone: CoalescingAlone, collection: Any
) -> None:
    """Nothing of the earlier body stays, also of what others stored since; what was not as seen, or is gone, stays.

    Nothing is ever inserted, whatever stands there.
    """
    grave = {"_id": 5, META: {"rev": 3, "intent": 3, "gone": True}}
    by = {"_id": 6, "name": "n6", META: {"rev": 3, "intent": 4, "by": "sweep"}}
    await collection.insert_many([live(1, note="old"), live(2), live(3), grave, by, live(7)])
    seen = await see_alone(alone, range(1, 8))
    await collection.update_one({"_id": 1}, {"$set": {"since": 1}})
    await collection.update_one({"_id": 2}, {"$inc": {f"{META}.intent": 1}})
    await collection.delete_one({"_id": 3})
    body = {"b": {"$x": 1, "a.b": ["$name"]}, "$a": 1, "name": "$name"}
    asked = [1, 2, 3, 5, 6, 7, 7]
    done = await asyncio.gather(*(alone.replace(seen[id], {**body, "n": n}) for n, id in enumerate(asked)))
    assert done == [True, False, False, True, True, True, False]
    stored = await read(collection)

    def made(id: int, n: int, **meta: Any) -> dict[str, Any]:
        return {"_id": id, **body, "n": n, META: {"rev": 4, "intent": 4, **meta}}

    later = {"rev": 5, "intent": 5, "by": "sweep"}
    assert stored == {
        1: made(1, 0), 2: live(2, 3, 4), 5: made(5, 3), 6: made(6, 4) | {META: later}, 7: made(7, 5)
    }  # fmt: skip
    assert list(stored[1]) == ["_id", "b", "$a", "name", "n", META]


@ON_SERVER
async def test_burials_in_one_statement_have_their_own_outcomes(alone: CoalescingAlone, collection: Any) -> None:
    """A tombstone, or nothing, is left of what was as it was seen; what others changed stays."""
    await collection.insert_many([live(1), live(2), live(3), live(4, 3, 5), live(5)])
    seen = await see_alone(alone, range(1, 6))
    await collection.update_one({"_id": 2}, {"$inc": {f"{META}.intent": 1}})
    await collection.delete_one({"_id": 3})
    done = await asyncio.gather(*(alone.bury(seen[id]) for id in (1, 2, 3, 4, 5, 5)))
    assert done == [True, False, False, True, True, False]
    stored = await read(collection)
    assert stored.pop(2) == live(2, 3, 4)
    left = {} if alone._forgets else {1: 4, 4: 6, 5: 4}
    assert stored == {
        id: {"_id": id, META: {"rev": revision, "intent": revision, "gone": True}} for id, revision in left.items()
    }


@ON_SERVER
async def test_what_the_server_refuses_of_v2_alone_is_its_own_writers_error(
    alone: CoalescingAlone, collection: Any
) -> None:
    """A unique index refuses one of the bodies, in replacements and inserts."""
    await collection.create_index("name", unique=True)
    await collection.insert_many([live(id) for id in (1, 2, 3, 9)])
    seen = await see_alone(alone, [1, 2, 3])
    names = {1: "a", 2: "n9", 3: "c"}
    done = await asyncio.gather(
        *(alone.replace(seen[id], {"name": name}) for id, name in names.items()), return_exceptions=True
    )
    assert [done[0], type(done[1]), done[2]] == [True, DuplicateKeyError, True]
    made = await asyncio.gather(
        *(alone.insert(id, {"name": name}, 7) for id, name in ((4, "a"), (5, "e"), (1, "f"))), return_exceptions=True
    )
    assert [type(made[0]), made[1], made[2]] == [DuplicateKeyError, True, False]
    assert {id: one["name"] for id, one in (await read(collection)).items()} == {
        1: "a",
        2: "n2",
        3: "c",
        9: "n9",
        5: "e",
    }


# ---- statements that fail -------------------------------------------------------------------------------------------


class Sharded:
    """A collection as a server with another shard key answers: it refuses all upserts."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def bulk_write(self, requests: Sequence[Any], ordered: bool) -> Any:
        """Refuse upserts; send the others."""
        if not any(getattr(one, "_upsert", False) for one in requests):
            return await self._collection.bulk_write(requests, ordered=ordered)
        self.refused += 1
        failures = [{"index": index, "code": 61, "errmsg": "no shard key"} for index in range(len(requests))]
        raise BulkWriteError({"writeErrors": failures, "nMatched": 0, "nUpserted": 0})


@ON_SERVER
async def test_where_upserts_are_refused_each_write_goes_alone(
    wholes: CoalescingWholes, alone: CoalescingAlone, collection: Any
) -> None:
    """A collection that is sharded by another key is asked once, and every write has its outcome."""
    for store in (wholes, alone):
        store._many._collection = Sharded(collection)  # type: ignore[assignment]
    await collection.insert_many([whole(1), whole(2), whole(3), live(4), live(5)])
    seen, others = await see(collection), await see_alone(alone, [4, 5])
    wrong = seen[2]._replace(revision=9)
    assert await asyncio.gather(*map(wholes.change, (rename(seen[1]), rename(wrong)))) == [True, False]
    deletes = (wholes.delete(seen[3], 9), wholes.delete(wrong, 9), wholes.delete(seen[2], 9))
    assert await asyncio.gather(*deletes) == [True, False, True]
    replaced = await asyncio.gather(*(alone.replace(others[4], {"name": name}) for name in "ab"))
    assert sorted(replaced) == [False, True]
    assert sorted(await asyncio.gather(*(alone.bury(others[5]) for _ in range(2)))) == [False, True]
    assert [store._many._collection.refused for store in (wholes, alone)] == [1, 1]  # type: ignore[attr-defined]
    stored = await read(collection)
    assert [stored[1]["name"], stored[4]["name"]] == ["new", "ab"[replaced.index(True)]]
    assert {2, 3}.isdisjoint(stored)
    assert stored.get(5, {META: {"gone": True}})[META]["gone"]


#: What the server answers to a command, and what each caller sees of it.
FAILURES: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "refused for its state": ({"errorCode": 8000}, PyMongoError),
    "connection lost": ({"closeConnection": True}, AutoReconnect),
    "not acknowledged": ({"writeConcernError": {"code": 64, "errmsg": "timed out"}}, WriteConcernError),
}


@pytest.fixture
async def failing(fallible: Any) -> AsyncIterator[Any]:
    """An empty collection on the server that may be made to fail."""
    async with only_database(AsyncMongoClient(fallible.uri)) as database:
        yield database["shared"]


@pytest.mark.parametrize(("answer", "error"), FAILURES.values(), ids=list(FAILURES))
@pytest.mark.parametrize("fatal", ["insert", "update", "delete"])
async def test_a_statement_that_fails_is_no_success(
    failing: Any, failpoint: Callable[..., Any], fatal: str, answer: dict[str, Any], error: type[Exception]
) -> None:
    """If any step of a write or a delete fails, each caller sees an error, and what stands is whole."""
    wholes, alone = CoalescingWholes(failing, 20.0), CoalescingAlone(failing, SYSTEM_CLOCK, 1, 20.0)
    await failing.insert_many([whole(1), whole(2), live(3), live(4)])
    seen, others = await see(failing), await see_alone(alone, [3, 4])
    before = await read(failing)
    calls: dict[str, list[Callable[[], Any]]] = {
        "insert": [partial(wholes.insert, id, {"name": "x"}, spell_whole(1)) for id in (8, 9)],
        "update": [partial(wholes.change, rename(seen[id])) for id in (1, 2)]
        + [partial(alone.replace, others[id], {"name": "new"}) for id in (3, 4)],
        "delete": [partial(wholes.delete, seen[id], 9) for id in (1, 2)],
    }
    with failpoint({"failCommands": [fatal], "namespace": failing.full_name, **answer}):
        outcomes = await asyncio.gather(*(call() for call in calls[fatal]), return_exceptions=True)
    assert [isinstance(one, error) for one in outcomes] == [True] * len(outcomes), outcomes
    stored = await read(failing)
    if "writeConcernError" in answer:
        assert len(stored) == len(before) + {"insert": 2, "update": 0, "delete": -2}[fatal]
    elif fatal == "delete":
        assert stored == before | {id: whole(id, 9) for id in (1, 2)}, "the first step alone is a higher revision"
    else:
        assert stored == before


@ON_SERVER
async def test_a_cancelled_caller_is_no_concern_of_the_others(wholes: CoalescingWholes, collection: Any) -> None:
    """Cancelled while others wait for the same statement, it leaves them their outcomes."""
    await collection.insert_many([whole(id) for id in range(1, 6)])
    seen = await see(collection)
    tasks = [asyncio.ensure_future(wholes.delete(seen[id], 9)) for id in range(1, 6)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[:2] + outcomes[3:] == [True] * 4
    assert isinstance(outcomes[2], asyncio.CancelledError)
    assert set(await read(collection)) <= {3}
