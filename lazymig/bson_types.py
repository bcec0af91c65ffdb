"""Which Python types BSON holds exactly, and the converter that keeps them so.

| Python type | in BSON | how |
| --- | --- | --- |
| str, bytes, bool, None, ObjectId | same | as they are; no coercion ("5" is not 5, "no" is not True) |
| int | int32 / int64 | up to 64 bits; an `Int64` read stays an `Int64`; larger is refused when encoded |
| float | double | an int read for a float is taken when a double holds it exactly |
| Decimal | Decimal128 | both ways, trailing zeros kept; over 34 digits is refused when encoded |
| datetime | date | whole milliseconds only, and naive or aware as the client returns them; else refused when encoded |
| date | date at midnight UTC | both ways; a stored time of day is refused |
| UUID | binary, subtype 4 | both ways, whatever the client's `uuidRepresentation` |
| tuple, list, set, frozenset | array | both ways, by the declared type; sets are stored sorted; a string is no array |
| Enum, Literal | its value | both ways |
| attrs class, dict[str, ...] | sub-document | both ways |
| time, timedelta, complex, dict with other keys | - | refused when the migration is built |

A converter of your own (`v1_converter`, `v2_converter`) decides for itself; start from `make_converter()`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, MutableSequence, MutableSet, Sequence, Set
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

import attrs
import bson
from attrs import resolve_types
from bson import ObjectId
from bson.binary import UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from cattrs import Converter
from cattrs.preconf.bson import make_converter as _bson_converter

from lazymig.errors import ConfigurationError

_REMEDY = {
    dt.time: "an int of milliseconds",
    dt.timedelta: "an int of milliseconds",
    complex: "two floats",
}


def make_converter(*, tz_aware: bool = False, detailed_validation: bool = True) -> Converter:
    """cattrs' bson preset, made exact: see the table of this module.

    `tz_aware` says how the client returns datetimes (its `tz_aware` option).
    """
    converter = _bson_converter(detailed_validation=detailed_validation)
    for kind in (str, bool, bytes, ObjectId):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(Decimal, _decimal)
    converter.register_unstructure_hook(Decimal, _decimal128)
    converter.register_structure_hook(UUID, _uuid)
    converter.register_unstructure_hook(UUID, Binary.from_uuid)
    converter.register_structure_hook(dt.date, _date)
    converter.register_unstructure_hook(dt.date, _midnight)
    converter.register_structure_hook(dt.datetime, _exactly(dt.datetime))
    converter.register_unstructure_hook(dt.datetime, lambda value: _moment(value, tz_aware))
    converter.register_unstructure_hook_factory(_is_set, lambda kind: _sorted_set(converter, kind))
    # cattrs takes the letters of a string for a list, and any text for a class whose attributes all have defaults.
    _take_only(converter, list, _is_array, "an array")
    _take_only(converter, (dict, Mapping), _is_class, "a sub-document")
    return converter


def _exactly(base: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, kind: Any) -> Any:
        if value.__class__ is kind:
            return value  # nearly always
        if isinstance(value, base):
            return _as_declared(value, base, kind)
        raise TypeError(f"expected {base.__name__}, found {type(value).__name__}")

    return structure


def _as_declared(value: Any, base: type, kind: Any) -> Any:
    # The hooks of str and int are asked for their subclasses too, a StrEnum or an IntEnum among them.
    return kind(value) if isinstance(kind, type) and kind is not base else value


def _int(value: Any, kind: Any) -> int:
    if value.__class__ is kind:
        plain: int = value  # nearly always
        return plain
    if isinstance(value, int) and not isinstance(value, bool):
        declared: int = _as_declared(value, int, kind)
        return declared
    raise TypeError(f"expected int, found {type(value).__name__}")


def _float(value: Any, _: Any) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and int(float(value)) == value:
        return float(value)
    raise TypeError(f"expected float, found {type(value).__name__}")


def _decimal(value: Any, _: Any) -> Decimal:
    if isinstance(value, Decimal128):
        return value.to_decimal()
    raise TypeError(f"expected Decimal128, found {type(value).__name__}")


#: What a Decimal128 holds (IEEE 754-2008 decimal128).
_DIGITS_MAX, _EXPONENT_MIN, _EXPONENT_MAX = 34, -6176, 6111


def _decimal128(value: Decimal) -> Decimal128:
    _, digits, exponent = value.as_tuple()
    # NaN and the infinities have a letter for an exponent. PyMongo itself would round a 35th digit away, or clamp.
    if isinstance(exponent, int) and not (len(digits) <= _DIGITS_MAX and _EXPONENT_MIN <= exponent <= _EXPONENT_MAX):
        raise ValueError("a Decimal128 does not hold this number exactly (34 digits); round it first")
    return Decimal128(value)


def _uuid(value: Any, _: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE:
        return value.as_uuid()
    raise TypeError(f"expected a binary of subtype 4, found {type(value).__name__}")


def _date(value: Any, _: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo is None else value.astimezone(dt.UTC)
        if moment.time() == dt.time():
            return moment.date()
    raise TypeError("expected a date at midnight UTC")


def _midnight(value: dt.date) -> dt.datetime:
    if isinstance(value, dt.datetime):
        raise TypeError("expected date, found datetime")
    return dt.datetime.combine(value, dt.time())


def _moment(value: dt.datetime, tz_aware: bool) -> dt.datetime:
    if value.microsecond % 1000:
        raise ValueError("BSON holds whole milliseconds only; round the datetime first")
    if (value.tzinfo is not None) != tz_aware:
        raise ValueError(
            "pass aware datetimes: the client is tz_aware"
            if tz_aware
            else "pass naive UTC datetimes, or make the client with tz_aware=True: it would read this one back as naive"
        )
    return value


def _take_only(converter: Converter, taken: type | tuple[type, ...], applies: Callable[[Any], bool], name: str) -> None:
    """Refuse documents' values of any other class, for the kinds of declared types that the predicate tells.

    A tuple begins with the usual class: asking whether a dict is a `Mapping` is dear.
    """
    being_made: set[Any] = set()

    def factory(kind: Any) -> Callable[[Any, Any], Any]:
        being_made.add(kind)  # so that the converter's own hook is found, and not this one again
        try:
            structure = converter.get_structure_hook(kind, cache_result=False)
        finally:
            being_made.discard(kind)

        def only(value: Any, _: Any) -> Any:
            if isinstance(value, taken):
                return structure(value, kind)
            raise TypeError(f"expected {name}, found {type(value).__name__}")

        return only

    converter.register_structure_hook_factory(lambda kind: applies(kind) and kind not in being_made, factory)


def _is_array(kind: Any) -> bool:
    return (get_origin(kind) or kind) in (list, tuple, set, frozenset, Sequence, MutableSequence, Set, MutableSet)


def _is_class(kind: Any) -> bool:
    return attrs.has(get_origin(kind) or kind)


def _is_set(kind: Any) -> bool:
    return (get_origin(kind) or kind) in (set, frozenset)


def _sorted_set(converter: Converter, kind: Any) -> Callable[[Any], list[Any]]:
    element = (get_args(kind) or (Any,))[0]
    unstructure = converter.get_unstructure_hook(element)
    # Sorted by their bytes: the order of a set of strings differs from process to process.
    return lambda values: sorted(map(unstructure, values), key=lambda value: bson.encode({"": value}))


def check_types(cls: type) -> None:
    """Raise `ConfigurationError` for the first attribute whose type BSON cannot hold exactly."""
    for path, kind in _leaves(cls, cls.__name__, ()):
        remedy = next((text for refused, text in _REMEDY.items() if kind is refused), None)
        if remedy:
            raise ConfigurationError(
                f"{path}: BSON cannot hold {kind.__name__} exactly; declare {remedy}, or pass a converter of your own"
            )


def holds_anything(cls: type) -> bool:
    """Whether some value of the class is taken as it is, whatever it holds: nothing says how to copy it."""
    return any(kind in (Any, object, dict, list, set, tuple) for _, kind in _leaves(cls, "", ()))


def _leaves(kind: Any, path: str, above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    kind = getattr(kind, "__supertype__", kind)  # a NewType
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in above or isinstance(kind, str) or origin is Literal:
        return
    if isinstance(kind, type) and attrs.has(kind):
        resolve_types(kind)
        for attribute in attrs.fields(kind):
            yield from _leaves(attribute.type, f"{path}.{attribute.name}", (*above, kind))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        _check_key(arguments[0], path)
        for value in arguments[1:]:  # a Counter declares none
            yield from _leaves(value, path, above)
    elif origin is not None:
        for argument in arguments if origin is not Union else [a for a in arguments if a is not type(None)]:
            yield from _leaves(argument, path, above)
    else:
        yield path, kind


def _check_key(kind: Any, path: str) -> None:
    if kind is Any or (isinstance(kind, type) and issubclass(kind, str)):
        return
    if get_origin(kind) is Literal and all(isinstance(value, str) for value in get_args(kind)):
        return
    raise ConfigurationError(
        f"{path}: keys of a sub-document are strings; declare dict[str, ...] (a StrEnum will do) or a list of pairs"
    )
