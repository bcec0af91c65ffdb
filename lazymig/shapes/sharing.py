"""Which fields of one document belong to which of two classes, and which names mean two things."""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import ConfigurationError
from lazymig.shapes.annotations import fields_of
from lazymig.shapes.codec import Codec
from lazymig.shapes.entities import declared_names
from lazymig.shapes.fingerprint import describe_type
from lazymig.shapes.migration import Migration, is_finished
from lazymig.shapes.one_document import OneDocument
from lazymig.shapes.stored_names import is_free, is_step

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def share_document(migration: Migration[V1, V2], v1: Codec[V1], v2: Codec[V2]) -> OneDocument:
    """Return how one document carries both shapes. Raises `ConfigurationError` for a name that means two things."""
    names: tuple[str, ...] | None = tuple(sorted(v1.fields))
    if v1.names.opaque or migration.upcasters is not None:
        names = None  # documents of older versions have fields that the class does not declare
    if is_finished(migration):
        return OneDocument(names, frozenset(v2.fields), frozenset(v2.fields), name=migration.name)
    within = migration.v2_within
    if within is not None:
        _check_within(within, v1)
        return OneDocument(names, frozenset(v2.fields), frozenset(), within, name=migration.name)
    if v2.names.opaque or v1.names.opaque:
        raise ConfigurationError(
            "in_place: a converter does not reveal the names that its class stores; pass Migration(v2_within=...), "
            "which keeps V2's part in a sub-document"
        )
    return OneDocument(names, frozenset(v2.fields), _find_shared(migration, v1, v2), name=migration.name)


def _check_within(within: str, v1: Codec[V1]) -> None:
    if within in v1.fields:
        raise ConfigurationError(f"v2_within: {v1.cls.__name__} has a field {within!r}; choose another name")
    if not (is_step(within) and is_free(within)):
        raise ConfigurationError("v2_within: pass a plain field name, without a dot or a leading dollar")


def _find_shared(migration: Migration[V1, V2], v1: Codec[V1], v2: Codec[V2]) -> frozenset[str]:
    both = frozenset(v1.fields) & frozenset(v2.fields)
    ours, theirs = _describe(v1), _describe(v2)
    differing = sorted(name for name in both if ours.get(name) != theirs.get(name) or name not in ours)
    if differing:
        name = differing[0]
        raise ConfigurationError(
            f"in_place: {name!r} means two things, since {v1.cls.__name__} and {v2.cls.__name__} declare it with "
            f"different types; store one of them under another name, or pass Migration(v2_within=...), which keeps "
            "V2's part in a sub-document"
        )
    return both


def _describe(codec: Codec[V1]) -> dict[str, list[str]]:
    """Return a description of each field's type by its stored name."""
    names = declared_names(codec.cls)
    return {names.get(name, name): list(describe_type(kind)) for name, kind in fields_of(codec.cls).items()}
