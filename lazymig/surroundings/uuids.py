"""Clients whose UUIDs are not what other clients take them for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints
from uuid import UUID

import attrs
from bson.binary import UuidRepresentation

from lazymig.errors import ConfigurationError
from lazymig.migration import Migration

_LEGACY = {
    UuidRepresentation.PYTHON_LEGACY: "pythonLegacy",
    UuidRepresentation.JAVA_LEGACY: "javaLegacy",
    UuidRepresentation.CSHARP_LEGACY: "csharpLegacy",
}


def check_uuids(migration: Migration[Any, Any], *, v1: Any, v2: Any) -> None:
    """Raise `ConfigurationError` for a client with a legacy `uuidRepresentation` where the migration holds UUIDs.

    lazymig stores UUIDs as binary subtype 4; such a client stores and expects them as subtype 3, in an order of bytes
    of its own, so that the two would take one document for another.
    """
    for side, collection in (("v1", v1), ("v2", v2)):
        options = getattr(collection, "codec_options", None)
        legacy = _LEGACY.get(getattr(options, "uuid_representation", None))  # type: ignore[arg-type]
        if legacy is not None and _has_uuids(migration):
            raise ConfigurationError(
                f"{side}: the client has uuidRepresentation={legacy}, and {migration.name} holds UUIDs, which lazymig "
                "stores as binary subtype 4; give the client uuidRepresentation=standard, and store the UUIDs of "
                "subtype 3 anew before you migrate"
            )


def _has_uuids(migration: Migration[Any, Any]) -> bool:
    return any(issubclass(kind, UUID) for kind in migration.id_types) or any(
        isinstance(kind, type) and issubclass(kind, UUID)
        for cls in (migration.v1, migration.v2)
        for kind in _kinds(cls, set())
    )


def _kinds(annotation: Any, met: set[Any]) -> Iterator[Any]:
    """Each type that the annotation names, inside of the classes that it names too."""
    annotation = getattr(annotation, "__supertype__", annotation)
    try:
        if annotation in met:
            return
        met.add(annotation)
    except TypeError:  # the values of a Literal or the like
        return
    yield annotation
    for inner in (*get_args(annotation), *_annotations(annotation)):
        yield from _kinds(inner, met)


def _annotations(cls: Any) -> list[Any]:
    """The annotations of a class's fields: attrs, dataclass, NamedTuple or TypedDict."""
    if not isinstance(cls, type):
        return []
    try:
        hints = get_type_hints(cls)
    except Exception:  # names that cannot be resolved: whatever is left as text is no UUID that a converter knows
        hints = {}
    if attrs.has(cls):
        hints |= {attribute.name: hints.get(attribute.name, attribute.type) for attribute in attrs.fields(cls)}
    elif not (dataclasses.is_dataclass(cls) or hasattr(cls, "_fields") or hasattr(cls, "__total__")):
        return []
    return list(hints.values())
