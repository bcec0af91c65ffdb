"""Stored names: `lazymig.rename`, a field's metadata, and which of them counts; checked at once, or when built."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import pydantic
import pytest
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from lazymig import ConfigurationError, ConversionError, Criteria, make_converter, rename
from lazymig.testing import memory_repository
from tests.unit.shapes.test_entities import conversions, itself, made, of_document, read, stored

LIBRARIES = ["attrs", "dataclass", "pydantic"]


def country(library: str, called: str = "Country") -> Any:
    """A class whose fields have names that Python does not allow."""
    cls = made(library, called, {"id": int, "name": str, "for_": str, "page_count": int})
    return rename(cls, name="Country Name", for_="for", page_count="pageCount")


CHAD = {"Country Name": "Chad", "for": "all", "pageCount": 3}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_renamed_field_is_stored_under_its_name(library: str) -> None:
    """For reading and writing, without a converter."""
    cls = country(library)
    entity = cls(id=1, name="Chad", for_="all", page_count=3)
    assert stored(cls, entity) == CHAD
    assert read(cls, **CHAD) == entity
    assert conversions(cls).v1.fields == tuple(CHAD)
    with pytest.raises(ConversionError) as caught:
        of_document(cls, {"_id": 1, **CHAD, "pageCount": "3"})
    assert caught.value.path == "page_count"


@pytest.mark.parametrize("library", LIBRARIES)
async def test_every_call_goes_by_stored_names(library: str) -> None:
    """Updates through both doors; in criteria and in `sort` stand stored names."""
    cls = country(library)
    repo = memory_repository(itself(cls))
    for number in (1, 2):
        await repo.insert(cls(id=number, name=f"Chad {number}", for_="all", page_count=number))
    await repo.update(1, lambda one: changed(one, page_count=7))
    await repo.v1.update(1, lambda one: changed(one, for_="me"))
    assert [await found(collection) for collection in (repo.collections.v1, repo.collections.v2)] == [
        {"Country Name": "Chad 1", "for": "me", "pageCount": 7}
    ] * 2
    only = Criteria(v1={"pageCount": 7}, v2={"pageCount": 7})
    assert [one.id async for one in repo.list(only)] == [1]
    assert [one.id async for one in repo.list(sort="-pageCount")] == [1, 2]
    with pytest.raises(ConfigurationError, match="V1 has no field 'page_count'"):
        await anext(repo.list(sort="page_count"))


async def found(collection: Any) -> dict[str, Any]:
    """The first document without lazymig's own fields."""
    document = await collection.find_one({"_id": 1})
    return {key: value for key, value in document.items() if not key.startswith("_")}


def changed(entity: Any, **values: Any) -> Any:
    """The entity with other values, in its own library's way."""
    if isinstance(entity, pydantic.BaseModel):
        return entity.model_copy(update=values)
    return attrs.evolve(entity, **values) if attrs.has(type(entity)) else dataclasses.replace(entity, **values)


@dataclasses.dataclass
class InMetadata:
    """By metadata, in a dataclass."""

    id: int
    name: str = dataclasses.field(metadata={"stored_name": "Country Name"})
    count: int = dataclasses.field(default=0, metadata={"stored_name": "pageCount", "other": 1})


@attrs.define
class InAttrsMetadata:
    """By metadata, in an attrs class."""

    id: int
    name: str = attrs.field(metadata={"stored_name": "Country Name"}, alias="nm")
    count: int = attrs.field(default=0, metadata={"stored_name": "pageCount", "other": 1})


@pydantic.dataclasses.dataclass
class InPydanticMetadata:
    """By metadata, in a dataclass of pydantic's."""

    id: int
    name: str = dataclasses.field(metadata={"stored_name": "Country Name"})
    count: int = dataclasses.field(default=0, metadata={"stored_name": "pageCount", "other": 1})


@pytest.mark.parametrize("cls", [InMetadata, InAttrsMetadata, InPydanticMetadata])
def test_metadata_says_the_stored_name(cls: Any) -> None:
    """The metadata of a field, in attrs classes and dataclasses."""
    assert stored(cls, cls(1, "Chad", 3)) == {"Country Name": "Chad", "pageCount": 3}
    assert read(cls, **{"Country Name": "Chad"}) == cls(1, "Chad")


def test_rename_goes_before_metadata_and_aliases() -> None:
    """The rest of them stays."""

    class Aliased(pydantic.BaseModel):
        id: int
        name: str = pydantic.Field(alias="Name")
        count: int = pydantic.Field(alias="Count")

    assert stored(rename(Aliased, name="n"), Aliased(id=1, Name="a", Count=1)) == {"n": "a", "Count": 1}
    plain = dataclasses.make_dataclass(
        "Plain", [("id", int), ("n", int, dataclasses.field(metadata={"stored_name": "x"}))]
    )
    assert stored(rename(plain, n="y"), plain(1, 2)) == {"y": 2}


@pytest.mark.parametrize("library", LIBRARIES)
def test_subclasses_inherit_stored_names(library: str) -> None:
    """And may say otherwise, which changes nothing for the parent."""
    parent = country(library, "Parent")
    decorate: Any = {"attrs": attrs.define, "dataclass": dataclasses.dataclass, "pydantic": lambda cls: cls}[library]
    child = rename(decorate(type("Child", (parent,), {"__annotations__": {"more": int}})), for_="FOR")
    entity = child(id=1, name="Chad", for_="all", page_count=3, more=4)
    assert stored(child, entity) == {"Country Name": "Chad", "FOR": "all", "pageCount": 3, "more": 4}
    assert stored(parent, parent(id=1, name="Chad", for_="all", page_count=3)) == CHAD


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("inner", LIBRARIES)
def test_names_below_the_top_may_be_any(library: str, inner: str) -> None:
    """Dots, dollars and the empty text, as without declarations."""
    card = rename(made(inner, "Card", {"mail": str, "phone": int, "fax": int}), mail="e.mail", phone="$phone", fax="")
    cls = made(library, "Person", {"id": int, "card": card})
    entity = cls(id=1, card=card(mail="m", phone=1, fax=2))
    assert stored(cls, entity) == {"card": {"e.mail": "m", "$phone": 1, "": 2}}
    assert read(cls, **stored(cls, entity)) == entity


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"nme": "x"}, r"rename: Person has no field 'nme'; it has id, name, other"),
        ({"name": "other"}, "rename: name and other of Person would both be stored as 'other'"),
        ({"name": "x", "other": "x"}, "rename: name and other of Person would both be stored as 'x'"),
        ({"name": "a\0b"}, "rename: pass the stored name of name as a string without NUL"),
        ({"name": 5}, "rename: pass the stored name of name as a string without NUL"),
        ({"name": "_lazymig_rev"}, "'_lazymig_rev' is one of lazymig's own names; choose another name for name"),
    ],
    ids=repr,
)
def test_rename_checks_names_at_once(library: str, names: dict[str, Any], message: str) -> None:
    """Whatever the class is used for, and it stays as it was."""
    cls = made(library, "Person", {"id": int, "name": str, "other": int})
    with pytest.raises(ConfigurationError, match=message):
        rename(cls, **names)
    assert stored(cls, cls(id=1, name="a", other=2)) == {"name": "a", "other": 2}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["", "a.b", "$a", "_id"])
def test_a_name_that_cannot_stand_at_the_top_is_refused_when_built(library: str, name: str) -> None:
    """It may be fine below the top, so only the migration knows."""
    cls = rename(made(library, "Person", {"id": int, "name": str}), name=name)
    with pytest.raises(ConfigurationError, match=r"v1: Person\.name is stored as .*rename it"):
        itself(cls)


def test_what_has_no_fields_is_not_renamed() -> None:
    """Nor what is not stored."""

    class Partly(pydantic.BaseModel):
        id: int
        token: str = pydantic.Field(default="", exclude=True)

    with pytest.raises(ConfigurationError, match="rename: pass an attrs class, a dataclass or a pydantic model"):
        rename(dict, a="b")
    with pytest.raises(ConfigurationError, match=r"rename: Partly\.token is never stored; leave it out"):
        rename(Partly, token="t")


@pytest.mark.parametrize("library", LIBRARIES)
def test_renaming_too_late_is_refused(library: str) -> None:
    """What a converter has looked at it stores as it did; so has a subclass of the class."""
    cls = made(library, "Person", {"id": int, "name": str})
    itself(cls)
    with pytest.raises(ConfigurationError, match="already uses Person with its present names; rename its fields where"):
        rename(cls, name="n")


def test_a_name_in_metadata_must_be_a_string() -> None:
    """The migration says so."""
    cls = dataclasses.make_dataclass("Odd", [("id", int), ("n", int, dataclasses.field(metadata={"stored_name": 5}))])
    with pytest.raises(ConfigurationError, match=r"Odd\.n: its stored_name is not a string; pass a string"):
        itself(cls)


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_field_may_be_stored_as_id(library: str) -> None:
    """Where the id itself says that it is `_id`, as with a converter."""
    cls = made(library, "Tweet", {"id": int, "tweet_id": str})
    with pytest.raises(ConfigurationError, match="id and tweet_id of Tweet would both be stored as 'id'"):
        rename(cls, tweet_id="id")
    rename(cls, id="_id", tweet_id="id")
    assert stored(cls, cls(id=1, tweet_id="77")) == {"id": "77"}
    assert conversions(cls).v1.decode({"_id": 1, "id": "77"}) == cls(id=1, tweet_id="77")


def test_a_converter_of_ones_own_goes_first() -> None:
    """Hooks that are registered for a class decide alone; those of other classes inside keep their declared names."""
    inner = rename(made("dataclass", "Inner", {"a": int}), a="A")
    cls = rename(made("attrs", "Outer", {"id": int, "inner": inner, "b": int}), b="B")
    own = make_converter()
    names: dict[str, Any] = {"b": override(rename="bee")}
    own.register_structure_hook(cls, make_dict_structure_fn(cls, own, **names))
    own.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, own, **names))
    codec = conversions(cls, v1_converter=own).v1
    assert codec.encode(cls(id=1, inner=inner(a=2), b=3)) == {"inner": {"A": 2}, "bee": 3}
    assert codec.decode({"_id": 1, "inner": {"A": 2}, "bee": 3}) == cls(id=1, inner=inner(a=2), b=3)
