"""Writes of two collections that share statements: announcements, compare-and-sets, inserts and deletes of V1.

Each has its own outcome, and what is stored is as if it had gone alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, DuplicateKeyError

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores.coalescing import CoalescingV1, CoalescingV2
from lazymig.stores.deleting import AnnouncedDelete, SharedDeletes
from lazymig.stores.documents import parse_v2
from lazymig.stores.failures import Outcome
from lazymig.stores.grouping import GuardedWrites
from lazymig.stores.records import StoredV2
from tests.contract.test_v2_store import RECENT, live, timed, tombstone

META, REV = "_lazymig", "_lazymig_rev"
pytestmark = pytest.mark.parametrize("driver", ["pymongo", "motor"])


@pytest.fixture
def v2(database: Any) -> CoalescingV2:
    """V2's store, as repositories open it."""
    return CoalescingV2(database["v2"], SYSTEM_CLOCK, 1, 20.0)


@pytest.fixture
def v1(database: Any, v2: CoalescingV2) -> CoalescingV1:
    """V1's store, as repositories open it."""
    return CoalescingV1(database["v1"], 20.0, find_v2=v2.find_many)


async def stored(collection: Any) -> dict[Any, Any]:
    """What the collection holds, by id."""
    found = await collection.find().to_list(None)
    return {document["_id"]: timed(document) if META in document else document for document in found}


# ---- announcements --------------------------------------------------------------------------------------------------


async def test_tickets_in_one_statement_are_what_single_ones_would_be(v2: CoalescingV2, database: Any) -> None:
    """Each returns V2's document as it stands afterwards: clean, dirty, gone, absent, and the same entity twice."""
    await database["v2"].insert_many([live(1), live(2, 3, 4), tombstone(3), live(5)])
    tickets = await asyncio.gather(*(v2.ticket(id) for id in (1, 2, 3, 4, 5, 5)))
    assert [(one.id, one.revision, one.intent, one.gone) for one in tickets] == [
        (1, 3, 4, False), (2, 3, 5, False), (3, 3, 4, True), (4, -1, 1, True), (5, 3, 4, False), (5, 3, 5, False),
    ]  # fmt: skip
    assert await stored(database["v2"]) == {
        1: live(1, 3, 4, at=RECENT), 2: live(2, 3, 5, at=RECENT), 5: live(5, 3, 5, at=RECENT),
        3: {"_id": 3, META: {"rev": 3, "intent": 4, "gone": True, "at": RECENT}},
        4: {"_id": 4, META: {"rev": -1, "by": "write", "gone": True, "intent": 1, "at": RECENT}},
    }  # fmt: skip


async def test_a_ticket_whose_document_changed_meanwhile_asks_again(
    v2: CoalescingV2, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process announces a write, and another stores an entity, between the read and the announcements."""
    await database["v2"].insert_many([live(1), live(2)])
    found = v2.find_many

    async def find_and_lose(ids: Sequence[Any]) -> dict[Any, Any]:
        seen = await found(ids)
        await database["v2"].update_one({"_id": 1}, {"$inc": {f"{META}.intent": 1}})
        await database["v2"].insert_one(live(3))
        return seen

    monkeypatch.setattr(v2, "find_many", find_and_lose)
    tickets = await asyncio.gather(*(v2.ticket(id) for id in (1, 2, 3)))
    assert [(one.revision, one.intent) for one in tickets] == [(3, 5), (3, 4), (3, 4)]
    assert {id: one[META]["intent"] for id, one in (await stored(database["v2"])).items()} == {1: 5, 2: 4, 3: 4}


@pytest.mark.parametrize("remembers", [False, True])
async def test_vacant_tickets_in_one_statement(database: Any, remembers: bool) -> None:
    """Announced where V2 has nothing or a tombstone, by its own step, and None where a live document stands."""
    v2 = CoalescingV2(database["v2"], SYSTEM_CLOCK, 1, 20.0, remembers=remembers)
    await database["v2"].insert_many([live(1), tombstone(2)])
    tickets = await asyncio.gather(*(v2.vacant_ticket(id, 70 + id) for id in (1, 2, 3)))
    assert [one and (one.id, one.revision, one.intent) for one in tickets] == [None, (2, 3, 75), (3, -1, 73)]
    held = await stored(database["v2"])
    assert held[1] == live(1)
    inserts = {"inserts": [73]} if remembers else {}
    assert held[3] == {
        "_id": 3,
        META: {"rev": -1, "by": "write", "gone": True, "intent": 73, "at": RECENT, **inserts},
    }
    assert tickets[2] is not None
    assert tickets[2].inserts == parse_v2(await database["v2"].find_one({"_id": 3})).inserts


async def test_documents_of_others_are_never_announced_in(v2: CoalescingV2, database: Any) -> None:
    """A document in V2's collection without lazymig's meta data stays as it is; the others get their tickets."""
    await database["v2"].insert_many([{"_id": 1, "first": "Eve"}, live(2), {"_id": 3, META: "theirs"}])
    tickets = await asyncio.gather(*(v2.ticket(id) for id in (2, 3)), return_exceptions=True)
    vacant = await asyncio.gather(*(v2.vacant_ticket(id, 7) for id in (1, 4)))
    assert isinstance(tickets[0], StoredV2)
    assert isinstance(tickets[1], Exception)
    assert vacant[0] is None
    held = await stored(database["v2"])
    assert (held[1], held[3]) == ({"_id": 1, "first": "Eve"}, {"_id": 3, META: "theirs"})


# ---- V1 -------------------------------------------------------------------------------------------------------------


async def test_compare_and_sets_in_one_statement_have_their_own_outcomes(v1: CoalescingV1, database: Any) -> None:
    """Done, at another revision, gone, without the revision's field, held otherwise, twice, and refused."""
    await database["v1"].create_index("email", unique=True, sparse=True)
    await database["v1"].insert_many([{"_id": id, "n": 0, REV: 3} for id in (1, 2, 5, 6, 7)] + [{"_id": 4, "n": 0}])
    await database["v1"].insert_one({"_id": 8, "email": "taken", REV: 3})
    calls = [
        v1.compare_and_set(1, 3, 4, {"n": 1}), v1.compare_and_set(2, 2, 4, {"n": 1}),
        v1.compare_and_set(3, 3, 4, {"n": 1}), v1.compare_and_set(4, 0, 1, {"n": 1}, ["x"]),
        v1.compare_and_set(5, 3, 4, {"n": 1}, held={"n": 9}), v1.compare_and_set(6, 3, 4, {"n": 1}),
        v1.compare_and_set(6, 3, 5, {"n": 2}), v1.compare_and_set(7, 3, 4, {"email": "taken"}),
    ]  # fmt: skip
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[:7] == [True, False, False, True, False, True, False]
    assert isinstance(outcomes[7], DuplicateKeyError)
    assert "taken" not in str(outcomes[7].details and outcomes[7].details.get("op", ""))
    held = await stored(database["v1"])
    assert {id: (one.get("n"), one.get(REV)) for id, one in held.items()} == {
        1: (1, 4), 2: (0, 3), 4: (1, 1), 5: (0, 3), 6: (1, 4), 7: (0, 3), 8: (None, 3),
    }  # fmt: skip


async def test_inserts_in_one_statement_have_their_own_outcomes(v1: CoalescingV1, database: Any) -> None:
    """Stored, taken, taken by another of them, and refused by another unique index."""
    await database["v1"].create_index("email", unique=True, sparse=True)
    await database["v1"].insert_many([{"_id": 1, REV: 3}, {"_id": 9, "email": "taken"}])
    calls = [v1.insert(id, fields, 7) for id, fields in ((1, {}), (2, {}), (2, {"n": 1}), (3, {"email": "taken"}))]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[:3] == [False, True, False]
    assert isinstance(outcomes[3], DuplicateKeyError)
    assert set(await stored(database["v1"])) == {1, 2, 9}


def announced(id: int) -> StoredV2:
    """V2's document after the announcement of a delete, which was clean before."""
    return StoredV2(id, 3, 4, False, None, {"_id": id})


async def prepare_deletes(database: Any, count: int) -> None:
    """As many entities on both sides, each with a delete announced."""
    await database["v1"].insert_many([{"_id": id, REV: 3} for id in range(1, count + 1)])
    await database["v2"].insert_many([live(id, 3, 4) for id in range(1, count + 1)])


async def delete_each(v1: CoalescingV1, v2: CoalescingV2, database: Any, ids: Sequence[int]) -> list[Outcome]:
    """The outcomes of deletes that share one statement."""
    shared = SharedDeletes(GuardedWrites(database["v1"]), v1.find_many_local, v2.find_many)
    return await shared.delete_each([AnnouncedDelete({"_id": id, REV: 3}, announced(id)) for id in ids])


async def test_deletes_in_one_statement_have_their_own_outcomes(
    v1: CoalescingV1, v2: CoalescingV2, database: Any
) -> None:
    """Another process has moved one of them, so the statement deletes fewer: the others are deleted, and it is not."""
    await prepare_deletes(database, 4)
    await database["v2"].update_one({"_id": 2}, {"$inc": {f"{META}.intent": 1}})
    await database["v1"].update_one({"_id": 2}, {"$set": {REV: 5}})
    calls = [v1.delete(id, 3, announced(id)) for id in (1, 2, 3, 4)]
    assert await asyncio.gather(*calls) == [True, False, True, True]
    assert await stored(database["v1"]) == {2: {"_id": 2, REV: 5}}


@pytest.mark.parametrize("trace", ["later announcement", "raised to the same number", "tombstone"])
async def test_what_another_process_deleted_is_not_deleted_here(
    v1: CoalescingV1, v2: CoalescingV2, database: Any, trace: str
) -> None:
    """Who deleted it announced that in V2: after it, by raising the intent to a number that it had, or to the end."""
    await prepare_deletes(database, 3)
    updates: dict[str, Any] = {
        "later announcement": {"$inc": {f"{META}.intent": 1}},
        "raised to the same number": {"$inc": {f"{META}.raised": 1}, "$max": {f"{META}.intent": 4}},
        "tombstone": {"$set": {META: {"rev": 5, "intent": 5, "gone": True}}},
    }
    await database["v2"].update_one({"_id": 2}, updates[trace])
    await database["v1"].delete_one({"_id": 2})
    assert await delete_each(v1, v2, database, [1, 2, 3]) == [True, False, True]
    assert await stored(database["v1"]) == {}


async def test_deletes_of_which_it_is_not_known_are_no_success(
    v1: CoalescingV1, v2: CoalescingV2, database: Any
) -> None:
    """Two others have announced writes, and one of both entities was deleted before: those two get an error."""
    await prepare_deletes(database, 4)
    await database["v2"].update_many({"_id": {"$in": [2, 3]}}, {"$inc": {f"{META}.intent": 1}})
    await database["v1"].delete_one({"_id": 3})
    outcomes = await delete_each(v1, v2, database, [1, 2, 3, 4])
    assert (outcomes[0], outcomes[3]) == (True, True)
    assert [isinstance(one, AutoReconnect) for one in outcomes[1:3]] == [True, True]


async def test_deletes_that_nobody_announced_go_alone(v1: CoalescingV1, database: Any) -> None:
    """Where V2 was not clean, each is a statement of its own, and has its outcome."""
    await database["v1"].insert_many([{"_id": id, REV: 3} for id in (1, 2)])
    assert await asyncio.gather(v1.delete(1, 3), v1.delete(2, 2), v1.delete(3, 3)) == [True, False, False]
    assert set(await stored(database["v1"])) == {2}
