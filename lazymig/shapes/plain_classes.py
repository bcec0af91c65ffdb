"""Classes whose documents cattrs reads and writes field by field, without anything in between that a class may add."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from types import CodeType, MemberDescriptorType
from typing import Annotated, Final, get_args, get_origin

import attrs
from attrs import frozen
from cattrs import Converter

from lazymig.shapes.annotations import fields_of, stripped
from lazymig.shapes.entities import fields, is_attrs, is_entity, is_model
from lazymig.shapes.fields import Field
from lazymig.shapes.generated import are_names
from lazymig.shapes.stored_names import is_text, read_names, written_names

_HOOKS: Final = ("__attrs_pre_init__", "__attrs_post_init__", "__post_init__")
_CALL, _INIT, _SET = "__call__", "__init__", "__setattr__"
#: How a class makes an instance and reads its attributes, unless it does so itself.
_USUAL: Final[Mapping[str, object]] = {"__new__": object.__new__, "__getattribute__": object.__getattribute__}


@frozen
class PlainField:
    """One field of such a class."""

    name: str
    #: The resolved type. A wrapper such as `NewType` is taken off.
    kind: object
    #: The name in documents.
    stored: str
    argument: str
    required: bool
    #: Whether the constructor takes it by its name only.
    by_name: bool


def find_plain_fields(kind: object, converter: Converter) -> tuple[PlainField, ...] | None:
    """Return the fields of an attrs class or a dataclass by which the converter reads and writes it.

    Returns:
        The fields in order; None for other types, and where a field has a cattrs override or is not stored.
    """
    cls = get_origin(kind) or kind
    if not isinstance(cls, type) or not is_entity(kind) or is_model(cls):
        return None
    kinds, declared = fields_of(kind), fields(kind)
    names = {one.name: one.declared_name or one.name for one in declared}
    if not all(one.init and one.stored for one in declared) or not are_names(kinds):
        return None
    if not are_names(one.argument for one in declared) or any(map(_is_annotated, kinds.values())):
        return None
    written = written_names(converter, kind)
    if written != names or read_names(converter, kind, written) != names:
        return None
    by_name = _find_by_name(cls)
    return tuple(_describe(one, kinds[one.name], names[one.name], one.name in by_name) for one in declared)


def _describe(field: Field, kind: object, stored: str, by_name: bool) -> PlainField:
    return PlainField(field.name, stripped(kind), stored, field.argument, field.required, by_name)


def _find_by_name(cls: type) -> set[str]:
    if is_attrs(cls):
        return {one.name for one in attrs.fields(cls) if one.kw_only}
    return {one.name for one in dataclasses.fields(cls) if one.kw_only}


def _is_annotated(kind: object) -> bool:
    """Return whether a type carries more than itself, which could be an override of cattrs."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    if (
        get_origin(kind) is Annotated or type(kind).__name__ == "TypeAliasType"
    ):  # what an alias stands for is not looked at
        return True
    return any(map(_is_annotated, get_args(kind)))


def holds_what_it_is_given(kind: object, found: Iterable[PlainField]) -> bool:
    """Return whether instances hold exactly the values that their constructor is given.

    They do where attrs or dataclasses made the constructor, and no converter, validator or hook of the class's own has
    a part in it.
    """
    cls = get_origin(kind) or kind
    if not isinstance(cls, type) or any(hasattr(cls, name) for name in _HOOKS):
        return False
    if any(getattr(cls, name) is not usual for name, usual in _USUAL.items()):
        return False
    if getattr(type(cls), _CALL) is not type.__call__:
        return False
    if not (_is_made_by_attrs(cls) if is_attrs(cls) else _is_made_by_dataclasses(cls)):
        return False
    return not any(_is_shadowed(cls, field.name) or not _is_harmless(field.stored) for field in found)


def _is_made_by_attrs(cls: type) -> bool:
    code = getattr(getattr(cls, _INIT), "__code__", None)
    if not (isinstance(code, CodeType) and code.co_filename.startswith("<attrs generated")):
        return False
    if any(one.converter or one.validator for one in attrs.fields(cls)):
        return False
    setting = getattr(cls, _SET)
    frozen_by_attrs = ("attr._make", "_frozen_setattrs")
    return setting is object.__setattr__ or (setting.__module__, setting.__name__) == frozen_by_attrs


def _is_made_by_dataclasses(cls: type) -> bool:
    # A dataclass has another constructor only where its decorator says so, or in a subclass without the decorator.
    own = cls.__dict__
    made = own.get("__dataclass_params__")
    if _INIT not in own or not getattr(made, "init", False):
        return False
    return getattr(cls, _SET) is object.__setattr__ or (_SET in own and bool(getattr(made, "frozen", False)))


def _is_shadowed(cls: type, name: str) -> bool:
    """Return whether the class has a property or the like under the name of a field."""
    found = inspect.getattr_static(cls, name, None)
    return hasattr(type(found), "__set__") and not isinstance(found, MemberDescriptorType)


def _is_harmless(stored: str) -> bool:
    """Return whether BSON holds this name, and the driver never takes it for a part of a reference."""
    return "\0" not in stored and not stored.startswith("$") and is_text(stored)
