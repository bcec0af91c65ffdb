"""Writes that share a statement end as the same writes sent one by one: drawn lists of them, with all that may fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import evolve, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from lazymig.stores.coalescing_alone import CoalescingAlone
from lazymig.stores.coalescing_wholes import CoalescingWholes
from lazymig.stores.mongo_wholes import WholeStore
from lazymig.stores.records import StoredV2, StoredWhole, WholeChange
from lazymig.stores.v2_alone import AloneStore
from lazymig.stores.whole_documents import spell_whole
from tests.clocks import CountingClock
from tests.widening import WIDENING

META = "_lazymig"
OF = b"0123456789abcdef"
#: A validator refuses the negative, and a unique index what another document has.
RULES = {"age": {"$not": {"$lt": 0}}}
STANDING: list[dict[str, Any]] = [
    {"_id": 1, "age": 1, "name": "a", "sub": {"x": [1]}, META: {"rev": 3, "intent": 3, "of": OF}},
    {"_id": 2, "age": 2, "name": None, META: {"rev": 3, "intent": 3, "by": "sweep", "of": OF}},
    {"_id": 3, "age": 3, META: {"rev": 3, "intent": 3}},
    {"_id": 4, "age": 4, "name": "b"},
]


@frozen
class Write:
    """A write of this document, seen at this revision, with this value held."""

    id: int
    revision: int
    age: int
    held: tuple[Any, ...]


WRITES = st.lists(
    st.builds(
        Write,
        id=st.integers(1, 6),
        revision=st.sampled_from([3, 3, 3, 9, 0]),
        age=st.sampled_from([10, 11, 12, 13, 14, 4, -1]),
        held=st.sampled_from([(), (), ("a",), (None,), ("b",), ({"x": [1]},)]),
    ),
    min_size=2,
    max_size=7,
)
KINDS = st.sampled_from(["insert", "change", "delete"])
EXAMPLES = settings(
    max_examples=300 if WIDENING.full else 15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


def whole_call(store: WholeStore, kind: str, one: Write) -> Awaitable[bool]:
    """A write of a document with both shapes."""
    known = one.revision > 0
    seen = StoredWhole(one.id, one.revision, {"_id": one.id}, OF if known and one.id < 3 else None, known=known)
    held = None
    if one.held:
        held = {"sub": one.held[0], "sub.x": [1]} if isinstance(one.held[0], dict) else {"name": one.held[0]}
    if kind == "insert":
        return store.insert(one.id, {"age": one.age}, spell_whole(7))
    if kind == "delete":
        return store.delete(seen, 90 + one.id, held)
    return store.change(WholeChange(seen, spell_whole(5), {"age": one.age}, ["name"], held))


async def delete_singly(store: WholeStore, writes: Sequence[Write]) -> list[Any]:
    """Each document gets its deleter's revision, whatever is held, and is deleted at that with what is held."""
    raised = []
    for one in writes:
        where = {f"{META}.rev": one.revision} if one.revision > 0 else {META: {"$exists": False}}
        update = {"$set": {f"{META}.rev": 90 + one.id}}
        raised.append((await store.collection.update_one({"_id": one.id, **where}, update)).matched_count == 1)
    return [
        done and await outcome_of(whole_call(store, "delete", evolve(one, revision=90 + one.id)))
        for one, done in zip(writes, raised, strict=True)
    ]


def alone_call(store: AloneStore, kind: str, one: Write) -> Awaitable[bool]:
    """A write of V2 as the only truth."""
    if kind == "insert":
        return store.insert(one.id, {"age": one.age}, 7)
    meta = {"by": "sweep"} if one.id == 2 else {}
    seen = StoredV2(one.id, one.revision, one.revision, False, None, {"_id": one.id, META: meta})
    if kind == "delete":
        return store.bury(seen)
    return store.replace(seen, {"age": one.age, "sub": {"$x": "$age", "a.b": [one.age]}})


async def outcome_of(call: Awaitable[bool]) -> Any:
    """The outcome, or what the error is."""
    try:
        return await call
    except Exception as error:
        return type(error), getattr(error, "code", None)


async def compare(
    database: Any,
    stores: Sequence[Any],
    call: Callable[[Any, str, Write], Awaitable[bool]],
    kind: str,
    writes: Sequence[Write],
) -> None:
    """Do the writes by one statement and one by one, from the same documents."""
    shared, single = stores
    for store in stores:
        await database[store.collection.name].delete_many({})
        await database[store.collection.name].insert_many(STANDING)
    # The first of many that begin together waits for the others, and is the last of them.
    last, *others = writes
    together = asyncio.gather(*(outcome_of(call(shared, kind, one)) for one in writes))
    writes = [*others, last]
    found = await together
    found = [*found[1:], found[0]]
    if kind == "delete" and call is whole_call:
        expected = await delete_singly(single, writes)
    else:
        expected = [await outcome_of(call(single, kind, one)) for one in writes]
    if kind == "change":
        # What the server refuses is sent again to learn why, after all of the others: one of them may have made room.
        for place, one in enumerate(writes):
            if isinstance(expected[place], tuple):
                expected[place] = await outcome_of(call(single, kind, one))
    assert found == expected, kind
    stored = [
        [{**row, META: {**row.get(META, {}), "at": 0}} async for row in store.collection.find(sort=[("_id", 1)])]
        for store in stores
    ]
    assert stored[0] == stored[1]


def run_examples(uri: str, open_stores: Callable[[Any], Sequence[Any]], call: Any) -> None:
    """Compare drawn writes, in one database."""
    with asyncio.Runner() as runner:
        client: Any = AsyncMongoClient(uri)
        database = client["test_shared_and_single"]
        try:
            runner.run(prepare(database))
            stores = open_stores(database)

            @EXAMPLES
            @given(KINDS, WRITES)
            def check(kind: str, writes: list[Write]) -> None:
                runner.run(compare(database, stores, call, kind, writes))

            check()
        finally:
            runner.run(client.drop_database(database.name))
            runner.run(client.close())


async def prepare(database: Any) -> None:
    """Two collections with the same rules."""
    for name in ("shared", "single"):
        await database.drop_collection(name)
        await database.create_collection(name, validator=RULES)
        await database[name].create_index("age", unique=True)


def test_writes_of_both_shapes_end_as_one_by_one(lazymig_server: Any) -> None:
    """Outcomes, errors and documents, for equal ids, wrong revisions, values that are held, and refusals."""
    run_examples(
        lazymig_server.uri,
        lambda database: (CoalescingWholes(database["shared"], 30.0), WholeStore(database["single"])),
        whole_call,
    )


def test_writes_of_v2_alone_end_as_one_by_one(lazymig_server: Any) -> None:
    """The same, where deletes leave tombstones."""
    check_alone(lazymig_server.uri, forgets=False)


def test_writes_of_v2_alone_that_forgets_end_as_one_by_one(lazymig_server: Any) -> None:
    """The same, where deletes leave nothing."""
    check_alone(lazymig_server.uri, forgets=True)


def check_alone(uri: str, *, forgets: bool) -> None:
    """Compare writes of V2 as the only truth."""
    run_examples(
        uri,
        lambda database: (
            CoalescingAlone(database["shared"], CountingClock(), 1, 30.0, forgets=forgets),
            AloneStore(database["single"], CountingClock(), forgets=forgets),
        ),
        alone_call,
    )
