"""Hooks for unions. The BSON type of a stored value decides which member it is read as; members are never tried."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, MutableSequence, MutableSet, Set
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import combinations
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from bson import Code, Int64, ObjectId, Regex, Timestamp
from bson.binary import UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from cattrs import Converter

from lazymig.shapes.annotations import is_class, is_namedtuple, is_typed_dict, members
from lazymig.shapes.discrimination import which_class

Hook = Callable[[Any, Any], Any]

#: The BSON type by the declared class. For a subclass, the first matching base here counts (bool before int).
_STORED_AS: Mapping[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    UUID: "uuid",
    bytes: "binary",
    ObjectId: "ObjectId",
    Decimal: "decimal",
    Decimal128: "decimal",
    dt.date: "date",
    Timestamp: "timestamp",
    Regex: "regex",
}
#: The BSON type by the class of the value that the driver returns.
_READ_AS: Mapping[type, str] = {
    **{kind: name for kind, name in _STORED_AS.items() if kind is not Decimal and kind is not dt.date},
    Int64: "int",
    Binary: "binary",
    dt.datetime: "date",
    list: "array",
    dict: "object",
}
_ARRAYS = (list, tuple, set, frozenset, MutableSequence, Set, MutableSet)


def is_array(kind: Any) -> bool:
    """Return whether `kind` is a list, a tuple or a set."""
    return (get_origin(kind) or kind) in _ARRAYS or is_namedtuple(kind)


def is_mapping(kind: Any) -> bool:
    """Return whether `kind` is a dict or another mapping, but not a TypedDict."""
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, Mapping) and not is_typed_dict(kind)


def stored_as(kind: Any) -> set[str]:
    """Return the BSON types that values of a declared type may have; empty if they are unknown."""
    if get_origin(kind) is Literal:
        values = [value.value if isinstance(value, Enum) else value for value in get_args(kind)]
        return set().union(*(stored_as(type(value)) for value in values))
    if is_class(kind) or is_mapping(kind):
        return {"object"}
    if is_array(kind):
        return {"array"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return set().union(*(stored_as(type(member.value)) for member in kind))
    names = [name for base, name in _STORED_AS.items() if isinstance(kind, type) and issubclass(kind, base)]
    return set(names[:1])


def mistakable(kind: Any) -> tuple[Any, Any] | None:
    """Return two members of a union that a stored value may equally belong to; None if there are none."""
    for one, other in combinations(members(kind), 2):
        first, second = stored_as(one), stored_as(other)
        if first and second and not first & second:
            continue
        classes = _is_plain_class(one) and _is_plain_class(other)  # `which_class` decides by fields, or refuses them
        literal = (_is_plain_literal(one) or _is_plain_literal(other)) and not (_is_enum(one) or _is_enum(other))
        if not (first and second and (classes or literal)):
            return one, other
    return None


def _is_plain_class(kind: Any) -> bool:
    return is_class(kind) and not is_typed_dict(kind)


def _is_plain_literal(kind: Any) -> bool:
    """Return whether `kind` is a `Literal` without enum members. Its values are read unchanged by any member."""
    return get_origin(kind) is Literal and not _is_enum(kind)


def _is_enum(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(isinstance(value, Enum) for value in get_args(kind))
    return isinstance(kind, type) and issubclass(kind, Enum)


def union_hook(kind: Any, converter: Converter) -> Hook:
    """Make the structure hook of a union. Raises `TypeError` if two members cannot be distinguished."""
    if mixed := mistakable(kind):
        raise TypeError(f"{shown(mixed[0])} and {shown(mixed[1])} cannot be distinguished when they are read")
    kinds = members(kind)
    table = _readers(kinds, converter)

    def structure(value: Any, _: Any) -> Any:
        name = _READ_AS.get(value.__class__) or _read_as(value)
        if value.__class__ is Binary and "uuid" in table:
            # In a union with UUID, only plain bytes are read as bytes: legacy UUIDs have other subtypes.
            name = "uuid" if value.subtype == UUID_SUBTYPE or bytes in kinds else name
        if name not in table:
            raise TypeError(f"expected {' or '.join(table)}, found {type(value).__name__}")
        hook, member = table[name]
        return hook(value, member)

    return structure


def _read_as(value: Any) -> str:
    """Return the BSON type of an instance of a subclass; "" if unknown. `Code` subclasses str, but is not text."""
    if isinstance(value, Code):
        return ""
    return next((name for base, name in _READ_AS.items() if isinstance(value, base)), "")


def _readers(kinds: list[Any], converter: Converter) -> dict[str, tuple[Hook, Any]]:
    """Return the structure hook and the member for each BSON type."""
    literals = [kind for kind in kinds if _is_plain_literal(kind)]
    classes = tuple(kind for kind in kinds if _is_plain_class(kind))
    table: dict[str, tuple[Hook, Any]] = {}
    for kind in kinds:
        if kind not in literals and kind not in classes:
            table |= dict.fromkeys(stored_as(kind), (converter.get_structure_hook(kind), kind))
    if classes:
        table["object"] = _class_hook(classes, converter), classes[0]
    if literals:
        both: Any = Literal[tuple(value for literal in literals for value in get_args(literal))]
        table = dict.fromkeys(stored_as(both), (converter.get_structure_hook(both), both)) | table
    if "double" in table:
        table.setdefault("int", table["double"])  # an int is accepted if a double holds it exactly
    return table


def _class_hook(classes: tuple[Any, ...], converter: Converter) -> Hook:
    if len(classes) == 1:
        return converter.get_structure_hook(classes[0])
    which = which_class(classes, converter)
    return lambda value, _: converter.structure(value, which(value))


def union_out_hook(kind: Any, converter: Converter) -> Callable[[Any], Any]:
    """Make the unstructure hook of a union.

    The value's class selects the member. This matters where the class alone does not say how to convert the value: a
    dict may be a TypedDict, and a list has elements of the member's type.
    """

    @cache  # made at the first call, since a member may contain the class whose hook is being made
    def hooks() -> dict[type, Callable[[Any], Any]]:
        return _writers(members(kind), converter)

    def unstructure(value: Any) -> Any:
        hook = hooks().get(value.__class__)
        return converter.unstructure(value) if hook is None else hook(value)

    return unstructure


def _writers(kinds: list[Any], converter: Converter) -> dict[type, Callable[[Any], Any]]:
    """Return the unstructure hooks by the class of a value."""
    table: dict[type, Callable[[Any], Any]] = {}
    for kind in kinds:
        hook = converter.get_unstructure_hook
        if is_namedtuple(kind):
            table[get_origin(kind) or kind] = hook(kind)
        elif is_array(kind):
            table |= dict.fromkeys((list, tuple, set, frozenset), hook(kind))
        elif is_mapping(kind) or is_typed_dict(kind):
            table[dict] = hook(kind)
    if float in kinds and int not in kinds:
        table[int] = converter.get_unstructure_hook(float)  # stored as a double, which is read as a float
    return table


def shown(kind: Any) -> str:
    """Return a type as it is declared, for messages."""
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
