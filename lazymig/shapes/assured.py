"""Entities that are read back as they are written, which is certain without reading them back.

A value of exactly the declared type, of the types here, comes back from BSON as itself; so does an instance that holds
such values alone, if its class holds what its constructor is given. Whatever is not certain in this way is encoded,
decoded and compared.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Final, get_args, get_origin
from uuid import UUID

import bson
from bson import CodecOptions, ObjectId
from cattrs import Converter

from lazymig.shapes.annotations import is_union, members, stripped
from lazymig.shapes.generated import Lines
from lazymig.shapes.plain_classes import find_plain_fields, holds_what_it_is_given
from lazymig.shapes.stored_names import is_text
from lazymig.stores.records import Fields

#: Types of which BSON holds every value, once the converter has accepted it. (`Decimal` and `date` have such hooks.)
_WHOLE: Final = (bool, float, bytes, ObjectId, Decimal, dt.date, UUID)


class _Uncertain(Exception):
    """A type whose values have to be read back."""


def make_assurance(cls: type, converter: Converter, options: CodecOptions[Fields]) -> Callable[[object], object] | None:
    """Return a function that returns whether an entity, which the converter has written, is surely read back as it is.

    Args:
        cls: The entity class.
        converter: A converter as `make_converter` makes it, without hooks of a user's.
        options: How documents are decoded.

    Returns:
        The function; None where that is never certain.
    """
    try:
        return _Making(converter, options).of_class(cls, ())
    except _Uncertain:
        return None


class _Making:
    """The functions of the classes inside one class."""

    def __init__(self, converter: Converter, options: CodecOptions[Fields]) -> None:
        self._converter = converter
        self._options = options
        self._made: dict[object, Callable[[object], object]] = {}

    def of_class(self, kind: object, above: tuple[object, ...]) -> Callable[[object], object]:
        if kind in self._made:
            return self._made[kind]
        # A class that contains itself may be nested more deeply than BSON allows.
        found = None if kind in above else find_plain_fields(kind, self._converter)
        if found is None or not holds_what_it_is_given(kind, found):
            raise _Uncertain
        lines = Lines()
        lines.add(1, f"if entity.__class__ is not {lines.bind(get_origin(kind) or kind)}: return False")
        for field in found:
            value = lines.name()
            lines.add(1, f"{value} = entity.{field.name}")
            self._value(lines, 1, value, field.kind, (*above, kind))
        lines.add(1, "return True")
        self._made[kind] = made = lines.make("entity")
        return made

    def _value(self, lines: Lines, depth: int, value: str, kind: object, above: tuple[object, ...]) -> None:
        """Add lines that return False unless a value of this type is certain."""
        if (doubt := self._doubt(lines, value, kind)) is not None:
            lines.add(depth, f"if {doubt}: return False")
        elif is_union(kind):
            self._optional(lines, depth, value, kind, above)
        elif get_origin(kind) is list:
            each = lines.name()
            lines.add(depth, f"if {value}.__class__ is not list: return False", f"for {each} in {value}:")
            self._value(lines, depth + 1, each, stripped(get_args(kind)[0]), above)
        else:
            lines.add(depth, f"if not {lines.bind(self.of_class(kind, above))}({value}): return False")

    def _optional(self, lines: Lines, depth: int, value: str, kind: object, above: tuple[object, ...]) -> None:
        inner = [member for member in members(kind) if member is not type(None)]
        if len(inner) != 1 or inner == members(kind):
            raise _Uncertain
        lines.add(depth, f"if {value} is not None:")
        self._value(lines, depth + 1, value, inner[0], above)

    def _doubt(self, lines: Lines, value: str, kind: object) -> str | None:
        """Return the condition under which a value of a type without parts is uncertain; None for other types."""
        if kind in _WHOLE:
            return f"{value}.__class__ is not {lines.bind(kind)}"
        if kind is str:
            return f"{value}.__class__ is not str or not ({value}.isascii() or {lines.bind(is_text)}({value}))"
        if kind is int:
            return f"{value}.__class__ is not int or not {-(2**63)} <= {value} < {2**63}"
        if kind is dt.datetime:
            # The converter has refused one that is aware where the client is not, and the other way round.
            aware = f" or {value}.tzinfo is not {lines.bind(dt.UTC)}" if self._options.tz_aware else ""
            return f"{value}.__class__ is not {lines.bind(kind)}{aware}"
        if isinstance(kind, type) and issubclass(kind, Enum):
            # By identity: an enum may compare and hash its members as it likes.
            known = frozenset(id(member) for member in kind if self._comes_back(member, kind))
            return (
                f"{value}.__class__ is not {lines.bind(kind)} or {lines.bind(id)}({value}) not in {lines.bind(known)}"
            )
        return None

    def _comes_back(self, member: Enum, kind: type[Enum]) -> bool:
        converter = self._converter
        try:
            stored = bson.decode(bson.encode({"": converter.unstructure(member, unstructure_as=kind)}), self._options)[
                ""
            ]
            read: object = converter.structure(stored, kind)
        except Exception:
            return False
        return read is member and stored is not None  # an optional member of value None would be read as None
