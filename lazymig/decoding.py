"""Documents that do not decode strictly: what can be read of them, value by value.

BSON holds dates beyond Python's years and text that is not UTF-8, and one such value makes the driver refuse the whole
reply. Here it becomes an `Unreadable` in its place: harmless in a field that no class knows, an error with its path in
one that an entity needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import bson
from attrs import frozen
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex

_DATE, _TEXT = "a date outside of Python's years 1 to 9999", "text that is not UTF-8"


class UnreadableError(ValueError):
    """A field holds what Python cannot: a date outside of its years, or text that is not UTF-8."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.path = path


def _refuse(self: Unreadable, *_: Any) -> NoReturn:
    raise UnreadableError(self.reason)


@frozen(repr=False)
class Unreadable:
    """Stands for a value that Python cannot hold. It can be carried, compared and hashed; any other use raises."""

    reason: str
    #: The value's BSON type and bytes: to go on behind it, in an order in which it stands.
    kind: int
    raw: bytes

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
        unicode_decode_error_handler="surrogateescape",  # keeps the bytes, so that they can be told apart
    )
    whole = RawBSONDocument(raw, lenient)
    document = Damaged(_document(whole))
    if isinstance(whole.get("_id"), DatetimeMS):
        document["_id"] = whole["_id"]  # which can be asked for, and stored in a dead letter
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


def _document(raw: RawBSONDocument) -> dict[str, Any]:
    return {key: _value(value) for key, value in raw.items()}


def _value(value: Any) -> Any:
    if isinstance(value, RawBSONDocument):
        return _sub_document(value)
    if isinstance(value, list):
        return [_value(element) for element in value]
    if isinstance(value, DatetimeMS):
        return Unreadable(_DATE, 0x09, int(value).to_bytes(8, "little", signed=True))
    if isinstance(value, str) and _is_broken(value):
        data = value.encode("utf-8", "surrogateescape") + b"\0"
        return Unreadable(_TEXT, 0x02, len(data).to_bytes(4, "little") + data)
    if isinstance(value, Regex) and isinstance(value.pattern, str) and _is_broken(value.pattern):
        data = value.pattern.encode("utf-8", "surrogateescape")
        return Unreadable(_TEXT, 0x0B, data + b"\0\0")
    return value


def _sub_document(raw: RawBSONDocument) -> Any:
    value = _document(raw)
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
