"""Strategies for classes of every library, and of real documents: what they draw, and what laws say of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import attrs
import pydantic
import pytest
from annotated_types import Ge, Gt, Interval, Len, Lt, MinLen, MultipleOf, Predicate
from bson import Int64, ObjectId
from hypothesis import find, given, settings

from lazymig import ConfigurationError, Migration, rename
from lazymig.testing import assert_laws, documents_like, entities, memory_repository, sample_documents
from lazymig.testing.law import LawBroken
from tests.unit.shapes.test_entities import itself, made

LIBRARIES = ["attrs", "dataclass", "pydantic"]


def drawn(strategy: Any, examples: int = 60) -> list[Any]:
    """Some of what a strategy gives."""
    found: list[Any] = []

    @settings(max_examples=examples, database=None, derandomize=True, deadline=None)
    @given(strategy)
    def each(value: Any) -> None:
        found.append(value)

    each()
    return found


class Address(pydantic.BaseModel):
    """A model inside of others."""

    street: str = pydantic.Field(min_length=1)
    zip: str = pydantic.Field(pattern=r"^[0-9]{5}$")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("other", LIBRARIES)
def test_laws_hold_between_any_two_libraries(library: str, other: str) -> None:
    """Entities of each library are drawn, converted, stored and read back."""
    kinds: dict[str, Any] = {"id": int, "name": str, "day": dt.date | None, "sums": list[Decimal], "at": Address}
    v1, v2 = made(library, "First", kinds), made(other, "Second", kinds)
    rename(v2, name="Full Name")

    def into(cls: Any) -> Callable[[Any], Any]:
        return lambda one: cls(**{name: getattr(one, name) for name in kinds})

    assert_laws(Migration(name="m", v1=v1, v2=v2, upgrade=into(v2), downgrade=into(v1)), examples=15)


def test_a_law_that_a_model_breaks_is_named_with_its_field() -> None:
    """As for attrs classes."""
    cls = made("pydantic", "Thing", {"id": int, "name": str, "inner": Address})
    broken = itself(cls, upgrade=lambda one: one.model_copy(update={"name": one.name + "!"}))
    with pytest.raises(LawBroken) as caught:
        assert_laws(broken, examples=10)
    assert caught.value.path == "name"


def test_what_is_not_stored_is_not_drawn() -> None:
    """Excluded fields keep their defaults, and break no law."""

    class Partly(pydantic.BaseModel):
        id: int
        name: str
        token: str = pydantic.Field(default="none", exclude=True)

    assert {one.token for one in drawn(entities(Partly))} == {"none"}
    assert_laws(itself(Partly, upgrade=lambda one: Partly(id=one.id, name=one.name, token="other")), examples=10)


CONSTRAINED: list[tuple[Any, Callable[[Any], bool]]] = [
    (Annotated[int, Gt(1000), Lt(1010)], lambda value: 1000 < value < 1010),
    (Annotated[int, Interval(ge=2**62)], lambda value: 2**62 <= value < 2**63),
    (Annotated[int, MultipleOf(7), Gt(0)], lambda value: value % 7 == 0 and value > 0),
    (Annotated[float, Gt(0), Lt(1)], lambda value: 0 < value < 1),
    (Annotated[Decimal, Gt(Decimal(5))], lambda value: value > 5),
    (Annotated[str, Len(3, 4)], lambda value: 3 <= len(value) <= 4),
    (Annotated[bytes, MinLen(20)], lambda value: len(value) >= 20),
    (Annotated[list[Annotated[int, Ge(5)]], Len(6, 8)], lambda value: 6 <= len(value) <= 8 and min(value) >= 5),
    (Annotated[dict[str, int], MinLen(1)], lambda value: len(value) >= 1),
    (Annotated[dt.date, Gt(dt.date(2024, 1, 1))], lambda value: value > dt.date(2024, 1, 1)),
    (Annotated[str, Predicate(str.islower)], str.islower),
    (Annotated[str, pydantic.StringConstraints(pattern=r"^[a-f]{2,3}$")], lambda value: set(value) <= set("abcdef\n")),
    (Annotated[int, pydantic.Field(gt=0, le=3)], lambda value: 0 < value <= 3),
    (pydantic.PositiveInt, lambda value: value > 0),
    (pydantic.UUID4, lambda value: isinstance(value, UUID) and value.version == 4),
    (pydantic.PastDate, lambda value: value < dt.date(2024, 1, 1)),
    (list[pydantic.NegativeInt], lambda value: all(one < 0 for one in value)),
]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("kind", "holds"), CONSTRAINED, ids=repr)
def test_constraints_are_kept(library: str, kind: Any, holds: Callable[[Any], bool]) -> None:
    """Those in annotations narrow what is drawn, however far out they lie."""
    values = [one.value for one in drawn(entities(made(library, "One", {"id": int, "value": kind})))]
    assert all(map(holds, values))
    assert len({str(value) for value in values}) > 1


def test_a_bounded_int_may_be_an_int64_still() -> None:
    """A small number that another client stored as one."""
    cls = made("attrs", "One", {"id": int, "value": Annotated[int, Gt(0)]})
    assert {int, Int64} <= {type(one.value) for one in drawn(entities(cls), 100)}


# Documents like real ones

REAL: list[dict[str, Any]] = [
    {"_id": 1, "name": "Ada", "at": {"street": "a", "zip": "1"}, "age": 1, "tags": ["x"], "_lazymig_rev": 5},
    {"_id": 2, "name": "Bob", "at": {"street": "b", "zip": "2"}, "age": None, "unknown": True},
    {"_id": 3, "name": "Cyd", "at": {"street": "c", "zip": "3"}, "tags": []},
]


def person(library: str) -> Any:
    """V1 of these documents, in a library."""
    place = made(library, "Place", {"road": str, "zip": str})
    rename(place, road="street")
    kinds: dict[str, Any] = {"id": int, "name": str, "at": place, "age": int | None, "tags": list[str]}
    if library == "attrs":
        fields = {name: attrs.field(type=kind) for name, kind in kinds.items()}
        fields |= {"age": attrs.field(type=int | None, default=7), "tags": attrs.field(type=list[str], factory=list)}
        return attrs.make_class("Person", fields)
    if library == "dataclass":
        defaults: list[Any] = [
            ("age", int | None, dataclasses.field(default=7)),
            ("tags", list[str], dataclasses.field(default_factory=list)),
        ]
        return dataclasses.make_dataclass("Person", [*list(kinds.items())[:3], *defaults])
    required: dict[str, Any] = {name: (kind, ...) for name, kind in kinds.items()}
    return pydantic.create_model("Person", **required | {"age": (int | None, 7), "tags": (list[str], [])})


@pytest.mark.parametrize("library", LIBRARIES)
def test_documents_like_real_ones(library: str) -> None:
    """Each real one, and mixtures of their values: with null, with missing keys, inside of sub-documents too."""
    found = drawn(documents_like(REAL, person(library)), 300)
    clean = [{key: value for key, value in one.items() if key != "_lazymig_rev"} for one in REAL]
    assert all(one in found for one in clean)
    others = [one for one in found if one not in clean]
    assert {one.get("age", "missing") for one in others} == {1, None, "missing"}
    assert {one.get("unknown", "missing") for one in others} == {True, "missing"}
    assert any(one["at"] not in [real["at"] for real in REAL] for one in others)
    assert {one["at"]["zip"] for one in found} == {"1", "2", "3"}


def test_laws_on_real_documents() -> None:
    """They check a migration by what its collection holds, and report a document that the class does not take."""
    cls = person("pydantic")
    migration = itself(cls)
    assert_laws(migration, v1=documents_like(REAL, cls), examples=50)
    with pytest.raises(LawBroken) as caught:
        assert_laws(migration, v1=documents_like([*REAL, {"_id": 4, "name": 5}], cls), examples=50)
    assert (caught.value.law, caught.value.path) == ("every V1 document is read as an entity", "name")


def test_a_mixture_that_the_class_refuses_is_thrown_away() -> None:
    """No real document has the ages that way round."""

    class Ages(pydantic.BaseModel):
        id: int
        low: int
        high: int

        @pydantic.model_validator(mode="after")
        def in_order(self) -> Ages:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    found = drawn(documents_like([{"_id": 1, "low": 1, "high": 2}, {"_id": 2, "low": 5, "high": 9}], Ages), 100)
    assert {(one["low"], one["high"]) for one in found} == {(1, 2), (5, 9), (1, 9)}


def test_each_example_is_a_copy() -> None:
    """A conversion that alters what it is given does not alter the sample."""
    real = [{"_id": 1, "tags": ["x"]}]
    cls = made("attrs", "Tagged", {"id": int, "tags": list[str]})
    for one in drawn(documents_like(real, cls), 5):
        one["tags"].append("y")
    assert real == [{"_id": 1, "tags": ["x"]}]


def test_no_documents_is_an_error() -> None:
    """It says where to get some."""
    with pytest.raises(ConfigurationError, match=r"pass at least one document; sample_documents\(collection\) gets"):
        documents_like([], person("attrs"))


def test_what_is_found_is_shrunk_to_a_real_document() -> None:
    """The smallest example is one that stands in the collection."""
    assert find(documents_like(REAL, person("attrs")), lambda one: one["name"] == "Bob") == REAL[1]


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_documents_are_sampled_by_the_server(lazymig_server: Any, driver: str) -> None:
    """As many as asked for, each once, as the client decodes them and without lazymig's own fields."""
    if driver == "pymongo":
        from pymongo import AsyncMongoClient

        client: Any = AsyncMongoClient(lazymig_server.uri)
    else:
        from motor.motor_asyncio import AsyncIOMotorClient

        client = AsyncIOMotorClient(lazymig_server.uri)
    collection = client[f"samples_{ObjectId()}"]["things"]
    await collection.insert_many([{"_id": number, "_lazymig_rev": 1} for number in range(20)])
    found = await sample_documents(collection, 12)
    assert len({one["_id"] for one in found}) == 12
    assert set().union(*found) == {"_id"}
    await client.drop_database(collection.database.name)
    if driver == "pymongo":
        await client.close()
    else:
        client.close()


async def test_documents_are_sampled_in_memory() -> None:
    """The in-memory collection has few, and gives them all."""
    cls = made("attrs", "One", {"id": int, "kind": Literal["a"]})
    repo = memory_repository(itself(cls))
    await repo.insert(cls(id=1, kind="a"))
    assert await sample_documents(repo.collections.v1) == [{"_id": 1, "kind": "a"}]
