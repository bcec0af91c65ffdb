"""Seeing from the bytes of a document that its V2 part is current. Decoding a document takes many times as long."""

from __future__ import annotations

from typing import TypeVar

import bson

from lazymig.protocol.in_place.place import Place
from lazymig.stores.documents import META_FIELD
from lazymig.stores.elements import SUB_DOCUMENT, split_elements
from lazymig.stores.whole_documents import read_alone, read_number

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_META = META_FIELD.encode()
#: How the field begins where lazymig stored it.
_FIRST = bytes((SUB_DOCUMENT,)) + _META + b"\0"


def is_clearly_current(place: Place[V1, V2], raw: bytes) -> bool:
    """Return whether V2's part is current, or is the truth. False: only the decoded document can say.

    A fingerprint is of fields that were decoded and encoded again, which some rare values do not survive byte for byte.
    So these bytes may differ from what a current V2 part was made of, but they cannot be equal and mean something else.
    """
    names = place.shape.v1
    if names is None or _FIRST not in raw:
        return False
    elements = {name: (kind, value) for kind, name, value in split_elements(raw)}
    kind, value = elements.get(_META, (0, b""))
    if kind != SUB_DOCUMENT:
        return False
    meta = bson.decode(value)
    conv = read_number(meta.get("conv", 1))
    if conv is None or read_number(meta.get("rev")) is None or meta.get("gone"):
        return False
    if read_alone(meta) == place.conversions.migration.name:
        return True
    if conv < place.conversions.migration.revision:
        return False
    found = ((name, elements[name]) for name in map(str.encode, names) if name in elements)
    body = b"".join([bytes((kind,)) + name + b"\0" + value for name, (kind, value) in found])
    return bool(meta.get("of") == place.shape.digest((len(body) + 5).to_bytes(4, "little") + body + b"\0"))
