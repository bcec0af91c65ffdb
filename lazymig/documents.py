"""How lazymig's own fields stand in documents: the one place that knows their spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Literal
from uuid import UUID

from bson.binary import BINARY_SUBTYPE, Binary

from lazymig.errors import ConfigurationError, ForeignDocument
from lazymig.records import Document, StoredV1, StoredV2

#: V1's one extra field: the entity's revision; missing means 0.
REVISION_FIELD = "_lazymig_rev"
#: V2's one extra field: {rev, intent, by?, gone?, at?}.
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


def at_revision(id: Any, revision: int, within: Sequence[str] = ()) -> dict[str, Any]:
    """A filter for a V1 document at this revision that has a sub-document at each of these paths."""
    # Paths are followed into arrays, and the elements' types count as the array's. So arrays are ruled out, and first:
    # nothing else is looked up in them then.
    arrays = [{path: {"$type": "array"}} for path in within]
    where: dict[str, Any] = {"_id": id, **({"$nor": arrays} if arrays else {})}
    # A document that lazymig never wrote has no revision, which means 0; `None` in a filter matches the missing field.
    where[REVISION_FIELD] = {"$in": [None, 0]} if revision == 0 else revision
    return where | {path: {"$type": "object"} for path in within}


def born_clean(id: Any, body: Document, revision: int, by: By) -> dict[str, Any]:
    """The V2 document of a lazy migration: no write was ever announced for it."""
    return {"_id": id, **body, META_FIELD: {"rev": revision, "intent": revision, "by": by}}


def is_foreign(document: Document) -> bool:
    """Whether lazymig did not store this V2 document: it says nothing about the V1 document it was made from."""
    meta = document.get(META_FIELD)
    return not (isinstance(meta, dict) and isinstance(meta.get("rev"), int) and isinstance(meta.get("intent"), int))


def same_id(id: Any, found: Any) -> None:
    """Raise `ConfigurationError` where a document came back under another id than was asked for."""
    if found != id:
        raise ConfigurationError(
            f"asked for the document with id {id!r}, the server answered with another one: a collation takes different "
            "ids for the same; use collections with the simple collation"
        )


def _is_integer(path: str) -> dict[str, Any]:
    return {"$or": [{path: {"$type": "int"}}, {path: {"$type": "long"}}]}


#: The filter for such documents.
FOREIGN: Document = {"$nor": [{"$and": [_is_integer(f"{META_FIELD}.rev"), _is_integer(f"{META_FIELD}.intent")]}]}


def stored_v2(document: Document) -> StoredV2:
    """A V2 document as the driver returned it, with its meta data.

    Raises `ForeignDocument` for one that lazymig did not store.
    """
    if is_foreign(document):
        raise ForeignDocument(raw_id(document["_id"]))
    meta: Mapping[str, Any] = document[META_FIELD]
    at = meta.get("at")
    if at is not None and at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)  # a tz_aware client: lazymig's own times are naive UTC
    return StoredV2(raw_id(document["_id"]), meta["rev"], meta["intent"], meta.get("gone", False), at, document)


def stored_or_error(document: Document) -> StoredV2 | ForeignDocument:
    """`stored_v2` for those who read many: one that lazymig did not store is its own reader's error."""
    try:
        return stored_v2(document)
    except ForeignDocument as error:
        return error
