"""Decoding of documents that the driver refuses, value by value.

BSON holds dates outside of Python's years and text that is not UTF-8, and one such value makes the driver refuse the
whole reply. Here an `Unreadable` takes its place: harmless in a field that no class has, and an error with its path in
a field that an entity needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex

from lazymig.stores.elements import ARRAY, REFERENCE, SUB_DOCUMENT, make_document, split_elements

_DATE, _TEXT = "a date outside of Python's years 1 to 9999", "text that is not UTF-8"
#: The server checks sizes only, while the driver also looks into a value, such as binary data of the old subtype 2.
_VALUE = "a value that the driver cannot read"
_DATE_KIND, _TEXT_KIND, _SCOPED_CODE = 0x09, 0x02, 0x0F
_STRICT: CodecOptions[dict[str, object]] = CodecOptions(uuid_representation=UuidRepresentation.UNSPECIFIED)
_ANY_UUID: CodecOptions[Any] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


class UnreadableError(ValueError):
    """A field holds a value that Python cannot: a date outside of its years, or text that is not UTF-8."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.path = path


def _refuse(self: Unreadable, *_: Any) -> NoReturn:
    raise UnreadableError(self.reason)


class Unreadable:
    """A stand-in for a value that Python cannot hold. It can be passed, compared and hashed; any other use raises.

    It is no attrs class: a converter would unstructure that.
    """

    __slots__ = ("kind", "raw", "reason")

    def __init__(self, reason: str, kind: int, raw: bytes) -> None:
        self.reason = reason
        #: The value's BSON type and bytes, so that a page can start after it.
        self.kind = kind
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable) and (self.kind, self.raw) == (other.kind, other.raw)

    def __hash__(self) -> int:
        return hash((self.kind, self.raw))

    @property
    def shown(self) -> str:
        """The value as people read it, for ids in messages."""
        return self.raw[4:-1].decode("utf-8", "replace") if self.kind == _TEXT_KIND else repr(self)

    def __repr__(self) -> str:
        return f"<unreadable: {self.reason}>"

    # Converters call these on any value; here they must fail.
    __str__ = __format__ = __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __bytes__ = _refuse


class Damaged(dict[str, Any]):
    """A document with an `Unreadable` somewhere."""


def copied(document: Mapping[str, object]) -> dict[str, object]:
    """Return a copy of a decoded document that shares nothing with it that can be changed."""
    made = {name: _copied_value(value) for name, value in document.items()}
    return Damaged(made) if isinstance(document, Damaged) else made


def _copied_value(value: object) -> object:
    if isinstance(value, dict):
        return copied(value)
    return [_copied_value(inner) for inner in value] if isinstance(value, list) else value


def decode(raw: bytes, options: CodecOptions[Any]) -> dict[str, Any]:
    """Decode a document strictly, or as a `Damaged` one where that fails."""
    try:
        document: dict[str, Any] = bson.decode(raw, options)
    except InvalidBSON:
        return decode_leniently(raw, options)
    return document


def decode_leniently(raw: bytes, options: CodecOptions[Any]) -> Damaged:
    """Decode what can be read of a document that does not decode strictly."""
    lenient: Any = options.with_options(
        document_class=RawBSONDocument,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        unicode_decode_error_handler="surrogateescape",  # keeps the bytes, so that two such texts differ
    )
    document = Damaged(_decode_fields(raw, lenient))
    id = document.get("_id")
    if isinstance(id, Unreadable) and id.kind == _DATE_KIND:
        # A type that filters accept and that a dead letter can store.
        document["_id"] = DatetimeMS(int.from_bytes(id.raw, "little", signed=True))
    return document


def check_readable(document: Any, path: str = "") -> None:
    """Raise `UnreadableError` with the path of the first unreadable value or key, if there is one."""
    if isinstance(document, Unreadable):
        raise UnreadableError(document.reason, path.lstrip("."))
    if isinstance(document, Mapping):
        for key, value in document.items():
            if isinstance(key, str) and _is_broken(key):
                raise UnreadableError(_TEXT, path.lstrip("."))
            check_readable(value, f"{path}.{key}")
    elif isinstance(document, list | tuple):
        for place, value in enumerate(document):
            check_readable(value, f"{path}[{place}]")
    elif isinstance(document, DBRef):
        check_readable(document.as_doc(), path)


def is_readable(value: object) -> bool:
    """Whether Python can hold a value, and each part of it."""
    with suppress(Exception):
        # What the driver writes is readable. That is quicker to see than by a look at each part.
        bson.encode({"": value}, codec_options=_ANY_UUID)
        return True
    try:
        check_readable(value)
    except UnreadableError:
        return False
    return True


def make_condition(operators: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return operators as a filter accepts them; unreadable values, and lists of them, go as their bytes."""
    if not any(map(_is_odd, operators.values())):
        return operators  # nearly always
    return RawBSONDocument(_pack(operators))


def _is_odd(value: Any) -> bool:
    if isinstance(value, list):
        return Unreadable in map(type, value)
    return isinstance(value, Unreadable)


def _pack(fields: Mapping[str, Any]) -> bytes:
    elements = b"".join(_pack_element(name, value) for name, value in fields.items())
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"


def _pack_element(name: str, value: Any) -> bytes:
    if isinstance(value, Unreadable):
        return bytes([value.kind]) + name.encode() + b"\0" + value.raw
    if isinstance(value, list):
        return b"\x04" + name.encode() + b"\0" + _pack({str(place): inner for place, inner in enumerate(value)})
    return bson.encode({name: value})[4:-1]


def _decode_fields(raw: bytes, options: Any) -> dict[str, Any]:
    fields = {}
    # No comprehension: it would add a frame for every level of nesting, and Python's stack ends before BSON's limit.
    for kind, name, value in split_elements(raw):
        fields[name.decode("utf-8", "surrogateescape")] = _decode_value(kind, value, options)
    return fields


def _decode_value(kind: int, raw: bytes, options: Any) -> Any:
    """Decode one value, each part separately, so that a part which the driver refuses does not affect the others."""
    if kind == SUB_DOCUMENT:
        return _make_sub_document(_decode_fields(raw, options))
    if kind == ARRAY:
        # The names of an array's elements do not count, even if one occurs twice: the driver ignores them too.
        return [_decode_value(inner, value, options) for inner, _, value in split_elements(raw)]
    try:
        if kind == _SCOPED_CODE:
            # Strictly, with its scope as the driver makes it: `Code` has no part that could be replaced.
            strict = _STRICT.with_options(tz_aware=options.tz_aware)
            return bson.decode(make_document(kind, b"", raw), strict)[""]
        return _replace_unreadable(kind, RawBSONDocument(make_document(kind, b"", raw), options)[""], raw)
    except InvalidBSON:
        return Unreadable(_VALUE, kind, raw)


def _replace_unreadable(kind: int, value: Any, raw: bytes) -> Any:
    if isinstance(value, DatetimeMS):
        return Unreadable(_DATE, kind, raw)
    text = value.pattern if isinstance(value, Regex) else value.collection if kind == REFERENCE else value
    return Unreadable(_TEXT, kind, raw) if isinstance(text, str) and _is_broken(text) else value


def _make_sub_document(value: dict[str, Any]) -> Any:
    # The driver does this when it decodes strictly; damage elsewhere in the document must not change it.
    if isinstance(value.get("$ref"), str) and "$id" in value and isinstance(value.get("$db", ""), str):
        rest = dict(value)
        return DBRef(rest.pop("$ref"), rest.pop("$id"), rest.pop("$db", None), rest)
    return value


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
