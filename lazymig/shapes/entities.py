"""Entity classes of every library: attrs classes, dataclasses, and pydantic's models and dataclasses.

All else asks here what a class declares, so that nothing else depends on which library made it. The three may stand
inside each other.
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

#: What a class may be, for messages.
KINDS = "an attrs class, a dataclass or a pydantic model"
_NAMES = "__lazymig_stored_names__"
#: Classes that a converter or a migration has asked for: renaming their fields would come too late.
_ASKED: WeakSet[type] = WeakSet()


def is_entity(kind: Any) -> bool:
    """Whether it is an attrs class, a dataclass, or a model of pydantic's, with or without arguments."""
    cls = get_origin(kind) or kind
    return isinstance(cls, type) and (attrs.has(cls) or dataclasses.is_dataclass(cls) or _is_of_pydantic(cls))


def is_model(kind: Any) -> bool:
    """Whether it is a model or a dataclass of pydantic's, which validates what it is given."""
    return isinstance(kind, type) and _is_of_pydantic(kind)


def _is_of_pydantic(cls: type) -> bool:
    # Each class of pydantic's has a validator of its own. A plain dataclass may inherit from one that has.
    return "__pydantic_validator__" in cls.__dict__


def fields(kind: Any) -> tuple[Field, ...]:
    """The fields of an entity class in order, without types for its type variables.

    Raises:
        NameError: An annotation of a pydantic model names nothing known.
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
    """Whether attrs made the class, or else the nearest of its bases that a library made: a dataclass may be below."""
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
    """The stored names that an entity class declares, where these are not the fields' own; nothing for other types."""
    if not is_entity(kind):
        return {}
    return {field.name: field.declared_name for field in fields(kind) if field.declared_name is not None}


def made_of(kind: Any, values: Mapping[str, Any]) -> Any:
    """An instance of an entity class, of values by the names of its fields. Raises what the class raises."""
    cls = get_origin(kind) or kind
    if _is_of_pydantic(cls):
        from lazymig.shapes.models import maker

        return maker(cls)(values)
    arguments = {field.name: field.argument for field in fields(cls)}
    return cls(**{arguments[name]: value for name, value in values.items()})


def refused_path(error: Exception, kind: Any) -> str:
    """The path of the field that a model of pydantic's refused; "" for other errors and other classes."""
    cls = get_origin(kind) or kind
    if not _is_of_pydantic(cls):
        return ""
    from lazymig.shapes.models import path_in

    return path_in(error, cls)


def is_renamed(kind: Any) -> bool:
    """Whether a class that is not pydantic's declares stored names. From then on `rename` refuses it."""
    cls = get_origin(kind) or kind
    if not is_entity(cls):
        return False
    _ASKED.add(cls)
    return not _is_of_pydantic(cls) and bool(declared_names(cls))


def check_declared(kind: Any) -> None:
    """Raise `Undeclarable` for an entity class that is declared in a way that cannot be stored, with the remedy."""
    cls = get_origin(kind) or kind
    found = {field.name: field for field in fields(cls)}
    for field in found.values():
        name = field.declared_name
        if field.stored and field.ambiguity:
            raise Undeclarable(
                f"{cls.__name__}.{field.name} has no one stored name: {field.ambiguity}; say which it is by "
                f"lazymig.rename({cls.__name__}, {field.name}=...)"
            )
        if name is not None and not isinstance(name, str):
            raise Undeclarable(f"{cls.__name__}.{field.name}: its {STORED_NAME} is no string; give the name as one")
    _check_bases(cls, found)
    if dataclasses.is_dataclass(cls):
        _check_arguments(cls, {field.argument for field in found.values()})
    if _is_of_pydantic(cls):
        from lazymig.shapes.models import check_model

        check_model(cls, found)


def _check_bases(cls: type, known: Collection[str]) -> None:
    """Neither attrs nor dataclasses know the fields of a base that the other one made."""
    if not (attrs.has(cls) and dataclasses.is_dataclass(cls)):
        return
    if is_attrs(cls) or {field.name for field in getattr(cls, "__attrs_attrs__", ())} - set(known):
        raise Undeclarable(
            f"{cls.__name__} and its bases are attrs classes and dataclasses, which do not know each other's fields; "
            "decorate all of them alike"
        )


def _check_arguments(cls: Any, known: set[str]) -> None:
    for parameter in inspect.signature(cls).parameters.values():
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if needed and parameter.name not in known:
            raise Undeclarable(
                f"{cls.__name__} cannot be made without {parameter.name!r}, which is no field, so no document has it; "
                "give it a default, or make it a field"
            )


def _renamed(cls: Any) -> dict[str, str]:
    """What `rename` said of the class and of its parents, the nearest last."""
    names: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        names |= base.__dict__.get(_NAMES, {})
    return names


def rename(cls: type[E], /, **names: str) -> type[E]:
    """Say under which names fields of a class are stored: `rename(Country, name="Country Name", for_="for")`.

    It works for attrs classes, dataclasses and pydantic models alike, goes before a field's own metadata or alias, and
    holds for subclasses too; a subclass may say otherwise. Do it where the class is defined, before a converter or a
    migration meets the class.

    Args:
        cls: The class.
        **names: The stored name of each field by its Python name.

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
            f"rename: a converter or a migration knows {cls.__name__} by its present names; rename its fields right "
            "where it is defined"
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
        raise ConfigurationError(f"rename: {cls.__name__}.{name} is not stored at all; leave it out")
    if not isinstance(stored, str) or "\0" in stored:
        raise ConfigurationError(f"rename: pass the stored name of {name} as a string without NUL")
    if stored.startswith("_lazymig"):
        raise ConfigurationError(f"rename: {stored!r} is one of lazymig's own names; choose another for {name}")
