"""How lazymig's own fields stand in documents: the one place that knows their spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Literal, TypeVar
from uuid import UUID

from bson import Int64
from bson.binary import BINARY_SUBTYPE, UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128

from lazymig.errors import ConfigurationError, ConversionError, ForeignDocument
from lazymig.stores.decoding import Unreadable
from lazymig.stores.given import RawId
from lazymig.stores.records import Document, StoredV1, StoredV2

S = TypeVar("S", StoredV1, StoredV2)

_UUID_BYTES = 16

#: V1's one extra field: the entity's revision; missing means 0.
REVISION_FIELD = "_lazymig_rev"
#: V2's one extra field: {rev, intent, by?, conv?, gone?, at?}.
META_FIELD = "_lazymig"
#: Stands for a revision that is a fraction, an array or the like: an error for this document's own readers only.
UNUSABLE = -2
#: No revision is as large: a double of this size is none of lazymig's.
_REVISION_MAX = 2**53
#: Who brought an entity into V2 first: written once, when its document is made, and never changed. For people only: no
#: step of the protocol looks at it. Documents of earlier versions lack it.
By = Literal["read", "write", "sweep"]


def raw_id(value: Any) -> Any:
    """The one form in which an id is sent, compared and used as a key: a UUID as its standard BSON binary."""
    if isinstance(value, UUID):
        return Binary.from_uuid(value)
    # The driver returns plain bytes, to which a Binary is never equal.
    return bytes(value) if isinstance(value, Binary) and value.subtype == BINARY_SUBTYPE else value


def decode_id(raw: RawId) -> Any:
    """An id as entities hold it; one that Python cannot hold as it is shown to people."""
    if isinstance(raw, Binary) and raw.subtype == UUID_SUBTYPE and len(raw) == _UUID_BYTES:
        return raw.as_uuid()
    return raw.shown if isinstance(raw, Unreadable) else raw


def stored_v1(document: Document) -> StoredV1:
    """A V1 document as the driver returned it, with its revision."""
    id = raw_id(document["_id"])
    revision = document.get(REVISION_FIELD, 0)
    if revision.__class__ is not int and revision.__class__ is not Int64:
        revision = _foreign_revision(revision)
    return StoredV1(id, revision if revision > 0 or revision == UNUSABLE else 0, document)


def _foreign_revision(stored: Any) -> int:
    """What another client made of a revision. What is no positive number is none; the next write puts one there."""
    if isinstance(stored, float):
        if not stored > 0:  # NaN included
            return 0
        if stored < _REVISION_MAX and stored.is_integer():
            return int(stored)
    elif not isinstance(stored, Decimal128 | list):
        return 0
    return UNUSABLE


def check_revision(stored: StoredV1) -> None:
    """Raise `ConversionError` for a V1 document whose revision can be neither compared nor counted on from."""
    if stored.revision == UNUSABLE:
        wrong = TypeError(f"{REVISION_FIELD} is no whole number; unset it in V1")
        raise ConversionError(decode_id(stored.id), "read", wrong, REVISION_FIELD, side="V1")


def at_revision(id: RawId, revision: int, within: Sequence[str] = (), held: Document | None = None) -> dict[str, Any]:
    """A filter for a V1 document at this revision that has a sub-document at each of these paths.

    `held`: each path's value, too, must be as it stands in this document, for writers that know no revision.
    """
    # Paths are followed into arrays, and the elements' types count as the array's. So arrays are ruled out, and first:
    # nothing else is looked up in them then.
    never: list[dict[str, Any]] = [{path: {"$type": "array"}} for path in within]
    # A value equals an array that holds it, too.
    never += [{path: {"$type": "array"}} for path, value in (held or {}).items() if not isinstance(value, list)]
    if revision == 0:
        # A document that lazymig never wrote has no revision, which means 0, as does all that is no positive number.
        never.append({REVISION_FIELD: {"$gt": 0}})
    where: dict[str, Any] = {"_id": id, **({"$nor": never} if never else {})}
    if revision == UNUSABLE:
        where["$or"] = [{REVISION_FIELD: {"$type": kind}} for kind in ("array", "double", "decimal")]
    elif revision:
        where[REVISION_FIELD] = revision
    where |= {path: {"$type": "object"} for path in within}
    # "$eq" in so many words: a stored value may look like an operator.
    values = [{path: _held(value)} for path, value in (held or {}).items()]
    return where | ({"$and": values} if values else {})


def _held(value: Any) -> dict[str, Any]:
    if value is MISSING:
        return {"$exists": False}
    return {"$eq": value, "$exists": True} if value is None else {"$eq": value}  # null equals what is missing


#: A value that a document does not have.
MISSING: Any = object()


def value_at(document: Any, path: str) -> Any:
    """The value at a path of sub-documents, or `MISSING`."""
    for name in path.split("."):
        document = document.get(name, MISSING) if isinstance(document, Mapping) else MISSING
    return document


def born_clean(id: RawId, body: Document, revision: int, by: By, conv: int = 1) -> dict[str, Any]:
    """The V2 document of a lazy migration: no write was ever announced for it."""
    meta: dict[str, Any] = {"rev": revision, "intent": revision, "by": by}
    if conv != 1:  # missing means 1
        meta["conv"] = conv
    return {"_id": id, **body, META_FIELD: meta}


def body_of(stored: StoredV2) -> dict[str, Any]:
    """A V2 document's body as it is stored, to store it again without decoding it."""
    return {name: value for name, value in stored.document.items() if name not in ("_id", META_FIELD)}


def is_foreign(document: Document) -> bool:
    """Whether lazymig did not store this V2 document: it says nothing about the V1 document it was made from."""
    meta = document.get(META_FIELD)
    return not (isinstance(meta, dict) and isinstance(meta.get("rev"), int) and isinstance(meta.get("intent"), int))


def of_id(id: RawId, stored: S) -> S:
    """The document, if it is the one that was asked for. Raises `ConfigurationError` where it has another id."""
    if stored.id != id:
        raise ConfigurationError(
            f"asked for the document with id {id!r}, the server answered with another one: a collation takes different "
            "ids for the same; use collections with the simple collation"
        )
    return stored


def ticketed(id: RawId, stored: StoredV2) -> StoredV2:
    """The document after an announcement. Raises `ForeignDocument` where lazymig's own would read otherwise."""
    if stored.intent <= stored.revision:  # no announcement is behind its body
        raise ForeignDocument(id)
    return of_id(id, stored)


def stored_v2(document: Document) -> StoredV2:
    """A V2 document as the driver returned it, with its meta data.

    Raises `ForeignDocument` for one that lazymig did not store.
    """
    if is_foreign(document):
        raise ForeignDocument(raw_id(document["_id"]))
    meta: Document = document[META_FIELD]
    at = meta.get("at")
    if at is not None and at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)  # a tz_aware client: lazymig's own times are naive UTC
    return StoredV2(
        raw_id(document["_id"]),
        meta["rev"],
        meta["intent"],
        meta.get("gone", False),
        at,
        document,
        meta.get("conv", 1),
        tuple(meta.get("inserts", ())),
    )


def stored_or_error(document: Document) -> StoredV2 | ForeignDocument:
    """`stored_v2` for reading many: a document that lazymig did not store becomes an error in its place."""
    try:
        return stored_v2(document)
    except ForeignDocument as error:
        return error
