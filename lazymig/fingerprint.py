"""A fingerprint of a migration's two classes: whether they changed since the conversion revision was last raised."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin, get_type_hints

import attrs

from lazymig.conversions import Conversions


def fingerprint(conversions: Conversions[Any, Any]) -> str:
    """Sixteen hexadecimal digits that change with the fields of either class, their types and their stored names."""
    sides = (conversions.v1, conversions.v2)
    parts = [part for codec in sides for part in (*_described(codec.cls, ()), *sorted(codec.fields))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _described(kind: Any, above: tuple[Any, ...]) -> Iterator[str]:
    """The type and what it is made of, in words that are the same in every process."""
    kind = getattr(kind, "__supertype__", kind)  # a NewType
    yield _name(kind)
    if kind in above:
        return
    inside = (*above, kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        yield from (f"{member.name}={member.value!r}" for member in kind)
    for name, inner in _fields(kind):
        yield f".{name}"
        yield from _described(inner, inside)
    # The members of a union have no order of their own.
    for argument in sorted(get_args(kind), key=repr):
        yield from _described(argument, inside)


def _name(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is not None:
        return f"{getattr(origin, '__name__', origin)}[]"
    return getattr(kind, "__qualname__", None) or repr(kind)


def _fields(kind: Any) -> Sequence[tuple[str, Any]]:
    if isinstance(kind, type) and attrs.has(kind):
        attrs.resolve_types(kind)
        return [(field.name, field.type) for field in attrs.fields(kind)]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return [(field.name, hints[field.name]) for field in dataclasses.fields(kind)]
    if isinstance(kind, type) and hasattr(kind, "__annotations__") and issubclass(kind, (dict, tuple)):
        return list(get_type_hints(kind).items())  # a TypedDict or NamedTuple
    return ()
