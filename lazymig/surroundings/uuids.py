"""Refusing clients that store UUIDs in a legacy form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args
from uuid import UUID

from bson.binary import UuidRepresentation

from lazymig.errors import ConfigurationError
from lazymig.shapes.annotations import fields_of, is_class, is_namedtuple, stripped
from lazymig.shapes.migration import Migration, get_id_types
from lazymig.stores.drivers import find_uuid_representation
from lazymig.stores.given import Store

_LEGACY: dict[int | None, str] = {
    UuidRepresentation.PYTHON_LEGACY: "pythonLegacy",
    UuidRepresentation.JAVA_LEGACY: "javaLegacy",
    UuidRepresentation.CSHARP_LEGACY: "csharpLegacy",
}


def check_uuids(migration: Migration[Any, Any], *, v1: Store, v2: Store) -> None:
    """Raise `ConfigurationError` for a client with a legacy `uuidRepresentation` where the migration holds UUIDs.

    lazymig stores UUIDs as binary subtype 4. Such a client stores and expects subtype 3 with its own byte order, so the
    same UUID would be two different ids.
    """
    for side, collection in (("v1", v1), ("v2", v2)):
        legacy = _LEGACY.get(find_uuid_representation(collection))
        if legacy is not None and _has_uuids(migration):
            raise ConfigurationError(
                f"{side}: the client has uuidRepresentation={legacy}, and {migration.name} holds UUIDs, which lazymig "
                "stores as binary subtype 4; give the client uuidRepresentation=standard, and store the "
                "UUIDs of subtype 3 again as subtype 4 before you migrate"
            )


def _has_uuids(migration: Migration[Any, Any]) -> bool:
    return any(issubclass(kind, UUID) for kind in get_id_types(migration)) or any(
        isinstance(kind, type) and issubclass(kind, UUID)
        for cls in (migration.v1, migration.v2)
        for kind in _list_kinds(cls, set())
    )


def _list_kinds(kind: Any, met: set[Any]) -> Iterator[Any]:
    """Yield each type that an annotation names, also those inside the classes that it names."""
    kind = stripped(kind)
    try:
        if kind in met:
            return
        met.add(kind)
    except TypeError:  # such as the values of a Literal
        return
    yield kind
    for inner in _list_inner_kinds(kind):
        yield from _list_kinds(inner, met)


def _list_inner_kinds(kind: Any) -> Iterable[Any]:
    if not (is_class(kind) or is_namedtuple(kind)):
        return get_args(kind)
    try:
        return fields_of(kind).values()
    except Exception:  # unresolvable names: no converter can know a UUID there
        return ()
