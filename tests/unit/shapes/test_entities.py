"""What classes of each library declare, and what is refused of them, with the remedy."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import InitVar
from pathlib import Path
from typing import Any, ClassVar

import attrs
import bson
import pydantic
import pytest
from attrs import frozen
from bson import ObjectId

from lazymig import ConfigurationError, ConversionError, Migration
from lazymig.shapes import entities
from lazymig.shapes.conversions import Conversions, conversions_for


def itself(cls: Any, **changed: Any) -> Migration[Any, Any]:
    """A migration of a class to itself."""
    same: dict[str, Any] = {"upgrade": lambda one: one, "downgrade": lambda one: one}
    return Migration(**{"name": "m", "v1": cls, "v2": cls} | same | changed)


def conversions(cls: Any, **changed: Any) -> Conversions[Any, Any]:
    """The conversions of a class to itself."""
    return conversions_for(itself(cls, **changed), v1_aware=False, v2_aware=False)


def stored(cls: Any, entity: Any) -> dict[str, Any]:
    """What is stored of an entity, read back from its BSON."""
    return bson.decode(bson.encode(conversions(cls).v1_document(entity)))


def read(cls: Any, **document: Any) -> Any:
    """An entity of a document."""
    return conversions(cls).v1.decode({"_id": 1, **document})


@frozen
class InAttrs:
    id: int
    name: str
    tags: list[str] = attrs.field(factory=list)


@dataclasses.dataclass
class InDataclass:
    id: int
    name: str
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InFrozenDataclass:
    id: int
    name: str
    tags: list[str] = dataclasses.field(default_factory=list)


class InPydantic(pydantic.BaseModel):
    id: int
    name: str
    tags: list[str] = []


class InFrozenPydantic(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    id: int
    name: str
    tags: list[str] = pydantic.Field(default_factory=list)


@pydantic.dataclasses.dataclass
class InPydanticDataclass:
    id: int
    name: str
    tags: list[str] = dataclasses.field(default_factory=list)


@pydantic.dataclasses.dataclass(frozen=True, slots=True)
class InSlottedPydanticDataclass:
    id: int
    name: str
    tags: list[str] = pydantic.Field(default_factory=list)


KINDS = [
    InAttrs,
    InDataclass,
    InFrozenDataclass,
    InPydantic,
    InFrozenPydantic,
    InPydanticDataclass,
    InSlottedPydanticDataclass,
]


@pytest.mark.parametrize("cls", KINDS)
def test_a_class_of_each_library_is_stored_alike(cls: Any) -> None:
    """The same fields become the same bytes, in the order of the fields, and come back equal."""
    entity = cls(id=1, name="a", tags=["x"])
    assert bson.encode(conversions(cls).v1_document(entity)) == bson.encode({"name": "a", "tags": ["x"]})
    assert read(cls, name="a", tags=["x"]) == entity


@pytest.mark.parametrize("cls", KINDS)
def test_a_default_stands_in_for_a_missing_key(cls: Any) -> None:
    """Of a field with a default; without one the error names the field, and without contents."""
    assert read(cls, name="a").tags == []
    with pytest.raises(ConversionError, match="there is no key 'name'") as caught:
        of_document(cls, {"_id": 1, "tags": ["secret"]})
    assert caught.value.path == "name"
    assert "secret" not in str(caught.value)


def of_document(cls: Any, document: dict[str, Any]) -> Any:
    """An entity by the way of a stored document, with lazymig's errors."""
    from lazymig.stores.records import StoredV1

    return conversions(cls).v1_entity(StoredV1(document["_id"], 0, document))


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize("name", [5, True, None, b"a", 5.0, ["a"], {}], ids=repr)
def test_no_value_is_coerced(cls: Any, name: Any) -> None:
    """What is stored as another type than the declared one is refused, for the classes of every library."""
    with pytest.raises(ConversionError) as caught:
        of_document(cls, {"_id": 1, "name": name})
    assert caught.value.path == "name"


@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("outer", ["attrs", "dataclass", "pydantic"])
def test_each_stands_inside_of_each(outer: str, inner: Any) -> None:
    """Classes of the libraries nest in any way: alone, in lists and in mappings, and come back as what they were."""
    kinds: dict[str, Any] = {"one": inner, "many": list[inner], "named": dict[str, inner], "none": inner | None}
    cls = made(outer, "Outer", {"id": int} | kinds)
    one = inner(id=2, name="a")
    entity = cls(id=1, one=one, many=[one], named={"k.e$y": one}, none=None)
    document = stored(cls, entity)
    assert document["many"] == [{"id": 2, "name": "a", "tags": []}]
    back = read(cls, **document)
    assert back == entity
    assert type(back.named["k.e$y"]) is inner


def made(library: str, name: str, kinds: dict[str, Any], **options: Any) -> Any:
    """A class of a library with these fields."""
    if library == "attrs":
        return attrs.make_class(name, {field: attrs.field(type=kind) for field, kind in kinds.items()}, **options)
    if library == "dataclass":
        return dataclasses.make_dataclass(name, list(kinds.items()), **options)
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    return pydantic.create_model(name, __config__=config, **{field: (kind, ...) for field, kind in kinds.items()})


@pytest.mark.parametrize(
    "cls", [dict, tuple, ObjectId, InPydantic(id=1, name="a"), InAttrs(1, "a"), None, "InAttrs"], ids=repr
)
def test_what_is_no_entity_class_is_refused(cls: Any) -> None:
    """The error names what may be passed instead."""
    with pytest.raises(
        ConfigurationError, match=r"v1: pass an attrs class, a dataclass or a pydantic model \(decorate it with"
    ):
        itself(cls)


def with_all(decorate: Any) -> Any:
    """A dataclass with everything that is no field of documents."""

    @decorate
    class WithAll:
        id: int
        count: int
        start: InitVar[int] = 5
        kinds: ClassVar[list[str]] = []
        twice: int = dataclasses.field(init=False)
        hidden: list[int] = dataclasses.field(init=False, default_factory=list, compare=False)

        def __post_init__(self, start: int) -> None:
            self.twice = 2 * self.count
            self.hidden = [start]

    return WithAll


@pytest.mark.parametrize("decorate", [dataclasses.dataclass, pydantic.dataclasses.dataclass])
def test_what_init_does_not_take_is_not_stored(decorate: Any) -> None:
    """Computed fields, class variables and init-only variables stay out of documents, and are computed anew."""
    cls = with_all(decorate)
    assert stored(cls, cls(1, 3, 7)) == {"count": 3}
    back = read(cls, count=3)
    assert (back.twice, back.hidden) == (6, [5])


@pytest.mark.parametrize("decorate", [dataclasses.dataclass, pydantic.dataclasses.dataclass])
def test_a_computed_field_that_was_altered_is_refused(decorate: Any) -> None:
    """It would come back as what the class computes, so it is not acknowledged."""
    cls = with_all(decorate)
    entity = cls(1, 3)
    entity.twice = 7
    with pytest.raises(ConversionError) as caught:
        conversions(cls).v1_document(entity)
    assert caught.value.path == "twice"


def test_an_argument_that_is_no_field_needs_a_default() -> None:
    """No document has it, so no entity could be made."""

    @dataclasses.dataclass
    class Started:
        id: int
        start: InitVar[int]

    with pytest.raises(ConfigurationError, match=r"Started: Started cannot be made without 'start', .* give it a def"):
        itself(Started)


def test_an_unknown_annotation_names_what_is_missing() -> None:
    """Of each library: the class and the name."""

    class Model(pydantic.BaseModel):
        id: int
        other: Unknown  # type: ignore[name-defined]  # noqa: F821

    data = dataclasses.make_dataclass("Data", [("id", int), ("other", "Unknown")])
    for cls in (Model, data):
        with pytest.raises(ConfigurationError, match=rf"{cls.__name__}: annotations cannot be resolved \(Unknown\)"):
            itself(cls)


def test_forward_references_are_resolved() -> None:
    """A class that contains itself, and one that is defined later in the module."""
    tree = TreeOfModels(id=1, inner=LaterModel(trees=[TreeOfModels(id=2)]))
    assert stored(TreeOfModels, tree) == {"inner": {"trees": [{"id": 2, "inner": None}]}}
    assert read(TreeOfModels, inner={"trees": [{"id": 2, "inner": None}]}) == tree


class TreeOfModels(pydantic.BaseModel):
    id: int
    inner: LaterModel | None = None


class LaterModel(pydantic.BaseModel):
    trees: list[TreeOfModels]


def test_a_fields_own_equality_counts() -> None:
    """A field that a class leaves out of its comparison is left out when a written entity is read back."""

    @dataclasses.dataclass
    class Cached:
        id: int
        cache: Any = dataclasses.field(default=None, compare=False)

    assert stored(Cached, Cached(1, (1, 2))) == {"cache": [1, 2]}  # a list comes back, and nobody compares it


def test_a_subclass_in_a_field_of_its_parent_is_refused() -> None:
    """What it has beyond its parent would be lost."""

    class More(InPydantic):
        more: int = 1

    holder = made("pydantic", "Holder", {"id": int, "one": InPydantic})
    with pytest.raises(ConversionError) as caught:
        conversions(holder).v1_document(holder(id=1, one=More(id=2, name="a")))
    assert caught.value.path == "one"


def test_only_entity_classes_are_entities() -> None:
    """Not instances, not other classes; generic aliases count as their classes."""
    assert all(map(entities.is_entity, KINDS))
    assert not any(map(entities.is_entity, [int, dict, list[int], InAttrs(1, "a"), None, "x", Any]))


WITHOUT_PYDANTIC = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pydantic", "pydantic_core", "beanie"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
sys.path.append(sys.argv[1])
import asyncio, dataclasses, attrs, lazymig
from examples.customers import load_documents, migration
from lazymig.testing import memory_repository
@dataclasses.dataclass
class V1:
    id: int
    name: str
@attrs.frozen
class V2:
    id: int
    inner: V1
lazymig.rename(V2, inner="V1")
small = lazymig.Migration(name="m", v1=V1, v2=V2, upgrade=lambda v1: V2(v1.id, v1), downgrade=lambda v2: v2.inner)
async def main():
    for one in (small, migration):
        repo = memory_repository(one)
        document = {"_id": 1, "name": "a"} if one is small else load_documents()[0]
        await repo.collections.v1.insert_one(document)
        assert await repo.get(document["_id"]) is not None
asyncio.run(main())
print("worked")
"""


def test_no_pydantic_is_needed() -> None:
    """Attrs classes and dataclasses, and the customers of the demonstration, work where pydantic is not installed."""
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", WITHOUT_PYDANTIC, root]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("worked\n", "")


@attrs.define
class BaseInAttrs:
    id: int
    a: int = 0


def test_a_dataclass_below_an_attrs_class_has_its_own_fields() -> None:
    """Each is checked when the migration is built, and compared when an entity is written."""

    @dataclasses.dataclass
    class Below(BaseInAttrs):
        id: int
        a: int = 0
        extra: Any = None

    assert read(Below, a=2, extra=3) == Below(1, 2, 3)
    assert stored(Below, Below(1, 2, [4])) == {"a": 2, "extra": [4]}
    with pytest.raises(ConversionError) as caught:
        stored(Below, Below(1, 2, (4,)))
    assert caught.value.path == "extra"

    @dataclasses.dataclass
    class Inexact(BaseInAttrs):
        id: int
        a: int = 0
        extra: complex = 0j

    with pytest.raises(ConfigurationError, match=r"Inexact\.extra: BSON cannot hold complex exactly"):
        itself(Inexact)


def test_classes_that_do_not_know_their_bases_fields_are_refused() -> None:
    """Such a field would be neither stored nor read."""

    @dataclasses.dataclass
    class BelowAttrs(BaseInAttrs):
        id: int
        extra: int = 0

    @dataclasses.dataclass
    class BaseInDataclass:
        id: int
        a: int = 0

    @attrs.define
    class BelowDataclass(BaseInDataclass):
        id: int
        a: int = 0
        extra: int = 0

    for cls in (BelowAttrs, BelowDataclass):
        with pytest.raises(ConfigurationError, match="decorate all of them with the same library"):
            itself(cls)
