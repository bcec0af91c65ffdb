"""Reading of documents by one generated function per class, with the results of the converter's own functions.

cattrs calls a function for every value. Most values are of exactly the declared type, which a comparison in place
shows. Every other value goes to the converter's hook of its type, and a document that fails here is read again by the
converter, which says why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from typing import Final, TypeVar, cast, get_args, get_origin

from bson import ObjectId
from bson.decimal128 import Decimal128
from cattrs import Converter

from lazymig.shapes.annotations import is_union, members, stripped
from lazymig.shapes.generated import Lines
from lazymig.shapes.plain_classes import PlainField, find_plain_fields
from lazymig.stores.decimals import to_decimal
from lazymig.stores.documents import decode_id

E = TypeVar("E")

#: Types whose stored values are the values of the entity.
_SAME: Final = (str, int, float, bool, bytes, ObjectId, dt.datetime)


def make_reader(cls: type[E], converter: Converter, id_field: str) -> Callable[[object], E] | None:
    """Return a function that makes an entity of a plain dict, which has the id under `_id`.

    Args:
        cls: The entity class.
        converter: A converter as `make_converter` makes it, without hooks of a user's.
        id_field: The field that is stored as `_id`.

    Returns:
        The function, which raises any exception where the document does not fit; None where the converter has to read.
    """
    found = find_plain_fields(cls, converter)
    return None if found is None else cast(Callable[[object], E], _Making(converter).of_class(cls, found, id_field))


class _Making:
    """The functions of the classes inside one class."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter
        self._made: dict[object, Callable[[object], object]] = {}
        self._under_way: set[object] = set()

    def of_class(
        self, kind: object, found: Sequence[PlainField], id_field: str | None = None
    ) -> Callable[[object], object]:
        if kind in self._made:
            return self._made[kind]
        self._under_way.add(kind)
        cls = get_origin(kind) or kind
        lines = Lines()
        # By place where the converter does so too: a class may have a constructor that names its arguments otherwise.
        required = sorted((field for field in found if field.required), key=lambda field: field.by_name)
        optional = [field for field in found if not field.required]
        arguments = []
        for field in required:
            value = self._field(lines, 1, field, field.name == id_field)
            arguments.append(f"{field.argument}={value}" if field.by_name else value)
        if optional:
            lines.add(1, "more = {}")
            arguments.append("**more")
        for field in optional:
            lines.add(1, f"if {_stored(field, field.name == id_field)!r} in found:")
            value = self._field(lines, 2, field, field.name == id_field)
            lines.add(2, f"more[{field.argument!r}] = {value}")
        lines.add(1, f"return {lines.bind(cls)}({', '.join(arguments)})")
        self._under_way.discard(kind)
        made = lines.make("found")
        if id_field is None:
            self._made[kind] = made
        return made

    def _field(self, lines: Lines, depth: int, field: PlainField, is_id: bool) -> str:
        value = lines.name()
        lines.add(depth, f"{value} = found[{_stored(field, is_id)!r}]")
        if is_id:
            # Nearly always an id is stored as it is held. `decode_id` only matters for what is not of that class.
            same = f"if {value}.__class__ is not {lines.bind(field.kind)}: " if field.kind in _SAME else ""
            lines.add(depth, f"{same}{value} = {lines.bind(decode_id)}({value})")
        self._value(lines, depth, value, field.kind)
        return value

    def _value(self, lines: Lines, depth: int, value: str, kind: object) -> None:
        """Add lines that put what a stored value stands for in its place."""
        hook = self._converter.get_structure_hook(kind)
        otherwise = f"{value} = {lines.bind(hook)}({value}, {lines.bind(kind)})"
        if kind in _SAME:
            lines.add(depth, f"if {value}.__class__ is not {lines.bind(kind)}: {otherwise}")
        elif kind is Decimal:
            read = f"{lines.bind(to_decimal)}({value})"
            is_decimal = f"{value}.__class__ is {lines.bind(Decimal128)}"
            lines.add(depth, f"if {is_decimal}: {value} = {read}", f"else: {otherwise}")
        elif isinstance(kind, type) and issubclass(kind, Enum):
            table = lines.bind(self._members(kind, hook))
            lines.add(depth, f"if {value}.__class__ is str and {value} in {table}: {value} = {table}[{value}]")
            lines.add(depth, f"else: {otherwise}")
        elif is_union(kind) and len(inner := [one for one in members(kind) if one is not type(None)]) == 1:
            lines.add(depth, f"if {value} is not None:")
            self._value(lines, depth + 1, value, inner[0])
        elif get_origin(kind) is list:
            self._list(lines, depth, value, kind, otherwise)
        else:
            self._other(lines, depth, value, kind, otherwise)

    def _list(self, lines: Lines, depth: int, value: str, kind: object, otherwise: str) -> None:
        inner, made, each = stripped(get_args(kind)[0]), lines.name(), lines.name()
        lines.add(depth, f"if {value}.__class__ is list:")
        lines.add(depth + 1, f"{made} = []", f"for {each} in {value}:")
        self._value(lines, depth + 2, each, inner)
        lines.add(depth + 2, f"{made}.append({each})")
        lines.add(depth + 1, f"{value} = {made}")
        lines.add(depth, f"else: {otherwise}")

    def _other(self, lines: Lines, depth: int, value: str, kind: object, otherwise: str) -> None:
        # A class that contains itself goes through the converter once for each level.
        found = None if kind in self._under_way else find_plain_fields(kind, self._converter)
        if found is None:
            lines.add(depth, otherwise)
            return
        read = lines.bind(self.of_class(kind, found))
        lines.add(depth, f"if {value}.__class__ is dict: {value} = {read}({value})", f"else: {otherwise}")

    def _members(self, kind: type[Enum], hook: Callable[[object, object], Enum]) -> dict[str, Enum]:
        """Return the members that are stored as strings, as the converter reads them."""
        found: dict[str, Enum] = {}
        for member in kind:
            if member.value.__class__ is str:
                with suppress(Exception):  # a class may refuse a value of its own; the hook will say so
                    found[member.value] = hook(member.value, kind)
        return found


def _stored(field: PlainField, is_id: bool) -> str:
    return "_id" if is_id else field.stored
