"""Announcements and bodies go without the driver's retry: what fails is sent again, and says what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import WriteConcernError

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.stores import unretried
from lazymig.stores.coalescing import CoalescingV1, CoalescingV2
from lazymig.stores.records import Applied
from tests.conftest import only_database
from tests.contract.conftest import Watched
from tests.contract.test_v2_store import live
from tests.damage import TROUBLE, document, element

META = "_lazymig"

#: What the server answers to a statement for once.
ANSWERS: dict[str, dict[str, Any]] = {
    "the connection breaks before it": {"closeConnection": True},
    "it is no primary": {"errorCode": 10107},
    "it is done, and may not last": {"writeConcernError": {"code": 64, "errmsg": "timed out"}},
}


@pytest.fixture
async def failing(fallible: Any) -> AsyncIterator[Any]:
    """A collection with four clean entities at revision 3, on the server that may be made to fail."""
    async with only_database(AsyncMongoClient(fallible.uri)) as database:
        await database["v2"].insert_many([live(id) for id in range(1, 5)])
        yield database["v2"]


async def intents(collection: Any) -> list[tuple[int, int]]:
    """The revisions and intents of all entities."""
    return [(one[META]["rev"], one[META]["intent"]) async for one in collection.find(sort=[("_id", 1)])]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("ids", [(1,), (1, 2, 3, 4)], ids=["alone", "together"])
async def test_an_announcement_that_fails_once_is_made_again(
    failing: Any, failpoint: Callable[..., Any], ids: tuple[int, ...], answer: dict[str, Any]
) -> None:
    """Its ticket is the intent that is stored then; one that was made twice has skipped a number."""
    store = CoalescingV2(failing, SYSTEM_CLOCK, 1, 20.0)
    fatal = {"failCommands": ["findAndModify", "update"], "namespace": failing.full_name, **answer}
    with failpoint(fatal, times=1):
        tickets = await asyncio.gather(*map(store.ticket, ids))
    assert [(one.revision, one.intent) for one in tickets] == (await intents(failing))[: len(ids)]
    made = 5 if "writeConcernError" in answer else 4
    assert {one.intent for one in tickets} == {made}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("ids", [(1,), (1, 2, 3, 4)], ids=["alone", "together"])
async def test_a_body_that_fails_once_is_stored_again(
    failing: Any, failpoint: Callable[..., Any], ids: tuple[int, ...], answer: dict[str, Any]
) -> None:
    """It stands in V2 once, whether it was replaced, or made by a pipeline."""
    store = CoalescingV2(failing, SYSTEM_CLOCK, 1, 20.0)
    tickets = await asyncio.gather(*map(store.ticket, ids))
    for seen, body in ((tickets, {"first": "new"}), ([None] * len(ids), {"first": "newer"})):
        with failpoint({"failCommands": ["update"], "namespace": failing.full_name, **answer}, times=1):
            calls = [store.apply(id, body, 4, own=True, announced=one) for id, one in zip(ids, seen, strict=True)]
            assert await asyncio.gather(*calls) == [Applied.APPLIED] * len(ids)
        assert (await intents(failing))[: len(ids)] == [(4, 4)] * len(ids)
        assert await failing.count_documents(body) == len(ids)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("ids", [(1,), (1, 2, 3, 4)], ids=["alone", "together"])
@pytest.mark.parametrize("known", [True, False])
async def test_a_tombstone_that_fails_once_is_stored_again(
    failing: Any, failpoint: Callable[..., Any], ids: tuple[int, ...], answer: dict[str, Any], known: bool
) -> None:
    """It is reported as what it is, no matter which statement has stored it; what others announced since stays."""
    store = CoalescingV2(failing, SYSTEM_CLOCK, 1, 20.0)
    tickets = await asyncio.gather(*map(store.ticket, ids))
    if not known:
        await failing.update_many({}, {"$inc": {f"{META}.intent": 1}})
    with failpoint({"failCommands": ["update"], "namespace": failing.full_name, **answer}, times=1):
        calls = [store.bury(id, 4, since=3, announced=one) for id, one in zip(ids, tickets, strict=True)]
        assert await asyncio.gather(*calls) == [Applied.APPLIED] * len(ids)
    assert (await intents(failing))[: len(ids)] == [(4, 4 if known else 5)] * len(ids)
    assert await failing.count_documents({f"{META}.gone": True, "first": {"$exists": False}}) == len(ids)


async def test_a_tombstone_that_never_lasts_is_an_error(failing: Any, failpoint: Callable[..., Any]) -> None:
    """Nobody takes it for another writer's: a body that may be rolled back is V1's to answer for."""
    store = CoalescingV2(failing, SYSTEM_CLOCK, 1, 20.0)
    ticket = await store.ticket(1)
    answer = {"failCommands": ["update"], "namespace": failing.full_name, **ANSWERS["it is done, and may not last"]}
    with failpoint(answer), pytest.raises(WriteConcernError):
        await store.bury(1, 4, since=3, announced=ticket)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("kind", TROUBLE)
async def test_a_document_that_does_not_decode_is_announced(database: Any, kind: str) -> None:
    """The ticket is the intent that is stored then, and the fields that do decode are in what is returned."""
    await database["v2"].insert_one(document(live(1), element(TROUBLE[kind][0], "odd", TROUBLE[kind][1])))
    seen = await CoalescingV2(database["v2"], SYSTEM_CLOCK, 1, 20.0).ticket(1)
    metas = [one async for one in database["v2"].find({}, {META: 1})]
    assert metas == [{"_id": 1, META: {**seen.document[META], "rev": 3, "intent": seen.intent}}]
    assert seen.intent > seen.revision == 3
    assert seen.document["first"] == live(1)["first"]


async def test_an_announcement_that_never_lasts_fails(failing: Any, failpoint: Callable[..., Any]) -> None:
    """V1 must not pass an announcement that a fail-over may take back."""
    store = CoalescingV2(failing, SYSTEM_CLOCK, 1, 20.0)
    answer = ANSWERS["it is done, and may not last"]
    with failpoint({"failCommands": ["update"], "namespace": failing.full_name, **answer}):
        outcomes = await asyncio.gather(*map(store.ticket, (1, 2)), return_exceptions=True)
    assert [type(one) for one in outcomes] == [WriteConcernError] * 2


async def test_v1_is_written_with_the_drivers_retry(watched: Watched) -> None:
    """A compare-and-set that is sent twice would lose against itself; announcements and bodies may be sent twice."""
    v1, v2 = watched.database["v1"], watched.database["v2"]
    await v1.insert_many([{"_id": id, "_lazymig_rev": 3} for id in (1, 2)])
    await v2.insert_many([live(id) for id in (1, 2)])
    truth, bodies = CoalescingV1(v1, 20.0), CoalescingV2(v2, SYSTEM_CLOCK, 1, 20.0)
    for ids, revision in (((1,), 3), ((1, 2), 4)):
        with watched.sent() as sent:
            tickets = await asyncio.gather(*map(bodies.ticket, ids))
            for one in tickets:
                await truth.compare_and_set(one.id, one.revision, one.intent, {"n": 1})
            await asyncio.gather(*(bodies.apply(one.id, {}, one.intent, own=True, announced=one) for one in tickets))
        writes = {
            (event.command[event.command_name], "txnNumber" in event.command)
            for event in sent
            if event.command_name != "find"
        }
        assert writes == {("v1", True), ("v2", False)}, revision


async def test_bodies_larger_than_a_message_are_split_by_the_driver(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are stored, and nothing is sent that the server would have to refuse."""
    monkeypatch.setattr(unretried, "_MESSAGE_BYTES", 1000)
    store = CoalescingV2(database["v2"], SYSTEM_CLOCK, 1, 20.0)
    outcomes = await asyncio.gather(*(store.apply(id, {"text": "x" * 600}, 4, own=True) for id in (1, 2)))
    assert outcomes == [Applied.APPLIED] * 2
    assert await intents(database["v2"]) == [(4, 4)] * 2
