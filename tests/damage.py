"""BSON that Python cannot hold, made by hand: elements by their bytes, and a migration of orders to put them in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import bson
from attrs import Factory, frozen
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from lazymig import Migration, Phase, Repository
from lazymig.stores.drivers import RAW_LENIENT


@frozen
class LineV1:
    """A part of an order, with one field of its own."""

    sku: str


@frozen
class OrderV1:
    """The old shape."""

    id: Any
    name: str
    placed: datetime | None = None
    buyer: LineV1 | None = None
    lines: list[LineV1] = Factory(list)
    info: dict[str, Any] = Factory(dict)


@frozen
class OrderV2:
    """The new shape: another name for the name."""

    id: Any
    title: str
    placed: datetime | None = None
    buyer: LineV1 | None = None
    lines: list[LineV1] = Factory(list)
    info: dict[str, Any] = Factory(dict)


def up(v1: OrderV1) -> OrderV2:
    """V1 to V2."""
    return OrderV2(v1.id, v1.name, v1.placed, v1.buyer, v1.lines, v1.info)


def down(v2: OrderV2) -> OrderV1:
    """V2 to V1."""
    return OrderV1(v2.id, v2.title, v2.placed, v2.buyer, v2.lines, v2.info)


def orders(database: Any, **options: Any) -> Repository[OrderV1, OrderV2]:
    """A repository on the database's collections `v1` and `v2`."""
    migration: Migration[OrderV1, OrderV2] = Migration(
        name="orders", v1=OrderV1, v2=OrderV2, upgrade=up, downgrade=down
    )
    collections = {"v1": database["v1"], "v2": database["v2"]}
    return Repository(migration, **({"phase": Phase.COEXIST} | collections | options))


def text(data: bytes) -> bytes:
    """The value of a BSON string with these bytes, UTF-8 or not."""
    return (len(data) + 1).to_bytes(4, "little") + data + b"\0"


def millis(value: int) -> bytes:
    """The value of a BSON date."""
    return value.to_bytes(8, "little", signed=True)


def inside(*elements: bytes) -> bytes:
    """The value of a sub-document or an array, or a whole document."""
    body = b"".join(elements)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def element(kind: int, name: bytes | str, value: bytes) -> bytes:
    """A field of a document."""
    return bytes([kind]) + (name.encode() if isinstance(name, str) else name) + b"\0" + value


def document(known: dict[str, Any], *elements: bytes) -> RawBSONDocument:
    """A document of known fields and of elements by their bytes."""
    return RawBSONDocument(inside(bson.encode(known)[4:-1], *elements), RAW_LENIENT)


async def bytes_of(collection: Any, id: Any) -> bytes:
    """The stored document, byte for byte."""
    raw = collection.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
    return bytes((await raw.find_one({"_id": id})).raw)


#: Kind and value of what does not decode strictly.
TROUBLE: dict[str, tuple[int, bytes]] = {
    "a date past the year 9999": (0x09, millis(2**60)),
    "a date before the year 1": (0x09, millis(-(2**60))),
    "text that is not UTF-8": (0x02, text(b"a\xffb")),
    "a lone surrogate": (0x02, text(b"\xed\xa0\x80")),
    "a symbol that is not UTF-8": (0x0E, text(b"\xc3")),
    "code that is not UTF-8": (0x0D, text(b"\xc3")),
    "a pattern that is not UTF-8": (0x0B, b"\xff\0i\0"),
    "a reference of the old kind that is not UTF-8": (0x0C, text(b"\xff") + b"x" * 12),
    "binary data of the old subtype without its inner length": (0x05, b"\2\0\0\0\2ab"),
    "binary data of the old subtype with a wrong inner length": (0x05, b"\6\0\0\0\2\x32\0\0\0ab"),
    "such data in an array": (0x04, inside(element(0x05, "0", b"\2\0\0\0\2ab"))),
    "a date in a sub-document": (0x03, inside(element(0x09, "w", millis(2**61)))),
    "text in an array": (0x04, inside(element(0x02, "0", text(b"\xfe")))),
    "a key that is not UTF-8": (0x03, inside(element(0x10, b"\xff", b"\1\0\0\0"))),
    "a reference to no text": (
        0x03,
        inside(element(0x02, "$ref", text(b"c")), element(0x10, "$id", b"\1\0\0\0"), element(0x10, "$db", b"\1\0\0\0")),
    ),
}
