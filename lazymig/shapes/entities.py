"""Entity classes of all supported libraries: attrs classes, dataclasses, and pydantic's models and dataclasses.

The other modules ask this one what a class declares, so that they do not depend on the library that made it. Classes
of different libraries may contain each other.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar, get_origin
from weakref import WeakSet

import attrs
from attrs import NOTHING, Factory

from lazymig.errors import ConfigurationError
from lazymig.shapes.fields import STORED_NAME, Field, Undeclarable

E = TypeVar("E")

#: The supported kinds of classes, for messages.
KINDS = "an attrs class, a dataclass or a pydantic model"
_NAMES = "__lazymig_stored_names__"
#: Classes that a converter or a migration already uses. Renaming their fields would be too late.
_ASKED: WeakSet[type] = WeakSet()


def is_entity(kind: Any) -> bool:
    """Return whether `kind` is an attrs class, a dataclass or a pydantic model, with or without type arguments."""
    cls = get_origin(kind) or kind
    return isinstance(cls, type) and (attrs.has(cls) or dataclasses.is_dataclass(cls) or _is_of_pydantic(cls))


def is_model(kind: Any) -> bool:
    """Return whether `kind` is a pydantic model or a pydantic dataclass, which validates its arguments."""
    return isinstance(kind, type) and _is_of_pydantic(kind)


def _is_of_pydantic(cls: type) -> bool:
    # Each pydantic class has its own validator. A plain dataclass may inherit one, so look at the class itself.
    return "__pydantic_validator__" in cls.__dict__


def fields(kind: Any) -> tuple[Field, ...]:
    """Return the fields of an entity class in order. Type variables in their types are not resolved.

    Raises:
        NameError: An annotation of a pydantic model contains an unknown name.
    """
    cls = get_origin(kind) or kind
    renamed = _renamed(cls)
    found = _declared(cls)
    if not renamed:
        return tuple(found)
    return tuple(_named(field, renamed[field.name]) if field.name in renamed else field for field in found)


def _named(field: Field, name: str) -> Field:
    return attrs.evolve(field, declared_name=name, aliased=False, ambiguity="")


def _declared(cls: Any) -> Iterator[Field]:
    if _is_of_pydantic(cls):
        from lazymig.shapes.models import model_fields

        return model_fields(cls)
    return _of_attrs(cls) if is_attrs(cls) else _of_dataclass(cls)


def is_attrs(cls: type) -> bool:
    """Return whether attrs made the class, or the nearest base that attrs or dataclasses made."""
    made = (base.__dict__ for base in cls.__mro__ if {"__attrs_attrs__", "__dataclass_fields__"} & base.__dict__.keys())
    return "__attrs_attrs__" in next(made, ())


def _of_attrs(cls: Any) -> Iterator[Field]:
    for one in attrs.fields(cls):
        yield Field(
            name=one.name,
            type=Any if one.type is None else one.type,
            argument=one.alias or one.name,
            alias=one.alias,
            default=one.default,
            init=one.init,
            declared_name=one.metadata.get(STORED_NAME),
            eq=bool(one.eq),
            eq_key=one.eq_key,
        )


def _of_dataclass(cls: Any) -> Iterator[Field]:
    for one in dataclasses.fields(cls):
        has_factory = one.default_factory is not dataclasses.MISSING
        plain = NOTHING if one.default is dataclasses.MISSING else one.default
        yield Field(
            name=one.name,
            type=one.type,
            argument=one.name,
            default=Factory(one.default_factory) if has_factory else plain,  # type: ignore[arg-type]
            init=one.init,
            declared_name=one.metadata.get(STORED_NAME),
            eq=one.compare,
        )


def declared_names(kind: Any) -> dict[str, str]:
    """Return the stored names that an entity class declares for its fields; empty for other types."""
    if not is_entity(kind):
        return {}
    return {field.name: field.declared_name for field in fields(kind) if field.declared_name is not None}


def made_of(kind: Any, values: Mapping[str, Any]) -> Any:
    """Make an instance of an entity class from values by field name. Raises the errors of the class."""
    cls = get_origin(kind) or kind
    if _is_of_pydantic(cls):
        from lazymig.shapes.models import maker

        return maker(cls)(values)
    arguments = {field.name: field.argument for field in fields(cls)}
    return cls(**{arguments[name]: value for name, value in values.items()})


def refused_path(error: Exception, kind: Any) -> str:
    """Return the path of the field that a pydantic model refused; "" for other errors and other classes."""
    cls = get_origin(kind) or kind
    if not _is_of_pydantic(cls):
        return ""
    from lazymig.shapes.models import path_in

    return path_in(error, cls)


def is_renamed(kind: Any) -> bool:
    """Return whether an attrs class or a dataclass declares stored names. `rename` refuses the class afterwards."""
    cls = get_origin(kind) or kind
    if not is_entity(cls):
        return False
    _ASKED.add(cls)
    return not _is_of_pydantic(cls) and bool(declared_names(cls))


def check_declared(kind: Any) -> None:
    """Raise `Undeclarable`, with the remedy, if a declaration of an entity class cannot be stored."""
    cls = get_origin(kind) or kind
    found = {field.name: field for field in fields(cls)}
    for field in found.values():
        name = field.declared_name
        if field.stored and field.ambiguity:
            raise Undeclarable(
                f"{cls.__name__}.{field.name} has no one stored name: {field.ambiguity}; choose one with "
                f"lazymig.rename({cls.__name__}, {field.name}=...)"
            )
        if name is not None and not isinstance(name, str):
            raise Undeclarable(f"{cls.__name__}.{field.name}: its {STORED_NAME} is not a string; pass a string")
    _check_bases(cls, found)
    if dataclasses.is_dataclass(cls):
        _check_arguments(cls, {field.argument for field in found.values()})
    if _is_of_pydantic(cls):
        from lazymig.shapes.models import check_model

        check_model(cls, found)


def _check_bases(cls: type, known: Collection[str]) -> None:
    """Raise for a class whose bases mix attrs and dataclasses: neither knows the fields that the other made."""
    if not (attrs.has(cls) and dataclasses.is_dataclass(cls)):
        return
    if is_attrs(cls) or {field.name for field in getattr(cls, "__attrs_attrs__", ())} - set(known):
        raise Undeclarable(
            f"{cls.__name__} and its bases are attrs classes and dataclasses, which do not know each other's fields; "
            "decorate all of them with the same library"
        )


def _check_arguments(cls: Any, known: set[str]) -> None:
    for parameter in inspect.signature(cls).parameters.values():
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if needed and parameter.name not in known:
            raise Undeclarable(
                f"{cls.__name__} cannot be made without {parameter.name!r}, which is not a field, so no document has "
                "it; give it a default, or make it a field"
            )


def _renamed(cls: Any) -> dict[str, str]:
    """Return the names that `rename` set on the class and its parents. Those of the class itself take precedence."""
    names: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        names |= base.__dict__.get(_NAMES, {})
    return names


def rename(cls: type[E], /, **names: str) -> type[E]:
    """Set the stored names of fields of a class: `rename(Country, name="Country Name", for_="for")`.

    It works for attrs classes, dataclasses and pydantic models. It overrides a field's own metadata or alias. It also
    applies to subclasses, which may be renamed themselves. Call it where the class is defined, before a converter or a
    migration uses the class.

    Args:
        cls: The class.
        **names: The stored names by the fields' Python names.

    Returns:
        The class itself.

    Raises:
        ConfigurationError: The class has no such field, a name cannot be stored, or two fields would be stored under
            one name; or it is too late.
    """
    if not is_entity(cls):
        raise ConfigurationError(f"rename: pass {KINDS}")
    if any(issubclass(asked, cls) for asked in _ASKED):
        raise ConfigurationError(
            f"rename: a converter or a migration already uses {cls.__name__} with its present names; rename its fields "
            "where the class is defined"
        )
    known = {field.name: field for field in fields(cls)}
    for name, stored in names.items():
        _check_name(cls, name, stored, known)
    after = {name: names.get(name, field.declared_name or name) for name, field in known.items() if field.stored}
    twice = [stored for stored, count in Counter(after.values()).items() if count > 1]
    if twice:
        both = " and ".join(name for name, stored in after.items() if stored == twice[0])
        raise ConfigurationError(f"rename: {both} of {cls.__name__} would both be stored as {twice[0]!r}")
    setattr(cls, _NAMES, cls.__dict__.get(_NAMES, {}) | names)
    return cls


def _check_name(cls: type, name: str, stored: Any, known: Mapping[str, Field]) -> None:
    if name not in known:
        raise ConfigurationError(f"rename: {cls.__name__} has no field {name!r}; it has {', '.join(known)}")
    if not (known[name].stored and known[name].init):
        raise ConfigurationError(f"rename: {cls.__name__}.{name} is never stored; leave it out")
    if not isinstance(stored, str) or "\0" in stored:
        raise ConfigurationError(f"rename: pass the stored name of {name} as a string without NUL")
    if stored.startswith("_lazymig"):
        raise ConfigurationError(f"rename: {stored!r} is one of lazymig's own names; choose another name for {name}")
