"""Sub-documents of V1: only what changed in them is written, and what lazymig does not know of stays at any depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import Factory, evolve, frozen

from lazymig import ConversionError, Migration, Phase, Repository
from lazymig.protocol import heal
from lazymig.repository import calls_of
from lazymig.stores.drivers import await_if_needed
from lazymig.testing.memory_collection import MemoryCollection
from tests.contract.conftest import PHASES, Last, Watched
from tests.layouts import META, REV, Layout
from tests.watching import steps


@frozen
class Place:
    lat: float
    lon: float


@frozen
class Address:
    street: str
    city: str
    place: Place | None = None


NOWHERE = Address("none", "nowhere")


@frozen
class ShopV1:
    """The old shape: the address in a sub-document, which some lack."""

    id: int
    address: Address | None = NOWHERE
    stock: dict[str, int] = Factory(dict)
    staff: list[Address] = Factory(list)


@frozen
class ShopV2:
    """The new shape: the address laid flat, and always there."""

    id: int
    street: str
    city: str
    place: Place | None
    stock: dict[str, int]
    staff: list[Address]


def to_v2(v1: ShopV1) -> ShopV2:
    """V1 to V2."""
    address = v1.address or NOWHERE
    return ShopV2(v1.id, address.street, address.city, address.place, v1.stock, v1.staff)


def to_v1(v2: ShopV2) -> ShopV1:
    """V2 to V1."""
    return ShopV1(v2.id, Address(v2.street, v2.city, v2.place), v2.stock, v2.staff)


MIGRATION = Migration(name="shops", v1=ShopV1, v2=ShopV2, upgrade=to_v2, downgrade=to_v1)
Shops = Repository[ShopV1, ShopV2]


def shop(**changed: Any) -> dict[str, Any]:
    """A V1 document with fields at every depth that no class knows."""
    place = {"lat": 1.5, "lon": 2.5, "source": {"gps": [1]}}
    address = {"floor": 3, "street": "Main", "city": "Rome", "place": place, "geo": {"x": None}}
    stock = {"0": 1, "tea": 2, "a.b": 3, "": 4}
    return {"_id": 1, "address": address, "stock": stock, "staff": [], "owner": {"name": "x"}} | changed


@pytest.fixture(params=PHASES[:-1], ids=str)
def phase(request: pytest.FixtureRequest) -> Phase:
    """All phases in which V1's fields are written."""
    return request.param.phase if isinstance(request.param, Last) else request.param


def opened(database: Any, phase: Phase = Phase.COEXIST, layout: Layout = Layout.TWO, **options: Any) -> Shops:
    """Shops on the database's collections."""
    return layout.open(database, MIGRATION, phase=phase, **options)


async def stored(database: Any) -> dict[str, Any]:
    """V1's part of the one document, with its revision, which rises by random steps where both shapes share it."""
    [document] = await database["v1"].find().to_list(None)
    found = {name: value for name, value in document.items() if name not in (META, "street", "city", "place")}
    return found | ({REV: min(document[META]["rev"], 1)} if META in document else {})


WRITES: dict[str, Callable[[Shops], Any]] = {
    "update": lambda shops: shops.update(1, lambda one: evolve(one, street="Side")),
    "replace": lambda shops: shops.replace(evolve(to_v2(ShopV1(1)), street="Side", city="Rome", place=Place(1.5, 2.5))),
    "V1 update": lambda shops: shops.v1.update(1, lambda one: evolve(one, address=evolve(one.address, street="Side"))),
    "V1 replace": lambda shops: shops.v1.replace(ShopV1(1, Address("Side", "Rome", Place(1.5, 2.5)))),
}


@pytest.mark.parametrize("read_before", [True, False], ids=["clean", "unread"])
@pytest.mark.parametrize("write", WRITES)
async def test_unknown_fields_in_sub_documents_survive_every_write(
    database: Any, phase: Phase, layout: Layout, write: str, read_before: bool
) -> None:
    """What stands beside a part that changes stays as it is, in value, type and place, and so do its own parts."""
    await database["v1"].insert_one(shop())
    shops = opened(database, phase, layout)
    if read_before:
        await shops.get(1)
    await WRITES[write](shops)
    address = (await stored(database))["address"]
    assert address == shop()["address"] | {"street": "Side"}
    assert list(address) == ["floor", "street", "city", "place", "geo"]
    assert (await shops.get(1)).street == (await shops.v1.get(1)).address.street == "Side"


async def test_unknown_fields_survive_at_every_depth(database: Any, phase: Phase, layout: Layout) -> None:
    """Two levels down, beside keys that come and go, and through a heal; not in what is itself taken away."""
    await database["v1"].insert_one(shop())
    shops = opened(database, phase, layout)
    await shops.update(1, lambda one: evolve(one, place=Place(1.5, 9.0)))
    expected = shop()
    expected["address"]["place"]["lon"] = 9.0
    assert await stored(database) == expected | {REV: 1}
    if phase is Phase.COEXIST and layout is Layout.TWO:
        await heal(calls_of(shops).pair, 1)
        assert await stored(database) == expected | {REV: 2}
    await shops.update(1, lambda one: evolve(one, place=None))
    expected["address"]["place"] = None
    assert (await stored(database))["address"] == expected["address"]


async def test_keys_of_mappings_come_and_go(database: Any, phase: Phase, layout: Layout) -> None:
    """A number is a key like any other; keys that no path can name are stored with the whole mapping."""
    await database["v1"].insert_one(shop())
    shops = opened(database, phase, layout)
    for stock in ({"0": 5, "tea": 2, "a.b": 3, "": 4, "1": 1}, {"tea": 2, "a.b": 9, "$x": 4}, {"tea": 2}, {}, {"0": 1}):
        assert (await shops.update(1, lambda one, stock=stock: evolve(one, stock=stock))).stock == stock
        assert (await stored(database))["stock"] == stock
        assert (await shops.v1.get(1)).stock == stock


@pytest.mark.parametrize("read_before", [True, False], ids=["clean", "unread"])
async def test_new_keys_of_a_mapping_keep_their_order(
    database: Any, phase: Phase, layout: Layout, read_before: bool
) -> None:
    """Where the server would sort them, or put them at the end, the mapping is stored whole, by both doors."""
    await database["v1"].insert_one(shop(stock={"m": 1}))
    shops = opened(database, phase, layout)
    if read_before:
        await shops.get(1)
    for stock in (
        {"m": 1, "b": 2, "a": 3},
        {"m": 1, "c": 5, "b": 2, "a": 3},
        {},
        {"10": 1, "9": 2},
        {"x": 1, "a$b": 1},
    ):
        await shops.update(1, lambda one, stock=stock: evolve(one, stock=stock))
        assert list((await stored(database))["stock"]) == list(stock)
    for stock in ({}, {"b": 2, "a": 3}, {"b": 2, "a": 3, "z": 1}):
        await shops.v1.update(1, lambda one, stock=stock: evolve(one, stock=stock))
        assert list((await stored(database))["stock"]) == list(stock)
    await shops.replace(evolve(await shops.get(1), stock={"b": 2, "y": 1, "x": 1}))
    assert list((await stored(database))["stock"]) == ["b", "y", "x"]
    assert (await stored(database))["address"]["floor"] == 3


LACKING = [{}, {"address": None}]


@pytest.mark.parametrize("options", [{}, {"max_attempts": 1}], ids=repr)
@pytest.mark.parametrize("read_before", [True, False], ids=["clean", "unread"])
@pytest.mark.parametrize("lacking", LACKING, ids=repr)
async def test_a_sub_document_that_v1_lacks_is_stored_whole(
    database: Any, phase: Phase, layout: Layout, lacking: dict[str, Any], read_before: bool, options: Any
) -> None:
    """Its default was what V2 knew: both doors find that with the change in it, after one move of V1."""
    # What both shapes share has no default in V2's class, so in one document it is always stored.
    rest = {"_id": 1, "owner": "x"} | ({"stock": {}, "staff": []} if layout is Layout.ONE else {})
    await database["v1"].insert_one(rest | lacking)
    shops = opened(database, phase, layout, **options)
    if read_before:
        await shops.get(1)
    after = await shops.update(1, lambda one: evolve(one, street="Side", stock={"0": 1}))
    whole = {"street": "Side", "city": "nowhere", "place": None}
    assert await stored(database) == rest | {"address": whole, "stock": {"0": 1}, REV: 1}
    assert after == await shops.get(1) == to_v2(await shops.v1.get(1))
    assert (after.city, after.stock) == ("nowhere", {"0": 1})


@pytest.mark.parametrize("driver", ["mock", "pymongo"])
async def test_what_both_shapes_share_needs_the_same_default(database: Any) -> None:
    """V1 reads its default where a document lacks the field, and V2 has none: the error says so, V1 goes on."""
    await database["v1"].insert_one({"_id": 1, "address": None, "staff": []})
    shops = opened(database, Phase.COEXIST, Layout.ONE)
    for call in (lambda: shops.get(1), lambda: shops.update(1, lambda one: evolve(one, street="Side"))):
        with pytest.raises(ConversionError, match=r"'stock': both shapes share this field.*the same default") as caught:
            await call()
        assert (caught.value.id, caught.value.path) == (1, "stock")
    assert await database["v1"].find().to_list(None) == [{"_id": 1, "address": None, "staff": []}]
    await shops.v1.replace(ShopV1(1, NOWHERE, {"tea": 1}, []))
    assert (await shops.get(1)).stock == {"tea": 1}


async def test_a_changed_array_is_stored_whole(database: Any, phase: Phase, layout: Layout) -> None:
    """The limit: nobody can tell which element became which, so what no class knows in them is lost."""
    await database["v1"].insert_one(shop(staff=[{"street": "A", "city": "B", "phone": 1}]))
    shops = opened(database, phase, layout)
    await shops.update(1, lambda one: evolve(one, street="Side"))
    assert (await stored(database))["staff"] == [{"street": "A", "city": "B", "phone": 1}]
    await shops.update(1, lambda one: evolve(one, staff=[*one.staff, NOWHERE]))
    assert [set(one) for one in (await stored(database))["staff"]] == [{"street", "city", "place"}] * 2


async def test_on_the_explorers_collections_too() -> None:
    """They take the same statements as a server."""
    database = {name: MemoryCollection(name) for name in ("v1", "v2")}
    for write in WRITES.values():
        await database["v1"].insert_one(shop())
        shops = opened(database)
        await shops.get(1)
        await write(shops)
        assert (await stored(database))["address"] == shop()["address"] | {"street": "Side"}
        await shops.delete(1)
    for id, lacking in enumerate([*LACKING, {"address": [{"street": "x"}]}], 2):
        await database["v1"].insert_one({"_id": id} | lacking)
        if id < 4:
            await shops.get(id)
            await shops.update(id, lambda one: evolve(one, street="Side"))
            assert (await shops.v1.get(id)).address == evolve(NOWHERE, street="Side")
        else:
            assert not await calls_of(shops).pair.v1.compare_and_set(
                id, 0, 1, {"address.place.lat": 1}, [], ["address"]
            )


async def test_a_part_takes_no_round_trip_more_than_the_whole(watched: Watched) -> None:
    """Three where V2 is clean. Where V1 lacks the sub-document, two more, once: V1 is asked, and moved then."""
    shops = opened(watched.database)
    await watched.database["v1"].insert_many([shop(), {"_id": 2}])
    await shops.get_many([1, 2])
    for id, sent in ((1, 1), (2, 3), (2, 1)):
        with watched.sent() as commands:
            await shops.update(id, lambda one: evolve(one, street=one.street + "!"))
        moves = ["v1 update", "v1 find", "v1 update"][:sent]
        assert steps(commands) == ["v2 findAndModify", *moves, "v2 update"]


async def test_a_transaction_does_not_end_for_a_missing_sub_document(watched: Watched) -> None:
    """An error of the server would abort it: what cannot be set by parts is found out without one."""
    for name in ("v1", "v2"):
        await watched.database.create_collection(name)
    shops = opened(watched.database)
    await watched.database["v1"].insert_one({"_id": 1, "address": None})
    await shops.get(1)
    async with (
        await await_if_needed(watched.database.client.start_session()) as session,
        await await_if_needed(session.start_transaction()),
    ):
        await shops.with_session(session).update(1, lambda one: evolve(one, street="Side"))
    assert (await shops.v1.get(1)).address == evolve(NOWHERE, street="Side")
