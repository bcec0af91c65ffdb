"""How lazymig's own fields stand in documents: the one place that knows their spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Literal
from uuid import UUID

from bson import Int64
from bson.binary import BINARY_SUBTYPE, UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128

from lazymig.errors import ConversionError
from lazymig.records import Document, StoredV1, StoredV2

#: V1's one extra field: the entity's revision; missing means 0.
REVISION_FIELD = "_lazymig_rev"
#: V2's one extra field: {rev, intent, by?, gone?, at?}.
META_FIELD = "_lazymig"
#: No revision is as large: a double of this size is none of lazymig's.
_REVISION_MAX = 2**53
#: Who brought an entity into V2 first: said once, when its document is made, and never changed. For people only: no
#: step of the protocol looks at it. Documents of earlier versions lack it.
By = Literal["read", "write", "sweep"]


def raw_id(value: Any) -> Any:
    """The one form in which an id is sent, compared and used as a key: a UUID as its standard BSON binary."""
    if isinstance(value, UUID):
        return Binary.from_uuid(value)
    # The driver returns plain bytes, to which a Binary is never equal.
    return bytes(value) if isinstance(value, Binary) and value.subtype == BINARY_SUBTYPE else value


def decode_id(raw: Any) -> Any:
    """An id as entities hold it."""
    return raw.as_uuid() if isinstance(raw, Binary) and raw.subtype == UUID_SUBTYPE else raw


def stored_v1(document: Document) -> StoredV1:
    """A V1 document as the driver returned it, with its revision. Raises `ConversionError` for a fraction of one."""
    id = raw_id(document["_id"])
    revision = document.get(REVISION_FIELD, 0)
    if revision.__class__ is not int and revision.__class__ is not Int64:
        revision = _foreign_revision(id, revision)
    return StoredV1(id, revision if revision > 0 else 0, document)


def _foreign_revision(id: Any, stored: Any) -> int:
    """What another client made of a revision. What is no positive number is none; the next write puts one there."""
    if isinstance(stored, float):
        if not stored > 0:  # NaN included
            return 0
        if stored < _REVISION_MAX and stored.is_integer():
            return int(stored)
    elif not isinstance(stored, Decimal128 | list):
        return 0
    wrong = TypeError(f"{REVISION_FIELD} is no whole number; unset it in V1")
    raise ConversionError(decode_id(id), "upgrade", wrong, REVISION_FIELD)


def at_revision(id: Any, revision: int, within: Sequence[str] = ()) -> dict[str, Any]:
    """A filter for a V1 document at this revision that has a sub-document at each of these paths."""
    # Paths are followed into arrays, and the elements' types count as the array's. So arrays are ruled out, and first:
    # nothing else is looked up in them then.
    never: list[dict[str, Any]] = [{path: {"$type": "array"}} for path in within]
    if revision == 0:
        # A document that lazymig never wrote has no revision, which means 0, as does all that is no positive number.
        never.append({REVISION_FIELD: {"$gt": 0}})
    where: dict[str, Any] = {"_id": id, **({"$nor": never} if never else {})}
    if revision:
        where[REVISION_FIELD] = revision
    return where | {path: {"$type": "object"} for path in within}


def born_clean(id: Any, body: Document, revision: int, by: By) -> dict[str, Any]:
    """The V2 document of a lazy migration: no write was ever announced for it."""
    return {"_id": id, **body, META_FIELD: {"rev": revision, "intent": revision, "by": by}}


def stored_v2(document: Document) -> StoredV2:
    """A V2 document as the driver returned it, with its meta data."""
    meta: Mapping[str, Any] = document[META_FIELD]
    at = meta.get("at")
    if at is not None and at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)  # a tz_aware client: lazymig's own times are naive UTC
    return StoredV2(raw_id(document["_id"]), meta["rev"], meta["intent"], meta.get("gone", False), at, document)
