"""The obligations of `V2Store`, in the words of its docstrings, on every driver."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, PyMongoError, WriteError

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.documents import born_clean
from lazymig.stores.keyset import Order
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import Applied, Put, StoredV2, Unmoved

NOW = datetime(2024, 5, 1, 12)
LATER = NOW + timedelta(seconds=1)
META = "_lazymig"
#: Stands for a time that a store wrote a moment ago.
RECENT: Any = "just now"


@pytest.fixture
def collection(database: Any) -> Any:
    """V2's collection."""
    return database["v2"]


@pytest.fixture
def store(collection: Any) -> V2Store:
    """The port to it; its marks are written by the server's clock, or in memory by the machine's."""
    return V2Store(collection)


def live(id: Any = 1, rev: int = 3, intent: int = 3, **meta: Any) -> dict[str, Any]:
    """A V2 document with a body."""
    return {"_id": id, "first": "Ada", "note": "x", META: {"rev": rev, "intent": intent, **meta}}


def tombstone(id: Any = 1, rev: int = 3, intent: int = 3, at: datetime = NOW) -> dict[str, Any]:
    """What a delete leaves."""
    return {"_id": id, META: {"rev": rev, "intent": intent, "gone": True, "at": at}}


def timed(document: Any) -> dict[str, Any]:
    """A document whose mark, if it was written just now, is distinguished from all fixed times."""
    meta = dict(document[META]) if isinstance(document.get(META), dict) else document.get(META)
    if isinstance(meta, dict) and "at" in meta and abs(SYSTEM_CLOCK.now() - meta["at"]) < timedelta(minutes=1):
        meta["at"] = RECENT
    return {**document, META: meta}


async def only(collection: Any) -> dict[str, Any]:
    """The one stored document."""
    (document,) = await collection.find().to_list(None)
    return timed(document)


async def test_find_finds_one_document_with_its_meta_data(store: V2Store, collection: Any) -> None:
    """Find one document: its revision, intent, mark, and whether it is gone."""
    await collection.insert_many([live(1, 3, 4, at=NOW), tombstone(2)])
    found = await store.find(1)
    assert found == StoredV2(1, 3, 4, False, NOW, live(1, 3, 4, at=NOW))
    buried = await store.find(2)
    assert buried is not None
    assert buried.gone
    assert await store.find(3) is None


@pytest.mark.parametrize(
    ("document", "clean"),
    [(live(), True), (live(intent=4), False), (tombstone(), False), (tombstone(rev=-1, intent=1), False)],
    ids=["live", "announced", "tombstone", "placeholder"],
)
async def test_only_a_live_document_without_an_open_announcement_is_clean(
    store: V2Store, collection: Any, document: Any, clean: bool
) -> None:
    """Clean: live, and no announced write is open."""
    await collection.insert_one(document)
    found = await store.find(1)
    assert found is not None
    assert found.clean is clean


async def test_find_many_finds_these_documents_and_leaves_missing_ids_out(store: V2Store, collection: Any) -> None:
    """Find these documents by one statement; missing ids are left out."""
    await collection.insert_many([live(id, id, id) for id in range(300)])
    found = await store.find_many([*range(250), 999])
    assert {id: stored.revision for id, stored in found.items()} == {id: id for id in range(250)}


async def test_find_each_finds_the_same(store: V2Store, collection: Any) -> None:
    """The same in any order, each decoded when its turn comes: equal to what find_many decodes at once."""
    await collection.insert_many([live(id, id, id, at=NOW) for id in range(300)])
    found = await store.find_each([*range(250), 999])
    assert not isinstance(found, (list, dict))
    assert {stored.id: stored for stored in found} == await store.find_many(range(250))


async def test_ticket_raises_the_intent_by_one_and_marks_the_time(store: V2Store, collection: Any) -> None:
    """Raise the intent by one, mark the time; returns the document as it stands afterwards."""
    await collection.insert_one(live())
    seen = await store.ticket(1)
    assert await only(collection) == live(intent=4, at=RECENT)
    assert (seen.id, seen.revision, seen.intent, seen.gone) == (1, 3, 4, False)
    assert timed(seen.document) == live(intent=4, at=RECENT)
    assert seen.clean_before_ticket
    assert not (await store.ticket(1)).clean_before_ticket
    assert await only(collection) == live(intent=5, at=RECENT)


async def test_ticket_creates_a_placeholder_if_need_be(store: V2Store, collection: Any) -> None:
    """A placeholder is gone and at revision -1."""
    seen = await store.ticket(1)
    assert await only(collection) == {
        "_id": 1,
        META: {"rev": -1, "intent": 1, "by": "write", "gone": True, "at": RECENT},
    }
    assert (seen.intent, seen.clean_before_ticket) == (1, False)


async def test_ticket_leaves_a_tombstone_gone(store: V2Store, collection: Any) -> None:
    """An announcement brings nothing back to life."""
    await collection.insert_one(tombstone())
    assert not (await store.ticket(1)).clean_before_ticket
    assert await only(collection) == tombstone(intent=4, at=RECENT)


async def test_vacant_ticket_announces_where_v2_holds_nothing_live(store: V2Store, collection: Any) -> None:
    """The same for an insert: on nothing, and on what a delete left."""
    first = await store.vacant_ticket(1)
    made = {"rev": -1, "intent": 1, "by": "write", "gone": True, "at": RECENT}
    assert await only(collection) == {"_id": 1, META: made}
    second = await store.vacant_ticket(1)
    assert first is not None
    assert second is not None
    assert (first.intent, second.intent) == (1, 2)
    await collection.insert_one(tombstone(2, 7, 7))
    third = await store.vacant_ticket(2)
    assert third is not None
    assert third.intent == 8


@pytest.mark.parametrize("stands", [live(), live(intent=5, at=NOW)], ids=["clean", "dirty"])
async def test_vacant_ticket_none_a_live_document_stands(store: V2Store, collection: Any, stands: Any) -> None:
    """None: a live document stands, nothing was changed."""
    await collection.insert_one(stands)
    assert await store.vacant_ticket(1) is None
    assert await only(collection) == stands


async def test_a_ticket_that_another_unique_index_refuses_is_the_callers_to_know(
    store: V2Store, collection: Any
) -> None:
    """Two placeholders under a unique index without `sparse` both hold null; that is no lost race."""
    await collection.create_index("first", unique=True)
    await store.vacant_ticket(1)
    with pytest.raises(DuplicateKeyError):
        await store.vacant_ticket(2)
    assert (await only(collection))["_id"] == 1


async def test_raise_intent_announces_at_this_intent_at_least(store: V2Store, collection: Any) -> None:
    """Announce a write at this intent at least, and mark the time."""
    await collection.insert_one(live())
    await store.raise_intent(1, 9)
    assert await only(collection) == live(intent=9, at=RECENT, raised=1)


async def test_raise_intent_never_lowers(store: V2Store, collection: Any) -> None:
    """Never lowers."""
    await collection.insert_one(live(intent=9, at=NOW))
    await store.raise_intent(1, 5)
    assert await only(collection) == live(intent=9, at=RECENT, raised=1)


async def test_raise_intent_creates_a_placeholder_where_v2_was_purged(store: V2Store, collection: Any) -> None:
    """The announcement must stand even where V2 lost the document meanwhile."""
    await store.raise_intent(1, 5)
    made = {"rev": -1, "intent": 5, "by": "write", "gone": True, "at": RECENT, "raised": 1}
    assert await only(collection) == {"_id": 1, META: made}


async def test_put_if_absent_stores_a_clean_body(store: V2Store, collection: Any) -> None:
    """Store a body for an entity that V2 does not know."""
    assert await store.put_if_absent(1, {"first": "Ada"}, 4) is Put.STORED
    assert await only(collection) == {"_id": 1, "first": "Ada", META: {"rev": 4, "intent": 4, "by": "read"}}


@pytest.mark.parametrize("by", ["read", "sweep", None])
async def test_who_brought_an_entity_is_said_once(store: V2Store, collection: Any, by: Any) -> None:
    """Who made a document stands in it for good, whatever is announced, stored or deleted later; older ones lack it."""
    said = {} if by is None else {"by": by}
    await collection.insert_one({"_id": 1, "first": "Ada", META: {"rev": 3, "intent": 3, **said}})
    await store.ticket(1)
    await store.raise_intent(1, 5)
    await store.apply(1, {"first": "Bob"}, 5)
    assert (await only(collection))[META] == {"rev": 5, "intent": 5, **said}
    await store.bury(1, 6)
    await store.vacant_ticket(1)
    await store.apply(1, {"first": "Eve"}, 7)
    assert (await only(collection))[META] == {"rev": 7, "intent": 7, **said}


async def test_purge_looks_at_other_fields_only(store: V2Store, collection: Any) -> None:
    """A remainder is removed whoever made it."""
    for id in (1, 2):
        await collection.insert_one(tombstone(id))
    await collection.update_one({"_id": 2}, {"$set": {f"{META}.by": "write"}})
    assert [await store.purge(seen) for seen in (await store.find_many([1, 2])).values()] == [True, True]
    assert await collection.count_documents({}) == 0


@pytest.mark.parametrize("stands", [live(), tombstone()], ids=["live", "tombstone"])
async def test_put_if_absent_lost_somebody_was_faster(store: V2Store, collection: Any, stands: Any) -> None:
    """LOST: somebody was faster, nothing was changed."""
    await collection.insert_one(stands)
    assert await store.put_if_absent(1, {"first": "Bob"}, 9) is Put.LOST
    assert await only(collection) == stands


async def test_put_if_absent_refused_by_a_unique_index(store: V2Store, collection: Any) -> None:
    """REFUSED: a unique index other than `_id` has the value already, nothing was changed."""
    await collection.create_index("first", unique=True)
    await collection.insert_one(live())
    assert await store.put_if_absent(2, {"first": "Ada"}, 1) is Put.REFUSED
    assert await only(collection) == live()


async def test_put_many_has_outcomes_in_the_same_order(store: V2Store, collection: Any) -> None:
    """The same for many documents, by one unordered statement; outcomes in the same order."""
    await collection.create_index("last", unique=True)
    await collection.insert_one({"_id": 2, "last": "taken", META: {"rev": 1, "intent": 1}})
    names = {1: "a", 2: "b", 3: "taken", 4: "d"}
    puts = await store.put_many([born_clean(id, {"last": name}, 5, "sweep") for id, name in names.items()])
    assert puts == [Put.STORED, Put.LOST, Put.REFUSED, Put.STORED]
    assert {row["_id"]: row["last"] async for row in collection.find()} == {1: "a", 2: "taken", 4: "d"}
    assert await collection.find_one({"_id": 1}) == {
        "_id": 1,
        "last": "a",
        META: {"rev": 5, "intent": 5, "by": "sweep"},
    }


@pytest.mark.parametrize("durable", [False, True])
async def test_put_many_without_a_conflict_stores_all(store: V2Store, collection: Any, durable: bool) -> None:
    """All stored, whether the majority is waited for or not."""
    puts = await store.put_many([born_clean(id, {"first": "x"}, 1, "sweep") for id in range(3)], durable=durable)
    assert puts == [Put.STORED] * 3
    assert await collection.count_documents({}) == 3


@pytest.mark.parametrize("own", [False, True])
async def test_apply_brings_v2_up_to_a_revision(store: V2Store, collection: Any, own: bool) -> None:
    """Set the body, unset what it lacks, and take off the mark if no write is open."""
    await collection.insert_one(live(intent=4, at=NOW))
    assert await store.apply(1, {"first": "Bob", "last": "B"}, 4, own=own) is Applied.APPLIED
    assert await only(collection) == {"_id": 1, "first": "Bob", "last": "B", META: {"rev": 4, "intent": 4}}


async def test_apply_brings_a_gone_document_to_life(store: V2Store, collection: Any) -> None:
    """The body of an insert lands on a placeholder or a tombstone."""
    await collection.insert_one(tombstone(intent=4))
    assert await store.apply(1, {"first": "Bob"}, 4) is Applied.APPLIED
    assert await only(collection) == {"_id": 1, "first": "Bob", META: {"rev": 4, "intent": 4}}


async def test_apply_never_lowers_the_intent_and_leaves_a_rivals_mark(store: V2Store, collection: Any) -> None:
    """Never lowers the intent, so it cannot swallow a rival's announcement: the mark stays with it."""
    await collection.insert_one(live(intent=6, at=NOW))
    assert await store.apply(1, {"first": "Bob"}, 4) is Applied.APPLIED
    assert await only(collection) == {"_id": 1, "first": "Bob", META: {"rev": 4, "intent": 6, "at": NOW}}


async def test_apply_leaves_the_body_exactly(store: V2Store, collection: Any) -> None:
    """This body exactly: no key of an earlier one remains, no matter what wrote it."""
    await collection.insert_one(live() | {"theirs": 1, "nickName": {"a": [1]}})
    await store.apply(1, {"first": "Bob"}, 4)
    assert await only(collection) == {"_id": 1, "first": "Bob", META: {"rev": 4, "intent": 4}}
    await collection.update_one({"_id": 1}, {"$set": {"theirs": 1}})
    await store.bury(1, 5)
    assert await only(collection) == tombstone(rev=5, intent=5, at=RECENT)


@pytest.mark.parametrize(
    "body",
    [
        {"deep": {"a.b": 1, "c": {"d.e": {"f": [{"g.h": 2}]}}}},
        {"text": "$first", "list": ["$$NOW", {"x": "$_id"}], "sub": {"y": "$$REMOVE"}},
        {"cond": {"if": True}, "literal": {"literal": 1}, "": 1},
    ],
    ids=["dots", "what looks like an expression", "what looks like an operator"],
)
async def test_apply_takes_the_body_for_what_it_is(store: V2Store, collection: Any, body: Any) -> None:
    """A body is a literal: nothing in it is evaluated, and nested names may hold dots."""
    await collection.insert_one(live(intent=4, at=NOW))
    assert await store.apply(1, body, 4) is Applied.APPLIED
    assert await only(collection) == {"_id": 1, **body, META: {"rev": 4, "intent": 4}}


async def test_an_apply_says_which_conversion_made_the_body(collection: Any) -> None:
    """The body's conversion revision stands beside it, missing for the first; that of a body carried on is its own."""
    store = V2Store(collection, conv=3)
    await collection.insert_one(live())
    await store.apply(1, {"first": "Bob"}, 4)
    assert (await only(collection))[META] == {"rev": 4, "intent": 4, "conv": 3}
    await store.apply(1, {"first": "Bob"}, 5, conv=7)
    assert (await only(collection))[META]["conv"] == 7
    await V2Store(collection).apply(1, {"first": "Bob"}, 6)
    assert (await only(collection))[META] == {"rev": 6, "intent": 6}


async def test_a_repair_goes_over_the_conversion_that_it_was_made_with(collection: Any) -> None:
    """NEWER where another release has stored its body at the same revision meanwhile."""
    store = V2Store(collection, conv=2)
    await collection.insert_one(live())
    seen = await store.find(1)
    assert seen is not None
    assert await V2Store(collection, conv=3).apply(1, {"first": "Eve"}, 3, over=seen) is Applied.APPLIED
    assert await store.apply(1, {"first": "Bob"}, 3, over=seen) is Applied.NEWER
    assert await only(collection) == {"_id": 1, "first": "Eve", META: {"rev": 3, "intent": 3, "conv": 3}}


async def test_apply_many_is_apply_for_many(store: V2Store, collection: Any) -> None:
    """`apply` over what was seen, for many by one statement; who was changed meanwhile stays as it is."""
    await collection.insert_many([live(id) for id in (1, 2, 3)])
    seen = await store.find_many([1, 2, 3])
    await collection.update_one({"_id": 2}, {"$set": {f"{META}.rev": 4, f"{META}.intent": 4}})
    await store.apply_many([(seen[id], {"first": "Bob"}, 3) for id in (1, 2, 3)])
    first = {row["_id"]: (row["first"], row[META]["rev"]) async for row in collection.find()}
    assert first == {1: ("Bob", 3), 2: ("Ada", 4), 3: ("Bob", 3)}


async def test_vacate_leaves_no_body_and_announces(store: V2Store, collection: Any) -> None:
    """Leave no body, and announce an insert at this ticket; only over what was seen. Late bodies find it taken."""
    await collection.insert_one(live(rev=3, intent=4, at=NOW) | {"theirs": 1})
    seen = await store.find(1)
    assert seen is not None
    assert await store.vacate(seen, 9) is True
    left = {"rev": 4, "intent": 9, "gone": True, "at": RECENT, "inserts": [9]}
    assert await only(collection) == {"_id": 1, META: left}
    assert await store.vacate(seen, 9) is False
    assert await store.apply(1, {"first": "late"}, 3, own=True) is Applied.NEWER


async def test_withdraw_takes_the_last_announcement_back(store: V2Store, collection: Any) -> None:
    """V2 is as it was before: clean, or without the placeholder that the ticket made."""
    await collection.insert_one(live())
    assert await store.withdraw(await store.ticket(1)) is True
    assert await only(collection) == live()
    await collection.delete_one({"_id": 1})
    assert await store.withdraw(await store.ticket(1)) is True
    assert await collection.count_documents({}) == 0


@pytest.mark.parametrize("what", ["ticket", "raise"])
async def test_withdraw_false_somebody_has_announced_more(store: V2Store, collection: Any, what: str) -> None:
    """False: somebody has announced more since, be it at the same number; nothing was done."""
    await collection.insert_one(live())
    seen = await store.ticket(1)
    await (store.ticket(1) if what == "ticket" else store.raise_intent(1, seen.intent))
    before = await only(collection)
    assert await store.withdraw(seen) is False
    assert await only(collection) == before


@pytest.mark.parametrize("stands", [live(intent=4, at=NOW), live(conv=2), tombstone(), tombstone(intent=5)])
async def test_withdraw_leaves_what_stood_before(store: V2Store, collection: Any, stands: Any) -> None:
    """An earlier announcement stays open, a tombstone stays one; only the mark is younger."""
    await collection.insert_one(stands)
    assert await store.withdraw(await store.ticket(1)) is True
    mark = {"at": RECENT} if "at" in stands[META] else {}
    assert await only(collection) == {**stands, META: {**stands[META], **mark}}


async def test_withdraw_of_what_v1_lacks_makes_nothing_clean(store: V2Store, collection: Any) -> None:
    """`missing`: a live document stays dirty, though a reader brought it meanwhile; a placeholder is removed."""
    placed = await store.ticket(1)
    assert await store.apply(1, {"first": "Ada"}, 0, over=placed) is Applied.APPLIED
    assert await store.withdraw(placed, missing=True) is False
    assert (await only(collection))[META]["intent"] == 1
    await collection.replace_one({"_id": 1}, live())
    assert await store.withdraw(await store.ticket(1), missing=True) is False
    await collection.delete_one({"_id": 1})
    assert await store.withdraw(await store.ticket(1), missing=True) is True
    assert await collection.count_documents({}) == 0


async def test_withdraw_takes_the_mark_of_what_was_closed_meanwhile(store: V2Store, collection: Any) -> None:
    """The writer before has brought its body meanwhile: nothing is open, and V2 answers again."""
    await collection.insert_one(live())
    await store.ticket(1)
    second = await store.ticket(1)
    await store.apply(1, {"first": "Bob"}, 4, own=True)
    assert await store.withdraw(second) is True
    assert await only(collection) == {"_id": 1, "first": "Bob", META: {"rev": 4, "intent": 4}}


@pytest.mark.parametrize(("revision", "own"), [(2, False), (3, False), (2, True)])
async def test_apply_newer_v2_is_at_this_revision_or_past_it(
    store: V2Store, collection: Any, revision: int, own: bool
) -> None:
    """NEWER: V2 is at this revision or past it, and nothing was changed."""
    await collection.insert_one(live())
    assert await store.apply(1, {"first": "Bob"}, revision, own=own) is Applied.NEWER
    assert await only(collection) == live()


async def test_apply_by_its_writer_may_overwrite_a_repair_at_the_same_revision(store: V2Store, collection: Any) -> None:
    """`own` overwrites a body at the same revision: a reader's repair lacks what V1 cannot express."""
    await collection.insert_one(live())
    assert await store.apply(1, {"first": "Ada", "note": "kept"}, 3, own=True) is Applied.APPLIED
    assert await only(collection) == {"_id": 1, "first": "Ada", "note": "kept", META: {"rev": 3, "intent": 3}}


@pytest.mark.parametrize("intent", [5, 6])
async def test_apply_over_a_revision_goes_over_no_other(store: V2Store, collection: Any, intent: int) -> None:
    """A repair goes only `over` the revision it was made with: NEWER, and nothing was changed, at any other."""
    await collection.insert_one(live(intent=intent, at=NOW))
    seen = await store.find(1)
    assert seen is not None
    for other in (2, 4):
        assert await store.apply(1, {"first": "Bob"}, 5, over=seen._replace(revision=other)) is Applied.NEWER
        assert await only(collection) == live(intent=intent, at=NOW)
    assert await store.apply(1, {"first": "Bob"}, 5, over=seen) is Applied.APPLIED
    mark = {"at": NOW} if intent > 5 else {}
    assert await only(collection) == {"_id": 1, "first": "Bob", META: {"rev": 5, "intent": intent, **mark}}


async def test_apply_creates_what_was_purged_but_no_repair_does(store: V2Store, collection: Any) -> None:
    """NEWER for an absent document with `over`; created without it."""
    seen = StoredV2(1, 3, 4, False, NOW, {})
    assert await store.apply(1, {"first": "Bob"}, 4, over=seen) is Applied.NEWER
    assert await collection.count_documents({}) == 0
    assert await store.apply(1, {"first": "Bob"}, 4) is Applied.APPLIED
    assert await only(collection) == {"_id": 1, "first": "Bob", META: {"rev": 4, "intent": 4}}


async def test_apply_refused_by_a_unique_index(store: V2Store, collection: Any) -> None:
    """REFUSED: V2 refuses the body for good, and stays dirty."""
    await collection.create_index("last", unique=True, sparse=True)
    await collection.insert_many([{"_id": 2, "last": "taken"}, live(intent=4, at=NOW)])
    assert await store.apply(1, {"last": "taken"}, 4) is Applied.REFUSED
    assert await collection.find_one({"_id": 1}) == live(intent=4, at=NOW)


async def test_bury_makes_v2_a_tombstone(store: V2Store, collection: Any) -> None:
    """Make V2 a tombstone of a delete at this revision: no body, gone, and the time of it."""
    await collection.insert_one(live(intent=4, at=NOW))
    assert await store.bury(1, 4) is Applied.APPLIED
    assert await only(collection) == tombstone(rev=4, intent=4, at=RECENT)


async def test_bury_like_apply_otherwise(store: V2Store, collection: Any) -> None:
    """Like `apply` otherwise: it never lowers the intent, yields to a later revision, and creates what was purged."""
    await collection.insert_one(live(intent=6, at=NOW))
    assert await store.bury(1, 3) is Applied.NEWER
    assert await only(collection) == live(intent=6, at=NOW)
    assert await store.bury(1, 4) is Applied.APPLIED
    assert await only(collection) == tombstone(rev=4, intent=6, at=RECENT)
    await collection.delete_one({"_id": 1})
    assert await store.bury(1, 7) is Applied.APPLIED
    assert await only(collection) == tombstone(rev=7, intent=7, at=RECENT)


async def test_bury_works_for_a_class_without_other_fields(collection: Any) -> None:
    """An entity may be nothing but its id: an empty $unset would be refused."""
    store = V2Store(collection)
    await collection.insert_one({"_id": 1, META: {"rev": 1, "intent": 2, "at": NOW}})
    assert await store.bury(1, 2) is Applied.APPLIED
    assert await only(collection) == tombstone(rev=2, intent=2, at=RECENT)


async def test_purge_removes_a_document_that_is_still_just_as_it_was_seen(store: V2Store, collection: Any) -> None:
    """Remove a document if it is still just as it was seen."""
    await collection.insert_many([tombstone(1), tombstone(2)])
    seen = await store.find(1)
    assert seen is not None
    assert await store.purge(seen) is True
    assert await only(collection) == tombstone(2)


@pytest.mark.parametrize(
    "changed",
    [tombstone(rev=4), tombstone(intent=4), tombstone(at=LATER), live()],
    ids=["revision", "intent", "time", "live"],
)
async def test_purge_false_it_has_changed(store: V2Store, collection: Any, changed: Any) -> None:
    """False: it has changed, nothing was removed."""
    await collection.insert_one(tombstone())
    seen = await store.find(1)
    assert seen is not None
    await collection.replace_one({"_id": 1}, changed)
    assert await store.purge(seen) is False
    assert await only(collection) == changed


async def test_marks_are_open_marks_and_tombstones_oldest_first(store: V2Store, collection: Any) -> None:
    """Open marks and tombstones older than `before`, oldest first, up to the limit."""
    older = NOW - timedelta(hours=1)
    documents = [
        live(1),
        live(2, intent=4, at=NOW),
        tombstone(3, at=older),
        tombstone(4, at=LATER),
        tombstone(5, at=NOW),
    ]
    await collection.insert_many(documents)
    assert [mark.id for mark in await store.marks(LATER, 10)] == [3, 2, 5]
    assert [mark.id for mark in await store.marks(LATER, 2)] == [3, 2]


async def test_ensure_mark_index_creates_the_sparse_index(store: V2Store, collection: Any) -> None:
    """Create the sparse index on `at`; asking twice is harmless."""
    await store.ensure_mark_index()
    await store.ensure_mark_index()
    index = (await collection.index_information())["lazymig_at"]
    assert list(index["key"]) == [("_lazymig.at", 1)]
    assert index["sparse"] is True


async def test_other_write_errors_pass_through(server_database: Any) -> None:
    """Driver errors pass through unchanged: an announcement that fails is raised, a body that fails is refused."""
    collection = server_database["v2"]
    store = V2Store(collection)
    # The revision cannot be set below a value that is no document: the server's error 28, PathNotViable.
    await collection.insert_one({"_id": 1, META: 5})
    with pytest.raises(WriteError):
        await store.raise_intent(1, 2)
    assert await only(collection) == {"_id": 1, META: 5}


@pytest.mark.parametrize(
    "error",
    [BulkWriteError({"writeErrors": [{"index": 0, "code": 8000, "errmsg": "quota"}]}), AutoReconnect("gone")],
    ids=["a write error", "a lost connection"],
)
@pytest.mark.parametrize("driver", ["mock"])
async def test_put_many_raises_what_is_no_refusal(
    store: V2Store, monkeypatch: pytest.MonkeyPatch, error: PyMongoError
) -> None:
    """An error of another kind is not an outcome."""

    class Failing:
        async def insert_many(self, *_: Any, **__: Any) -> None:
            raise error

    monkeypatch.setattr(store, "_quick", Failing())
    with pytest.raises(type(error)) as caught:
        await store.put_many([born_clean(1, {}, 1, "read")])
    assert caught.value is error


async def test_a_validators_refusal_is_an_outcome(server_database: Any) -> None:
    """REFUSED: a validator, on each way into V2."""
    await server_database.create_collection("v2", validator={"first": {"$ne": "bad"}})
    collection = server_database["v2"]
    store = V2Store(collection)
    await collection.insert_one(live(intent=4, at=NOW))
    assert await store.put_if_absent(2, {"first": "bad"}, 1) is Put.REFUSED
    assert await store.put_many([born_clean(2, {"first": "bad"}, 1, "sweep")]) == [Put.REFUSED]
    assert await store.apply(1, {"first": "bad"}, 4) is Applied.REFUSED
    assert await only(collection) == live(intent=4, at=NOW)


@pytest.mark.parametrize("beyond", [0, 1024 * 1024], ids=["refused by the server", "refused by the driver"])
async def test_a_document_that_is_too_large_is_an_outcome(server_database: Any, beyond: int) -> None:
    """REFUSED: over 16 MB, on each way into V2; among many the others are stored."""
    collection = server_database["v2"]
    store = V2Store(collection)
    huge = {"first": "x" * (16 * 1024 * 1024 + beyond)}
    assert await store.put_if_absent(1, huge, 1) is Put.REFUSED
    puts = await store.put_many([born_clean(id, body, 1, "sweep") for id, body in ((1, {}), (2, huge), (3, {}))])
    assert [put is Put.REFUSED for put in puts] == [False, True, False]
    assert await store.apply(1, huge, 4) is Applied.REFUSED
    assert [row["_id"] async for row in collection.find().sort("_id", 1)] == [1, 3]
    assert (await collection.find_one({"_id": 1}))[META]["rev"] == 1


async def test_why_refused_tells_the_reason_without_contents(server_database: Any) -> None:
    """The error's class and its reason, in words without contents; two empty strings: nothing refuses it any more."""
    await server_database.create_collection("v2", validator={"first": {"$ne": "bad"}})
    collection = server_database["v2"]
    await collection.create_index("last", unique=True, sparse=True)
    store = V2Store(collection)
    await collection.insert_one({"_id": 1, "last": "secret"})
    unique = await store.why_refused(born_clean(2, {"last": "secret"}, 1, "sweep"))
    assert unique == ("DuplicateKeyError", "V2's unique index on last has another entity with the same values")
    assert await store.why_refused(born_clean(2, {"first": "bad"}, 1, "sweep")) == (
        "WriteError",
        "V2's validator refuses the document",
    )
    too_large = await store.why_refused(born_clean(2, {"first": "x" * (17 * 1024 * 1024)}, 1, "sweep"))
    assert too_large == ("DocumentTooLarge", "V2's document is larger than MongoDB allows (16 MB)")
    assert await collection.count_documents({}) == 1
    assert await store.why_refused(born_clean(2, {"first": "good"}, 1, "sweep")) == ("", "")
    assert await store.why_refused(born_clean(2, {"first": "good"}, 1, "sweep")) == ("", "")
    assert await collection.count_documents({}) == 2


async def test_open_marks_finds_what_is_announced(store: V2Store, collection: Any) -> None:
    """Open announcements, of live documents, placeholders and tombstones, oldest first, also in parts; nothing else."""
    ages = [NOW + timedelta(seconds=seconds) for seconds in range(4)]
    await collection.insert_many(
        [
            live(1, intent=4, at=ages[2]), live(2), tombstone(3), tombstone(4, intent=9, at=ages[3]),
            {"_id": 5, META: {"rev": -1, "intent": 1, "gone": True, "at": ages[1]}}, {"_id": 6, META: {"at": NOW}},
        ]
    )  # fmt: skip
    found = await store.open_marks(10)
    assert [(seen.id, seen.revision, seen.intent, seen.gone) for seen in found] == [
        (5, -1, 1, True),
        (1, 3, 4, False),
        (4, 3, 9, True),
    ]
    first = await store.open_marks(2)
    assert [seen.id for seen in first] == [5, 1]
    assert [seen.id for seen in await store.open_marks(2, first[-1])] == [4]
    remembering = V2Store(collection, remembers=True)
    assert (await remembering.open_marks(10))[1].document["first"] == "Ada"


async def test_page_finds_bodies_in_order(store: V2Store, collection: Any) -> None:
    """Bodies after a document, dirty ones too, as the primary has them; what is gone is left out."""
    ages = [5, 3, None, 3, 8]
    await collection.insert_many([{**live(id, intent=3 + id % 2), "age": age} for id, age in enumerate(ages)])
    await collection.insert_one(tombstone(9))
    question, order = store.question({"first": "Ada"}), Order("age", -1)
    first = await store.page(question, order, 2)
    assert [(row.id, row.intent) for row in first if isinstance(row, StoredV2)] == [(4, 3), (0, 3)]
    assert (await store.page(question, order, 9, first.document_at(-1))).ids == [3, 1, 2]


async def test_count_counts_bodies_but_for_some(store: V2Store, collection: Any) -> None:
    """The bodies that match, but for those of the entities that are left out."""
    await collection.insert_many([live(1), live(2, intent=4), tombstone(3), {**live(4), "first": "Eve"}])
    assert [await store.count({}), await store.count({"first": "Ada"})] == [3, 2]
    assert [await store.count({}, [2, 3]), await store.count({"first": "Ada"}, [1, 2])] == [2, 0]


async def test_bury_leaves_the_body_of_a_later_entity(store: V2Store, collection: Any) -> None:
    """NEWER: V2 is past the entity that was deleted, also where V1 had no revision of it."""
    await collection.insert_many([live(1, rev=5, intent=9), live(2, rev=5, intent=9)])
    assert await store.bury(1, 9, since=4) is Applied.NEWER
    assert (await collection.find_one({"_id": 1})) == live(1, rev=5, intent=9)
    assert await store.bury(1, 9, since=5) is Applied.APPLIED
    assert await store.bury(2, 9, since=0) is Applied.NEWER
    assert await store.bury(2, 9) is Applied.APPLIED
    assert [row[META]["gone"] async for row in collection.find()] == [True, True]


# ---- entities without a body ----------------------------------------------------------------------------------------

WAITING = Unmoved("waiting", "no name", {"first": "Ada", "note": "x"}, 2)


async def test_bury_leaves_an_entity_that_waits_at_its_revision(store: V2Store, collection: Any) -> None:
    """It has no body either, and is no tombstone: V1 holds it."""
    assert await store.apply(1, WAITING, 4, own=True) is Applied.APPLIED
    before = await only(collection)
    assert await store.bury(1, 4) is Applied.NEWER
    assert await only(collection) == before


def unmoved(id: Any = 1, rev: int = 3, intent: int = 3, **meta: Any) -> dict[str, Any]:
    """What says why V1's entity has no body, and keeps the body before."""
    kept = {"conv": 2, "body": {"first": "Ada", "note": "x"}}
    said = {"gone": True, "unmoved": "waiting", "reason": "no name", "kept": kept}
    return {"_id": id, META: {"rev": rev, "intent": intent, **said, **meta}}


async def test_apply_stores_why_there_is_no_body(store: V2Store, collection: Any) -> None:
    """Nothing of the body before remains but what is kept; the mark goes, and the decision is read back."""
    await collection.insert_one(live(1, 2, 3, at=NOW))
    assert await store.apply(1, WAITING, 3, own=True) is Applied.APPLIED
    assert await only(collection) == unmoved()
    seen = await store.find(1)
    assert seen is not None
    assert seen.unmoved == WAITING
    assert seen.unmoved.kept == WAITING.kept
    assert (seen.clean, seen.settled) == (False, True)
    assert seen.with_kept_body() == StoredV2(1, 3, 3, False, None, {"_id": 1, "first": "Ada", "note": "x"}, 2)


async def test_apply_over_why_there_is_no_body(store: V2Store, collection: Any) -> None:
    """A body takes the place of the decision; an announcement since then keeps its mark."""
    await collection.insert_one(unmoved(1, 3, 5, at=NOW))
    assert await store.apply(1, {"first": "Eve"}, 4, own=True) is Applied.APPLIED
    assert await only(collection) == {"_id": 1, "first": "Eve", META: {"rev": 4, "intent": 5, "at": NOW}}


async def test_put_many_stores_why_there_is_no_body(store: V2Store, collection: Any) -> None:
    """A sweep's documents may say why there is no body."""
    assert await store.put_many([store.born_clean(1, Unmoved("left"), 3, "sweep")]) == [Put.STORED]
    assert await only(collection) == {
        "_id": 1, META: {"rev": 3, "intent": 3, "by": "sweep", "gone": True, "unmoved": "left"}
    }  # fmt: skip


@pytest.mark.parametrize("remembers", [False, True])
async def test_vacant_ticket_leaves_what_v1_holds(collection: Any, remembers: bool) -> None:
    """Announce an insert where V2 holds nothing of an entity. None: it does; unchanged."""
    await collection.insert_one(unmoved())
    assert await V2Store(collection, remembers=remembers).vacant_ticket(1) is None
    assert await only(collection) == unmoved()


async def test_withdraw_keeps_why_there_is_no_body(store: V2Store, collection: Any) -> None:
    """V2 is as it was before the ticket, without a mark."""
    await collection.insert_one(unmoved())
    announced = await store.ticket(1)
    assert (await only(collection)) == unmoved(intent=4, at=RECENT)
    assert await store.withdraw(announced)
    assert await only(collection) == unmoved()


async def test_stale_finds_older_decisions_too(collection: Any) -> None:
    """Find documents that an older conversion made of V1's entity: bodies and decisions, and no tombstones."""
    await collection.insert_many([live(1), unmoved(2), tombstone(3), unmoved(4, conv=2), tombstone(5, -1, 1)])
    assert [seen.id for seen in await V2Store(collection, conv=2).stale({}, 10)] == [1, 2]


async def test_unmoved_finds_them_in_pages(store: V2Store, collection: Any) -> None:
    """Find entities without a body by V1's revision, waiting or left, in the order of ids; not those being written."""
    left = {"_id": 7, META: {"rev": 1, "intent": 1, "gone": True, "unmoved": "left"}}
    await collection.insert_many([unmoved(3), unmoved(1), unmoved(2, 3, 4, at=NOW), left, live(4), tombstone(5)])
    assert [seen.id for seen in await store.unmoved("waiting", 10)] == [1, 3]
    assert [seen.id for seen in await store.unmoved("waiting", 1, 1)] == [3]
    assert [seen.id for seen in await store.unmoved("left", 10)] == [7]
