"""A repository without a server, for unit tests of code that uses a repository."""

from __future__ import annotations

from typing import Any, TypeVar

from lazymig.errors import ConfigurationError
from lazymig.phases import Phase
from lazymig.repository import Repository
from lazymig.shapes.migration import Migration

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def memory_repository(
    migration: Migration[V1, V2], phase: Phase = Phase.COEXIST, *, in_place: bool = False, **keywords: Any
) -> Repository[V1, V2]:
    """Return a repository on new, empty in-memory collections. It runs lazymig's real code.

    Fill V1 through the V1 view (`repo.v1.insert`), or with raw documents through `repo.collections.v1`: with
    `Migration(part=True)` only so, since an insert needs the document that the entity is a part of. Keep it under a
    few hundred entities, because every search is a linear scan. It has no sessions and no transactions. It never yields
    to the event loop, so it shows no races; test those on a real server.

    Args:
        migration: The migration.
        phase: The phase of the migration.
        in_place: Whether both shapes share the documents of one collection, as with `Repository.in_place`.
        **keywords: Further keywords of `Repository`, or of `Repository.in_place`.

    Returns:
        The repository, which shares its collections with no other.

    Raises:
        ConfigurationError: If mongomock-motor is not installed, or as `Repository` raises it.
    """
    try:
        from mongomock_motor import AsyncMongoMockClient
    except ModuleNotFoundError as missing:
        raise ConfigurationError(f"memory_repository needs {missing.name}: pip install 'lazymig[testing]'") from missing
    database: Any = AsyncMongoMockClient()["memory"]
    if in_place:
        return Repository.in_place(migration, database[migration.name], phase=phase, **keywords)
    v1, v2 = database[migration.name], database[f"{migration.name}_v2"]
    return Repository(migration, v1=v1, v2=v2, phase=phase, **keywords)
