"""An error about one document is that document's: recognised by where it stands, not by its code (case 17)."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from attrs import Factory, evolve, frozen
from pymongo.errors import BulkWriteError, NotPrimaryError, OperationFailure, PyMongoError, WriteError

from lazymig import ConversionError, Migration, Phase, Repository, Sweeper
from lazymig.control import Control
from lazymig.stores.coalescing import CoalescingV2
from lazymig.stores.documents import born_clean
from lazymig.stores.drivers import judge_applies, judge_puts
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import Applied, Put
from tests.widening import WIDENING


@frozen
class ThingV1:
    """The old shape: a number, and what V2 makes of it."""

    id: int
    kind: str
    n: int = 0


@frozen
class ThingV2:
    """The new shape: what indexes and limits may refuse."""

    id: int
    kind: str
    n: int = 0
    parts: dict[str, Any] = Factory(dict)


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"x": 1}
    for _ in range(levels):
        inner = {"d": inner}
    return inner


#: What V2 refuses, by the server's error code or by the kind of error. Each is a body's part.
REFUSED: dict[str, dict[str, Any]] = {
    "2dsphere, no place": {"loc": "far"},
    "2dsphere, out of bounds": {"loc": {"type": "Point", "coordinates": [500, 500]}},
    "2dsphere, not closed": {"loc": {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1]]]}},
    "hashed, an array": {"h": [1, 2]},
    "text, a language": {"t": "x", "language": "klingon"},
    "parallel arrays": {"a": [1, 2], "b": [1, 2]},
    "unique": {"u": "taken"},
    "nested 190": nested(190),
    "nested 300": nested(300),
    "nested 200": nested(200),
    "too large": {"blob": "x" * (16 * 1024 * 1024)},
    "much too large": {"blob": "x" * (17 * 1024 * 1024)},
    "larger than a message": {"blob": "x" * (50 * 1024 * 1024)},
    "validator": {"small": 1000},
}
LONG_AGO = datetime(2024, 1, 1)
EACH = pytest.mark.parametrize("kind", REFUSED)
#: One by a plain index, by a unique one, by depth, by size before and after it is sent, and by a validator. That every
#: kind counts as refused is shown of each statement of the store; what calls make of that does not depend on the kind.
SOME = EACH if WIDENING.full else pytest.mark.parametrize(
    "kind", ["2dsphere, no place", "unique", "nested 200", "too large", "larger than a message", "validator"]
)  # fmt: skip


def up(v1: ThingV1) -> ThingV2:
    """V1 to V2, which refuses some kinds."""
    return ThingV2(v1.id, v1.kind, v1.n, REFUSED.get(v1.kind, {}))


def down(v2: ThingV2) -> ThingV1:
    """V2 to V1."""
    return ThingV1(v2.id, v2.kind, v2.n)


def things(database: Any, **options: Any) -> Repository[ThingV1, ThingV2]:
    migration = Migration(name="things", v1=ThingV1, v2=ThingV2, upgrade=up, downgrade=down)
    return Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


@pytest.fixture
async def database(server_database: Any) -> Any:
    """V2 with every kind of index, and a validator."""
    await server_database.create_collection(
        "v2", validator={"$or": [{"_lazymig.gone": True}, {"parts.small": {"$not": {"$gt": 9}}}]}
    )
    v2 = server_database["v2"]
    await v2.create_index([("parts.loc", "2dsphere")])
    await v2.create_index([("parts.h", "hashed")])
    await v2.create_index([("parts.t", "text")])
    await v2.create_index([("parts.a", 1), ("parts.b", 1)])
    await v2.create_index([("parts.u", 1)], unique=True, partialFilterExpression={"parts.u": {"$exists": True}})
    await v2.insert_one({"_id": "holder", "parts": {"u": "taken"}, "_lazymig": {"rev": 0, "intent": 0}})
    return server_database


@EACH
async def test_case_17_a_first_read_is_served_by_v1(database: Any, kind: str) -> None:
    """Alone and in company: the refused body is nobody's error, and the others are stored."""
    await database["v1"].insert_many([{"_id": 1, "kind": kind}, *({"_id": id, "kind": "good"} for id in (2, 3, 4))])
    repo = things(database)
    assert (await repo.get(1)).kind == kind
    found = await asyncio.gather(*map(repo.get, (1, 2, 3)))
    assert [thing.kind for thing in found] == [kind, "good", "good"]
    assert [thing.kind for thing in (await repo.get_many([1, 4])).values()] == [kind, "good"]
    assert await database["v2"].distinct("_id", {"kind": "good"}) == [2, 3, 4]
    assert await database["v2"].count_documents({"kind": kind}) == 0


@SOME
async def test_case_17_a_write_that_v2_refuses_is_v1s(database: Any, kind: str) -> None:
    """Inserts and updates through both doors are acknowledged and served, alone and among joined ones."""
    await database["v1"].insert_many([{"_id": id, "kind": "good"} for id in range(1, 6)])
    repo = things(database)
    await repo.get_many(range(1, 6))

    def spoilt(thing: ThingV2) -> ThingV2:
        return evolve(thing, n=thing.n + 1, kind=kind, parts=REFUSED[kind])

    await repo.update(1, spoilt)
    await asyncio.gather(
        repo.update(2, spoilt), *(repo.update(id, lambda thing: evolve(thing, n=7)) for id in (3, 4, 5))
    )
    await repo.v1.insert(ThingV1(6, kind, 1))
    await repo.insert(ThingV2(7, kind, 1, REFUSED[kind]))
    assert [(await repo.get(id)).n for id in range(1, 8)] == [1, 1, 7, 7, 7, 1, 1]
    assert await database["v2"].distinct("_id", {"n": 7}) == [3, 4, 5]
    assert await database["v1"].distinct("_id", {"kind": kind}) == [1, 2, 6, 7]
    await repo.delete(1)
    assert await repo.get(1) is None


@SOME
async def test_case_17_a_sweep_goes_on_every_night(database: Any, kind: str) -> None:
    """The refused document is a dead letter each time; all others are moved, and the run is finished."""
    good = [{"_id": id, "kind": "good"} for id in range(20)]
    await database["v1"].insert_many([*good[:10], {"_id": 100, "kind": kind}, *good[10:]])
    for night in range(1, 3):
        report = await Sweeper(things(database), batch_size=50).run()
        assert (report.finished, report.scanned, report.dead, report.dead_letters) == (True, 21, 1, 1)
        (letter,) = [one async for one in Control(database["lazymig_control"]).dead_letters("things")]
        assert (letter.id, letter.attempts) == (100, night)
        assert "taken" not in letter.message
        assert "far" not in letter.message
    assert await database["v2"].count_documents({"kind": "good"}) == 20


async def test_case_17_what_cannot_be_encoded_is_its_own_callers(database: Any, monkeypatch: Any) -> None:
    """Nested deeper than the driver encodes: `ConversionError` for that caller, and a dead letter each night."""
    monkeypatch.setitem(REFUSED, "bottomless", nested(3000))
    await database["v1"].insert_many([{"_id": id, "kind": "bottomless" if id == 1 else "good"} for id in range(4)])
    repo = things(database)
    zero, one, two = await asyncio.gather(*map(repo.get, range(3)), return_exceptions=True)
    assert (zero.id, two.id) == (0, 2)
    assert isinstance(one, ConversionError)
    for _ in range(2):
        report = await Sweeper(repo).run()
        assert (report.finished, report.dead_letters) == (True, 1)
    assert await database["v2"].count_documents({"kind": "good"}) == 4 - 1


@SOME
async def test_case_17_a_mark_that_cannot_be_healed_is_a_dead_letter(database: Any, kind: str) -> None:
    """A dead writer's mark on such a document does not stop the others' healing."""
    await database["v1"].insert_many([{"_id": id, "kind": kind if id == 1 else "good"} for id in range(4)])
    marks = [{"_id": id, "_lazymig": {"rev": -1, "intent": 1, "gone": True, "at": LONG_AGO}} for id in range(4)]
    await database["v2"].insert_many(marks)
    for _ in range(2):
        report = await Sweeper(things(database)).run()
        assert (report.finished, report.dead_letters) == (True, 1)
    assert await database["v2"].count_documents({"kind": "good", "_lazymig.at": {"$exists": False}}) == 3


@EACH
async def test_case_17_each_statement_of_the_store_says_refused(database: Any, kind: str) -> None:
    """Alone, in a bulk, and joined: the outcome is the body's own."""
    plain, joining = V2Store(database["v2"], ["parts"]), CoalescingV2(database["v2"], ["parts"], None)
    body = {"kind": kind, "parts": REFUSED[kind]}
    assert await plain.put_if_absent(1, body, 1) is Put.REFUSED
    documents = [born_clean(id, body if id == 2 else {"kind": "good"}, 1, "sweep") for id in (1, 2, 3)]
    for durable in (True, False):
        assert await plain.put_many(documents, durable=durable) != [Put.REFUSED] * 3
        assert (await plain.put_many(documents, durable=durable))[1] is Put.REFUSED
    assert await plain.apply(3, body, 2) is Applied.REFUSED
    assert await joining.apply(3, body, 2) is Applied.REFUSED
    outcomes = await asyncio.gather(
        joining.apply(4, {"kind": "good"}, 2), joining.apply(5, body, 2), joining.apply(6, {"kind": "good"}, 2)
    )
    assert outcomes == [Applied.APPLIED, Applied.REFUSED, Applied.APPLIED]
    repairs = [(await plain.find(3), body, 7), (await plain.find(4), {"kind": "good", "n": 1}, 7)]
    assert await plain.apply_many(repairs) == [Applied.REFUSED, Applied.APPLIED]
    assert await database["v2"].distinct("_id", {"n": 1}) == [4]
    error, reason = await plain.why_refused(documents[1])
    assert error
    assert reason.startswith("V2")
    assert await database["v2"].distinct("_id", {"kind": "good"}) == [1, 3, 4, 6]


#: Codes that may stand in a document's own write error and speak of the server, and not of the document.
PASSING = [10107, 11600, 11602, 189, 91, 50, 112, 13388, 262, 13435, 46, 13, 8000, 14031, None]


@pytest.mark.parametrize("code", PASSING)
def test_case_17_an_error_of_the_server_is_no_refusal(code: int | None) -> None:
    """Not primary, interrupted, out of time, no room, no right: raised, wherever it stands."""
    entry = {"index": 1, "code": code, "errmsg": "x"}
    error = BulkWriteError({"writeErrors": [entry]})
    for durable in (True, False):
        with pytest.raises(BulkWriteError):
            judge_puts(error, 3, durable=durable)
    first, second, third = judge_applies(error.details["writeErrors"], 3)
    assert (first, third) == (Applied.APPLIED, Applied.APPLIED)
    assert isinstance(second, WriteError)


@pytest.mark.parametrize("code", [16755, 16766, 17262, 171, 15, 2, 121, 17419, 12345, 9999999])
def test_case_17_any_other_error_of_a_document_is_its_refusal(code: int) -> None:
    """Whatever code a server of any version has for it."""
    error = BulkWriteError({"writeErrors": [{"index": 1, "code": code, "errmsg": "x"}]})
    assert judge_puts(error, 3, durable=True) == [Put.STORED, Put.REFUSED, Put.STORED]
    assert judge_applies(error.details["writeErrors"], 3) == [Applied.APPLIED, Applied.REFUSED, Applied.APPLIED]
    labelled = BulkWriteError({"writeErrors": [{"index": 1, "code": code}], "errorLabels": ["RetryableWriteError"]})
    with pytest.raises(BulkWriteError):
        judge_puts(labelled, 3, durable=True)


async def fail_commands(client: Any, code: int, times: int, commands: list[str]) -> None:
    await client.admin.command(
        {
            "configureFailPoint": "failCommand",
            "mode": {"times": times},
            "data": {"failCommands": commands, "errorCode": code},
        }
    )


@pytest.mark.parametrize("code", [10107, 13, 50, 2, 121])
async def test_case_17_a_failing_statement_stops_a_sweep(lazymig_server: Any, database: Any, code: int) -> None:
    """An error of the whole statement speaks of the server or of rights: nobody gets a dead letter for it."""
    await database["v1"].insert_many([{"_id": id, "kind": "good"} for id in range(9)])
    await Sweeper(things(database)).run()
    await database["v2"].delete_many({"kind": "good"})
    try:
        await fail_commands(database.client, code, 3, ["insert"])
    except OperationFailure:
        pytest.skip("this server has no fail points")
    try:
        with pytest.raises((OperationFailure, NotPrimaryError, PyMongoError)):
            await Sweeper(things(database)).run()
    finally:
        await database.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert await Control(database["lazymig_control"]).dead_count("things") == 0
    await database["lazymig_control"].delete_many({})  # the failed run's lease, which would be waited for
    report = await Sweeper(things(database)).run()
    assert (report.finished, report.migrated, report.dead_letters) == (True, 9, 0)
