"""pydantic's classes: their validators, aliases and settings, each by a stated rule, over the one table of types."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import bson
import pydantic
import pytest
from attrs import frozen
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from lazymig import ConfigurationError, ConversionError, Migration, make_converter, rename
from lazymig.shapes.conversions import conversions_for
from lazymig.shapes.migration import get_id_types
from tests.unit.shapes.test_entities import conversions, itself, of_document, read, stored

T = TypeVar("T")


class Model(BaseModel):
    """What the models of these tests have in common."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    id: int


def model(called: str = "Drawn", config: ConfigDict | None = None, **fields: Any) -> Any:
    """A model with these fields."""
    made = {key: value if isinstance(value, tuple) else (value, ...) for key, value in fields.items()}
    base = Model if config is None else type("Base", (Model,), {"model_config": config})
    return pydantic.create_model(called, __base__=base, **made)


class Colour(enum.Enum):
    """A value by its name."""

    RED = "red"


RANDOM = UUID("8d1b2f0c-44f1-4a70-9d2e-6f1f5a7c1e11")
EXACT: list[tuple[Any, Any, Any]] = [
    (str, "5", "5"),
    (int, 5, 5),
    (int, Int64(5), Int64(5)),
    (float, 5.0, 5.0),
    (bool, True, True),
    (bytes, b"a", b"a"),
    (bytes, Binary(b"a", 5), Binary(b"a", 5)),
    (Decimal, Decimal("1.00"), Decimal128("1.00")),
    (dt.datetime, dt.datetime(2024, 1, 1, 1), dt.datetime(2024, 1, 1, 1)),
    (dt.date, dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)),
    (UUID, UUID(int=7), Binary.from_uuid(UUID(int=7))),
    (ObjectId, ObjectId(b"x" * 12), ObjectId(b"x" * 12)),
    (Decimal128, Decimal128("1.0"), Decimal128("1.0")),
    (Timestamp, Timestamp(1, 1), Timestamp(1, 1)),
    (Regex, Regex("a", 2), Regex("a", 2)),
    (Colour, Colour.RED, "red"),
    (Literal["a", 1], 1, 1),
    (list[int], [1, Int64(2)], [1, Int64(2)]),
    (tuple[int, str], (Int64(1), "a"), [Int64(1), "a"]),
    (dict[str, list[int]], {"a.b": [Int64(1)]}, {"a.b": [Int64(1)]}),
    (int | str, "5", "5"),
    (int | str | None, None, None),
    (Any, {"a": [Int64(1)]}, {"a": [Int64(1)]}),
    (Annotated[int, Field(gt=0)], Int64(3), Int64(3)),
    (pydantic.NaiveDatetime, dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1)),
    (pydantic.PastDate, dt.date(2000, 1, 1), dt.datetime(2000, 1, 1)),
    (list[pydantic.UUID4], [RANDOM], [Binary.from_uuid(RANDOM)]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "in_bson"), EXACT, ids=repr)
def test_the_table_of_types_holds(kind: Any, value: Any, in_bson: Any) -> None:
    """A value comes back as it was, an `Int64` as such, where pydantic would make a plain int of it."""
    cls = model(value=kind)
    back = read(cls, value=bson.decode(bson.encode({"": in_bson}))[""])
    assert back.value == value
    assert repr(back.value) == repr(value)
    assert bson.encode(stored(cls, back)) == bson.encode({"value": in_bson})


@pytest.mark.parametrize(
    ("kind", "in_bson"),
    [
        (int, "5"), (int, 5.0), (int, True), (float, "5"), (bool, 1), (bool, "yes"), (str, 5), (str, b"a"),
        (bytes, "a"), (Decimal, "1"), (Decimal, 1), (dt.datetime, 5), (dt.datetime, "2024-01-01"),
        (dt.date, "2024-01-01"), (dt.date, dt.datetime(2024, 1, 1, 1)), (UUID, str(UUID(int=7))), (list[int], [1, "2"]),
        (set[int], "12"), (dict[str, int], [("a", 1)]), (Colour, "blue"), (Literal[1], True), (ObjectId, "5" * 24),
        (tuple[int, ...], {"a": 1}), (int | None, "5"),
    ],
    ids=repr,
)  # fmt: skip
def test_pydantics_coercions_do_not_weaken_it(kind: Any, in_bson: Any) -> None:
    """What pydantic alone would take for the declared type is refused, with the field."""
    with pytest.raises(ConversionError) as caught:
        of_document(model(value=kind), {"_id": 1, "value": in_bson})
    assert caught.value.path.startswith("value")


def test_a_union_from_left_to_right_coerces_nothing() -> None:
    """pydantic would make a number of the text; what it makes is compared, and refused."""
    cls = model(value=Annotated[int | str, Field(union_mode="left_to_right")])
    with pytest.raises(ConversionError) as caught:
        of_document(cls, {"_id": 1, "value": "5"})
    assert caught.value.path == "value"
    assert read(cls, value="a").value == "a"


# Validators


class Checked(Model):
    """A model with validators of each kind that refuse or pass on."""

    name: Annotated[str, Field(max_length=5)]
    low: int = 0
    high: int = 9

    @field_validator("name", mode="after")
    @classmethod
    def no_digits(cls, value: str) -> str:
        if any(map(str.isdigit, value)):
            raise ValueError(f"no digits in {value}")
        return value

    @field_validator("low", mode="before")
    @classmethod
    def exact_already(cls, value: Any) -> Any:
        assert type(value) in (int, Int64), "lazymig decodes first"
        return value

    @field_validator("high", mode="wrap")
    @classmethod
    def around(cls, value: Any, handler: Any) -> Any:
        return handler(value)

    @model_validator(mode="after")
    def in_order(self) -> Checked:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"name": "secret"}, "name"),
        ({"name": "abc7"}, "name"),
        ({"name": "abc", "low": 10}, ""),
        ({"name": "abc", "low": "1"}, "low"),
    ],
)
def test_validators_run_when_a_document_is_read(document: dict[str, Any], path: str) -> None:
    """What one refuses is refused, with the field and without contents."""
    with pytest.raises(ConversionError) as caught:
        of_document(Checked, {"_id": 1, **document})
    assert caught.value.path == path
    assert not any(text in f"{caught.value} {caught.value.cause}" for text in ("secret", "abc"))
    assert read(Checked, name="abc", low=3) == Checked(id=1, name="abc", low=3)


def test_the_line_of_a_validator_is_named() -> None:
    """As with attrs: the file, the line and the function of the user's own code."""
    with pytest.raises(
        ConversionError, match=r"a validator refuses it: value_error at test_models\.py:\d+ in no_digits"
    ):
        of_document(Checked, {"_id": 1, "name": "abc7"})


def test_an_error_of_the_users_own_kind_is_not_shown() -> None:
    """Its type is a text like any other: it may quote the value."""

    class Quoting(Model):
        name: str

        @field_validator("name")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise PydanticCustomError(value, "no")  # type: ignore[arg-type]

    with pytest.raises(ConversionError, match="a validator refuses it: an error of its own") as caught:
        of_document(Quoting, {"_id": 1, "name": "secret"})
    assert "secret" not in f"{caught.value} {caught.value.cause}"


def test_what_would_be_read_back_as_another_value_says_what_to_give() -> None:
    """The text is lazymig's own and quotes nothing."""
    cls = model(numbers=list[int])
    with pytest.raises(ConversionError, match="at field 'numbers': it would be read back as another value; give the"):
        conversions(cls).v1_document(cls.model_construct(id=1, numbers=(1, 2)))


def test_validators_of_classes_inside_run_and_the_path_leads_there() -> None:
    """Through lists of models, and of a model inside of an attrs class."""

    @frozen
    class Holder:
        id: int
        many: list[Checked]

    with pytest.raises(ConversionError) as caught:
        of_document(Holder, {"_id": 1, "many": [{"id": 1, "name": "a"}, {"id": 2, "name": "b7"}]})
    assert caught.value.path == "many[1].name"
    with pytest.raises(ConversionError) as caught:
        of_document(Holder, {"_id": 1, "many": [{"id": 1, "name": "a", "low": 10}]})
    assert caught.value.path == "many[0]"


async def test_a_conversion_that_a_model_refuses_names_the_field() -> None:
    """Of the class that it was to make, by its Python name; keys of mappings are contents and not shown."""
    cls = model("Two", counts=(dict[str, int], Field(alias="theCounts")))
    for given, path in ({"secret": "x"}, "counts[...]"), (None, "counts"):
        migration = itself(cls, upgrade=lambda one, given=given: cls(id=one.id, theCounts=given))
        with pytest.raises(ConversionError) as caught:
            await conversions_for(migration, v1_aware=False, v2_aware=False).upgrade(cls(id=1, theCounts={}), None)
        assert (caught.value.direction, caught.value.path) == ("upgrade", path)
        assert "secret" not in str(caught.value)


def test_an_entity_past_its_validators_is_refused_when_written() -> None:
    """Which `model_copy` and `model_construct` make without asking them: it could not be read again."""
    entity = Checked(id=1, name="abc").model_copy(update={"name": "too long"})
    with pytest.raises(ConversionError) as caught:
        conversions(Checked).v1_document(entity)
    assert caught.value.path == "name"
    with pytest.raises(ConversionError):
        conversions(Checked).v1_document(Checked(id=1, name="abc").model_copy(update={"low": "1"}))


class Stripped(Model):
    """A model that alters what it is given."""

    name: Annotated[str, Field(strict=False)]

    @field_validator("name")
    @classmethod
    def stripped(cls, value: str) -> str:
        return value.strip()


def test_a_validator_that_alters_what_is_stored_is_refused() -> None:
    """It would change a value without an error; one that leaves it alone is welcome, and so are new entities."""
    with pytest.raises(ConversionError) as caught:
        of_document(Stripped, {"_id": 1, "name": " a"})
    assert caught.value.path == "name"
    assert "at field 'name': a validator changes the value that is stored" in str(caught.value)
    assert stored(Stripped, Stripped(id=1, name=" a")) == {"name": "a"}
    assert read(Stripped, name="a") == Stripped(id=1, name="a")


class Inner(BaseModel):
    """A mutable model inside of others."""

    city: str = ""


class AltersItsInput(Model):
    name: str = "default"

    @model_validator(mode="before")
    @classmethod
    def stripped(cls, data: Any) -> Any:
        data["name"] = data["name"].strip()
        return data


class DropsFromItsInput(Model):
    name: str = "default"

    @model_validator(mode="before")
    @classmethod
    def dropped(cls, data: Any) -> Any:
        data.pop("name")
        return data


class WrapsItsInput(Model):
    name: str

    @model_validator(mode="wrap")
    @classmethod
    def wrapped(cls, data: Any, handler: Any) -> Any:
        data["name"] += "!"
        return handler(data)


class SortsTags(Model):
    tags: list[str]

    @field_validator("tags", mode="before")
    @classmethod
    def sort(cls, value: Any) -> Any:
        value.sort()
        return value


class AppendsToAnything(Model):
    value: Any

    @field_validator("value")
    @classmethod
    def longer(cls, value: Any) -> Any:
        value.append(1)
        return value


class AltersInner(Model):
    inner: Inner

    @model_validator(mode="after")
    def upper(self) -> AltersInner:
        self.inner.city = self.inner.city.upper()
        return self


class AltersInnersAtLast(Model):
    inners: list[Inner]

    def model_post_init(self, _: Any) -> None:
        self.inners[0].city += "!"


@pydantic.dataclasses.dataclass
class AltersInnerInDataclass:
    id: int
    inner: Inner | None

    def __post_init__(self) -> None:
        assert self.inner is not None
        self.inner.city = "other"


@pytest.mark.parametrize(
    ("cls", "document"),
    [
        (AltersItsInput, {"name": " a"}),
        (DropsFromItsInput, {"name": "a"}),
        (WrapsItsInput, {"name": "a"}),
        (SortsTags, {"tags": ["b", "a"]}),
        (AppendsToAnything, {"value": [2]}),
        (AltersInner, {"inner": {"city": "a"}}),
        (AltersInnersAtLast, {"inners": [{"city": "a"}]}),
        (AltersInnerInDataclass, {"inner": {"city": "a"}}),
    ],
)
def test_what_is_altered_in_place_is_noticed_too(cls: Any, document: dict[str, Any]) -> None:
    """A validator may alter the very mapping, list or model that it is given: that changes the stored value as well."""
    field = next(iter(document))
    with pytest.raises(ConversionError) as caught:
        of_document(cls, {"_id": 1, **document})
    assert caught.value.path == field
    assert "a validator changes the value that is stored" in str(caught.value.cause)


def test_validators_may_add_to_their_input() -> None:
    """What no field declares goes nowhere: the document is read as it stands."""

    class Adds(Model):
        name: str

        @model_validator(mode="before")
        @classmethod
        def add(cls, data: Any) -> Any:
            data["legacy"] = True
            return data

    assert read(Adds, name="a") == Adds(id=1, name="a")


def test_what_a_model_remembers_of_its_fields_stays_the_same_object() -> None:
    """A private index of models inside refers to the models that the entity holds."""

    class Indexed(Model):
        inners: list[Inner]
        _by_city: dict[str, Inner] = PrivateAttr(default_factory=dict)

        def model_post_init(self, _: Any) -> None:
            self._by_city = {inner.city: inner for inner in self.inners}

    entity = read(Indexed, inners=[{"city": "a"}])
    assert entity._by_city["a"] is entity.inners[0]


def test_slots_of_a_base_are_fields_as_well() -> None:
    """A pydantic dataclass may inherit slots and have a dictionary besides."""

    @pydantic.dataclasses.dataclass(slots=True)
    class Base:
        id: int
        numbers: list[int]

    @pydantic.dataclasses.dataclass
    class Below(Base):
        more: int = 1

    entity = read(Below, numbers=[Int64(2)], more=Int64(3))
    assert entity == Below(id=1, numbers=[2], more=3)
    assert (type(entity.numbers[0]), type(entity.more)) == (Int64, Int64)


def test_a_model_that_is_made_by_names_only_is_made_by_names() -> None:
    """The alias is the stored name all the same."""
    cls = model(
        config=ConfigDict(validate_by_alias=False, validate_by_name=True), count=(int, Field(0, alias="theCount"))
    )
    entity = read(cls, theCount=3)
    assert entity.count == 3
    assert stored(cls, entity) == {"theCount": 3}


def test_a_hook_of_ones_own_may_allow_it() -> None:
    """The way out that the documentation names: the class's own `model_validate`, in exactly one hook."""
    own = make_converter()
    own.register_structure_hook(Stripped, lambda document, cls: cls.model_validate(document))
    codec = conversions_for(itself(Stripped, v1_converter=own), v1_aware=False, v2_aware=False).v1
    assert codec.decode({"_id": 1, "name": " a"}) == Stripped(id=1, name="a")


def test_a_validator_that_is_never_content_is_refused_when_written() -> None:
    """Each reading would make another value of it."""

    class Growing(Model):
        name: str

        @field_validator("name")
        @classmethod
        def longer(cls, value: str) -> str:
            return value + "!"

    with pytest.raises(ConversionError) as caught:
        conversions(Growing).v1_document(Growing(id=1, name="a"))
    assert caught.value.path == "name"


def test_what_equals_the_stored_value_is_the_stored_value() -> None:
    """A validator that gives an equal value changes nothing, not even trailing zeros or the kind of integer."""

    class Rounded(Model):
        price: Decimal
        numbers: list[int]
        real: float

        @field_validator("price")
        @classmethod
        def cents(cls, value: Decimal) -> Decimal:
            return value.quantize(Decimal("0.01"))

    back = read(Rounded, price=Decimal128("1.5"), numbers=[Int64(1)], real=float("nan"))
    assert (str(back.price), type(back.numbers[0])) == ("1.5", Int64)


def test_a_validator_that_returns_another_class_is_refused() -> None:
    """Before it reaches anybody."""

    class Other(Model):
        pass

    class Turned(Model):
        @model_validator(mode="wrap")
        @classmethod
        def turn(cls, value: Any, handler: Any) -> Any:
            return Other(id=1)

    with pytest.raises(ConversionError, match="a validator of Turned returns a Other"):
        of_document(Turned, {"_id": 1})


def test_the_strict_setting_changes_nothing() -> None:
    """The values are exact already, below `strict=True` as well."""
    cls = model(config=ConfigDict(strict=True), day=dt.date, one=tuple[int, str], colour=Colour, names=set[str])
    entity = read(cls, day=dt.datetime(2024, 1, 1), one=[1, "a"], colour="red", names=["b"])
    assert stored(cls, entity) == {"day": dt.datetime(2024, 1, 1), "one": [1, "a"], "colour": "red", "names": ["b"]}


# Names


class Book(Model):
    """Names that are no Python names, by aliases."""

    model_config = ConfigDict(populate_by_name=True)
    page_count: int = Field(alias="pageCount")
    country: str = Field(alias="Country Name", default="x")
    for_: str = Field(validation_alias="for", serialization_alias="for", default="all")


def test_an_alias_is_the_stored_name() -> None:
    """For reading and writing alike."""
    document = {"pageCount": 3, "Country Name": "Chad", "for": "me"}
    entity = Book(id=1, page_count=3, country="Chad", for_="me")
    assert stored(Book, entity) == document
    assert read(Book, **document) == entity
    assert conversions(Book).v1.fields == ("pageCount", "Country Name", "for")


def test_a_generated_alias_counts_too() -> None:
    """What `alias_generator` makes is an alias like any other."""
    cls = model(config=ConfigDict(alias_generator=to_camel), page_count=int)
    assert stored(cls, cls(id=1, pageCount=3)) == {"pageCount": 3}


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (Field(validation_alias="pageCount"), "it is read from 'pageCount' but written as 'its own name'"),
        (Field(serialization_alias="pageCount"), "it is read from 'its own name' but written as 'pageCount'"),
        (Field(validation_alias="a", serialization_alias="b"), "it is read from 'a' but written as 'b'"),
        (Field(validation_alias=AliasChoices("a", "b")), "its validation_alias is an AliasChoices"),
        (Field(validation_alias=AliasPath("a", 0)), "its validation_alias is an AliasPath"),
    ],
    ids=repr,
)
def test_an_ambiguous_alias_is_refused(field: Any, why: str) -> None:
    """The error says how to state the one name, and that works."""
    cls = model("Paged", pages=(int, field))
    with pytest.raises(ConfigurationError, match="has no one stored name") as caught:
        itself(cls)
    assert why in str(caught.value)
    assert "lazymig.rename(Paged, pages=...)" in str(caught.value)


def test_rename_settles_an_ambiguous_alias() -> None:
    """The entity is made by the alias all the same."""
    cls = rename(model("Paged", pages=(int, Field(validation_alias=AliasChoices("p", "pages")))), pages="pageCount")
    assert read(cls, pageCount=3) == cls(id=1, p=3)
    assert stored(cls, cls(id=1, pages=3)) == {"pageCount": 3}
    path = model(
        "Path", config=ConfigDict(populate_by_name=True), pages=(int, Field(validation_alias=AliasPath("a", 0)))
    )
    assert stored(rename(path, pages="p"), path(id=1, pages=3)) == {"p": 3}
    with pytest.raises(ConfigurationError, match="is read from a path only"):
        itself(rename(model("Path", pages=(int, Field(validation_alias=AliasPath("a", 0)))), pages="p"))


def test_an_alias_for_other_purposes_is_noticed() -> None:
    """A document that has a defaulted field by its own name is not read as one that lacks it."""
    with pytest.raises(ConversionError) as caught:
        of_document(Book, {"_id": 1, "pageCount": 3, "country": "Chad"})
    assert caught.value.path == "country"
    assert "lazymig.rename(Book, country=...)" in str(caught.value.cause)
    stated = rename(type("Stated", (Book,), {}), country="Country Name")
    assert read(stated, pageCount=3, country="Chad").country == "x"


# What is not stored


class Partly(Model):
    """With everything that is no part of documents."""

    name: str
    token: str = Field(default="none", exclude=True)
    _calls: int = PrivateAttr(default=0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shouted(self) -> str:
        return self.name.upper()


def test_excluded_private_and_computed_fields_are_not_stored() -> None:
    """Nor compared: an entity with values there is written, and read back with the defaults."""
    entity = Partly(id=1, name="a", token="secret")
    entity._calls = 5
    assert stored(Partly, entity) == {"name": "a"}
    back = read(Partly, name="a", token="from elsewhere", shouted="B")
    assert (back.token, back._calls, back.shouted) == ("none", 0, "A")
    assert conversions(Partly).v1.fields == ("name",)


def test_an_excluded_field_needs_a_default() -> None:
    """No document has it."""
    with pytest.raises(ConfigurationError, match=r"Drawn\.token is excluded, so no document has it; give it a default"):
        itself(model(token=(str, Field(exclude=True))))


def test_an_excluded_id_is_refused() -> None:
    """It is what the document is found by."""
    cls = pydantic.create_model("Hidden", id=(int, Field(default=1, exclude=True)))
    with pytest.raises(ConfigurationError, match=r"v1: Hidden\.id is not stored; an id must be"):
        itself(cls)


def test_extra_fields() -> None:
    """Ignored by default, refused by `forbid`, and `allow` is refused when the migration is built."""
    assert read(model(name=str), name="a", more=1).model_extra is None
    with pytest.raises(ConversionError):
        of_document(model(config=ConfigDict(extra="forbid"), name=str), {"_id": 1, "name": "a", "more": 1})
    with pytest.raises(ConfigurationError, match=r"Drawn takes extra fields.*subclass it with extra='ignore'"):
        itself(model(config=ConfigDict(extra="allow")))
    with pytest.raises(ConfigurationError, match=r"Outer\.inner: Drawn takes extra fields"):
        itself(model("Outer", inner=model(config=ConfigDict(extra="allow"))))


# Kinds of models and of types


class Cat(BaseModel):
    """A kind with a field that names it."""

    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    """A kind whose naming field has another name in documents."""

    kind: Literal["dog"] = Field(default="dog", alias="kind")
    lives: int = 1


class Pets(Model):
    """A discriminated union, alone and in a list."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    more: list[Cat | Dog | None] = []


def test_unions_of_models_are_told_apart_by_their_fields() -> None:
    """By the discriminator, and as members of other classes' unions too."""
    pets = Pets(id=1, pet=Dog(lives=2), more=[Cat(), None, Dog()])
    assert read(Pets, **stored(Pets, pets)) == pets
    with pytest.raises(ConversionError) as caught:
        of_document(Pets, {"_id": 1, "pet": {"kind": "cow"}})
    assert caught.value.path == "pet"


def test_unions_are_told_apart_by_required_fields_across_libraries() -> None:
    """A model with an alias beside an attrs class that renames, and a third that has no field of its own."""

    class Round(BaseModel):
        radius: float = Field(alias="r")

    @frozen
    class Square:
        side: float

    class Nothing(BaseModel):
        note: str = ""

    rename(Square, side="s")
    cls = model(shape=Round | Square | Nothing)
    for shape, in_bson in ((Round(r=1.0), {"r": 1.0}), (Square(2.0), {"s": 2.0}), (Nothing(), {"note": ""})):
        entity = cls(id=1, shape=shape)
        assert stored(cls, entity) == {"shape": in_bson}
        assert read(cls, shape=in_bson) == entity
    with pytest.raises(ConfigurationError, match="Nothing and Cat have no required field of their own"):
        itself(model(shape=Nothing | Cat))


class Box(BaseModel, Generic[T]):
    """A generic model."""

    value: T


def test_generic_models() -> None:
    """With arguments they are classes of their own; without, a value could be anything."""
    cls = model(one=Box[int], other=Box[list[dt.date]])
    entity = cls(id=1, one=Box[int](value=1), other=Box[list[dt.date]](value=[dt.date(2024, 1, 1)]))
    assert stored(cls, entity) == {"one": {"value": 1}, "other": {"value": [dt.datetime(2024, 1, 1)]}}
    assert read(cls, **stored(cls, entity)) == entity
    with pytest.raises(ConfigurationError, match=r"Drawn\.one\.value: .*the generic class with its arguments"):
        itself(model(one=Box))


def test_inherited_models() -> None:
    """Fields, aliases and validators of the parents count, in pydantic's order."""

    class Child(Book, Checked):
        child: int = 1

    entity = Child(id=1, page_count=3, name="abc")
    assert list(stored(Child, entity)) == ["name", "low", "high", "pageCount", "Country Name", "for", "child"]
    with pytest.raises(ConversionError):
        of_document(Child, {"_id": 1, "pageCount": 3, "name": "a7"})


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (SecretStr, "declare str or bytes: documents hold it in the clear"),
        (pydantic.HttpUrl, "declare str, with a validator that checks it"),
        (pydantic.Json, "declare the stored type, such as str"),
        (RootModel[list[int]], "is a RootModel, which cannot be a sub-document; declare its content's type as"),
        (dt.timedelta, "declare an int of milliseconds"),
        (list[SecretStr], "declare str or bytes"),
    ],
    ids=repr,
)
def test_types_of_pydantics_that_bson_does_not_hold_are_refused(kind: Any, remedy: str) -> None:
    """With the field and what to declare."""
    with pytest.raises(ConfigurationError, match=r"Drawn\.value: ") as caught:
        itself(model(value=kind))
    assert remedy in str(caught.value)


def test_a_root_model_is_no_entity() -> None:
    """At the top neither."""
    with pytest.raises(ConfigurationError, match="RootModel"):
        itself(type("Root", (RootModel[int],), {}), id_field="root")


def test_an_id_may_be_optional_in_a_model() -> None:
    """`id: ObjectId | None = None` is an entity that is not stored yet; stored, it has an id."""
    cls = pydantic.create_model(
        "Late",
        __config__=ConfigDict(arbitrary_types_allowed=True),
        id=(ObjectId | None, Field(default=None, alias="_id")),
        name=(str, ""),
    )
    migration = itself(cls)
    assert get_id_types(migration) == (ObjectId,)
    with pytest.raises(TypeError, match="an id of m is ObjectId, not NoneType"):
        migration.check_id(cls().id)
    oid = ObjectId()
    assert conversions(cls).v1.decode({"_id": oid, "name": "a"}) == cls(_id=oid, name="a")
    with pytest.raises(ConfigurationError, match="cannot be an id"):
        itself(pydantic.create_model("Never", id=(int | None, ...)))


def test_the_other_side_may_be_of_any_library() -> None:
    """A model on one side and an attrs class on the other, whose ids are compared by their types."""

    @frozen
    class Plain:
        id: int
        name: str

    Migration(
        name="mixed",
        v1=Checked,
        v2=Plain,
        upgrade=lambda v1: Plain(v1.id, v1.name),
        downgrade=lambda v2: Checked(id=v2.id, name=v2.name),
    )
