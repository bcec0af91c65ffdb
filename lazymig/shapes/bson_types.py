"""The Python types that BSON holds exactly, and the converter that keeps them exact.

| Python type | in BSON | how |
| --- | --- | --- |
| str, bytes, bool, None, ObjectId | same | unchanged; no coercion ("5" is not 5, "no" is not True) |
| Int64, Binary, Decimal128, Regex, Timestamp | same | PyMongo's own, unchanged; `Timestamp(0, 0)` is refused |
| int | int32 / int64 | up to 64 bits; an `Int64` read stays an `Int64`; larger ints are refused when encoded |
| float | double | an int, read or given, is accepted when a double holds it exactly, also in a union without int |
| Decimal | Decimal128 | both ways, trailing zeros kept; more than 34 digits are refused when encoded |
| datetime | date | whole milliseconds, naive or aware as the client returns them; else refused when encoded |
| date | date at midnight UTC | both ways; a stored time of day is refused |
| UUID | binary, subtype 4 | both ways, whatever the client's `uuidRepresentation` |
| list, tuple, set, frozenset, NamedTuple | array | as declared; sets are stored sorted; a string is not an array |
| Enum, Literal | its value | both ways; the values are strings, numbers, bytes, ObjectIds or None |
| attrs class, dataclass, pydantic model | sub-document | both ways |
| TypedDict, dict[str, ...] | sub-document | both ways; keys may be any strings |
| unions | as their members | of different BSON types, or classes distinguished by a field; others as in the last row |
| Any | as the driver encodes it | values that come back equal; Decimal, set, tuple, date, UUID: refused when encoded |
| time, timedelta, complex, object, DBRef, Sequence, dict with other keys | - | refused when the migration is built |

A type that the table does not name is refused like the last row. A converter of your own (`v1_converter`,
`v2_converter`) may accept other types; start from `make_converter()`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

import bson
from bson import Code, Int64, ObjectId, Regex, Timestamp
from bson.binary import UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from cattrs import Converter
from cattrs.preconf.bson import make_converter as _bson_converter

from lazymig.shapes.annotations import fields_of, is_class, is_namedtuple, is_typed_dict, is_union
from lazymig.shapes.class_hooks import register_classes
from lazymig.shapes.unions import is_array, union_hook, union_out_hook
from lazymig.stores.decimals import DIGITS_MAX, EXPONENT_MAX, EXPONENT_MIN, to_decimal, to_decimal128


def make_converter(*, tz_aware: bool = False, detailed_validation: bool = True) -> Converter:
    """Make a converter that stores values exactly as BSON: cattrs' bson preset without its coercions.

    `docs/bson-types.md` has the table of types.

    Args:
        tz_aware: Whether the client returns aware datetimes (its `tz_aware` option).
        detailed_validation: Whether errors name the field that failed, as in cattrs. Conversion is slower with it.

    Returns:
        A new converter, on which you can register hooks of your own.
    """
    converter = _bson_converter(detailed_validation=detailed_validation)
    for kind in (str, bool, bytes, type(None), ObjectId, Decimal128, Timestamp, Regex):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(float, _float)
    converter.register_unstructure_hook(float, _double)
    converter.register_structure_hook(Decimal, _decimal)
    converter.register_unstructure_hook(Decimal, _decimal128)
    converter.register_structure_hook(UUID, _uuid)
    converter.register_unstructure_hook(UUID, Binary.from_uuid)
    converter.register_structure_hook(dt.date, _date)
    converter.register_unstructure_hook(dt.date, _midnight)
    converter.register_structure_hook(dt.datetime, _exactly(dt.datetime))
    converter.register_unstructure_hook(dt.datetime, lambda value: _moment(value, tz_aware))
    converter.register_unstructure_hook(Timestamp, _timestamp)
    _register_factories(converter)
    return converter


def _register_factories(converter: Converter) -> None:
    """Register hooks for whole kinds of types. Factories take the converter, so that a copy gets its own hooks."""
    converter.register_unstructure_hook_factory(_is_set, _sorted_set)
    converter.register_structure_hook_factory(_is_enum, _enum)
    converter.register_structure_hook_factory(_is_literal, _literal)
    # cattrs does not resolve the annotations of a NamedTuple, which may be strings.
    converter.register_structure_hook_factory(is_namedtuple, _namedtuple)
    converter.register_unstructure_hook_factory(is_namedtuple, _namedtuple_out)
    # cattrs' preset treats a TypedDict as a dict of anything.
    converter.register_structure_hook_factory(is_typed_dict, lambda kind, own: own.gen_structure_typeddict(kind))
    converter.register_unstructure_hook_factory(is_typed_dict, lambda kind, own: own.gen_unstructure_typeddict(kind))
    converter.register_structure_hook_factory(_is_own_union(converter), union_hook)
    converter.register_unstructure_hook_factory(_is_own_union(converter), union_out_hook)
    register_classes(converter)
    # cattrs accepts a string as a list of letters, and any string for a class whose attributes all have defaults.
    _take_only(converter, list, is_array, "an array")
    # `dict` comes first: the check for `Mapping` is slow.
    _take_only(converter, (dict, Mapping), is_class, "a sub-document")


def _exactly(base: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, kind: Any) -> Any:
        if value.__class__ is kind:
            return value  # nearly always
        if isinstance(value, base) and value.__class__ is not Code:  # JavaScript code is a subclass of str
            return _as_declared(value, base, kind)
        raise TypeError(f"expected {base.__name__}, found {type(value).__name__}")

    return structure


def _as_declared(value: Any, base: type, kind: Any) -> Any:
    # cattrs also uses the hooks of str and int for subclasses, such as a StrEnum or an IntEnum.
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
        return to_decimal(value)
    raise TypeError(f"expected Decimal128, found {type(value).__name__}")


def _decimal128(value: Decimal) -> Decimal128:
    made = to_decimal128(value)
    if made is not None:
        return made  # nearly always
    _, digits, exponent = value.as_tuple()
    # The exponent of NaN and of the infinities is a letter. PyMongo itself would round a 35th digit, or clamp.
    if isinstance(exponent, int) and not (len(digits) <= DIGITS_MAX and EXPONENT_MIN <= exponent <= EXPONENT_MAX):
        raise ValueError("a Decimal128 does not hold this number exactly (34 digits); round it first")
    return Decimal128(value)  # NaN, infinities and subclasses


def _uuid(value: Any, _: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE:
        return value.as_uuid()
    raise TypeError(f"expected a binary of subtype 4, found {type(value).__name__}")


_MIDNIGHT = dt.time()


def _date(value: Any, _: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo is None else value.astimezone(dt.UTC)
        if moment.time() == _MIDNIGHT:
            return moment.date()
    raise TypeError("expected a date at midnight UTC")


def _midnight(value: dt.date) -> dt.datetime:
    if isinstance(value, dt.datetime):
        raise TypeError("expected date, found datetime")
    return dt.datetime.combine(value, _MIDNIGHT)


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


def _timestamp(value: Timestamp) -> Timestamp:
    if not value.time and not value.inc:
        raise ValueError("the server replaces an empty Timestamp with its own time; store another one")
    return value


def _double(value: float) -> float:
    return value if value.__class__ is float else _float(value, float)


def _enum(kind: Any, _: Converter) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        member = kind(value)
        plain = int if value.__class__ is Int64 else value.__class__
        if plain is not member.value.__class__:  # in Python 1, 1.0 and True are equal
            raise TypeError(f"expected {type(member.value).__name__}, found {type(value).__name__}")
        return member

    return structure


def _literal(kind: Any, _: Converter) -> Callable[[Any, Any], Any]:
    declared = {}
    for value in get_args(kind):
        stored = value.value if isinstance(value, Enum) else value
        declared[stored.__class__, stored] = value

    def structure(value: Any, _: Any) -> Any:
        plain = int if value.__class__ is Int64 else value.__class__
        try:
            return declared[plain, value]
        except (KeyError, TypeError):
            pass
        raise ValueError("not one of the values of the Literal")

    return structure


def _namedtuple(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    made = get_origin(kind) or kind

    @cache  # made at the first call, since the class may contain itself
    def hook() -> tuple[Callable[[Any, Any], Any], Any]:
        return converter.get_structure_hook(_as_tuple(kind)), _as_tuple(kind)

    def structure(value: Any, _: Any) -> Any:
        inner, as_tuple = hook()
        return made(*inner(value, as_tuple))

    return structure


def _namedtuple_out(kind: Any, converter: Converter) -> Callable[[Any], Any]:
    hook = cache(lambda: converter.get_unstructure_hook(_as_tuple(kind)))
    return lambda value: hook()(value)


def _as_tuple(kind: Any) -> Any:
    return tuple[tuple(fields_of(kind).values())]  # type: ignore[misc]


def _is_own_union(converter: Converter) -> Callable[[Any], bool]:
    # cattrs keeps a user's hook for one union there, and looks for it only after these factories.
    registered: Any = getattr(converter, "_union_struct_registry", {})

    def applies(kind: Any) -> bool:
        if not is_union(kind) or kind in registered:
            return False
        return len(get_args(kind)) > 2 or type(None) not in get_args(kind)  # cattrs' own hook for `X | None` is exact

    return applies


def _take_only(converter: Converter, taken: type | tuple[type, ...], applies: Callable[[Any], bool], name: str) -> None:
    """Register hooks for the types that `applies` selects, so that they refuse stored values not of class `taken`."""
    being_made: set[Any] = set()

    def factory(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
        being_made.add(kind)  # so that the converter finds its own hook instead of this one
        try:
            structure = converter.get_structure_hook(kind, cache_result=False)
        finally:
            being_made.discard(kind)

        def only(value: Any, _: Any) -> Any:
            if isinstance(value, taken):
                return structure(value, kind)
            raise TypeError(f"expected {name}, found {type(value).__name__}")

        if hasattr(structure, "overrides"):  # where cattrs keeps the stored names of the fields
            only.overrides = structure.overrides  # type: ignore[attr-defined]
        return only

    converter.register_structure_hook_factory(lambda kind: applies(kind) and kind not in being_made, factory)


def _is_set(kind: Any) -> bool:
    return (get_origin(kind) or kind) in (set, frozenset)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _sorted_set(kind: Any, converter: Converter) -> Callable[[Any], list[Any]]:
    element = (get_args(kind) or (Any,))[0]
    unstructure = converter.get_unstructure_hook(element)
    # Sorted by their bytes: the order of a set of strings differs from process to process.
    return lambda values: sorted(map(unstructure, values), key=lambda value: bson.encode({"": value}))
