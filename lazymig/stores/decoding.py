"""Documents that do not decode strictly: what can be read of them, value by value.

BSON holds dates beyond Python's years and text that is not UTF-8, and one such value makes the driver refuse the whole
reply. Here it becomes an `Unreadable` in its place: harmless in a field that no class knows, an error with its path in
one that an entity needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex

from lazymig.stores.elements import ARRAY, REFERENCE, SUB_DOCUMENT, document_of, elements

_DATE, _TEXT = "a date outside of Python's years 1 to 9999", "text that is not UTF-8"
#: The server looks at sizes only, the driver into a value: into binary data of the old subtype 2, say.
_VALUE = "a value that the driver does not read"
_DATE_KIND, _TEXT_KIND = 0x09, 0x02


class UnreadableError(ValueError):
    """A field holds what Python cannot: a date outside of its years, or text that is not UTF-8."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.path = path


def _refuse(self: Unreadable, *_: Any) -> NoReturn:
    raise UnreadableError(self.reason)


class Unreadable:
    """Stands for a value that Python cannot hold. It can be carried, compared and hashed; any other use raises.

    No attrs class, which a converter would take apart.
    """

    __slots__ = ("kind", "raw", "reason")

    def __init__(self, reason: str, kind: int, raw: bytes) -> None:
        self.reason = reason
        #: The value's BSON type and bytes: to go on behind it, in an order in which it stands.
        self.kind = kind
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable) and (self.kind, self.raw) == (other.kind, other.raw)

    def __hash__(self) -> int:
        return hash((self.kind, self.raw))

    @property
    def shown(self) -> str:
        """The value for people: of an id that must be named."""
        return self.raw[4:-1].decode("utf-8", "replace") if self.kind == _TEXT_KIND else repr(self)

    def __repr__(self) -> str:
        return f"<unreadable: {self.reason}>"

    # A converter that would take anything's text or number must not take this one's.
    __str__ = __format__ = __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __bytes__ = _refuse


class Damaged(dict[str, Any]):
    """A document with an `Unreadable` somewhere."""


def decoded(raw: bytes, options: CodecOptions[Any]) -> dict[str, Any]:
    """The document of these bytes: strictly where that works, else a `Damaged` one."""
    try:
        document: dict[str, Any] = bson.decode(raw, options)
    except InvalidBSON:
        return readable(raw, options)
    return document


def readable(raw: bytes, options: CodecOptions[Any]) -> Damaged:
    """What can be read of a document that does not decode."""
    lenient: Any = options.with_options(
        document_class=RawBSONDocument,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        unicode_decode_error_handler="surrogateescape",  # keeps the bytes, so that they can be distinguished
    )
    document = Damaged(_fields(raw, lenient))
    id = document.get("_id")
    if isinstance(id, Unreadable) and id.kind == _DATE_KIND:
        # Which can be asked for, and stored in a dead letter.
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


def condition(operators: Mapping[str, Any]) -> Mapping[str, Any]:
    """Operators with their values, as a filter takes them: unreadable ones, or lists of such, by their own bytes."""
    if not any(map(_is_odd, operators.values())):
        return operators  # nearly always
    return RawBSONDocument(_packed(operators))


def _is_odd(value: Any) -> bool:
    if isinstance(value, list):
        return Unreadable in map(type, value)
    return isinstance(value, Unreadable)


def _packed(fields: Mapping[str, Any]) -> bytes:
    elements = b"".join(_element(name, value) for name, value in fields.items())
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"


def _element(name: str, value: Any) -> bytes:
    if isinstance(value, Unreadable):
        return bytes([value.kind]) + name.encode() + b"\0" + value.raw
    if isinstance(value, list):
        return b"\x04" + name.encode() + b"\0" + _packed({str(place): inner for place, inner in enumerate(value)})
    return bson.encode({name: value})[4:-1]


def _fields(raw: bytes, options: Any) -> dict[str, Any]:
    fields = {}
    for kind, name, value in elements(raw):  # no comprehension: documents are nested deep, and Python's stack is not
        fields[name.decode("utf-8", "surrogateescape")] = _of_bytes(kind, value, options)
    return fields


def _of_bytes(kind: int, raw: bytes, options: Any) -> Any:
    """One value, each part of it by itself: what the driver refuses costs nothing around it."""
    if kind == SUB_DOCUMENT:
        return _sub_document(_fields(raw, options))
    if kind == ARRAY:
        # Whatever the names are, and however often one stands there: the driver does not look at them either.
        return [_of_bytes(inner, value, options) for inner, _, value in elements(raw)]
    try:
        return _value(kind, RawBSONDocument(document_of(kind, b"", raw), options)[""], raw)
    except InvalidBSON:
        return Unreadable(_VALUE, kind, raw)


def _value(kind: int, value: Any, raw: bytes) -> Any:
    if isinstance(value, DatetimeMS):
        return Unreadable(_DATE, kind, raw)
    text = value.pattern if isinstance(value, Regex) else value.collection if kind == REFERENCE else value
    return Unreadable(_TEXT, kind, raw) if isinstance(text, str) and _is_broken(text) else value


def _sub_document(value: dict[str, Any]) -> Any:
    # As the driver does where it decodes strictly, so that damage elsewhere in a document changes nothing here.
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
