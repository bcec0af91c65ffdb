"""The obligations of `V1Store`, in the words of its docstrings, on every driver."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from lazymig.stores.keyset import Order
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.records import StoredV1

REV = "_lazymig_rev"


@pytest.fixture
def collection(database: Any) -> Any:
    """V1's collection."""
    return database["v1"]


@pytest.fixture
def store(collection: Any) -> V1Store:
    """The port to it."""
    return V1Store(collection)


@pytest.mark.parametrize("find", ["find", "find_local"])
async def test_find_finds_one_document_with_its_revision(store: V1Store, collection: Any, find: str) -> None:
    """Find one document; its revision is read from its one extra field."""
    await collection.insert_many([{"_id": 1, "name": "x", REV: 7}, {"_id": 2, "name": "y", REV: 8}])
    found = await getattr(store, find)(1)
    assert (found.id, found.revision, found.document["name"]) == (1, 7, "x")


@pytest.mark.parametrize("find", ["find", "find_local"])
async def test_a_missing_revision_means_0(store: V1Store, collection: Any, find: str) -> None:
    """A document that lazymig never wrote has revision 0."""
    await collection.insert_one({"_id": 1, "name": "x"})
    assert (await getattr(store, find)(1)).revision == 0


@pytest.mark.parametrize("find", ["find", "find_local"])
async def test_find_answers_none_for_a_missing_document(store: V1Store, find: str) -> None:
    """None stands for no document."""
    assert await getattr(store, find)(1) is None


async def test_find_many_finds_these_documents_and_leaves_missing_ids_out(store: V1Store, collection: Any) -> None:
    """Find these documents by one statement; missing ids are left out."""
    await collection.insert_many([{"_id": number, REV: number} for number in range(300)])
    found = await store.find_many([*range(250), 999])
    assert {id: stored.revision for id, stored in found.items()} == {number: number for number in range(250)}


async def test_insert_stores_a_document_at_this_revision(store: V1Store, collection: Any) -> None:
    """Insert a document at this revision."""
    assert await store.insert(1, {"name": "x"}, 5) is True
    assert await collection.find_one({"_id": 1}) == {"_id": 1, "name": "x", REV: 5}


async def test_insert_false_the_id_is_taken_and_nothing_was_written(store: V1Store, collection: Any) -> None:
    """False: the id is taken, and nothing was written."""
    await collection.insert_one({"_id": 1, "name": "first"})
    assert await store.insert(1, {"name": "second"}, 5) is False
    assert await collection.find().to_list(None) == [{"_id": 1, "name": "first"}]


async def test_insert_leaves_another_unique_indexs_refusal_to_the_caller(store: V1Store, collection: Any) -> None:
    """Another unique index refuses it: for the caller to know."""
    await collection.create_index("name", unique=True)
    await collection.insert_one({"_id": 1, "name": "x"})
    with pytest.raises(DuplicateKeyError):
        await store.insert(2, {"name": "x"}, 1)
    assert await collection.count_documents({}) == 1


@pytest.mark.parametrize("before", [{}, {REV: None}, {REV: 0}], ids=["missing", "null", "0"])
async def test_compare_and_set_moves_from_revision_0(store: V1Store, collection: Any, before: dict[str, Any]) -> None:
    """Revision 0 is also the revision of a document without one."""
    await collection.insert_one({"_id": 1, "name": "x", **before})
    assert await store.compare_and_set(1, 0, 1, {"name": "y"}) is True
    assert await collection.find_one({"_id": 1}) == {"_id": 1, "name": "y", REV: 1}


async def test_compare_and_set_moves_one_document_to_a_new_revision(store: V1Store, collection: Any) -> None:
    """Move one document from the expected revision to a new one; the others stay."""
    await collection.insert_many([{"_id": id, "name": "x", REV: 3} for id in (1, 2)])
    assert await store.compare_and_set(1, 3, 8, {"name": "y"}) is True
    assert await collection.find_one({"_id": 1}) == {"_id": 1, "name": "y", REV: 8}
    assert await collection.find_one({"_id": 2}) == {"_id": 2, "name": "x", REV: 3}


async def test_compare_and_set_only_touches_changed_and_vanished_fields(store: V1Store, collection: Any) -> None:
    """Only `changed` fields are set and `vanished` ones unset: what V2 does not know of stays as it is."""
    await collection.insert_one({"_id": 1, "unknown": {"deep": [1]}, "name": "x", "age": 3, REV: 3})
    await store.compare_and_set(1, 3, 4, {"name": "y"}, ["age"])
    stored = await collection.find_one({"_id": 1})
    assert list(stored.items()) == [("_id", 1), ("unknown", {"deep": [1]}), ("name", "y"), (REV, 4)]


async def test_compare_and_set_sets_and_unsets_parts_of_sub_documents(store: V1Store, collection: Any) -> None:
    """What V2 does not know of stays as it is, in a sub-document too; a number is a key there like any other."""
    await collection.insert_one({"_id": 1, "a": {"x": 1, "unknown": 2, "y": 3, "b": {"0": 4, "u": 5}}, REV: 3})
    paths = {"a.x": {"$z": 1}, "a.b.0": 6, "a.b.1": 7, "new": {}}
    assert await store.compare_and_set(1, 3, 4, paths, ["a.y", "a.none"], ["a", "a.b"]) is True
    a = {"x": {"$z": 1}, "unknown": 2, "b": {"0": 6, "u": 5, "1": 7}}
    assert await collection.find_one({"_id": 1}) == {"_id": 1, "a": a, "new": {}, REV: 4}


@pytest.mark.parametrize(
    "before",
    [
        *({"a": value} for value in (None, 5, "text", [], [5], [{"b": {}}], {}, {"b": None}, {"b": []}, {"b": [{}]})),
        {},
    ],
    ids=repr,
)
@pytest.mark.parametrize("revision", [0, 3])
async def test_compare_and_set_false_without_a_sub_document(
    store: V1Store, collection: Any, before: dict[str, Any], revision: int
) -> None:
    """False: no sub-document at one of the paths `within`, arrays being none, and nothing was written."""
    whole = {"_id": 1, **before, **({REV: revision} if revision else {})}
    await collection.insert_one(whole)
    assert await store.compare_and_set(1, revision, 4, {"a.b.0": 1, "x": 1}, ["a.b.y"], ["a", "a.b"]) is False
    assert await collection.find_one({"_id": 1}) == whole


async def test_compare_and_set_with_nothing_to_change_moves_the_revision(store: V1Store, collection: Any) -> None:
    """A heal changes no content."""
    await collection.insert_one({"_id": 1, "name": "x", REV: 3})
    assert await store.compare_and_set(1, 3, 4, {}) is True
    assert await collection.find_one({"_id": 1}) == {"_id": 1, "name": "x", REV: 4}


@pytest.mark.parametrize("expected", [0, 2, 4])
async def test_compare_and_set_false_and_nothing_was_written(store: V1Store, collection: Any, expected: int) -> None:
    """False: V1 is not at the expected revision, and nothing was written."""
    await collection.insert_one({"_id": 1, "name": "x", REV: 3})
    assert await store.compare_and_set(1, expected, 9, {"name": "y"}, ["age"]) is False
    assert await collection.find_one({"_id": 1}) == {"_id": 1, "name": "x", REV: 3}


async def test_compare_and_set_never_creates(store: V1Store, collection: Any) -> None:
    """False for an absent document, at revision 0 too, and none appears."""
    assert await store.compare_and_set(1, 0, 1, {"name": "y"}) is False
    assert await collection.count_documents({}) == 0


async def test_delete_deletes_one_document_at_the_expected_revision(store: V1Store, collection: Any) -> None:
    """Delete one document at the expected revision; the others stay."""
    await collection.insert_many([{"_id": 1, REV: 3}, {"_id": 2, REV: 3}, {"_id": 3}])
    assert await store.delete(1, 3) is True
    assert await store.delete(3, 0) is True
    assert await collection.find().to_list(None) == [{"_id": 2, REV: 3}]


async def test_delete_false_it_is_not_there_at_that_revision(store: V1Store, collection: Any) -> None:
    """False: it is not there at that revision."""
    await collection.insert_one({"_id": 1, REV: 3})
    assert await store.delete(1, 2) is False
    assert await store.delete(2, 3) is False
    assert await collection.count_documents({}) == 1


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_what_v1_holds_is_not_missing(store: V1Store, collection: Any) -> None:
    """Whatever document has the id is an entity, unless it is at the revision that is left; nothing changes."""
    held = [
        {"_id": 1, "name": "x", REV: 3},
        {"_id": 2},
        {"_id": 3, REV: None},
        {"_id": 4, REV: [7]},
        {"_id": 5, REV: 0.5},
    ]
    await collection.insert_many(held)
    assert [await store.confirm_missing(id) for id in range(1, 7)] == [False] * 5 + [True]
    # What has no revision that lazymig can have stored is at 0, or at none that it can be changed from.
    left = [(await store.find_local(id)).revision for id in range(1, 6)]  # type: ignore[union-attr]
    assert [await store.confirm_missing(id, revision) for id, revision in enumerate(left, 1)] == [True] * 5
    assert [await store.confirm_missing(id, 2) for id in range(1, 7)] == [False] * 5 + [True]
    assert await store.confirm_missing(1, 0) is False
    assert await store.confirm_no_place(1) is False
    assert await store.confirm_no_place(6) is True
    assert await collection.find().to_list(None) == held


@pytest.mark.parametrize("driver", ["mock"])
async def test_in_memory_nothing_is_confirmed(store: V1Store, collection: Any) -> None:
    """No other member can take over there, so what was read before holds."""
    await collection.insert_one({"_id": 1, REV: 3})
    assert [await store.confirm_missing(1), await store.confirm_no_place(1)] == [True, True]


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_document_that_v1s_validator_refuses_is_not_missing(store: V1Store, collection: Any) -> None:
    """It was stored before the validator. The confirming update changes nothing, so it is not validated."""
    await collection.insert_one({"_id": 1, "name": 7})
    await collection.database.command("collMod", "v1", validator={"name": {"$type": "string"}})
    assert await store.confirm_missing(1) is False
    assert await store.confirm_missing(1, 0) is True
    assert await store.confirm_missing(2) is True
    assert await collection.find().to_list(None) == [{"_id": 1, "name": 7}]


async def test_find_each_finds_the_same(store: V1Store, collection: Any) -> None:
    """The same in any order, each decoded when its turn comes: equal to what find_many decodes at once."""
    await collection.insert_many([{"_id": id, "name": "x", REV: id} for id in range(300)])
    found = await store.find_each([*range(250), 999])
    assert {stored.id: stored for stored in found} == await store.find_many(range(250))


async def test_page_finds_one_page_behind_a_document(store: V1Store, collection: Any) -> None:
    """Find one page of V1 behind a document: what matches, in this order, up to the limit, whole documents."""
    await collection.insert_many([{"_id": id, "age": id % 3, "name": "x"} for id in range(9)])
    question, order = {"age": {"$gt": 0}}, Order("age", -1)
    page = await store.page(question, order, 4)
    rows = [(row.document["age"], row.id, row.document["name"]) for row in page]
    assert rows == [(2, 8, "x"), (2, 5, "x"), (2, 2, "x"), (1, 7, "x")]
    behind = await store.page(question, order, 4, page[-1].document)
    assert [(row.document["age"], row.id) for row in behind] == [(1, 4), (1, 1)]


async def test_rows_can_hold_these_fields_and_the_revision_only(store: V1Store, collection: Any) -> None:
    """These fields and the revision, or all."""
    await collection.insert_one({"_id": 1, "age": 4, "name": "x", REV: 2})
    for fields, document in ((["age"], {"_id": 1, "age": 4, REV: 2}), ([], {"_id": 1, REV: 2})):
        assert list(await store.page({}, Order("_id", 1), 5, fields=fields)) == [StoredV1(1, 2, document)]


async def test_count_counts_the_documents_that_match(store: V1Store, collection: Any) -> None:
    """Count the documents that match."""
    await collection.insert_many([{"_id": id, "age": id % 3} for id in range(10)])
    assert await store.count({"age": 0}) == 4
    assert await store.count({}) == 10


async def test_find_each_and_count_take_a_question_about_these_entities(store: V1Store, collection: Any) -> None:
    """With a question only those that match; a count is of all that match, or of those of these entities."""
    await collection.insert_many([{"_id": id, "name": "ab"[id % 2], REV: id} for id in range(6)])
    found = await store.find_each([1, 2, 3, 9], store.question({"name": "b"}))
    assert sorted((row.id, row.revision) for row in found) == [(1, 1), (3, 3)]
    assert sorted((await store.find_each([1, 2])).ids) == [1, 2]
    assert [await store.count({"name": "b"}), await store.count({"name": "b"}, [1, 2, 9])] == [3, 1]
    assert await store.count({}, []) == 0
