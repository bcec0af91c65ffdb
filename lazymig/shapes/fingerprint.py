"""A fingerprint of a migration's two classes. It shows whether they changed since the revision was last raised."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from lazymig.shapes.annotations import fields_of, is_class, is_namedtuple, stripped
from lazymig.shapes.conversions import Conversions
from lazymig.shapes.entities import declared_names


def fingerprint(conversions: Conversions[Any, Any]) -> str:
    """Return 16 hexadecimal digits that depend on the fields of both classes, their types and their stored names."""
    sides = (conversions.v1, conversions.v2)
    parts = [part for codec in sides for part in (*describe_type(codec.cls), *sorted(codec.fields))]
    if (chain := conversions.migration.upcasters) is not None:
        # Not the oldest version: leaving out an upcaster that no document needs any more changes no entity.
        parts.append(f"{chain.field}:{chain.newest}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def describe_type(kind: Any, above: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield a description of the type and of its parts that is the same in every process."""
    kind = stripped(kind)
    yield _name(kind)
    if kind in above:
        return
    inside = (*above, kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        yield from (f"{member.name}={member.value!r}" for member in kind)
    fields = fields_of(kind) if is_class(kind) or is_namedtuple(kind) else {}
    names = declared_names(kind)
    for name, inner in fields.items():
        yield f".{name}={names[name]}" if name in names else f".{name}"
        yield from describe_type(inner, inside)
    # The order of a union's members has no meaning.
    for argument in sorted(get_args(kind), key=repr):
        yield from describe_type(argument, inside)


def _name(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is not None:
        return f"{getattr(origin, '__name__', origin)}[]"
    return getattr(kind, "__qualname__", None) or repr(kind)
