"""How instances of pydantic's classes are made of documents, and written to them: by the one table of `bson_types`.

Documents are read by the same hooks as those of all classes, so no value is coerced. Only then pydantic gets the exact
values and runs its validators, and what it makes of them is compared: what is stored wins where the two are equal (it
would make an `Int64` a plain int), and a validator that makes another value of it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from attrs import NOTHING
from cattrs import Converter
from cattrs.gen import (
    AttributeOverride,
    make_dict_structure_fn_from_attrs,
    make_dict_unstructure_fn_from_attrs,
    override,
)
from pydantic import BaseModel, ValidationError

from lazymig.shapes.annotations import fields_of
from lazymig.shapes.entities import check_declared, fields
from lazymig.shapes.equality import first_difference
from lazymig.shapes.fields import Field, Rejected
from lazymig.shapes.models import config_of, is_beanie

_MISSING: Any = object()


def read_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """The structure hook of a model. Raises `Undeclarable` for one that cannot be stored."""
    check_declared(cls)
    stored = _stored(cls)
    read = make_dict_structure_fn_from_attrs(
        _attributes(cls, stored),
        _named_dict(cls),
        converter,
        _cattrs_forbid_extra_keys=config_of(cls).get("extra") == "forbid" or converter.forbid_extra_keys,
        _cattrs_use_alias=False,
        **_overrides(stored),
    )
    exact = exactly(cls)
    misnamed = _misnamed(cls, stored)

    def structure(document: Any, _: Any) -> Any:
        for name, key in misnamed:
            if key not in document and name in document:
                raise Rejected(
                    f"the document has {name!r} and not the alias {key!r}; say which it is by "
                    f"lazymig.rename({cls.__name__}, {name}=...)",
                    f".{name}",
                )
        return exact(read(document, cls))

    structure.overrides = read.overrides  # type: ignore[attr-defined]
    return structure


def write_hook(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    """The unstructure hook of a model. Raises `Undeclarable` for one that cannot be stored."""
    check_declared(cls)
    stored = _stored(cls)
    return make_dict_unstructure_fn_from_attrs(
        _attributes(cls, stored), cls, converter, _cattrs_use_alias=False, **_overrides(stored)
    )


def _stored(cls: Any) -> list[Field]:
    return [field for field in fields(cls) if field.stored and field.init]


def _overrides(stored: list[Field]) -> dict[str, AttributeOverride]:
    return {field.name: override(rename=field.declared_name) for field in stored if field.declared_name is not None}


def _attributes(cls: Any, stored: list[Field]) -> Any:
    """The fields as cattrs knows them. Defaults are pydantic's own affair: only whether there is one counts."""
    kinds = fields_of(cls)
    made = {
        field.name: attrs.field(
            type=kinds[field.name], default=NOTHING if field.required else None, alias=field.name, kw_only=True
        )
        for field in stored
    }
    return list(attrs.fields(attrs.make_class(cls.__name__, made, slots=False, eq=False)))


def _named_dict(cls: Any) -> Any:
    """What gathers the values in place of the class, under its name."""

    def gathered(_: Any, **values: Any) -> dict[str, Any]:
        return values

    names = {"__new__": gathered, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, (), names)


def _misnamed(cls: Any, stored: list[Field]) -> list[tuple[str, str]]:
    """Fields that would be left at their defaults, in silence, where documents have them by their own names.

    An alias may be meant for requests and responses only.
    """
    names = {field.declared_name or field.name for field in stored}
    return [
        (field.name, field.declared_name)
        for field in stored
        if field.aliased and field.declared_name and not field.required and field.name not in names
    ]


def maker(cls: Any) -> Callable[[Mapping[str, Any]], Any]:
    """What makes an instance of values by the names of their fields, through the class's validators.

    The instance may hold other values: pydantic's coercions are at work. Raises `Rejected`.
    """
    arguments = {field.name: field.argument for field in fields(cls)}
    same = all(name == argument for name, argument in arguments.items())
    validate = cls.__pydantic_validator__.validate_python
    around_init = issubclass(cls, BaseModel) and is_beanie(cls)

    def make(values: Mapping[str, Any]) -> Any:
        given = values if same else {arguments[name]: value for name, value in values.items()}
        try:
            # Beanie's constructor would ask for the collection of a class that no client was given to.
            return validate(given, self_instance=cls.__new__(cls)) if around_init else validate(given)
        except ValidationError as error:
            failure = _rejected(error)
        # Outside of the handler: pydantic's text quotes the values.
        raise failure

    return make


def exactly(cls: Any) -> Callable[[Mapping[str, Any]], Any]:
    """What makes an instance that holds exactly these values, by the names of their fields.

    Raises:
        Rejected: A validator refuses a value, or makes another of it.
    """
    make = maker(cls)

    def made(values: Mapping[str, Any]) -> Any:
        entity = make(values)
        if entity.__class__ is not cls:
            raise Rejected(f"a validator of {cls.__name__} returns a {type(entity).__name__}")
        for name, value in values.items():
            held = getattr(entity, name, _MISSING)
            if held is not value:
                if not _is_same(value, held):
                    raise Rejected(
                        "a validator changes the value that is stored; give the class of this side no such validator, "
                        "or register a structure hook that allows it (see docs/entities.md)",
                        f".{name}",
                    )
                _put(entity, name, value)
        return entity

    return made


def _put(entity: Any, name: str, value: Any) -> None:
    try:
        entity.__dict__[name] = value  # past validators on assignment, and frozen models
    except AttributeError:
        object.__setattr__(entity, name, value)  # a dataclass with slots


def _is_same(exact: Any, held: Any) -> bool:
    try:
        if held == exact:
            return True
    except Exception:
        pass  # of signalling NaNs, and what a class may do
    return first_difference(exact, held) is None


def _rejected(error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_input=False)[0]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    rejected = Rejected(f"a validator refuses it: {first['type']}", path)
    own = first.get("ctx", {}).get("error")
    # For the line of the user's validator.
    return rejected.with_traceback(own.__traceback__ if isinstance(own, Exception) else None)
