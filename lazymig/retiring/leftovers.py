"""What of the application's own code may go once V1 is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from lazymig.shapes.migration import Migration, is_finished
from lazymig.user_code import find_class, find_definition

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def list_removable_code(migration: Migration[V1, V2], *, in_place: bool = False) -> tuple[str, ...]:
    """Return what may go, each with file and line where they are known, and what takes its place."""
    return () if is_finished(migration) else tuple(_list(migration, in_place=in_place))


def _list(migration: Migration[V1, V2], *, in_place: bool) -> Iterator[str]:
    yield f"{find_class(migration.v1)} (v1)"
    functions: dict[str, Callable[..., object]] = {"upgrade": migration.upgrade, "downgrade": migration.downgrade}
    functions |= {f"reshape[{older}]": function for older, function in migration.reshape.items() if function}
    for name, function in functions.items():
        yield f"{find_definition(function) or 'a function'} ({name})"
    if migration.upcasters is not None:
        yield "the upcasters of V1's documents (upcasters)"
    if migration.v1_converter is not None:
        yield "the converter of V1's documents (v1_converter)"
    yield "every use of repo.v1"
    finished = f"Migration.finished({migration.name!r}, v2={migration.v2.__name__}{_extra(migration)})"
    yield f"in place of Migration(...): {finished}"
    if not in_place:
        yield "in Repository(...): v1=..., once the migration is finished"


def _extra(migration: Migration[V1, V2]) -> str:
    id_field = "" if migration.id_field == "id" else f", id_field={migration.id_field!r}"
    return id_field + ("" if migration.v2_converter is None else ", converter=...")
