"""The types of ids, and whether an id can be sent to a server."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from bson import ObjectId

from lazymig.shapes.annotations import is_union, members, stripped
from lazymig.shapes.entities import fields, is_model
from lazymig.shapes.type_checks import resolved

#: An id must fit into a statement of 16 MB. An id shorter than `_SHORT` needs no exact measurement.
_ID_BYTES_MAX, _SHORT = 4_000_000, 1_000_000
#: Scalars that BSON compares by value; a dict is refused, since one with operators would become a filter.
ID_TYPES = (str, int, bytes, ObjectId, UUID)


def check_sendable(id: object, name: str) -> None:
    """Raise `TypeError` for an id that would fail the whole statement, which other ids may share."""
    if isinstance(id, int):
        if not -(2**63) <= id < 2**63:
            raise TypeError(f"an id of {name} is an int of at most 64 bits; pass a smaller one")
    elif isinstance(id, str | bytes) and len(id) >= _SHORT:
        _check_length(id, name)
    if isinstance(id, str) and not id.isascii():
        _check_text(id, name)


def _check_length(id: str | bytes, name: str) -> None:
    size = len(id.encode("utf-8", "surrogatepass")) if isinstance(id, str) else len(id)
    if size > _ID_BYTES_MAX:
        raise TypeError(f"an id of {name} has at most {_ID_BYTES_MAX:,} bytes; pass a shorter one")


def _check_text(id: str, name: str) -> None:
    try:
        id.encode()
    except UnicodeEncodeError:
        # Not chained: the text of the cause quotes the id.
        raise TypeError(f"an id of {name} is text that UTF-8 can hold; pass one without lone surrogates") from None


def find_id_types(cls: type, id_field: str) -> tuple[type, ...]:
    """Return the classes in the annotation of the id attribute: each member of a union, or all id types for `Any`."""
    annotation = stripped(resolved(cls)[id_field])
    if annotation is Any:
        return ID_TYPES
    kinds = members(annotation) if is_union(annotation) else [annotation]
    if is_model(cls) and type(None) in kinds and _has_default(cls, id_field):
        kinds.remove(type(None))  # `id: ObjectId | None = None` is usual for an entity that is not stored yet
    # Beanie's PydanticObjectId is an ObjectId, and V2 need not depend on Beanie.
    kinds = [ObjectId if isinstance(kind, type) and issubclass(kind, ObjectId) else kind for kind in kinds]
    return tuple(kind if isinstance(kind, type) else dict for kind in kinds)


def _has_default(cls: type, name: str) -> bool:
    return any(one.name == name and not one.required for one in fields(cls))
