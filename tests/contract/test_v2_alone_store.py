"""The obligations of `AloneStore`, in the words of its docstrings, on every driver."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from lazymig.errors import ForeignDocument
from lazymig.stores.coalescing_alone import CoalescingAlone
from lazymig.stores.keyset import Order
from lazymig.stores.records import StoredV2
from lazymig.stores.v2_alone import AloneStore
from tests.clocks import CountingClock

NOW = datetime(2024, 5, 1, 12)
META = "_lazymig"


@pytest.fixture
def collection(database: Any) -> Any:
    """V2's collection."""
    return database["v2"]


@pytest.fixture
def store(collection: Any) -> AloneStore:
    """The port to it, for bodies of conversion revision 2."""
    return AloneStore(collection, CountingClock(), conv=2)


def live(id: Any = 1, rev: int = 3, intent: int = 3, **body: Any) -> dict[str, Any]:
    """A V2 document with a body."""
    return {"_id": id, "first": "Ada", **body, META: {"rev": rev, "intent": intent, "by": "sweep"}}


def tombstone(id: Any = 1, rev: int = 3, intent: int = 3) -> dict[str, Any]:
    """What a delete leaves."""
    return {"_id": id, META: {"rev": rev, "intent": intent, "gone": True, "at": NOW, "inserts": [2]}}


async def seen(store: AloneStore) -> StoredV2:
    """The document with id 1."""
    found = await store.find(1)
    assert found is not None
    return found


@pytest.mark.parametrize("find", ["find", "find_local"])
async def test_find_finds_one_document(store: AloneStore, collection: Any, find: str) -> None:
    """Find one document, gone or not, with its meta data; None for a missing one."""
    await collection.insert_many([live(), tombstone(2)])
    found = await getattr(store, find)(1)
    assert (found.revision, found.intent, found.gone, found.document["first"]) == (3, 3, False, "Ada")
    assert (await getattr(store, find)(2)).gone
    assert await getattr(store, find)(9) is None


async def test_find_many_leaves_missing_ids_out(store: AloneStore, collection: Any) -> None:
    """Missing ids are left out, foreign documents become errors."""
    await collection.insert_many([live(), {"_id": 2, "first": "Eve"}])
    found = await store.find_many([1, 2, 9])
    assert list(found) == [1, 2]
    assert isinstance(found[2], ForeignDocument)


async def test_confirm_missing_changes_nothing(store: AloneStore, collection: Any) -> None:
    """Whatever stands there, also a placeholder, stays as it is."""
    placeholder = {"_id": 2, META: {"rev": -1, "intent": 1, "gone": True, "at": NOW}}
    await collection.insert_many([tombstone(), placeholder])
    for id in (1, 2, 9):
        assert await store.confirm_missing(id)
    assert await collection.find().to_list(None) == [tombstone(), placeholder]


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("living", [(), (2,), (1, 2, 3)], ids=["none", "one", "all"])
async def test_a_body_is_not_missing(collection: Any, living: tuple[int, ...]) -> None:
    """A body that the confirming member has is reported, alone and in company, and changes nothing."""
    documents = [live(id) if id in living else tombstone(id) for id in (1, 2, 3)]
    await collection.insert_many(documents)
    shared = CoalescingAlone(collection, CountingClock(), 2, 20.0)
    expected = [id not in living for id in (1, 2, 3)]
    assert [await AloneStore(collection).confirm_missing(id) for id in (1, 2, 3)] == expected
    assert await asyncio.gather(*map(shared.confirm_missing, (1, 2, 3))) == expected
    assert await collection.find().to_list(None) == documents


async def test_insert_stores_a_clean_document(store: AloneStore, collection: Any) -> None:
    """Insert a document with its revision alone; False: the id is taken, also by a tombstone, and nothing changes."""
    assert await store.insert(1, {"first": "Ada"}, 7)
    expected = {"_id": 1, "first": "Ada", META: {"rev": 7, "intent": 7}}
    assert await collection.find().to_list(None) == [expected]
    await collection.insert_one(tombstone(2))
    assert not await store.insert(1, {"first": "Eve"}, 9)
    assert not await store.insert(2, {"first": "Eve"}, 9)
    assert await collection.find().to_list(None) == [expected, tombstone(2)]


async def test_another_unique_index_is_an_error(store: AloneStore, collection: Any) -> None:
    """A unique index that refuses a body is the caller's matter, for inserts and for changes; nothing is stored."""
    await collection.create_index("first", unique=True)
    await collection.insert_many([live(), live(2, first="Eve")])
    with pytest.raises(DuplicateKeyError):
        await store.insert(3, {"first": "Ada"}, 1)
    found = await store.find(2)
    assert found is not None
    with suppress(DuplicateKeyError):  # in memory, the outcome says so
        assert not await store.replace(found, {"first": "Ada"})
    assert await collection.find().to_list(None) == [live(), live(2, first="Eve")]


async def test_replace_stores_exactly_this_body_after_the_last_announcement(store: AloneStore, collection: Any) -> None:
    """Nothing of the earlier body remains, no announcement stays open, and who brought the entity stays."""
    await collection.insert_one(live(intent=5, note="old"))
    assert await store.replace(await seen(store), {"first": "Eve", "stock": {"$x": 1, "a.b": 2}})
    meta = {"rev": 6, "intent": 6, "by": "sweep", "conv": 2}
    assert await collection.find().to_list(None) == [
        {"_id": 1, "first": "Eve", "stock": {"$x": 1, "a.b": 2}, META: meta}
    ]


async def test_a_revision_is_no_number_that_another_write_would_take(collection: Any) -> None:
    """Of what a fail-over takes back, others may have seen the number: the next write takes another one."""
    store, revisions = AloneStore(collection), set()
    for _ in range(3):
        await collection.replace_one({"_id": 1}, live(), upsert=True)
        before = await seen(store)
        assert await store.replace(before, {"first": "Eve"})
        revisions.add((await seen(store)).revision)
        await collection.replace_one({"_id": 1}, live())
        assert await store.bury(before)
        revisions.add((await seen(store)).revision)
    assert len(revisions) > 3


async def test_replace_takes_over_a_tombstone(store: AloneStore, collection: Any) -> None:
    """It becomes a live document without a mark: another entity, which nobody moved."""
    await collection.insert_one(tombstone())
    assert await store.replace(await seen(store), {"first": "Eve"})
    (stored,) = await collection.find().to_list(None)
    assert stored == {"_id": 1, "first": "Eve", META: {"rev": 4, "intent": 4}}


@pytest.mark.parametrize(
    "changed", [{"rev": 4, "intent": 4}, {"rev": 3, "intent": 4}], ids=["a body", "an announcement"]
)
async def test_a_document_that_has_changed_stays(store: AloneStore, collection: Any, changed: dict[str, int]) -> None:
    """False: a body or an announcement has come since; nothing was written."""
    await collection.insert_one(live())
    before = await seen(store)
    await collection.replace_one({"_id": 1}, live(**changed))
    assert not await store.replace(before, {"first": "Eve"})
    assert not await store.bury(before)
    assert await collection.find().to_list(None) == [live(**changed)]


async def test_bury_leaves_a_tombstone(store: AloneStore, collection: Any) -> None:
    """A tombstone without a body at the revision after the last announced one, with its time."""
    await collection.insert_one(live(intent=5))
    assert await store.bury(await seen(store))
    (stored,) = await collection.find().to_list(None)
    assert stored.pop("_id") == 1
    meta = stored.pop(META)
    assert isinstance(meta.pop("at"), datetime)
    assert (stored, meta) == ({}, {"rev": 6, "intent": 6, "by": "sweep", "gone": True})


async def test_replace_adds_nothing_to_a_reduced_document(store: AloneStore, collection: Any) -> None:
    """What retirement removed does not come back with the next write."""
    await collection.insert_one({"_id": 1, "first": "Ada", META: {"rev": 3, "intent": 3}})
    assert await store.replace(await seen(store), {"first": "Eve"})
    assert await collection.find().to_list(None) == [{"_id": 1, "first": "Eve", META: {"rev": 4, "intent": 4}}]


async def test_a_store_that_forgets_removes_what_is_as_it_was_seen(collection: Any) -> None:
    """Where no process knows V1, a delete leaves nothing behind, and a document that has changed stays."""
    store = AloneStore(collection, forgets=True)
    await collection.insert_many([live(), live(2)])
    before = await seen(store)
    await collection.replace_one({"_id": 1}, live(rev=4, intent=4))
    assert not await store.bury(before)
    assert await store.bury(await seen(store))
    assert [document["_id"] async for document in collection.find()] == [2]


async def test_pages_and_counts_leave_out_what_is_gone(store: AloneStore, collection: Any) -> None:
    """The page of bodies after a document, in order, and their number; foreign documents are errors in their place."""
    rows = [live(id, age=age) for id, age in enumerate([5, 3, None, 3, 8])]
    await collection.insert_many([*rows, tombstone(5), {"_id": 6, "age": 4, "first": "Ada"}])
    order, question = Order("age", 1), store.question({"first": "Ada"})
    first = await store.page(question, order, 3)
    assert first.ids == [2, 1, 3]
    rest = await store.page(question, order, 9, first.document_at(-1))
    assert rest.ids == [6, 0, 4]
    with pytest.raises(ForeignDocument):
        raise rest[0]  # type: ignore[misc]
    assert await store.count({"age": 3}) == 2
    assert await store.count({}) == 6
