"""What annotations mean: the fields of a class with their types, whatever kind of class it is."""

from __future__ import annotations

import datetime as dt
import typing
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NotRequired,
    Protocol,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from uuid import UUID

import attrs
from bson import ObjectId

from lazymig.shapes.entities import fields, is_attrs, is_entity, is_model

_PLAIN = (str, bytes, int, float, type(None), Decimal, dt.date, UUID, ObjectId, Enum)
_WRAPPERS = (Annotated, Final, Required, NotRequired)
#: Classes of pydantic's that stand for a plain type with a constraint: no value is an instance of one.
_STAND_INS: Mapping[str, type] = {
    "EmailStr": str,
    "PastDate": dt.date,
    "FutureDate": dt.date,
    **dict.fromkeys(("AwareDatetime", "NaiveDatetime", "PastDatetime", "FutureDatetime"), dt.datetime),
}


def stripped(kind: Any) -> Any:
    """The type itself, without `NewType`, `Annotated`, `Required` and the like, or the name of an alias."""
    while True:
        if get_origin(kind) in _WRAPPERS:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":  # Python 3.12's `type X = ...`
            kind = kind.__value__
        elif is_stand_in(kind):
            return _STAND_INS[kind.__name__]
        else:
            return type(None) if kind is None else kind


def is_stand_in(kind: Any) -> bool:
    """Whether it is a class that only pydantic knows, and that stands for a plain type."""
    of_pydantic = getattr(kind, "__module__", None) in ("pydantic.types", "pydantic.networks")
    return of_pydantic and getattr(kind, "__name__", None) in _STAND_INS


def is_union(kind: Any) -> bool:
    """Whether it is `A | B` or `Union[A, B]`."""
    return get_origin(kind) in (Union, UnionType)


def members(kind: Any) -> list[Any]:
    """The members of a union, stripped, each once, in order; those of a union inside included."""
    found: dict[Any, None] = {}
    for member in map(stripped, get_args(kind)):
        found |= dict.fromkeys(members(member) if is_union(member) else [member])
    return list(found)


def is_namedtuple(kind: Any) -> bool:
    """Whether it is a `NamedTuple` class."""
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def is_typed_dict(kind: Any) -> bool:
    """Whether it is a `TypedDict` class."""
    kind = get_origin(kind) or kind
    # typing_extensions' as well, which pydantic asks for before Python 3.12, and which `typing` does not know.
    return isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def is_class(kind: Any) -> bool:
    """Whether it is stored as a sub-document with declared names: entities and TypedDicts."""
    return is_entity(kind) or is_typed_dict(kind)


def fields_of(kind: Any) -> dict[str, Any]:
    """The fields of a class with their types, forward references and type variables resolved.

    Raises `NameError` and whatever else an annotation raises that cannot be resolved.
    """
    cls = get_origin(kind) or kind
    bindings = dict(_bindings(kind))
    return {name: _bound(annotation, bindings) for name, annotation in _annotations(cls).items()}


def holds_anything(kind: Any) -> bool:
    """Whether some value below this type is taken as it is, whatever it holds: nothing says how to copy it."""
    return _holds(kind, lambda inner: inner in (Any, object, dict, list, set, tuple))


def is_mutable(kind: object) -> bool:
    """Whether a value of this type may be altered in place: whatever is not known for a plain value."""
    kind = stripped(kind)
    if is_union(kind):
        return any(map(is_mutable, members(kind)))
    return get_origin(kind) is not Literal and not (isinstance(kind, type) and issubclass(kind, _PLAIN))


def holds_model(kind: Any) -> bool:
    """Whether it is, or holds somewhere, a class of pydantic's."""
    return _holds(kind, is_model)


def _holds(kind: Any, wanted: Callable[[Any], bool], above: tuple[Any, ...] = ()) -> bool:
    kind = stripped(kind)
    if kind in above:
        return False
    if wanted(kind):
        return True
    inside = fields_of(kind).values() if is_class(kind) or is_namedtuple(kind) else get_args(kind)
    return any(_holds(inner, wanted, (*above, kind)) for inner in inside)


def _annotations(cls: Any) -> Mapping[str, Any]:
    if is_model(cls):
        return {field.name: field.type for field in fields(cls)}
    if is_attrs(cls):
        attrs.resolve_types(cls)
        return {field.name: field.type for field in fields(cls)}
    hints = typing.get_type_hints(cls, include_extras=True)
    if is_entity(cls):
        return {field.name: hints[field.name] for field in fields(cls)}
    return {name: hints.get(name, Any) for name in getattr(cls, "_fields", hints)}


def _bindings(kind: Any) -> Iterator[tuple[Any, Any]]:
    """What the type variables of a generic class and of its generic bases stand for."""
    cls = get_origin(kind) or kind
    given = dict(zip(getattr(cls, "__parameters__", ()), get_args(kind), strict=False))
    yield from given.items()
    for base in getattr(cls, "__orig_bases__", ()):
        if get_origin(base) not in (None, Generic, Protocol):
            yield from _bindings(_bound(base, given))


def _bound(kind: Any, bindings: Mapping[Any, Any]) -> Any:
    if isinstance(kind, TypeVar):
        return bindings.get(kind, kind)
    parameters = () if isinstance(kind, type) else getattr(kind, "__parameters__", ())
    return kind[tuple(bindings.get(one, one) for one in parameters)] if parameters and bindings else kind
