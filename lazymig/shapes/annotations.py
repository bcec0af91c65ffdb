"""Resolved annotations: the fields of a class with their types, whatever library made the class."""

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
#: Pydantic's classes that stand for a plain type with a constraint. No value is an instance of one.
_STAND_INS: Mapping[str, type] = {
    "EmailStr": str,
    "PastDate": dt.date,
    "FutureDate": dt.date,
    **dict.fromkeys(("AwareDatetime", "NaiveDatetime", "PastDatetime", "FutureDatetime"), dt.datetime),
}


def stripped(kind: Any) -> Any:
    """Return the plain type behind `NewType`, `Annotated`, `Required`, a type alias and similar wrappers."""
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
    """Return whether `kind` is one of pydantic's classes that stand for a plain type."""
    of_pydantic = getattr(kind, "__module__", None) in ("pydantic.types", "pydantic.networks")
    return of_pydantic and getattr(kind, "__name__", None) in _STAND_INS


def is_union(kind: Any) -> bool:
    """Return whether `kind` is `A | B` or `Union[A, B]`."""
    return get_origin(kind) in (Union, UnionType)


def members(kind: Any) -> list[Any]:
    """Return the plain members of a union in order, each once. Members of nested unions are included."""
    found: dict[Any, None] = {}
    for member in map(stripped, get_args(kind)):
        found |= dict.fromkeys(members(member) if is_union(member) else [member])
    return list(found)


def is_namedtuple(kind: Any) -> bool:
    """Return whether `kind` is a `NamedTuple` class."""
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def is_typed_dict(kind: Any) -> bool:
    """Return whether `kind` is a `TypedDict` class."""
    kind = get_origin(kind) or kind
    # Includes typing_extensions' TypedDict, which `typing` does not recognise. Pydantic needs it before Python 3.12.
    return isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def is_class(kind: Any) -> bool:
    """Return whether `kind` is stored as a sub-document with declared names: an entity class or a TypedDict."""
    return is_entity(kind) or is_typed_dict(kind)


def fields_of(kind: Any) -> dict[str, Any]:
    """Return the fields of a class with their types. Forward references and type variables are resolved.

    Raises `NameError`, or any other error of an annotation that cannot be resolved.
    """
    cls = get_origin(kind) or kind
    bindings = dict(_bindings(kind))
    return {name: _bound(annotation, bindings) for name, annotation in _annotations(cls).items()}


def holds_anything(kind: Any) -> bool:
    """Return whether this type has a part without a declared type, whose values pass through unconverted."""
    return _holds(kind, lambda inner: inner in (Any, object, dict, list, set, tuple))


def is_mutable(kind: object) -> bool:
    """Return whether a value of this type may be changed in place. Only known plain types are immutable."""
    kind = stripped(kind)
    if is_union(kind):
        return any(map(is_mutable, members(kind)))
    return get_origin(kind) is not Literal and not (isinstance(kind, type) and issubclass(kind, _PLAIN))


def holds_model(kind: Any) -> bool:
    """Return whether this type is a pydantic class or contains one at any depth."""
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
    """Yield each type variable of a generic class and of its generic bases, with the type it stands for."""
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
