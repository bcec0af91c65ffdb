"""The choice among the classes of a union for a stored sub-document: by a common literal field, else by its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from attrs import frozen
from bson import Int64
from cattrs import Converter
from cattrs.disambiguators import create_default_dis_func

from lazymig.shapes.annotations import fields_of, stripped
from lazymig.shapes.entities import fields, is_model, is_renamed
from lazymig.shapes.stored_names import overrides_of

Which = Callable[[Any], Any]


@frozen
class _Shape:
    """A class with the stored names of its fields."""

    cls: Any
    #: The stored values of literal fields.
    literals: Mapping[str, frozenset[Any]]
    names: frozenset[str]
    required: frozenset[str]


def which_class(classes: tuple[Any, ...], converter: Converter) -> Which:
    """Return a function from a sub-document to its class. Raises `TypeError` if no field distinguishes the classes."""
    if not any(is_model(cls) or is_renamed(cls) for cls in classes):
        return create_default_dis_func(converter, *classes)
    shapes = [_shape(cls, converter) for cls in classes]
    return _by_literal(shapes) or _by_fields(shapes)


def _shape(cls: Any, converter: Converter) -> _Shape:
    overrides = overrides_of(converter.get_structure_hook(cls))
    kinds = fields_of(cls)
    literals, names, required = {}, set(), set()
    for field in fields(cls):
        if not (field.stored and field.init):
            continue
        name = getattr(overrides.get(field.name), "rename", None) or field.name
        kind = stripped(kinds[field.name])
        names.add(name)
        if get_origin(kind) is Literal:
            literals[name] = frozenset(map(_key, get_args(kind)))
        if field.required:
            required.add(name)
    return _Shape(cls, literals, frozenset(names), frozenset(required))


def _key(value: Any) -> Any:
    """Return a key for a literal value that differs for 1, 1.0 and True."""
    stored = value.value if isinstance(value, Enum) else value
    return int if stored.__class__ is Int64 else stored.__class__, stored


def _by_literal(shapes: list[_Shape]) -> Which | None:
    common = set.intersection(*(set(shape.literals) for shape in shapes))
    for name in sorted(common):
        table = {key: shape.cls for shape in shapes for key in shape.literals[name]}
        if len(table) == sum(len(shape.literals[name]) for shape in shapes):
            return _reading(name, table)
    return None


def _reading(name: str, table: Mapping[Any, Any]) -> Which:
    def which(document: Any) -> Any:
        try:
            return table[_key(document[name])]
        except (KeyError, TypeError):
            pass
        raise ValueError(f"{name!r} has a value that none of the classes declares")

    return which


def _by_fields(shapes: list[_Shape]) -> Which:
    """Distinguish classes by required fields that no other class has.

    One class may have no such field. A sub-document that matches no other class is then of that class.
    """
    own: dict[str, Any] = {}
    left = list(shapes)
    found = True
    while found:
        found = False
        for shape in list(left):
            others = frozenset[str]().union(*(other.names for other in left if other is not shape))
            if unique := sorted(shape.required - others):
                own[unique[0]] = shape.cls
                left.remove(shape)
                found = True
    if len(left) > 1:
        raise TypeError(f"{left[0].cls.__name__} and {left[1].cls.__name__} have no required field of their own")

    def which(document: Any) -> Any:
        for name, cls in own.items():
            if name in document:
                return cls
        if left:
            return left[0].cls
        raise ValueError("it has the fields of none of the classes")

    return which
