"""Checks of what a migration declares, one argument at a time."""

from __future__ import annotations

from collections.abc import Mapping

from lazymig.errors import ConfigurationError
from lazymig.shapes.entities import KINDS, fields, is_entity
from lazymig.shapes.id_types import ID_TYPES, find_id_types
from lazymig.shapes.stored_names import is_free
from lazymig.shapes.type_checks import resolved


def check_revision(revision: object, reshape: object) -> None:
    """Raise `ConfigurationError` unless this can be a migration's revision, with what reads its older bodies."""
    if not isinstance(revision, int) or isinstance(revision, bool) or not 1 <= revision < 2**31:
        raise ConfigurationError("revision: pass an int of at least 1; raise it when a conversion or V2 changes")
    if not isinstance(reshape, Mapping):
        raise ConfigurationError("reshape: pass a mapping from older revisions to functions, such as {1: from_first}")
    for older, function in reshape.items():
        if not isinstance(older, int) or isinstance(older, bool) or not 1 <= older < revision:
            raise ConfigurationError(f"reshape: its keys are revisions from 1 to {revision - 1}, older than this one")
        if function is not None and not callable(function):
            raise ConfigurationError(f"reshape[{older}]: pass a function of the stored body, or None to drop it")


def check_entity_class(side: str, cls: object, id_field: str) -> None:
    """Raise `ConfigurationError` unless this is an entity class whose id can be stored."""
    if not (isinstance(cls, type) and is_entity(cls)):
        raise ConfigurationError(
            f"{side}: pass {KINDS} (decorate it with attrs.frozen or dataclasses.dataclass, or inherit from "
            "pydantic.BaseModel, of pydantic 2.10 or later)"
        )
    resolved(cls)
    known = {field.name: field for field in fields(cls)}
    if id_field not in known:
        raise ConfigurationError(f"{side}: {cls.__name__} has no attribute {id_field!r}; add it, or set id_field")
    if not (known[id_field].stored and known[id_field].init):
        raise ConfigurationError(f"{side}: {cls.__name__}.{id_field} is not stored; an id must be")
    named = [name for name, one in known.items() if name != id_field and one.stored and one.declared_name is None]
    if reserved := sorted(name for name in named if not is_free(name)):
        raise ConfigurationError(f"{side}: {cls.__name__}.{reserved[0]} uses a reserved name; rename it")
    bad = [kind for kind in find_id_types(cls, id_field) if not issubclass(kind, ID_TYPES) or kind is bool]
    if bad:
        allowed = ", ".join(kind.__name__ for kind in ID_TYPES)
        raise ConfigurationError(f"{side}: {cls.__name__}.{id_field} cannot be an id; declare it as one of {allowed}")
