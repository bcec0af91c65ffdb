"""Classes of other libraries on the real server: from a dataclass to a pydantic model, and from a Beanie document."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import attrs
import beanie
import bson
import pydantic
import pytest
from attrs import frozen
from bson import Decimal128, Int64, ObjectId
from hypothesis import strategies as st

from lazymig import ConfigurationError, ConversionError, Criteria, Migration, Phase, Repository, Sweeper, rename
from lazymig.testing import assert_laws
from lazymig.testing.strategies import keys


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OrderV1:
    """V1: a dataclass with names as an old service chose them."""

    id: ObjectId
    customer_name: str = dataclasses.field(metadata={"stored_name": "Customer Name"})
    total: Decimal
    for_: str = "all"
    lines: list[dict[str, int]] = dataclasses.field(default_factory=list)


rename(OrderV1, for_="for")


class Line(pydantic.BaseModel):
    """A part of V2."""

    model_config = pydantic.ConfigDict(frozen=True)
    article: str
    count: int = pydantic.Field(ge=0)


class OrderV2(pydantic.BaseModel):
    """V2: a pydantic model with aliases, constraints and a validator."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)
    id: ObjectId
    first: str = pydantic.Field(pattern=r"^[^ \n]*$")
    last: str
    total_paid: Decimal = pydantic.Field(alias="totalPaid")
    for_: str = pydantic.Field(alias="for")
    lines: list[Line] = []
    note: str = ""

    @pydantic.field_validator("lines")
    @classmethod
    def one_of_each(cls, lines: list[Line]) -> list[Line]:
        if len({line.article for line in lines}) < len(lines):
            raise ValueError("an article stands in one line only")
        return lines


def upgrade(v1: OrderV1, previous: OrderV2 | None) -> OrderV2:
    first, _, last = v1.customer_name.partition(" ")
    lines = [Line(article=article, count=count) for line in v1.lines for article, count in line.items()]
    note = previous.note if previous else ""
    return OrderV2(
        id=v1.id, first=first, last=last, total_paid=v1.total, for_=v1.for_, lines=lines, note=note
    )  # fmt: skip


def downgrade(v2: OrderV2) -> OrderV1:
    lines = [{line.article: line.count} for line in v2.lines]
    name = f"{v2.first} {v2.last}"
    return OrderV1(id=v2.id, customer_name=name, total=v2.total_paid, for_=v2.for_, lines=lines)


ORDERS = Migration(name="orders", v1=OrderV1, v2=OrderV2, upgrade=upgrade, downgrade=downgrade)
OID = ObjectId("0123456789abcdef01234567")
STORED = {
    "Customer Name": "Ada Lovelace",
    "total": Decimal128("12.50"),
    "for": "me",
    "lines": [{"pen": Int64(2)}],
    "unknown": [1],
}


def plain(document: Any) -> dict[str, Any]:
    """A document without its id and lazymig's own fields."""
    return {key: value for key, value in document.items() if not key.startswith("_")}


async def test_from_a_dataclass_to_a_model(server_database: Any) -> None:
    """Reads, updates through both doors, a listing and a sweep, each seen in the stored documents of both sides."""
    v1, v2 = server_database["v1"], server_database["v2"]
    repo = Repository(ORDERS, v1=v1, v2=v2, phase=Phase.COEXIST)
    await v1.insert_many([{"_id": OID, **STORED}, {"_id": ObjectId(), **STORED, "Customer Name": "Bob Ray"}])
    order = await repo.get(OID)
    assert order is not None
    assert (order.first, order.total_paid, order.lines) == ("Ada", Decimal("12.50"), [Line(article="pen", count=2)])
    assert plain(await v2.find_one({"_id": OID})) == {
        "first": "Ada",
        "last": "Lovelace",
        "totalPaid": Decimal128("12.50"),
        "for": "me",
        "lines": [{"article": "pen", "count": 2}],
        "note": "",
    }
    await repo.update(OID, lambda one: one.model_copy(update={"first": "Augusta", "note": "new"}))
    after = await v1.find_one({"_id": OID})
    assert bson.encode(plain(after)) == bson.encode(STORED | {"Customer Name": "Augusta Lovelace"})
    await repo.v1.update(OID, lambda one: dataclasses.replace(one, for_="you"))
    assert bson.encode(plain(await v1.find_one({"_id": OID}))) == bson.encode(
        STORED | {"Customer Name": "Augusta Lovelace", "for": "you"}
    )
    body = plain(await v2.find_one({"_id": OID}))
    assert (body["for"], body["note"]) == ("you", "new")
    found = [one.last async for one in repo.list(Criteria(v1={}, v2={}), sort=("-Customer Name", "-last"))]
    assert found == ["Ray", "Lovelace"]
    assert (await Sweeper(repo).run()).dead == 0
    assert await v2.count_documents({}) == 2


async def test_what_a_model_refuses_is_not_stored(server_database: Any) -> None:
    """A copy past the validators fails before anything is written; a document past them stays with V1's door."""
    v1, v2 = server_database["v1"], server_database["v2"]
    repo = Repository(ORDERS, v1=v1, v2=v2, phase=Phase.COEXIST)
    await v1.insert_one({"_id": OID, **STORED})
    twice = [Line(article="pen", count=1), Line(article="pen", count=2)]
    with pytest.raises(ConversionError):
        await repo.update(OID, lambda one: one.model_copy(update={"lines": twice}))
    assert plain(await v1.find_one()) == STORED
    await v1.update_one({"_id": OID}, {"$push": {"lines": {"pen": 5}}})
    with pytest.raises(ConversionError) as caught:
        await repo.get(OID)
    assert (caught.value.direction, caught.value.path) == ("upgrade", "lines")
    assert "pen" not in str(caught.value)
    assert len((await read(repo)).lines) == 2
    report = await Sweeper(repo).run()
    assert (report.dead, await v2.count_documents({"first": {"$exists": True}})) == (1, 0)


async def read(repo: Repository[OrderV1, OrderV2]) -> OrderV1:
    found = await repo.v1.get(OID)
    assert found is not None
    return found


def test_the_laws_hold() -> None:
    """For what both classes admit."""
    lines = st.lists(st.builds(Line, article=keys(), count=st.integers(0, 9)), unique_by=lambda line: line.article)
    names = {"first": st.from_regex("[a-z]+", fullmatch=True), "last": st.from_regex("[a-z]+", fullmatch=True)}
    v2 = st.builds(OrderV2, id=st.just(OID), **names, totalPaid=st.just(Decimal(5)), **{"for": st.text()}, lines=lines)
    assert_laws(ORDERS, v1=v2.map(downgrade), v2=v2, examples=20)


# Beanie


class Winery(beanie.Document):
    """What others link to."""

    name: str


class Address(pydantic.BaseModel):
    """A part of a document."""

    city: str


class Wine(beanie.Document):
    """V1, as a service that uses Beanie has it."""

    name: beanie.Indexed(str, unique=True)  # type: ignore[valid-type]
    year: int = 2000
    page_count: int = pydantic.Field(default=1, alias="pageCount")
    address: Address | None = None
    bought: dt.date | None = None

    class Settings:
        name = "wines"
        use_revision = True


@frozen
class WineV2:
    """V2, which knows nothing of Beanie."""

    id: ObjectId
    title: str
    year: int
    city: str | None


def wine_upgrade(v1: Wine) -> WineV2:
    assert v1.id is not None
    return WineV2(v1.id, v1.name, v1.year, v1.address.city if v1.address else None)


def wine_downgrade(v2: WineV2, current: Wine | None) -> Wine:
    address = Address(city=v2.city) if v2.city is not None else None
    values = {"id": beanie.PydanticObjectId(v2.id), "name": v2.title, "year": v2.year, "address": address}
    return (current or Wine.model_construct()).model_copy(update=values)


WINES = Migration(name="wines", v1=Wine, v2=WineV2, upgrade=wine_upgrade, downgrade=wine_downgrade)


@pytest.mark.parametrize("initialised", [False, True])
async def test_a_beanie_document_is_v1(server_database: Any, initialised: bool) -> None:
    """Documents that Beanie stored are read and changed through both doors, with `init_beanie` and without it."""
    database = server_database
    await beanie.init_beanie(database, document_models=[Wine])
    wine = await Wine(name="Rioja", address=Address(city="Haro"), bought=dt.date(2024, 5, 1), pageCount=3).insert()
    before = await database["wines"].find_one()
    if not initialised:
        _forget(Wine)
    repo = Repository(WINES, v1=database["wines"], v2=database["wines_v2"], phase=Phase.COEXIST)
    assert wine.id is not None
    assert await repo.get(wine.id) == WineV2(wine.id, "Rioja", 2000, "Haro")
    seen = await repo.v1.get(wine.id)
    assert seen is not None
    assert (type(seen), seen.page_count, seen.bought, seen.revision_id) == (Wine, 3, dt.date(2024, 5, 1), None)
    await repo.update(wine.id, lambda one: attrs.evolve(one, year=2001))
    after = await database["wines"].find_one()
    # Not even the revision of Beanie's own is touched.
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {"year", "_lazymig_rev"}
    await repo.v1.update(wine.id, lambda one: one.model_copy(update={"name": "Ribera"}))
    assert await repo.get(wine.id) == WineV2(wine.id, "Ribera", 2001, "Haro")
    created = WineV2(ObjectId(), "Port", 1999, None)
    await repo.insert(created)
    assert plain(await database["wines"].find_one({"_id": created.id})) == {
        "name": "Port",
        "year": 1999,
        "pageCount": 1,
        "address": None,
        "bought": None,
    }
    assert (await Sweeper(repo).run()).dead == 0
    if initialised:
        read_by_beanie = await Wine.get(created.id)
        assert read_by_beanie is not None
        assert read_by_beanie.name == "Port"


def _forget(cls: Any) -> None:
    """Take back what `init_beanie` did, so that the class has no collection."""
    cls._document_settings = None
    with pytest.raises(beanie.exceptions.CollectionWasNotInitialized):
        cls(name="x")


def test_validators_of_a_beanie_document_run() -> None:
    """Its constructor is not called, its validators are."""

    class Checked(beanie.Document):
        name: str

        @pydantic.field_validator("name")
        @classmethod
        def no_digits(cls, value: str) -> str:
            if any(map(str.isdigit, value)):
                raise ValueError("no digits")
            return value

    from tests.unit.shapes.test_entities import of_document

    assert of_document(Checked, {"_id": OID, "name": "a"}).name == "a"
    with pytest.raises(ConversionError) as caught:
        of_document(Checked, {"_id": OID, "name": "a7"})
    assert caught.value.path == "name"


def test_what_of_beanie_is_refused() -> None:
    """Links and shared collections, each with what to do."""

    class Linked(beanie.Document):
        winery: beanie.Link[Winery]

    class Back(beanie.Document):
        wines: list[beanie.BackLink[Linked]] = pydantic.Field(json_schema_extra={"original_field": "winery"})

    class Root(beanie.Document):
        class Settings:
            is_root = True

    class Child(Root):
        more: int

    for cls, message in (
        (Linked, r"Linked\.winery: .*declare it as Any in a subclass for the migration, where it is a DBRef"),
        (Back, r"Back\.wines: .*declare it with exclude=True and a default in a subclass"),
        (Root, r"Root shares its collection with other Beanie classes"),
        (Child, r"Child shares its collection with other Beanie classes"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            Migration(name="m", v1=cls, v2=cls, upgrade=lambda one: one, downgrade=lambda one: one)


async def test_a_link_as_any_stays_as_it_is(server_database: Any) -> None:
    """The remedy for links: what they hold comes as a `DBRef`, and goes back as one."""

    class Linked(beanie.Document):
        name: str
        winery: beanie.Link[Winery]

    class LinkedV1(Linked):
        winery: Any

    ref = bson.DBRef("Winery", ObjectId())
    migration: Migration[Any, Any] = Migration(
        name="linked", v1=LinkedV1, v2=LinkedV1, upgrade=lambda one: one, downgrade=lambda one: one
    )
    v1, v2 = server_database["v1"], server_database["v2"]
    repo: Repository[Any, Any] = Repository(migration, v1=v1, v2=v2, phase=Phase.COEXIST)
    await v1.insert_one({"_id": OID, "name": "a", "winery": ref})
    await repo.update(OID, lambda one: one.model_copy(update={"name": "b"}))
    for collection in (v1, v2):
        assert plain(await collection.find_one()) == {"name": "b", "winery": ref}
