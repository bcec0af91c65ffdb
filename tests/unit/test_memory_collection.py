"""The explorer's in-memory collection is equal to the server on the statements that stores send."""

import asyncio
import datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError, WriteError

from lazymig.stores import fencing
from lazymig.stores.documents import MISSING, hold, make_revision_filter
from lazymig.testing.exploration.statement import Gate, drive
from lazymig.testing.exploration.values import freeze
from lazymig.testing.memory_collection import MemoryCollection
from lazymig.testing.mongod import Mongod
from tests.widening import WIDENING

MOMENT = datetime.datetime(2024, 1, 2)
IDS = st.sampled_from([1, 2, "a"])
NUMBERS = st.integers(-1, 3)
SCALARS = st.one_of(NUMBERS, st.sampled_from(["x", "", None, True, False, MOMENT]))
BODIES = st.one_of(SCALARS, st.just({"n": 1}), st.just({}))
PATHS = st.sampled_from(["a", "b", "_lazymig_rev", "_lazymig.rev", "_lazymig.intent", "_lazymig.gone", "_lazymig.at"])
REVISIONS = st.sampled_from(["_lazymig_rev", "_lazymig.rev", "_lazymig.intent", "c"])

ORDERINGS = st.dictionaries(
    st.sampled_from(["$lt", "$lte", "$gt", "$gte"]), st.one_of(NUMBERS, st.just("x")), min_size=1
)
NEGATIONS = st.builds(lambda condition: {"$not": condition}, ORDERINGS)
CONDITIONS = st.one_of(
    SCALARS,
    ORDERINGS,
    NEGATIONS,
    st.builds(lambda values: {"$in": values}, st.lists(SCALARS, max_size=3)),
    st.builds(lambda values: {"$nin": values}, st.lists(SCALARS, max_size=2)),
    st.builds(lambda value: {"$ne": value}, SCALARS),
    st.builds(lambda value: {"$eq": value}, SCALARS),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(
        lambda name: {"$type": name}, st.sampled_from(["int", "long", "double", "string", "object", "bool", "null"])
    ),
)
ID_CONDITIONS = st.one_of(
    IDS, st.builds(lambda ids: {"$in": ids}, st.lists(IDS)), st.builds(lambda id: {"$gt": id}, IDS)
)
PARTS = st.dictionaries(PATHS, CONDITIONS, max_size=2)
FILTERS = st.one_of(
    st.builds(lambda id, rest: {"_id": id, **rest}, ID_CONDITIONS, PARTS),
    PARTS,
    st.builds(lambda parts: {"$or": parts}, st.lists(PARTS, min_size=1, max_size=2)),
    st.builds(lambda parts: {"$and": parts}, st.lists(PARTS, min_size=1, max_size=2)),
    st.builds(lambda parts: {"$nor": parts}, st.lists(PARTS, min_size=1, max_size=2)),
)
# An upsert's filter names the id, as the protocol's do: the collection invents none.
SEVERAL = st.builds(lambda values: {"$in": values}, st.lists(NUMBERS, min_size=2, max_size=3, unique=True))
UPSERT_PARTS = st.dictionaries(PATHS, st.one_of(SCALARS, ORDERINGS, NEGATIONS, SEVERAL), max_size=2)
UPSERT_FILTERS = st.one_of(
    st.builds(lambda id, rest: {"_id": id, **rest}, IDS, UPSERT_PARTS),
    st.builds(lambda id, rest, never: {"_id": id, "$nor": [never], **rest}, IDS, UPSERT_PARTS, PARTS),
    # Two different parts: of one alone, the server would store what it compares for equality.
    st.builds(lambda id, rest, one: {"_id": id, "$or": [one, {"other": 7}], **rest}, IDS, UPSERT_PARTS, PARTS),
)
CHANGES = st.one_of(
    st.dictionaries(PATHS, SCALARS, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "d.e"]), BODIES, min_size=1),
)
UPDATES = st.fixed_dictionaries(
    {"$set": CHANGES},
    optional={
        "$unset": st.dictionaries(PATHS, st.just(""), min_size=1, max_size=2),
        "$inc": st.dictionaries(REVISIONS, NUMBERS, min_size=1, max_size=1),
        "$max": st.dictionaries(REVISIONS, SCALARS, min_size=1, max_size=1),
        "$setOnInsert": CHANGES,
    },
)
METAS = st.fixed_dictionaries(
    {}, optional={"rev": NUMBERS, "intent": NUMBERS, "gone": st.just(True), "at": st.just(MOMENT)}
)
DOCUMENTS = st.fixed_dictionaries(
    {"_id": IDS}, optional={"a": BODIES, "b": BODIES, "_lazymig_rev": NUMBERS, "_lazymig": METAS}
)
PROJECTIONS = st.one_of(
    st.none(),
    st.just({"_id": 0}),
    st.dictionaries(st.sampled_from(["_id", "a", "_lazymig_rev", "_lazymig.rev"]), st.just(1)),
    st.dictionaries(st.sampled_from(["a", "_lazymig.at"]), st.just(0), min_size=1),
)
SORTS = st.sampled_from([[("_id", 1)], [("_id", -1)], [("_lazymig_rev", 1), ("_id", -1)]])


def statement(name, *arguments, **keywords):
    """A strategy of (name, arguments, keywords)."""
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries(keywords))


#: An upsert that can never insert, by which a bulk says which of its filters matched.
NEVER_INSERTING = st.builds(lambda update: {**update, "$setOnInsert": {"_id": {"lazymig": 1}}}, UPDATES)
REQUESTS = st.one_of(
    st.builds(lambda where, update: UpdateOne(where, update, upsert=True), UPSERT_FILTERS, NEVER_INSERTING | UPDATES),
    st.builds(UpdateOne, FILTERS, UPDATES),
    st.builds(InsertOne, DOCUMENTS),
    st.builds(DeleteOne, FILTERS),
)
STATEMENTS = st.one_of(
    statement("insert_one", DOCUMENTS),
    statement("insert_many", st.lists(DOCUMENTS, min_size=1, max_size=4), ordered=st.booleans()),
    statement("update_one", FILTERS, UPDATES),
    statement("update_one", UPSERT_FILTERS, UPDATES, upsert=st.just(True)),
    statement("find_one_and_update", FILTERS, UPDATES, return_document=st.booleans(), projection=PROJECTIONS),
    statement("find_one_and_update", UPSERT_FILTERS, UPDATES, upsert=st.just(True), return_document=st.booleans()),
    statement("delete_one", FILTERS),
    statement("find_one", st.builds(lambda id, rest: {"_id": id, **rest}, IDS, PARTS), PROJECTIONS),
    statement("find", FILTERS, PROJECTIONS, sort=SORTS, limit=st.integers(0, 2)),
    statement("count_documents", FILTERS),
    statement("bulk_write", st.lists(REQUESTS, min_size=1, max_size=4), ordered=st.just(False)),
)


@pytest.fixture(scope="module")
def server_collection():
    """A collection on a real server of this module's own, for the synchronous driver."""
    server = Mongod()
    try:
        server.start()
        with server.client() as client:
            yield client["differential"]["documents"]
    finally:
        server.remove()


def on_server(collection, name, arguments, keywords):
    """The server's outcome of one statement, and its contents afterwards."""
    result = outcome(lambda: getattr(collection, name)(*arguments, **keywords))
    return result, freeze(sorted(collection.find(), key=lambda document: str(document["_id"])))


def in_memory(collection, name, arguments, keywords):
    """The same in memory."""
    result = outcome(lambda: drive(awaited(getattr(collection, name)(*arguments, **keywords))))
    return result, freeze(sorted(collection.documents(), key=lambda document: str(document["_id"])))


async def awaited(call):
    """What a call of the in-memory collection gives, a cursor's documents included."""
    return await call.to_list(None) if hasattr(call, "to_list") else await call


def outcome(call):
    """A result or error as a plain value."""
    try:
        result = call()
        result = list(result) if hasattr(result, "sort") and not isinstance(result, list) else result
    except BulkWriteError as error:
        refused = [(entry["index"], entry["code"], entry.get("keyPattern")) for entry in error.details["writeErrors"]]
        counts = [error.details.get(name, 0) for name in ("nInserted", "nMatched", "nUpserted", "nRemoved")]
        return "bulk", freeze(refused), freeze(counts)
    except DuplicateKeyError as error:
        return "duplicate", error.code, freeze(error.details["keyPattern"]), freeze(error.details["keyValue"])
    except PyMongoError as error:
        return "refused", error.code
    fields = ("matched_count", "modified_count", "upserted_id", "deleted_count", "inserted_id", "inserted_ids")
    return freeze({name: getattr(result, name) for name in fields if hasattr(result, name)} or result)


@settings(max_examples=400 if WIDENING.full else 120, deadline=None, suppress_health_check=list(HealthCheck))
@given(statements=st.lists(STATEMENTS, min_size=4, max_size=12))
@example(
    [
        (
            "update_one",
            (
                {"_id": 1, "_lazymig.intent": "x"},
                {"$inc": {"_lazymig.intent": 0}, "$setOnInsert": {"_id": {"lazymig": 1}}},
            ),
            {"upsert": True},
        )
    ]
)
def test_random_statements_end_alike_on_the_server(server_collection, statements):
    """Any sequence of the stores' statements has the outcomes and leaves the documents that the server gives."""
    server_collection.delete_many({})
    memory = MemoryCollection("documents")
    for name, arguments, keywords in statements:
        expected = on_server(server_collection, name, arguments, keywords)
        assert in_memory(memory, name, arguments, keywords) == expected, (name, arguments, keywords)


RULES = st.sampled_from(
    [
        *fencing.RULES.values(),
        {"_lazymig_rev": {"$gt": 0}},
        fencing.Own({"a": {"$exists": True}}).fenced("v2", "key").validator,
        fencing.Own().fenced("v1", "key").validator,
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(statements=st.lists(STATEMENTS, min_size=4, max_size=12), rule=RULES, first=st.integers(0, 4))
def test_a_validator_refuses_the_same_as_on_the_server(server_collection, statements, rule, first):
    """With a validator that comes after some statements, each of the others is refused here as there, or by neither."""
    database, name = server_collection.database, server_collection.name
    database.drop_collection(name)
    database.create_collection(name)
    memory = MemoryCollection(name)
    for position, (method, arguments, keywords) in enumerate(statements):
        if position == first:
            database.command("collMod", name, validator=rule)
            drive(awaited(memory.database.command("collMod", name, validator=rule)))
        expected = on_server(server_collection, method, arguments, keywords)
        assert in_memory(memory, method, arguments, keywords) == expected, (method, arguments, keywords)
    database.drop_collection(name)


NESTED = st.recursive(
    st.sampled_from([None, 1, "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("b0"), inner, max_size=2),
    max_leaves=4,
)
PARTS_OF_A = st.dictionaries(st.sampled_from(["a.b.b", "a.b.0", "a.b.1"]), NESTED, max_size=2)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(a=NESTED, parts=PARTS_OF_A, absent=st.booleans(), vanished=st.sampled_from(["a.b.z", "a.b.c", "d"]))
def test_parts_of_sub_documents_end_alike_on_the_server(server_collection, a, parts, absent, vanished):
    """V1's compare-and-set finds the sub-documents that it needs here as there, and changes the same in them."""
    server_collection.delete_many({})
    memory = MemoryCollection("documents")
    update = {"$set": {**parts, "_lazymig_rev": 1}, "$unset": {vanished: ""}}
    document = {"_id": 1} if absent else {"_id": 1, "a": a}
    for name, arguments in (
        ("insert_one", (document,)),
        ("update_one", (make_revision_filter(1, 0, ["a", "a.b"]), update)),
    ):
        expected = on_server(server_collection, name, arguments, {})
        assert in_memory(memory, name, arguments, {}) == expected, (name, arguments)


VALUES = st.recursive(
    st.sampled_from([None, 1, 1.0, True, "x", MOMENT]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
HELD = st.dictionaries(st.sampled_from(["a", "b"]), VALUES | st.just(MISSING), min_size=1)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=st.dictionaries(st.sampled_from(["a", "b"]), VALUES),
    held=HELD | st.none(),
    replacement=st.dictionaries(st.sampled_from(["_id", "a"]), st.sampled_from([1, 1.0, 2])),
)
def test_held_values_and_replacements_end_alike_on_the_server(server_collection, document, held, replacement):
    """A guard by values finds a document here as there, arrays and what equals an array too; so does a replacement."""
    server_collection.delete_many({})
    memory = MemoryCollection("documents")
    # Unless they are drawn, the values are those of the document: then the guard must match.
    where = hold({"_id": 1}, (), {name: document.get(name, MISSING) for name in "ab"} if held is None else held)
    for name, arguments in (
        ("insert_one", ({"_id": 1, **document},)),
        ("update_one", (where, {"$set": {"c": 1}})),
        ("replace_one", (where, replacement)),
    ):
        expected = on_server(server_collection, name, arguments, {})
        assert in_memory(memory, name, arguments, {}) == expected, (name, arguments)
        assert name != "update_one" or held is not None or memory.stored(1)["c"] == 1


async def test_upsert_on_an_id_that_does_not_match_is_a_duplicate_key():
    """An upsert whose guard fails on an existing id raises the duplicate key of `_id` and changes nothing."""
    collection = MemoryCollection(documents=[{"_id": 1, "_lazymig": {"rev": 5}}])
    with pytest.raises(DuplicateKeyError) as caught:
        await collection.update_one({"_id": 1, "_lazymig.rev": {"$lt": 5}}, {"$set": {"a": 1}}, upsert=True)
    assert caught.value.details["keyPattern"] == {"_id": 1}
    assert collection.stored(1) == {"_id": 1, "_lazymig": {"rev": 5}}


async def test_documents_handed_out_are_fresh():
    """Changing a document that was returned, or one that was given, does not change what is stored."""
    given_document = {"_id": 1, "a": {"list": [{"deep": 1}]}}
    collection = MemoryCollection(documents=[given_document])
    (await collection.find_one({"_id": 1}))["a"]["list"][0]["deep"] = 2
    given_document["a"]["list"].append(3)
    assert collection.stored(1) == {"_id": 1, "a": {"list": [{"deep": 1}]}}


@pytest.mark.parametrize(
    ("criteria", "update"),
    [
        ({"a": {"$regex": "x"}}, {"$set": {"a": 1}}),
        ({"$where": "x"}, {"$set": {"a": 1}}),
        ({}, {"$push": {"a": 1}}),
        ({}, [{"$set": {"a": 1}}]),
        ({"list.0": 1}, {"$set": {"a": 1}}),
        ({"list": {"$lt": 1}}, {"$set": {"a": 1}}),
        ({"list": {"$elemMatch": {"$gt": 0}}}, {"$set": {"a": 1}}),
        ({"list": {"$elemMatch": {"a": 1}}}, {"$set": {"a": 1}}),
    ],
)
async def test_unknown_statements_are_refused(criteria, update):
    """An operator that the collection does not know is refused, never guessed."""
    collection = MemoryCollection(documents=[{"_id": 1, "list": [1]}])
    with pytest.raises(NotImplementedError):
        await collection.update_one(criteria, update)


async def test_replacement_is_not_an_update():
    """A whole document given as an update is refused as the driver refuses it."""
    with pytest.raises(ValueError, match="operators"):
        await MemoryCollection().update_one({"_id": 1}, {"a": 1})


async def test_an_id_does_not_change():
    """An update that would change `_id` is refused, and nothing is stored."""
    collection = MemoryCollection(documents=[{"_id": 1}])
    with pytest.raises(WriteError):
        await collection.update_one({"_id": 1}, {"$set": {"_id": 2, "a": 1}})
    assert list(collection.documents()) == [{"_id": 1}]


async def test_a_pipeline_that_leaves_the_id_out_keeps_it():
    """The document that it makes is that of the same `_id`, in its place."""
    collection = MemoryCollection(documents=[{"_id": 1, "a": 1}])
    await collection.update_one({"_id": 1}, [{"$replaceWith": {"$literal": {"b": 2}}}])
    assert list(collection.documents()) == [{"_id": 1, "b": 2}]


async def test_cursor_streams_and_fetches_once():
    """A cursor hands out its page in order, by iteration or in parts, whatever is written after its first fetch."""
    collection = MemoryCollection(documents=[{"_id": n} for n in range(4)])
    cursor = collection.find().sort("_id", -1).limit(3).batch_size(1)
    first = await cursor.to_list(1)
    await collection.delete_one({"_id": 2})
    assert first + [document async for document in cursor] == [{"_id": 3}, {"_id": 2}, {"_id": 1}]


async def test_snapshot_and_fingerprint():
    """A snapshot brings the contents back, and fingerprints are equal exactly when contents are."""
    numbers = {}

    class Numbers(dict):
        def __missing__(self, key):
            self[key] = len(self)
            return self[key]

    numbers = Numbers()
    collection = MemoryCollection(documents=[{"_id": 1, "a": 1}])
    before, snapshot = collection.fingerprint(numbers), collection.snapshot()
    await collection.update_one({"_id": 1}, {"$set": {"a": 2}})
    assert collection.fingerprint(numbers) != before
    collection.restore(snapshot)
    assert collection.fingerprint(numbers) == before
    assert collection.stored(1) == {"_id": 1, "a": 1}


def test_gated_statement_waits_before_its_effect():
    """With a gate, a statement has no effect until it is resumed, and none if it is cancelled there."""
    collection = MemoryCollection(gate=Gate())

    async def insert(id):
        await collection.insert_one({"_id": id})

    waiting = insert(1)
    assert waiting.send(None).name == "insert_one"
    assert list(collection.documents()) == []
    with pytest.raises(asyncio.CancelledError):
        waiting.throw(asyncio.CancelledError())
    assert list(collection.documents()) == []
    resumed = insert(2)
    resumed.send(None)
    with pytest.raises(StopIteration):
        resumed.send(None)
    assert list(collection.documents()) == [{"_id": 2}]
