"""Hooks that read and write pydantic's classes, by the table of types in `bson_types`.

Documents are first read with the same hooks as those of all classes, so no value is coerced. Then pydantic gets the
exact values and runs its validators, and its result is compared with the stored values. If the two are equal, the
stored value is kept (pydantic would make a plain int of an `Int64`). If a validator changed a value, that is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import attrs
from attrs import NOTHING
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn_from_attrs, make_dict_unstructure_fn_from_attrs, override

from lazymig.shapes.annotations import fields_of, holds_anything, is_mutable
from lazymig.shapes.entities import check_declared, fields
from lazymig.shapes.equality import first_difference
from lazymig.shapes.fields import Field, Rejected
from lazymig.shapes.models import config_of, maker, runs_functions

_MISSING: Any = object()
_ALTERED = (
    "a validator changes the value that is stored; give the class of this side no such validator, or register a "
    "structure hook that allows it (see docs/entities.md)"
)


def read_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Make the structure hook of a model. Raises `Undeclarable` for a model that cannot be stored."""
    check_declared(cls)
    stored = _stored(cls)
    read = make_dict_structure_fn_from_attrs(
        _attributes(cls, stored),
        _gatherer(cls),
        converter,
        _cattrs_forbid_extra_keys=config_of(cls).get("extra") == "forbid" or converter.forbid_extra_keys,
        _cattrs_use_alias=False,
        **_overrides(stored),
    )
    exact = exactly(cls)
    misnamed = _misnamed(cls, stored)
    watched = runs_functions(cls) and any(map(is_mutable, fields_of(cls).values()))
    shares = watched and holds_anything(cls)

    def structure(document: Any, _: Any) -> Any:
        for name, key in misnamed:
            if key not in document and name in document:
                raise Rejected(
                    f"the document has {name!r} and not the alias {key!r}; choose one with "
                    f"lazymig.rename({cls.__name__}, {name}=...)",
                    f".{name}",
                )
        if not watched:
            return exact(read(document, cls))
        # The user's functions may change the values that they get. So read a second copy to compare with.
        given = read(deepcopy(document) if shares else document, cls)
        return exact(read(document, cls), given)

    structure.overrides = read.overrides  # type: ignore[attr-defined]
    return structure


def write_hook(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    """Make the unstructure hook of a model. Raises `Undeclarable` for a model that cannot be stored."""
    check_declared(cls)
    stored = _stored(cls)
    return make_dict_unstructure_fn_from_attrs(
        _attributes(cls, stored), _gatherer(cls), converter, _cattrs_use_alias=False, **_overrides(stored)
    )


def _stored(cls: Any) -> list[Field]:
    return [field for field in fields(cls) if field.stored and field.init]


def _overrides(stored: list[Field]) -> dict[str, Any]:
    return {field.name: override(rename=field.declared_name) for field in stored if field.declared_name is not None}


def _attributes(cls: Any, stored: list[Field]) -> Any:
    """Return the fields as attrs attributes, for cattrs. Pydantic applies the defaults, so None stands for each."""
    kinds = fields_of(cls)
    made = {
        field.name: attrs.field(
            type=kinds[field.name], default=NOTHING if field.required else None, alias=field.name, kw_only=True
        )
        for field in stored
    }
    return list(attrs.fields(attrs.make_class(cls.__name__, made, slots=False, eq=False)))


def _gatherer(cls: Any) -> Any:
    """Return a stand-in for the class that collects the values in a dict, with the class's name in errors."""

    def gathered(_: Any, **values: Any) -> dict[str, Any]:
        return values

    name = re.sub(r"\W", "_", cls.__name__)  # Box[int] is not an identifier
    return type(name, (), {"__new__": gathered, "__module__": cls.__module__, "__qualname__": cls.__qualname__})


def _misnamed(cls: Any, stored: list[Field]) -> list[tuple[str, str]]:
    """Return the fields that would silently keep their defaults if documents use their own names, not the aliases.

    An alias may be meant only for requests and responses.
    """
    names = {field.declared_name or field.name for field in stored}
    return [
        (field.name, field.declared_name)
        for field in stored
        if field.aliased and field.declared_name and not field.required and field.name not in names
    ]


def exactly(cls: Any) -> Callable[..., Any]:
    """Return a function that makes an instance with exactly these values by field name.

    Its second argument holds copies of the values for the class, whose functions may change them in place.

    Raises:
        Rejected: The returned function raises it if a validator refuses a value or changes it.
    """
    make = maker(cls)
    names = {field.name for field in fields(cls)}
    has_slots = any(not names.isdisjoint(base.__dict__.get("__slots__", ())) for base in cls.__mro__)

    def made(values: Mapping[str, object], given: Mapping[str, object] | None = None) -> Any:
        given = values if given is None else given
        entity = make(given)
        if entity.__class__ is not cls:
            raise Rejected(f"a validator of {cls.__name__} returns a {type(entity).__name__}")
        held = {name: getattr(entity, name, _MISSING) for name in values} if has_slots else entity.__dict__
        for name, value in values.items():
            found = held.get(name, _MISSING)
            if found is not value:
                handed = given[name]
                if not (_is_same(value, found) and (handed is value or handed is found or _is_same(value, handed))):
                    raise Rejected(_ALTERED, f".{name}")
                if found is handed:
                    continue
                if has_slots:
                    object.__setattr__(entity, name, handed)
                else:
                    held[name] = handed  # avoids validators on assignment, and works for frozen models
        return entity

    return made


def _is_same(exact: Any, held: Any) -> bool:
    try:
        if held == exact:
            return True
    except Exception:
        pass  # signalling NaNs raise, and a class's own `__eq__` may
    return first_difference(exact, held) is None
