"""How lazymig's own fields stand in documents: the one place that knows their spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Literal
from uuid import UUID

from bson.binary import BINARY_SUBTYPE, Binary

from lazymig.records import Document, StoredV1, StoredV2

#: V1's one extra field: the entity's revision; missing means 0.
REVISION_FIELD = "_lazymig_rev"
#: V2's one extra field: {rev, intent, by?, conv?, gone?, at?}.
META_FIELD = "_lazymig"
#: Who brought an entity into V2 first: said once, when its document is made, and never changed. For people only: no
#: step of the protocol looks at it. Documents of earlier versions lack it.
By = Literal["read", "write", "sweep"]


def raw_id(value: Any) -> Any:
    """The one form in which an id is sent, compared and used as a key: a UUID as its standard BSON binary."""
    if isinstance(value, UUID):
        return Binary.from_uuid(value)
    # The driver returns plain bytes, to which a Binary is never equal.
    return bytes(value) if isinstance(value, Binary) and value.subtype == BINARY_SUBTYPE else value


def stored_v1(document: Document) -> StoredV1:
    """A V1 document as the driver returned it, with its revision."""
    return StoredV1(raw_id(document["_id"]), document.get(REVISION_FIELD, 0), document)


def at_revision(id: Any, revision: int, within: Sequence[str] = (), held: Document | None = None) -> dict[str, Any]:
    """A filter for a V1 document at this revision that has a sub-document at each of these paths.

    `held`: each path's value, too, must be as it stands in this document, for writers that know no revision.
    """
    # Paths are followed into arrays, and the elements' types count as the array's. So arrays are ruled out, and first:
    # nothing else is looked up in them then.
    arrays = [{path: {"$type": "array"}} for path in within]
    where: dict[str, Any] = {"_id": id, **({"$nor": arrays} if arrays else {})}
    # A document that lazymig never wrote has no revision, which means 0; `None` in a filter matches the missing field.
    where[REVISION_FIELD] = {"$in": [None, 0]} if revision == 0 else revision
    where |= {path: {"$type": "object"} for path in within}
    # "$eq" in so many words: a stored value may look like an operator.
    values = [
        {path: {"$exists": False} if value is MISSING else {"$eq": value}} for path, value in (held or {}).items()
    ]
    return where | ({"$and": values} if values else {})


#: A value that a document does not have.
MISSING: Any = object()


def value_at(document: Any, path: str) -> Any:
    """The value at a path of sub-documents, or `MISSING`."""
    for name in path.split("."):
        document = document.get(name, MISSING) if isinstance(document, Mapping) else MISSING
    return document


def born_clean(id: Any, body: Document, revision: int, by: By, conv: int = 1) -> dict[str, Any]:
    """The V2 document of a lazy migration: no write was ever announced for it."""
    meta: dict[str, Any] = {"rev": revision, "intent": revision, "by": by}
    if conv != 1:  # missing means 1
        meta["conv"] = conv
    return {"_id": id, **body, META_FIELD: meta}


def body_of(stored: StoredV2) -> dict[str, Any]:
    """A V2 document's body as it is stored, for whoever carries it on without decoding it."""
    return {name: value for name, value in stored.document.items() if name not in ("_id", META_FIELD)}


def stored_v2(document: Document) -> StoredV2:
    """A V2 document as the driver returned it, with its meta data."""
    meta: Mapping[str, Any] = document[META_FIELD]
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
