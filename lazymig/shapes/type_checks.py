"""Checks of a class when its migration is built: every value must be stored exactly and be readable.

With the default converter, each declared type must be in the table of `bson_types`. A user's own converter may accept
other types. It is asked for every hook, so that a missing hook is found here and not later in the documents.
"""

from __future__ import annotations

import collections
import datetime as dt
import pathlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, TypeVar, get_args, get_origin
from uuid import UUID

from attrs import frozen
from bson import Code, DatetimeMS, DBRef, Int64, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.decimal128 import Decimal128
from cattrs import Converter
from cattrs.fns import identity, raise_error

from lazymig.errors import ConfigurationError
from lazymig.shapes.annotations import fields_of, is_class, is_namedtuple, is_union, members, stripped
from lazymig.shapes.bson_types import make_converter
from lazymig.shapes.entities import check_declared, is_entity
from lazymig.shapes.fields import Undeclarable
from lazymig.shapes.stored_names import check_nested, check_top, overrides_of
from lazymig.shapes.unions import is_array, is_mapping, shown

#: What to declare instead, by the refused type. Other types that are not in the table get general advice.
_REMEDY: Mapping[Any, str] = {
    object: "Any, or the class that is meant",
    dt.time: "an int of milliseconds",
    dt.timedelta: "an int of milliseconds",
    complex: "two floats",
    DBRef: "a class with the collection's name and the id",
    Code: "str",
    DatetimeMS: "datetime",
    re.Pattern: "bson.Regex",
    pathlib.Path: "str",
    **dict.fromkeys((Sequence, Collection, Iterable), "list[...] or tuple[..., ...]"),
    collections.deque: "list[...]",
    **dict.fromkeys((collections.OrderedDict, collections.defaultdict, collections.ChainMap), "dict[str, ...]"),
}
#: What to declare instead, by the names of classes whose packages need not be installed.
_REMEDY_BY_NAME: Mapping[str, str] = {
    **dict.fromkeys(("pydantic.SecretStr", "pydantic.SecretBytes"), "str or bytes: documents hold it in the clear"),
    **dict.fromkeys(("pydantic.Json", "pydantic.NameEmail", "pydantic.IPvAnyAddress"), "the stored type, such as str"),
    "beanie.Link": "it as Any in a subclass for the migration, where it is a DBRef",
    "beanie.BackLink": "it with exclude=True and a default in a subclass for the migration: it is not stored",
}
#: Types that the default converter stores and reads back exactly.
_EXACT = frozenset(
    {str, int, float, bool, bytes, type(None), ObjectId, Decimal, dt.datetime, dt.date, UUID}
    | {Int64, Decimal128, Timestamp, Regex, Binary}
)
#: Types that PyMongo itself encodes, so that they need no unstructure hook.
_NATIVE = (str, int, float, bytes, type(None), ObjectId, dt.datetime, Decimal128, Timestamp, Regex, DBRef, Code)
_ENUM_VALUES = (str, int, float, bool, bytes, type(None), ObjectId)
_DICTS = (dict, Mapping, MutableMapping, collections.Counter)


def check_class(side: str, cls: type, id_field: str, own: Converter | None) -> None:
    """Raise `ConfigurationError`, with the remedy, for the first field that cannot be stored exactly."""
    converter = make_converter(detailed_validation=False) if own is None else own
    _Walk(side, converter, own is not None).see(cls, cls.__name__, ())
    check_top(side, converter, cls, id_field)


@frozen
class _Walk:
    """A traversal of all declared types below a class."""

    side: str
    converter: Converter
    own: bool

    def see(self, kind: Any, path: str, above: tuple[Any, ...]) -> None:
        kind = stripped(kind)
        if kind is Any or kind is type(None) or kind in above:
            return
        if not self.own:
            _check_exact(kind, path)
        hook, failure = self._asked(kind)
        if self.own and failure is None and not _is_generated(hook):
            return  # a user's own hook handles what is inside
        _check_declared(kind, path)
        for step, inner in self._inside(kind, path, hook):
            self.see(inner, path + step, (*above, kind))
        # Checked after the inner types: the path of the field without a hook helps more than that of its class.
        if failure is not None:
            raise ConfigurationError(f"{path}: {failure}; declare another type, or register hooks on the converter")
        if above and is_class(kind):
            check_nested(self.converter, kind, path)

    def _asked(self, kind: Any) -> tuple[Any, str | None]:
        """Return the structure hook, or the reason why there is none."""
        try:
            hook = self.converter.get_structure_hook(kind)
            out = self.converter.get_unstructure_hook(kind)
        except Exception as error:
            return None, str(error).split("\n", 1)[0].rstrip(".") or type(error).__name__
        if hook is raise_error:
            return None, f"the converter has no structure hook for {shown(kind)}"
        if self.own and out is identity and _needs_hook(kind):
            return None, f"the converter has no unstructure hook for {shown(kind)}"
        return hook, None

    def _inside(self, kind: Any, path: str, hook: Any) -> Iterator[tuple[str, Any]]:
        """Yield the declared types inside a type, each with its step of the path."""
        if is_class(kind):
            yield from self._fields(kind, path, hook)
        elif is_namedtuple(kind):
            yield from ((f".{name}", inner) for name, inner in resolved(kind).items())
        elif is_union(kind):
            yield from (("", member) for member in members(kind))
        elif is_mapping(kind) or is_array(kind):
            inside = get_args(kind)[1:] if is_mapping(kind) else get_args(kind)
            yield from (("", inner) for inner in inside if inner is not ...)

    def _fields(self, kind: Any, path: str, hook: Any) -> Iterator[tuple[str, Any]]:
        fields = resolved(kind)
        for name, inner in fields.items():
            override = overrides_of(hook).get(name)
            if override is None or not (override.omit or override.struct_hook):
                yield f".{name}", inner


def _check_declared(kind: Any, path: str) -> None:
    if not is_entity(kind):
        return
    resolved(kind)
    try:
        check_declared(kind)
    except Undeclarable as error:
        raise ConfigurationError(f"{path}: {error}") from None


def resolved(kind: Any) -> dict[str, Any]:
    """Return the fields of a class with their types. Raises `ConfigurationError` for an unresolvable annotation."""
    try:
        return fields_of(kind)
    except Exception as error:
        name = getattr(error, "name", None) or type(error).__name__
        raise ConfigurationError(
            f"{shown(kind)}: annotations cannot be resolved ({name}); define what they name in the module itself"
        ) from None


def _is_generated(hook: Any) -> bool:
    """Return whether cattrs or lazymig made the hook, and not the user."""
    module = getattr(hook, "__module__", None) or ""
    return hasattr(hook, "overrides") or module.split(".")[0] in ("cattrs", "lazymig")


def _needs_hook(kind: Any) -> bool:
    if not isinstance(kind, type) or issubclass(kind, _NATIVE):
        return False
    return not (is_class(kind) or is_array(kind) or is_mapping(kind))


def _check_exact(kind: Any, path: str) -> None:
    """Raise for a type that is not in the table of `bson_types`. The converter's hook checks unions."""
    if kind in _EXACT or is_union(kind) or is_class(kind) or is_namedtuple(kind) or is_array(kind):
        return
    if is_mapping(kind) and (get_origin(kind) or kind) in _DICTS:
        _check_key(stripped((*get_args(kind), Any)[0]), path)
    elif get_origin(kind) is Literal:
        _check_values(get_args(kind), path)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        _check_values(tuple(kind), path)
    elif not _is_plain_subclass(kind):
        _refuse(kind, path)


def _is_plain_subclass(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, str | int | bytes | ObjectId) and not issubclass(kind, Code)


def _refuse(kind: Any, path: str) -> None:
    base = get_origin(kind) or kind
    remedy = next((text for refused, text in _REMEDY.items() if base is refused), None) or _by_name(base)
    if isinstance(kind, TypeVar):
        remedy = "the generic class with its arguments, as in Box[int]"
    remedy = remedy or "a class with fields, or a type of the table in docs/bson-types.md"
    raise ConfigurationError(
        f"{path}: BSON cannot hold {shown(kind)} exactly; declare {remedy}, or pass a converter of your own"
    )


def _by_name(base: Any) -> str | None:
    module = (getattr(base, "__module__", None) or "").partition(".")[0]
    name = getattr(base, "__name__", "")
    if module == "pydantic" and name.endswith(("Url", "Dsn")):
        return "str, with a validator that checks it"
    return _REMEDY_BY_NAME.get(f"{module}.{name}")


def _check_values(values: tuple[Any, ...], path: str) -> None:
    for value in values:
        stored = value.value if isinstance(value, Enum) else value
        if type(stored) not in _ENUM_VALUES:
            raise ConfigurationError(
                f"{path}: BSON cannot hold a value of {type(stored).__name__} exactly; declare values that are strings "
                "or integers, or pass a converter of your own"
            )


def _check_key(kind: Any, path: str) -> None:
    if kind is Any or (isinstance(kind, type) and issubclass(kind, str)):
        return
    if get_origin(kind) is Literal and all(isinstance(value, str) for value in get_args(kind)):
        return
    raise ConfigurationError(
        f"{path}: keys of a sub-document are strings; declare dict[str, ...] (a StrEnum will do) or a list of pairs"
    )
