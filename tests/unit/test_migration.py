"""`Migration`: checked when it is built, and what it recognises then."""

from __future__ import annotations

import enum
import functools
import uuid
from typing import Any, NewType

import attrs
import bson
import pytest
from attrs import define, frozen
from bson import ObjectId

from lazymig import ConfigurationError, Migration
from lazymig.shapes.migration import get_downgrading, get_id_types, get_upgrading
from tests.people import PersonV1, PersonV2, join, people, split


def with_id(kind: Any, name: str = "Thing", **fields: Any) -> Any:
    """A class whose id is of this type."""
    attributes = {"id": attrs.field(type=kind) if kind is not None else attrs.field()}
    return attrs.make_class(name, attributes | {key: attrs.field(type=value) for key, value in fields.items()})


def same(entity: Any) -> Any:
    """A conversion."""
    return entity


def of(cls: Any, other: Any = None, **changed: Any) -> Migration[Any, Any]:
    """A migration between classes that are nearly the same."""
    return Migration(**{"name": "things", "v1": cls, "v2": other or cls, "upgrade": same, "downgrade": same} | changed)


class Plain:
    """No attrs class."""

    id: int


async def upgrade_later(v1: Any) -> Any:
    """An async conversion."""
    return v1


class Converter:
    """Conversions as methods and as callable objects."""

    def one(self, v1: Any) -> Any:
        return v1

    async def two(self, v1: Any, previous: Any) -> Any:
        return v1

    def __call__(self, v1: Any, previous: Any = None) -> Any:
        return v1


class AsyncConverter:
    """A callable object that is async."""

    async def __call__(self, v1: Any) -> Any:
        return v1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": ""}, "non-empty name"),
        ({"name": None}, "non-empty name"),
        ({"v1": Plain}, "v1: pass an attrs class"),
        ({"v2": dict}, "v2: pass an attrs class"),
        ({"v2": PersonV2(1, "a", "b")}, "v2: pass an attrs class"),
        ({"v1": None}, "v1: pass an attrs class"),
        ({"id_field": "key"}, "v1: PersonV1 has no attribute 'key'; add it, or set id_field"),
        ({"id_field": "name"}, "v2: PersonV2 has no attribute 'name'"),
        ({"v2": with_id(str)}, "id: declare the same id type in both classes"),
        ({"upgrade": None}, "upgrade: pass a function"),
        ({"downgrade": "join"}, "downgrade: pass a function"),
        ({"upgrade": lambda: None}, "upgrade: pass a function of one argument, or of two"),
        ({"downgrade": lambda a, b, c: a}, "downgrade: pass a function of one argument, or of two"),
        ({"downgrade": lambda *, a: a}, "downgrade: pass a function of one argument, or of two"),
    ],
    ids=repr,
)
def test_what_cannot_work_is_refused(changed: dict[str, Any], message: str) -> None:
    """`ConfigurationError`, which names the argument and says what to change."""
    with pytest.raises(ConfigurationError, match=message):
        people(**changed)


@pytest.mark.parametrize(
    "kind", [float, dict, list, tuple, bool, object, int | None, dict[str, int], "Unknown[int]"], ids=repr
)
def test_an_id_type_that_cannot_be_an_id_is_refused(kind: Any) -> None:
    """BSON compares them in ways that an identity must not depend on, or a dict of operators would be one."""
    cls = with_id(list[int] if isinstance(kind, str) else kind)
    with pytest.raises(
        ConfigurationError, match=r"v1: Thing\.id cannot be an id; declare it as one of str, int, bytes"
    ):
        of(cls)


@pytest.mark.parametrize("name", ["_lazymig", "_lazymig_rev"])
def test_a_reserved_field_name_is_refused(name: str) -> None:
    """lazymig's own fields stand in the same documents."""
    with pytest.raises(ConfigurationError, match=f"v1: Thing.{name} uses a reserved name; rename it"):
        of(with_id(int, **{name: int}))


CustomerId = NewType("CustomerId", int)


class Code(enum.StrEnum):
    """An id may be a StrEnum."""

    A = "a"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (int, [1, 2**40], ["1", 1.0, True, None]),
        (str, ["", "x"], [1, b"x", bson.Code("x")]),
        (bytes, [b"x"], ["x"]),
        (ObjectId, [ObjectId()], ["0" * 24]),
        (uuid.UUID, [uuid.uuid4()], ["x", b"x" * 16]),
        (int | str, [1, "x"], [1.0, b"x", True]),
        (CustomerId, [1], ["1"]),
        (Code, [Code.A], ["a", "b"]),
        (Any, [1, "x", b"x", ObjectId(), uuid.uuid4()], [1.0, True, None, {"$gt": 0}, (1,), bson.Code("x", {})]),
        (None, [1, "x"], [1.0, {"$gt": 0}]),
    ],
    ids=repr,
)
def test_an_id_is_checked_by_the_type_of_the_id_attribute(kind: Any, good: list[Any], bad: list[Any]) -> None:
    """What is no instance is refused, a bool for an int included; the error shows the type, not the value."""
    migration = of(with_id(kind))
    for id in good:
        migration.check_id(id)
    for id in bad:
        with pytest.raises(TypeError, match=f"an id of things is .*, not {type(id).__name__}; pass the id's own value"):
            migration.check_id(id)


def test_the_id_may_have_another_name() -> None:
    """`id_field` names the attribute of both classes."""

    @frozen
    class Keyed:
        key: str
        id: int

    migration = of(Keyed, id_field="key")
    assert get_id_types(migration) == (str,)


@pytest.mark.parametrize(
    ("function", "takes_other", "is_async"),
    [
        (lambda v1: v1, False, False),
        (lambda v1, previous: v1, True, False),
        (lambda v1, previous=None: v1, True, False),
        (lambda v1, factor=3: v1, False, False),
        (lambda v1, *, previous=None: v1, False, False),
        (lambda v1, *rest: v1, False, False),
        (upgrade_later, False, True),
        (Converter().one, False, False),
        (Converter().two, True, True),
        (Converter(), True, False),
        (AsyncConverter(), False, True),
        (functools.partial(lambda rate, v1: v1, 1.5), False, False),
        (functools.partial(upgrade_later), False, True),
        (PersonV2, None, None),
    ],
    ids=repr,
)
def test_a_conversion_is_recognised_once(function: Any, takes_other: bool | None, is_async: bool | None) -> None:
    """One argument or two, async or not, whatever kind of callable it is."""
    if takes_other is None:
        with pytest.raises(ConfigurationError, match="upgrade: pass a function of one argument, or of two"):
            people(upgrade=function)
        return
    migration = people(upgrade=function, downgrade=function)
    for conversion in (get_upgrading(migration), get_downgrading(migration)):
        assert (conversion.takes_other, conversion.is_async) == (takes_other, is_async)


def test_a_migration_is_a_frozen_value() -> None:
    """Equal when all that was declared is; not to be changed afterwards."""
    assert people() == people()
    assert people() != people(name="other")
    assert people().upgrade is split
    assert people().downgrade is join
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        people().name = "x"  # type: ignore[misc]


def test_mutable_attrs_classes_are_as_good() -> None:
    """`attrs.define` serves as well as `attrs.frozen`."""

    @define
    class Mutable:
        id: int

    assert get_id_types(of(Mutable)) == (int,)


def test_arguments_are_named() -> None:
    """Seven fields in a row would be a riddle."""
    with pytest.raises(TypeError, match="positional argument"):
        Migration("people", PersonV1, PersonV2, split, join)  # type: ignore[misc]
