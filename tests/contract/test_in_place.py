"""One document with both shapes: calls that are cut off, bounds, classes of other libraries, and raised revisions."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import attrs
import beanie
import bson
import pytest
from attrs import evolve
from pymongo.errors import AutoReconnect, NetworkTimeout, WriteConcernError

from lazymig import AlreadyExists, ConversionError, Criteria, NotFound, Phase, Repository
from lazymig.repository import calls_of
from lazymig.testing.memory_collection import MemoryCollection
from tests.cases.test_revisions import KEEPING, KEEPING_WIDER, PriceV2, PriceV2Wider, from_narrow
from tests.clocks import standing_loop
from tests.contract.test_entities import OID, ORDERS, STORED, WINES, Line, Wine, WineV2
from tests.interrupting import Interrupted
from tests.layouts import META, Layout, settle
from tests.people import PersonV1, PersonV2, ada, ada_v1, people
from tests.widening import WIDENING

IN_MEMORY = pytest.mark.parametrize("driver", ["mock"])
PHASES = (Phase.V1_ONLY, Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY)
EVERY = pytest.mark.parametrize("every", PHASES)


@pytest.fixture
def layout() -> Layout:
    """One document."""
    return Layout.ONE


def older(person: Any) -> Any:
    """A change, of either class."""
    return evolve(person, age=(person.age or 0) + 1)


CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda repo: repo.get(1),
    "get_many": lambda repo: repo.get_many([1, 2, 9]),
    "exists": lambda repo: repo.exists(1),
    "list": lambda repo: listed(repo),
    "update": lambda repo: repo.update(1, older),
    "replace": lambda repo: repo.replace(ada(1, age=50)),
    "insert": lambda repo: repo.insert(ada(9)),
    "delete": lambda repo: repo.delete(1),
    "v1.get": lambda repo: repo.v1.get(1),
    "v1.update": lambda repo: repo.v1.update(1, older),
    "v1.replace": lambda repo: repo.v1.replace(PersonV1(1, "Ada King")),
    "v1.insert": lambda repo: repo.v1.insert(PersonV1(9, "Ada King")),
    "v1.delete": lambda repo: repo.v1.delete(1),
}


async def listed(door: Any) -> list[Any]:
    """All entities of a door."""
    return [entity async for entity in door.list()]


# ---- calls that are cut off -----------------------------------------------------------------------------------------


def interrupt(repo: Any, fatal: int, error: BaseException, *, after: bool) -> Interrupted:
    """Interrupt this repository at one of its statements."""
    calls = calls_of(repo)
    store = Interrupted(calls.place.store, [], fatal, error, after=after)
    place = evolve(calls.place, store=store)
    calls.stages._stage = evolve(calls.stages.now, route=type(calls.route)(place))
    return store


#: Which calls are cut off in which phase, and how; all of them in a wide run.
CUT_OFF = [(call, Phase.COEXIST, asyncio.CancelledError()) for call in CALLS]
CUT_OFF += [(call, Phase.V2_ONLY, AutoReconnect("gone")) for call in ("update", "insert", "delete")]
if WIDENING.full:
    CUT_OFF = [
        (call, phase, error)
        for call in CALLS
        for phase in PHASES
        for error in (asyncio.CancelledError(), AutoReconnect("gone"))
    ]


@IN_MEMORY
@pytest.mark.parametrize(
    ("call", "every", "error"),
    CUT_OFF,
    ids=[f"{call}-{phase}-{type(error).__name__}" for call, phase, error in CUT_OFF],
)
async def test_a_call_may_be_cut_off_at_every_statement(
    database: Any, open_repository: Any, call: str, every: Phase, error: BaseException
) -> None:
    """Before or after each statement: a document is as it was or as it should be, and both doors agree about it."""
    fatal, reached = 0, True
    while reached:
        fatal += 1
        for after in (False, True):
            await database["v1"].delete_many({})
            await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
            repo = open_repository(database, phase=every)
            await repo.check()
            store = interrupt(repo, fatal, error, after=after)
            try:
                await CALLS[call](repo)
            except type(error):
                assert store.statements[fatal:] == []  # nothing follows
            reached = len(store.statements) >= fatal
            other = open_repository(database, phase=every)
            for id in (1, 2, 9):
                person, old = await other.get(id), await other.v1.get(id)
                assert (person is None) == (old is None)
                if person is not None:
                    assert (f"{person.first} {person.last}", person.age) == (old.name, old.age)
                    assert await other.update(id, older) == older(person)
    assert fatal >= 2


@IN_MEMORY
@EVERY
@pytest.mark.parametrize("call", ["get", "get_many", "list"])
async def test_what_a_read_cannot_store_is_no_error(
    database: Any, open_repository: Any, monkeypatch: pytest.MonkeyPatch, every: Phase, call: str
) -> None:
    """The answer stands, and the failure is counted."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repo = open_repository(database, phase=every)

    async def fail(*_: Any, **__: Any) -> Any:
        raise WriteConcernError("not now")

    for name in ("fill", "fill_each"):
        monkeypatch.setattr(calls_of(repo).place.store, name, fail)
    found = await CALLS[call](repo)
    assert found == {"get": ada(1), "get_many": {1: ada(1), 2: ada(2)}, "list": [ada(1), ada(2)]}[call]
    left = {} if every is Phase.V1_ONLY else {"lazymig.left_dirty": 1 if call == "get" else 2}
    assert repo.tally.counts == left


@IN_MEMORY
@pytest.mark.parametrize("call", ["get", "update", "delete", "v1.update", "list"])
async def test_a_server_that_hangs_is_the_drivers_error_in_time(
    database: Any, open_repository: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """`timeout_s` bounds all statements of a call together."""
    repo, reached = open_repository(database, timeout_s=30.5), asyncio.Event()
    await repo.insert(ada(1))

    async def hang(*_: Any, **__: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    for name in ("find", "find_local", "page"):
        monkeypatch.setattr(calls_of(repo).place.store, name, hang)
    with standing_loop() as time:
        asked = asyncio.ensure_future(CALLS[call](repo))
        await reached.wait()
        time.move(31)
        with pytest.raises(NetworkTimeout, match=r"no answer within 30\.5 s"):
            await asked


@IN_MEMORY
async def test_writes_in_flight_are_bounded(database: Any, open_repository: Any, monkeypatch: Any) -> None:
    """Of ten at once, two are under way at a time; reads are not bounded, and all are done in the end."""
    repo = open_repository(database, max_in_flight=2)
    for id in range(10):
        await repo.insert(ada(id))
    store, under_way, most = calls_of(repo).place.store, 0, 0
    change = store.change

    async def slow(statement: Any) -> bool:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return bool(await change(statement))

    monkeypatch.setattr(store, "change", slow)
    await asyncio.gather(*(repo.update(id, older) for id in range(10)))
    assert most == 2
    assert [person.age for person in await listed(repo)] == [37] * 10


async def test_a_linearizable_repository_reads_and_writes(server_database: Any, open_repository: Any) -> None:
    """`read_concern="linearizable"` serves every call, and is refused for a session."""
    repo = open_repository(server_database, read_concern="linearizable")
    await server_database["v1"].insert_one(ada_v1())
    assert await repo.get(1) == ada()
    await repo.update(1, older)
    assert await repo.get(1) == ada(age=37)
    assert await listed(repo.v1) == [PersonV1(1, "Ada Lovelace", 37, ["math"])]


# ---- classes of other libraries -------------------------------------------------------------------------------------


async def test_from_a_dataclass_to_a_model(server_database: Any) -> None:
    """Aliases, constraints and nested models, in a sub-document, since `lines` means two things; each is read back."""
    collection = server_database["orders"]
    with pytest.raises(Exception, match="'lines' means two things"):
        Repository.in_place(ORDERS, collection, phase=Phase.COEXIST)
    repo = Repository.in_place(evolve(ORDERS, v2_within="new"), collection, phase=Phase.V2_PRIMARY)
    await collection.insert_many(
        [{"_id": OID, **STORED}, {"_id": bson.ObjectId(), **STORED, "Customer Name": "Bob Ray"}]
    )
    order = await repo.get(OID)
    assert (order.first, order.lines) == ("Ada", [Line(article="pen", count=2)])
    await repo.update(OID, lambda one: one.model_copy(update={"first": "Augusta", "note": "new"}))
    await repo.v1.update(OID, lambda one: dataclasses.replace(one, for_="you"))
    stored = await collection.find_one({"_id": OID})
    inner = stored.pop("new")
    assert (inner["first"], inner["for"], inner["note"], inner["lines"]) == (
        "Augusta", "you", "new", [{"article": "pen", "count": 2}],
    )  # fmt: skip
    del stored[META]
    assert bson.encode(stored) == bson.encode({"_id": OID, **STORED, "Customer Name": "Augusta Lovelace", "for": "you"})
    assert len(await listed(repo)) == 2
    await settle(repo)
    asked = Criteria(v1={"for": "me"}, v2={"$or": [{"last": "Ray"}, {"lines": {"$elemMatch": {"article": "ink"}}}]})
    assert [one.last async for one in repo.list(asked, sort=("-Customer Name", "-last"))] == ["Ray"]
    assert await repo.count(asked) == 1
    twice = [Line(article="pen", count=1), Line(article="pen", count=2)]
    with pytest.raises(ConversionError):
        await repo.update(OID, lambda one: one.model_copy(update={"lines": twice}))


async def test_a_beanie_document_is_v1(server_database: Any) -> None:
    """A service that uses Beanie goes on saving and replacing; each of its writes is what the next read finds."""
    await beanie.init_beanie(server_database, document_models=[Wine])
    wine = await Wine(name="Rioja", pageCount=3).insert()
    repo = Repository.in_place(WINES, server_database["wines"], phase=Phase.COEXIST)
    assert await repo.get(wine.id) == WineV2(wine.id, "Rioja", 2000, None)
    await repo.update(wine.id, lambda one: attrs.evolve(one, year=2001, city="Haro"))
    read = await Wine.get(wine.id)
    assert (read.year, read.address.city, read.page_count) == (2001, "Haro", 3)
    read.name = "Ribera"
    await read.save()
    assert await repo.get(wine.id) == WineV2(wine.id, "Ribera", 2001, "Haro")
    read.year = 1999
    await read.replace()  # the whole document: V2's part is gone, and made again
    assert await repo.get(wine.id) == WineV2(wine.id, "Ribera", 1999, "Haro")
    created = WineV2(bson.ObjectId(), "Port", 1999, None)
    await repo.insert(created)
    found = await Wine.get(created.id)
    assert found.name == "Port"


# ---- revisions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["mock", "pymongo"])
@pytest.mark.parametrize("every", [Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY])
async def test_a_raised_revision_converts_anew_and_keeps_what_only_v2_has(database: Any, every: Phase) -> None:
    """`reshape` reads the part of the class before; without one, nothing is dropped silently."""
    narrow, kept = Layout.ONE.open(database, KEEPING), evolve(KEEPING_WIDER, reshape={1: from_narrow})
    for id in (1, 2, 3):
        await narrow.insert(PriceV2(id, 1.5, "ours"))
    strict = Layout.ONE.open(database, KEEPING_WIDER, phase=every)
    with pytest.raises(ConversionError):
        await strict.get(1)
    repo = Layout.ONE.open(database, kept, phase=every)
    assert await repo.get(1) == PriceV2Wider(1, 1.5, "EUR", "ours")
    await repo.v1.update(2, lambda one: evolve(one, cents=200))
    assert await repo.get_many([2, 3]) == {
        2: PriceV2Wider(2, 2.0, "EUR", "ours"),
        3: PriceV2Wider(3, 1.5, "EUR", "ours"),
    }
    stored = await database["v1"].find().to_list(None)
    assert [(row["currency"], row["label"], row[META]["conv"]) for row in stored] == [("EUR", "ours", 2)] * 3
    # An older process that is still running trusts what the newer one stored, and stores nothing over it.
    assert await narrow.get(1) == PriceV2(1, 1.5, "ours")
    assert (await database["v1"].find_one({"_id": 1}))[META]["conv"] == 2


async def test_on_the_explorers_collections_too() -> None:
    """They take the same statements as a server."""
    collection: Any = MemoryCollection("people")
    repo = Repository.in_place(people(), collection, phase=Phase.COEXIST)
    await collection.insert_one(ada_v1())
    assert await repo.get(1) == ada()
    await repo.update(1, older)
    await collection.update_one({"_id": 1}, {"$set": {"name": "Ada King"}})
    assert await repo.get(1) == PersonV2(1, "Ada", "King", 37, ["math"])
    with pytest.raises(AlreadyExists):
        await repo.insert(ada(1))
    await repo.delete(1)
    with pytest.raises(NotFound):
        await repo.delete(1)
