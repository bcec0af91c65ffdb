"""The obligations of `Wholes`, in the words of its docstrings, on every driver: read back from the collection."""

from __future__ import annotations

import asyncio
from typing import Any

import bson
import pytest
from attrs import evolve
from bson.datetime_ms import DatetimeMS
from pymongo import ReadPreference
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from lazymig.errors import ConversionError
from lazymig.stores.coalescing_wholes import CoalescingWholes
from lazymig.stores.documents import MISSING
from lazymig.stores.keyset import Order
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.records import Filled, StoredWhole, Unmoved, WholeChange
from lazymig.stores.whole_documents import check_whole, parse_whole, spell_whole
from tests.contract.conftest import Watched
from tests.watching import steps

META = "_lazymig"
OF, OTHER = b"0123456789abcdef", b"fedcba9876543210"
#: The plain store everywhere; the one whose calls share statements where they go one by one, and where they do not.
STORES = [(driver, WholeStore) for driver in ("pymongo", "motor", "mock")]
STORES += [(driver, CoalescingWholes) for driver in ("pymongo", "mock")]


@pytest.fixture
def collection(database: Any) -> Any:
    """The collection."""
    return database["wholes"]


@pytest.fixture
def store(collection: Any, kind: Any) -> WholeStore:
    """The port to it."""
    opened: WholeStore = kind(collection) if kind is WholeStore else kind(collection, 30)
    return opened


ON_EACH = pytest.mark.parametrize(("driver", "kind"), STORES, ids=[f"{name}-{kind.__name__}" for name, kind in STORES])


async def seen_in(collection: Any, id: Any = 1) -> StoredWhole:
    """A document as a writer saw it."""
    return parse_whole(await collection.find_one({"_id": id}))


def whole(id: int = 1, revision: int = 3, of: bytes | None = OF, **fields: Any) -> dict[str, Any]:
    """A document that carries both shapes."""
    return {"_id": id, "name": "Ada Lovelace", "first": "Ada", **fields, META: spell_whole(revision, of)}


# ---- find -----------------------------------------------------------------------------------------------------------


@ON_EACH
@pytest.mark.parametrize("find", ["find", "find_local"])
async def test_find_finds_one_document_with_its_meta_data(store: WholeStore, collection: Any, find: str) -> None:
    """Revision, fingerprint, and what else stands beside them; a document that lazymig never wrote is not known."""
    meta = {"rev": 7, "of": OF, "conv": 2, "by": "sweep", "alone": "things", "lifted": True}
    await collection.insert_many([{"_id": 1, "a": 1, META: meta}, {"_id": 2, "a": 2}])
    found = await getattr(store, find)(1)
    assert found == StoredWhole(1, 7, {"_id": 1, "a": 1, META: meta}, OF, 2, "sweep", alone="things", lifted=True)
    assert await getattr(store, find)(2) == StoredWhole(2, 0, {"_id": 2, "a": 2}, known=False)
    assert await getattr(store, find)(3) is None


@ON_EACH
async def test_find_finds_why_there_is_no_v2_part(store: WholeStore, collection: Any) -> None:
    """What was decided, its reason, and the body that is kept for the next conversion."""
    unmoved = Unmoved("waiting", "no last name", {"first": "Ada"}, 2)
    await collection.insert_one({"_id": 1, META: spell_whole(1, OF, unmoved=unmoved)})
    found = await store.find(1)
    assert found is not None
    assert found.unmoved == unmoved
    assert (await collection.find_one())[META].keys() == {"rev", "of", "unmoved", "reason", "kept"}
    await collection.update_one({}, {"$set": {f"{META}.kept": 5}})
    odd = await store.find(1)
    assert odd is not None
    assert odd.unmoved == unmoved
    assert odd.unmoved.kept is None


@pytest.mark.parametrize(
    "meta", [None, 5, [], {}, {"rev": "7"}, {"rev": 7, "gone": True}, {"rev": 7, "conv": "2"}, {"rev": -2}], ids=repr
)
@pytest.mark.parametrize(("driver", "kind"), [("mock", WholeStore)])
async def test_meta_data_that_lazymig_cannot_have_stored_is_named(
    store: WholeStore, collection: Any, meta: Any
) -> None:
    """The error says what to unset, and nothing of the document."""
    await collection.insert_one({"_id": 1, "name": "secret", META: meta})
    found = await store.find(1)
    assert found is not None
    with pytest.raises(ConversionError, match=r"id 1 at field '_lazymig'.*unset it") as caught:
        check_whole(found)
    assert "secret" not in str(caught.value)


@ON_EACH
async def test_numbers_that_a_program_wrote_back_as_doubles_count_as_they_were(
    store: WholeStore, collection: Any
) -> None:
    """Where a language has no integers, a program that stores a whole document again does that to the meta data."""
    await collection.insert_one(whole(1, 2**39 + 1) | {META: {"rev": 2.0**39 + 1, "of": OF, "conv": 2.0}})
    found = await store.find(1)
    assert found is not None
    assert (check_whole(found).revision, found.conv) == (2**39 + 1, 2)
    assert await store.change(WholeChange(found, spell_whole(found.revision + 1, OF), {"first": "Eve"})) is True
    await collection.insert_one({"_id": 2, META: {"rev": 0.5, "of": OF}})
    odd = await store.find(2)
    assert odd is not None
    with pytest.raises(ConversionError, match="not what lazymig stores"):
        check_whole(odd)


@ON_EACH
async def test_find_many_leaves_missing_ids_out(store: WholeStore, collection: Any) -> None:
    """These documents, by id."""
    await collection.insert_many([whole(id, id) for id in range(300)])
    found = await store.find_many([*range(250), 999])
    assert {id: stored.revision for id, stored in found.items()} == {id: id for id in range(250)}


@ON_EACH
async def test_confirm_missing_changes_nothing(store: WholeStore, collection: Any, driver: str) -> None:
    """It reports a document that is there by now, alone and in company; in memory none can be."""
    documents = [whole(1), {"_id": 2, "name": "x"}, {"_id": 3, META: 7}]
    await collection.insert_many(documents)
    expected = [driver == "mock"] * 3 + [True]
    assert [await store.confirm_missing(id) for id in (1, 2, 3, 4)] == expected
    assert await asyncio.gather(*map(store.confirm_missing, (1, 2, 3, 4))) == expected
    assert await asyncio.gather(*map(store.confirm_missing, (4, 5, 6))) == [True] * 3
    assert await collection.find().to_list(None) == documents


@pytest.mark.parametrize(("driver", "kind"), STORES[3:4], ids=["pymongo"])
async def test_a_document_that_the_validator_refuses_is_not_missing(store: WholeStore, collection: Any) -> None:
    """The confirming update changes nothing, so it is not validated."""
    await collection.insert_one(whole(1))
    await collection.database.command("collMod", "wholes", validator={"name": {"$type": "int"}})
    assert await asyncio.gather(*map(store.confirm_missing, (1, 2))) == [False, True]


# ---- insert ---------------------------------------------------------------------------------------------------------


@ON_EACH
async def test_insert_stores_a_document_with_its_meta_data(store: WholeStore, collection: Any) -> None:
    """All of it, and nothing else."""
    assert await store.insert(1, {"name": "x", "first": "y"}, spell_whole(5, OF, conv=2, by="write")) is True
    expected = {"_id": 1, "name": "x", "first": "y", META: {"rev": 5, "of": OF, "conv": 2, "by": "write"}}
    assert await collection.find_one() == expected


@ON_EACH
async def test_insert_false_the_id_is_taken_and_nothing_was_written(store: WholeStore, collection: Any) -> None:
    """False: the id is taken, and nothing was written. Another unique index's refusal is the caller's."""
    await collection.create_index("name", unique=True)
    await collection.insert_one({"_id": 1, "name": "first"})
    assert await store.insert(1, {"name": "second"}, spell_whole(5)) is False
    with pytest.raises(DuplicateKeyError):
        await store.insert(2, {"name": "first"}, spell_whole(5))
    assert await collection.find().to_list(None) == [{"_id": 1, "name": "first"}]


# ---- change and fill ------------------------------------------------------------------------------------------------


@ON_EACH
@pytest.mark.parametrize("method", ["change", "fill", "fill_each"])
async def test_a_change_sets_unsets_and_leaves_the_rest(store: WholeStore, collection: Any, method: str) -> None:
    """Fields of both shapes and the meta data, of one document; what nobody names stays, in its place."""
    await collection.insert_many([whole(1, unknown={"deep": [1]}, note="n"), whole(2)])
    change = WholeChange(await seen_in(collection), spell_whole(4, OTHER), {"name": "A B", "deep": {"$x": 1}}, ["note"])
    answer = await getattr(store, method)([change] if method == "fill_each" else change)
    assert answer is True if method == "change" else answer == Filled(1, {})
    stored = await collection.find_one({"_id": 1})
    assert stored == {
        "_id": 1, "name": "A B", "first": "Ada", "unknown": {"deep": [1]}, "deep": {"$x": 1},
        META: {"rev": 4, "of": OTHER},
    }  # fmt: skip
    assert list(stored)[:4] == ["_id", "name", "first", "unknown"]
    assert await collection.find_one({"_id": 2}) == whole(2)


@ON_EACH
async def test_a_document_that_lazymig_never_wrote_is_changed_once(store: WholeStore, collection: Any) -> None:
    """Two writers saw it without meta data: the second one is false, and nothing of it was written."""
    await collection.insert_one({"_id": 1, "name": "x"})
    seen = await seen_in(collection)
    assert await store.change(WholeChange(seen, spell_whole(1, OF), {"name": "y"})) is True
    assert await store.change(WholeChange(seen, spell_whole(1, OF), {"name": "z"})) is False
    assert (await store.fill(WholeChange(seen, spell_whole(0, OF), {"first": "z"}))).stored == 0
    assert await collection.find_one() == {"_id": 1, "name": "y", META: {"rev": 1, "of": OF}}


@ON_EACH
@pytest.mark.parametrize("method", ["change", "fill", "fill_each"])
@pytest.mark.parametrize(
    "meta", [{"rev": 4, "of": OF}, {"rev": 3, "of": OTHER}, {"rev": 3}, None], ids=["rev", "of", "no of", "no meta"]
)
async def test_false_where_another_writer_of_lazymig_changed_it(
    store: WholeStore, collection: Any, method: str, meta: Any
) -> None:
    """Revision and fingerprint are as they were seen, or nothing is written."""
    await collection.insert_one(whole())
    change = WholeChange(await seen_in(collection), spell_whole(4, OTHER), {"name": "y"}, ["first"])
    await collection.update_one({}, {"$set": {META: meta}} if meta else {"$unset": {META: ""}})
    before = await collection.find_one()
    answer = await getattr(store, method)([change] if method == "fill_each" else change)
    assert answer is False if method == "change" else answer == Filled(0, {})
    assert await collection.find_one() == before


@ON_EACH
async def test_false_where_a_document_has_got_a_fingerprint_since(store: WholeStore, collection: Any) -> None:
    """A V1 part was written without a V2 part, and somebody has filled it meanwhile."""
    await collection.insert_one(whole(of=None))
    change = WholeChange(await seen_in(collection), spell_whole(3, OF), {"first": "Old"})
    await collection.update_one({}, {"$set": {f"{META}.of": OF}})
    assert (await store.fill(change)).stored == 0
    assert (await collection.find_one())["first"] == "Ada"


HELD: list[tuple[Any, Any]] = [
    ("x", "y"), ("x", None), ("x", MISSING), (None, MISSING), (MISSING, None), (MISSING, "x"), (1, [1]), ([1], 1),
    ([1], [[1]]), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({"a": 1}, {"a": 1, "c": None}), (None, [None]), ("x", ["x"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("driver", "old", "new"),
    # In memory, the order of a sub-document's fields does not count.
    [("pymongo", *pair) for pair in HELD] + [("mock", *pair) for pair in HELD if not isinstance(pair[0], dict)],
    ids=lambda value: "missing" if value is MISSING else repr(value),
)
@pytest.mark.parametrize("kind", [WholeStore])
async def test_false_where_another_program_changed_a_value_that_is_held(
    store: WholeStore, collection: Any, old: Any, new: Any
) -> None:
    """Such programs change no revision: missing is not null, an array is not its element, and order counts."""
    await collection.insert_one(whole(age=old) if old is not MISSING else whole())
    change = WholeChange(await seen_in(collection), spell_whole(4, OF), {"age": 1}, [], {"age": old})
    await collection.update_one({}, {"$unset": {"age": ""}} if new is MISSING else {"$set": {"age": new}})
    before = await collection.find_one()
    assert await store.change(change) is False
    assert await collection.find_one() == before
    await collection.update_one({}, {"$unset": {"age": ""}} if old is MISSING else {"$set": {"age": old}})
    assert await store.change(change) is True
    assert (await collection.find_one())["age"] == 1


@pytest.mark.parametrize("many", [False, True], ids=["sub-document", "array"])
@pytest.mark.parametrize(("driver", "kind"), [("pymongo", WholeStore)])
async def test_a_value_that_python_cannot_read_is_held_by_its_presence(
    store: WholeStore, collection: Any, *, many: bool
) -> None:
    """There are no bytes of the whole to compare with, and no statement fails at it."""
    far = DatetimeMS(2**62)
    await collection.insert_one(whole(odd=[far] if many else {"at": far}))
    seen = await store.find(1)
    assert seen is not None
    change = WholeChange(seen, spell_whole(4, OF), {"age": 1}, [], {"odd": seen.document["odd"]})
    assert await store.change(change) is True
    found = await collection.find_one({"age": 1}, {"_id": 1, META: 1})
    await collection.update_one({}, {"$unset": {"odd": ""}})
    later = StoredWhole(1, found[META]["rev"], seen.document, OF)
    assert await store.change(evolve(change, seen=later)) is False


@ON_EACH
async def test_another_programs_other_fields_stop_nobody(store: WholeStore, collection: Any) -> None:
    """What is not held may change meanwhile, and stays changed."""
    await collection.insert_one(whole(age=1, tags=[]))
    change = WholeChange(await seen_in(collection), spell_whole(4, OF), {"age": 2}, [], {"age": 1})
    await collection.update_one({}, {"$set": {"tags": ["new"]}})
    assert await store.change(change) is True
    stored = await collection.find_one()
    assert (stored["age"], stored["tags"]) == (2, ["new"])


@ON_EACH
@pytest.mark.parametrize("before", [{}, {"a": None}, {"a": []}, {"a": [{"b": 1}]}, {"a": 5}], ids=repr)
async def test_false_without_a_sub_document(store: WholeStore, collection: Any, before: Any) -> None:
    """False: no sub-document at one of the paths `within`, arrays being none, and nothing was written."""
    await collection.insert_one(whole(**before))
    change = WholeChange(await seen_in(collection), spell_whole(4, OF), {"a.b": 1}, [], {}, ["a"])
    assert await store.change(change) is False
    assert await collection.find_one() == whole(**before)
    await collection.update_one({}, {"$set": {"a": {"c": 2}}})
    assert await store.change(change) is True
    assert (await collection.find_one())["a"] == {"c": 2, "b": 1}


@ON_EACH
async def test_a_change_never_creates(store: WholeStore, collection: Any) -> None:
    """Nor does a fill: an entity that was deleted stays so."""
    await collection.insert_one(whole())
    seen = await seen_in(collection)
    await collection.delete_many({})
    assert await store.change(WholeChange(seen, spell_whole(4, OF), {"name": "y"})) is False
    assert await store.fill(WholeChange(seen, spell_whole(3, OF), {"first": "y"})) == Filled(0, {})
    assert await store.fill_each([WholeChange(seen, spell_whole(3, OF), {"first": "y"})] * 2) == Filled(0, {})
    assert await collection.count_documents({}) == 0


@ON_EACH
@pytest.mark.parametrize("durable", [False, True])
async def test_one_that_the_server_refuses_stops_no_other(store: WholeStore, collection: Any, durable: bool) -> None:
    """A unique index has one of four: it is named by its place, what another writer overtook is only not counted."""
    await collection.create_index("first", unique=True, sparse=True)
    await collection.insert_many([{"_id": id, "name": "x"} for id in range(5)])
    changes = [WholeChange(await seen_in(collection, id), spell_whole(0, OF), {"first": f"f{id}"}) for id in range(5)]
    changes[1] = WholeChange(changes[1].seen, changes[1].meta, {"first": "f0"})
    await collection.update_one({"_id": 3}, {"$set": {META: {"rev": 1}}})
    filled = await store.fill_each(changes, durable=durable)
    assert (filled.stored, list(filled.refused)) == (3, [1])
    assert isinstance(filled.refused[1], DuplicateKeyError)
    stored = {row["_id"]: row.get("first") async for row in collection.find()}
    assert stored == {0: "f0", 1: None, 2: "f2", 3: None, 4: "f4"}


@ON_EACH
async def test_a_fill_that_is_refused_is_no_error(store: WholeStore, collection: Any) -> None:
    """It is named, and a change that is refused is the caller's."""
    await collection.create_index("first", unique=True, sparse=True)
    await collection.insert_many([{"_id": 1, "first": "taken"}, {"_id": 2, "name": "x"}])
    change = WholeChange(await seen_in(collection, 2), spell_whole(1, OF), {"first": "taken"})
    filled = await store.fill(change)
    assert (filled.stored, list(filled.refused)) == (0, [0])
    with pytest.raises(DuplicateKeyError):
        await store.change(change)
    assert await collection.find_one({"_id": 2}) == {"_id": 2, "name": "x"}


@pytest.mark.parametrize(("driver", "kind"), [("pymongo", WholeStore), ("motor", WholeStore)])
async def test_one_that_the_driver_refuses_stops_no_other(store: WholeStore, collection: Any) -> None:
    """A document beyond 16 MB and a value that BSON has not are named by their places; the others are stored."""
    await collection.insert_many([{"_id": id, "name": "x"} for id in range(4)])
    changes = [WholeChange(await seen_in(collection, id), spell_whole(0, OF), {"first": f"f{id}"}) for id in range(4)]
    changes[1] = WholeChange(changes[1].seen, changes[1].meta, {"first": "x" * 17_000_000})
    changes[2] = WholeChange(changes[2].seen, changes[2].meta, {"first": object()})
    filled = await store.fill_each(changes, durable=True)
    assert (filled.stored, list(filled.refused)) == (2, [1, 2])
    assert {row["_id"]: row.get("first") async for row in collection.find()} == {0: "f0", 1: None, 2: None, 3: "f3"}


@pytest.mark.parametrize(("driver", "kind"), [("pymongo", WholeStore), ("motor", WholeStore)])
async def test_what_is_packed_is_stored_as_it_is(store: WholeStore, collection: Any) -> None:
    """Fields that were encoded before are those that are set, under the same guard."""
    await collection.insert_one({"_id": 1, "name": "x"})
    seen, meta = await seen_in(collection), spell_whole(0, OF, by="sweep")
    packed = bson.encode({"first": "f", META: meta})
    assert await store.fill_each([WholeChange(seen, meta, {"first": "f"}, packed=packed)]) == Filled(1, {})
    assert await collection.find_one() == {"_id": 1, "name": "x", "first": "f", META: meta}
    assert await store.fill_each([WholeChange(seen, meta, {"first": "f"}, packed=packed)]) == Filled(0, {})


# ---- decided ---------------------------------------------------------------------------------------------------------


@ON_EACH
async def test_unmoved_finds_the_meta_data_of_documents_without_a_v2_part(store: WholeStore, collection: Any) -> None:
    """Waiting or left, after this id, in the order of ids, up to the limit."""
    for id, why in ((5, "waiting"), (2, "left"), (1, "waiting"), (4, "waiting"), (3, None)):
        decided = None if why is None else Unmoved(why, f"because {id}")  # type: ignore[arg-type]
        await collection.insert_one({"_id": id, "name": "x", META: spell_whole(1, OF, unmoved=decided)})
    found = await store.unmoved("waiting", 2)
    assert [(one.id, one.unmoved and one.unmoved.reason) for one in found] == [(1, "because 1"), (4, "because 4")]
    assert [set(one.document) for one in found] == [{"_id", META}] * 2
    assert [one.id for one in await store.unmoved("waiting", 2, 4)] == [5]
    assert [one.id for one in await store.unmoved("left", 2)] == [2]


@pytest.mark.parametrize(("driver", "kind"), [("pymongo", WholeStore), ("motor", WholeStore)])
async def test_ensure_unmoved_index_creates_the_sparse_index(store: WholeStore, collection: Any) -> None:
    """It finds documents without a V2 part; made twice it is one."""
    await store.ensure_unmoved_index()
    await store.ensure_unmoved_index()
    information = await collection.index_information()
    assert information["lazymig_unmoved"]["key"] == [(f"{META}.unmoved", 1)]
    assert information["lazymig_unmoved"]["sparse"]
    assert len(information) == 2


# ---- delete ---------------------------------------------------------------------------------------------------------


@ON_EACH
async def test_delete_deletes_one_document_at_the_revision_that_was_seen(store: WholeStore, collection: Any) -> None:
    """A reader that stored V2's part meanwhile is no other writer; a writer is, and so is one that was faster."""
    await collection.insert_many([whole(1), whole(2), {"_id": 3, "name": "x"}, {"_id": 4, "name": "x"}])
    seen = {id: await seen_in(collection, id) for id in range(1, 5)}
    await collection.update_one({"_id": 1}, {"$set": {f"{META}.of": OTHER}})
    await collection.update_one({"_id": 2}, {"$inc": {f"{META}.rev": 1}})
    await collection.update_one({"_id": 3}, {"$set": {META: {"rev": 1}}})
    assert [await store.delete(seen[id], 9) for id in range(1, 5)] == [True, False, False, True]
    assert [row["_id"] async for row in collection.find()] == [2, 3]
    assert await store.delete(seen[1], 9) is False


# ---- listings -------------------------------------------------------------------------------------------------------


@ON_EACH
async def test_page_finds_the_page_after_a_document(store: WholeStore, collection: Any) -> None:
    """What matches, in this order, up to the limit, whole documents."""
    await collection.insert_many([whole(id, age=id % 3) for id in range(9)])
    question, order = store.question({"age": {"$gt": 0}}), Order("age", -1)
    page = await store.page(question, order, 4)
    assert [(row.document["age"], row.id, row.of) for row in page] == [(2, 8, OF), (2, 5, OF), (2, 2, OF), (1, 7, OF)]
    behind = await store.page(question, order, 4, page[-1].document)
    assert [(row.document["age"], row.id) for row in behind] == [(1, 4), (1, 1)]


@ON_EACH
async def test_count_counts_the_documents_that_match(store: WholeStore, collection: Any) -> None:
    """All of them, or without those that `upgrade` gave no V2 part; those that lazymig has not seen count."""
    left = {"_id": 10, "age": 0, META: spell_whole(1, OF, unmoved=Unmoved("left"))}
    await collection.insert_many([*(whole(id, age=id % 3) for id in range(9)), left, {"_id": 11, "age": 0}])
    assert [await store.count({"age": 0}), await store.count({"age": 0}, moved=True)] == [5, 4]
    assert [await store.count({}), await store.count({}, moved=True)] == [11, 10]


@pytest.mark.parametrize(("driver", "kind"), [("pymongo", WholeStore), ("motor", WholeStore)])
async def test_a_question_that_cannot_be_encoded_is_the_callers_error(store: WholeStore) -> None:
    """Raises what the caller's client raises, before anything is sent."""
    with pytest.raises(bson.errors.InvalidDocument):
        store.question({"age": object()})


# ---- statements -----------------------------------------------------------------------------------------------------

CONFIGURED = {
    "as made": {},
    "weak": {"write_concern": WriteConcern(1), "read_concern": ReadConcern("local")},
    "secondary": {"write_concern": WriteConcern("majority", j=True), "read_preference": ReadPreference.SECONDARY},
}


@pytest.mark.parametrize("options", CONFIGURED.values(), ids=list(CONFIGURED))
async def test_each_statement_has_its_concern(watched: Watched, options: dict[str, Any]) -> None:
    """Writes are the majority's; what can be made again waits for the journal; answers are the majority's.

    All of them come from the primary.
    """
    collection = watched.database["wholes"].with_options(**options)
    store = WholeStore(collection)
    with watched.sent() as sent:
        await store.insert(1, {"name": "x"}, spell_whole(1))
        await store.change(WholeChange(StoredWhole(1, 1, {"_id": 1}), spell_whole(2), {"name": "y"}))
        await store.confirm_missing(9)
        await store.fill_each([WholeChange(StoredWhole(1, 2, {"_id": 1}), spell_whole(2, OF), {})], durable=True)
        await store.fill(WholeChange(StoredWhole(1, 2, {"_id": 1}, OF), spell_whole(2, OTHER), {}))
        await store.fill_each([WholeChange(StoredWhole(1, 2, {"_id": 1}, OTHER), spell_whole(2, OF), {})])
        await store.delete(StoredWhole(1, 2, {"_id": 1}, OF), 3)
    assert [event.command_name for event in sent] == ["insert", *["update"] * 5, "delete"]
    assert [event.command["writeConcern"]["w"] for event in sent] == ["majority"] * 4 + [1, 1, "majority"]
    assert [event.command["writeConcern"].get("j") for event in sent] == [None] * 4 + [True, True, None]
    with watched.sent() as sent:
        await store.find(1)
        await store.find_many([1])
        await store.page({}, Order("_id", 1), 5)
        await store.count({})
        await store.find_local(1)
        await WholeStore(collection, read_concern="linearizable").find(1)
    levels = [event.command["readConcern"]["level"] for event in sent]
    assert levels == ["majority"] * 4 + ["local", "linearizable"]
    assert {event.command.get("$readPreference", {"mode": "primary"})["mode"] for event in sent} == {"primary"}


async def test_finds_and_fills_that_start_together_share_a_statement(watched: Watched) -> None:
    """Sixty-four of each: one find, and at most one statement in flight with the rest in a second one."""
    collection = watched.database["wholes"]
    await collection.insert_many([{"_id": id, "name": f"n{id}"} for id in range(64)])
    store = CoalescingWholes(collection, 30)
    with watched.sent() as sent:
        found = await asyncio.gather(*(store.find(id) for id in (*range(64), 99, 0)))
    assert [None if one is None else one.document["name"] for one in found] == [f"n{id}" for id in range(64)] + [
        None,
        "n0",
    ]
    assert steps(sent) == ["wholes find"]
    changes = [WholeChange(one, spell_whole(0, OF), {"first": "f"}) for one in found[:64] if one is not None]
    with watched.sent() as sent:
        filled = await asyncio.gather(*map(store.fill, changes))
    assert sum(one.stored for one in filled) == 64
    assert set(steps(sent)) == {"wholes update"}
    assert len(sent) <= 2
    assert await collection.count_documents({f"{META}.of": OF, "first": "f"}) == 64
