"""Differences between two entities or documents by path, value and BSON type: stricter than Python's `==`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from bson import Int64

from lazymig.shapes.entities import fields, is_entity
from lazymig.stores.documents import OWN_FIELDS


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING: Final = _Nothing()


def differences(expected: Any, found: Any, path: str = "", *, any_int: bool = False) -> Iterator[tuple[str, str, str]]:
    """Yield (path, expected, found) for each field in which two entities or documents differ by value or BSON type.

    With `any_int`, an int32 equals an int64 of the same value.
    """
    if is_entity(type(expected)) and type(found) is type(expected):
        yield from _fields_differing(expected, found, path, any_int)
    elif isinstance(expected, Mapping) and isinstance(found, Mapping):
        yield from _keys_differing(expected, found, path, any_int)
    elif isinstance(expected, list | tuple) and type(found) is type(expected):
        for index in range(max(len(expected), len(found))):
            one, other = (value[index] if index < len(value) else _NOTHING for value in (expected, found))
            yield from differences(one, other, f"{path}[{index}]", any_int=any_int)
    elif not _is_same_kind(expected, found, any_int) or not _equal(expected, found):
        yield path, f"{expected!r} ({_kind(expected)})", f"{found!r} ({_kind(found)})"


def _fields_differing(expected: Any, found: Any, path: str, any_int: bool) -> Iterator[tuple[str, str, str]]:
    for field in fields(type(expected)):
        if field.eq and field.stored:
            key = field.eq_key or (lambda value: value)
            one, other = (key(getattr(entity, field.name, _NOTHING)) for entity in (expected, found))
            yield from differences(one, other, f"{path}.{field.name}", any_int=any_int)


def _keys_differing(
    expected: Mapping[Any, Any], found: Mapping[Any, Any], path: str, any_int: bool
) -> Iterator[tuple[str, str, str]]:
    for key in dict.fromkeys([*expected, *found]):
        if key not in expected or key not in found:
            yield f"{path}.{key}", _shown(expected, key), _shown(found, key)
        else:
            yield from differences(expected[key], found[key], f"{path}.{key}", any_int=any_int)
    if expected.keys() == found.keys() and list(expected) != list(found):
        yield path, f"keys in the order {list(expected)}", f"{list(found)}"


def _shown(side: Mapping[Any, Any], key: Any) -> str:
    return repr(side[key]) if key in side else repr(_NOTHING)


def _kind(value: Any) -> str:
    """Return the name of a value's type, with the BSON type of ints: small ones are int32 unless they are `Int64`."""
    if type(value) in (int, Int64):
        return "int64" if isinstance(value, Int64) or not -(2**31) <= value < 2**31 else "int32"
    return type(value).__name__


def _is_same_kind(expected: Any, found: Any, any_int: bool) -> bool:
    if any_int and all(type(value) in (int, Int64) for value in (expected, found)):
        return True
    return _kind(expected) == _kind(found)


def _equal(expected: Any, found: Any) -> bool:
    if isinstance(expected, float | Decimal):
        return str(expected) == str(found)  # distinguishes 0.0 from -0.0 and 1.0 from 1.00, and NaN equals itself
    return bool(expected == found)


def without_own(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored document without lazymig's own fields."""
    return {key: value for key, value in document.items() if key == "_id" or key not in OWN_FIELDS}


def reduce_to_common(stored: Any, document: Any) -> tuple[Any, Any]:
    """Return both documents reduced to their common keys at every depth. V1 keeps all other keys unchanged.

    A stored int in a float field is replaced by the equal double, since V1 also keeps it until the field is written.
    """
    if isinstance(stored, Mapping) and isinstance(document, Mapping):
        pairs = {key: reduce_to_common(stored[key], document[key]) for key in stored if key in document}
        return {key: one for key, (one, _) in pairs.items()}, {key: pairs[key][1] for key in document if key in pairs}
    if isinstance(stored, list) and isinstance(document, list) and len(stored) == len(document):
        known = [reduce_to_common(one, other) for one, other in zip(stored, document, strict=True)]
        return [one for one, _ in known], [other for _, other in known]
    if type(stored) in (int, Int64) and type(document) is float and stored == document:
        return document, document
    return stored, document
