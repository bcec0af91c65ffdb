"""Comparison of what was written with what is read back: by value, where NaN equals itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any
from uuid import UUID

from bson import ObjectId

from lazymig.shapes.annotations import fields_of, is_class, is_namedtuple, is_typed_dict, stripped
from lazymig.shapes.entities import fields, is_entity

_MISSING: Any = object()
#: Types of values that belong to an entity's state. A field without an `__init__` argument may hold others, such as a
#: lock; those are not compared.
_VALUES = (bool, int, float, str, bytes, type(None), Decimal, date, UUID, ObjectId, Enum, Mapping, Collection)


def first_difference(written: Any, read: Any) -> str | None:
    """Return the path of the first value that differs, such as `.a[2].b` ("" for the whole); None if none differs."""
    return next(_differences(written, read, ""), None)


def _differences(written: Any, read: Any, path: str) -> Iterator[str]:
    kind = written.__class__
    if is_entity(kind):
        if read.__class__ is not kind:
            yield path
        else:
            for name, key in _compared(kind):
                yield from _differences(key(written), key(read), f"{path}.{name}")
    elif isinstance(written, Mapping):
        yield from _in_mappings(written, read, path)
    elif isinstance(written, list | tuple):
        yield from _in_arrays(written, read, path)
    elif isinstance(written, set | frozenset):
        if not isinstance(read, set | frozenset) or _countable(written) != _countable(read):
            yield path
    elif not _equal(written, read):
        yield path


def _in_mappings(written: Mapping[Any, Any], read: Any, path: str) -> Iterator[str]:
    if not isinstance(read, Mapping) or written.keys() != read.keys():
        yield path
        return
    for key, value in written.items():
        # A TypedDict looks like any dict here, whose keys are document contents: do not show them.
        yield from _differences(value, read[key], f"{path}[...]")


def _in_arrays(written: list[Any] | tuple[Any, ...], read: Any, path: str) -> Iterator[str]:
    kind = list if isinstance(written, list) else tuple
    if not isinstance(read, kind) or len(written) != len(read):
        yield path
        return
    for index, (one, other) in enumerate(zip(written, read, strict=True)):
        yield from _differences(one, other, f"{path}[{index}]")


def _equal(written: Any, read: Any) -> bool:
    if isinstance(written, float | Decimal) and written.__class__ is read.__class__:
        # This also works for a signalling NaN, which raises when compared.
        return str(written) == str(read) if _is_nan(written) or _is_nan(read) else written == read
    if isinstance(written, bool) is not isinstance(read, bool):
        return False
    return bool(written == read)


def _is_nan(number: float | Decimal) -> bool:
    return number.is_nan() if isinstance(number, Decimal) else number != number


def _countable(values: Iterable[Any]) -> set[Any]:
    return {str(value) if isinstance(value, float | Decimal) and _is_nan(value) else value for value in values}


def _compared(kind: Any) -> Iterator[tuple[str, Any]]:
    """Yield each field by which a class compares its instances, with a function that returns its value."""
    for field in fields(kind):
        if field.eq and field.stored:
            yield field.name, partial(_value, field.name, field.eq_key, field.init)


def _value(name: str, key: Any, init: bool, entity: Any) -> Any:
    value = getattr(entity, name, _MISSING)
    if not init and not isinstance(value, _VALUES) and not is_class(value.__class__):
        return _MISSING
    return value if key is None else key(value)


def distinguishes(kind: Any, above: tuple[Any, ...] = ()) -> bool:
    """Return whether `==` compares all fields, for this class and all classes inside.

    It does if their libraries generated `__eq__`. A class may define its own, for example by id only, or none.
    """
    kind = stripped(kind)
    if kind in above:
        return True
    if is_class(kind) and not is_typed_dict(kind) and not _is_generated(kind):
        return False
    inside = fields_of(kind).values() if is_class(kind) or is_namedtuple(kind) else getattr(kind, "__args__", ())
    return all(distinguishes(inner, (*above, kind)) for inner in inside)


def _is_generated(kind: Any) -> bool:
    cls = getattr(kind, "__origin__", kind)
    code = getattr(cls.__eq__, "__code__", None)
    if code is None:
        return False
    of_pydantic = getattr(cls.__eq__, "__module__", None) == "pydantic.main"
    return of_pydantic or code.co_filename.startswith(("<attrs generated", "<string>"))
