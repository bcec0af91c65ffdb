"""lazymig's own fields in documents: only this module knows how they are spelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Literal, TypeVar
from uuid import UUID

from bson import DBRef, Int64, ObjectId
from bson.binary import BINARY_SUBTYPE, UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128

from lazymig.errors import ConfigurationError, ForeignDocument
from lazymig.stores.decoding import Unreadable, is_readable, make_condition
from lazymig.stores.given import RawId
from lazymig.stores.records import Body, Document, Fields, StoredV1, StoredV2, StoredWhole, Unmoved

S = TypeVar("S", StoredV1, StoredV2, StoredWhole)

_UUID_BYTES = 16

#: V1's one extra field, the entity's revision. Missing means 0.
REVISION_FIELD = "_lazymig_rev"
#: V1's one extra field where migrations of some of its fields keep their revisions, each under its name.
PART_FIELD = "_lazymig_part"
#: V2's one extra field: {rev, intent, by?, conv?, gone?, at?, unmoved?, reason?, kept?}.
META_FIELD = "_lazymig"
#: The size in bytes that a server allows for a document.
DOCUMENT_BYTES_MAX = 16 * 1024 * 1024
#: The fields of a stored document that are the id or lazymig's own.
OWN_FIELDS = frozenset({"_id", REVISION_FIELD, PART_FIELD, META_FIELD})
#: The revision of a document whose field is a fraction, an array or the like. Only reads of this document fail.
UNUSABLE = -2
#: The types of revisions as lazymig stores them.
_INTEGERS = frozenset({int, Int64})
#: Revisions are smaller than this, so lazymig did not write a double of this size.
_REVISION_MAX = 2**53
#: What moved an entity to V2 first. It is written once, with the document, and never changed. It is for people: no step
#: of the protocol reads it. Documents of earlier versions lack it.
By = Literal["read", "write", "sweep"]


def raw_id(value: Any) -> Any:
    """Return the form in which an id is sent, compared and used as a key: a UUID becomes its standard BSON binary."""
    if value.__class__ is ObjectId:
        return value
    if isinstance(value, UUID):
        return Binary.from_uuid(value)
    # The driver returns plain bytes, and no Binary is equal to those.
    return bytes(value) if isinstance(value, Binary) and value.subtype == BINARY_SUBTYPE else value


def decode_id(raw: RawId) -> Any:
    """Return an id as entities hold it; one that Python cannot hold becomes readable text."""
    if raw.__class__ is ObjectId:
        return raw
    if isinstance(raw, Binary) and raw.subtype == UUID_SUBTYPE and len(raw) == _UUID_BYTES:
        return raw.as_uuid()
    return raw.shown if isinstance(raw, Unreadable) else raw


def parse_v1(document: Document, path: str = REVISION_FIELD) -> StoredV1:
    """Return a V1 document as the driver returned it, with its revision, which is at this path."""
    id = raw_id(document["_id"])
    if path == REVISION_FIELD:
        revision = document.get(path, 0)
    else:
        # A filter on a path looks into the elements of an array, so none would find the document by its revision.
        revision = UNUSABLE if isinstance(document.get(PART_FIELD), list) else get_at(document, path)
    if revision.__class__ is not int and revision.__class__ is not Int64:
        revision = _parse_foreign_revision(revision)
    return StoredV1(id, revision if revision > 0 or revision == UNUSABLE else 0, document)


def _parse_foreign_revision(stored: Any) -> int:
    """Read a revision that another client changed. What is no positive number counts as 0; the next write sets it."""
    if isinstance(stored, float):
        if not stored > 0:  # NaN included
            return 0
        if stored < _REVISION_MAX and stored.is_integer():
            return int(stored)
    elif not isinstance(stored, Decimal128 | list):
        return 0
    return UNUSABLE


def make_revision_filter(
    id: RawId,
    revision: int,
    within: Sequence[str] = (),
    held: Document | None = None,
    path: str = REVISION_FIELD,
) -> Fields:
    """Return a filter for a V1 document at this revision, kept at `path`, that has a sub-document at each `within`.

    With `held`, the value at each of its paths must also be the one given, because other clients may change documents
    without changing the revision.
    """
    never: list[Document] = []
    if revision == 0:
        # No revision means 0: lazymig never wrote the document. So does anything that is no positive number.
        never.append({path: {"$gt": 0}})
    where: Fields = {"_id": id}
    if revision == UNUSABLE:
        where["$or"] = [{path: {"$type": kind}} for kind in ("array", "double", "decimal")]
        if path != REVISION_FIELD:
            where["$or"].append({PART_FIELD: {"$type": "array"}})
    elif revision:
        where[path] = revision
        if not (within or held):
            return where  # nearly always
    return hold(where, within, held, never)


def hold(
    where: Document,
    within: Sequence[str] = (),
    held: Document | None = None,
    never: Sequence[Document] = (),
) -> Fields:
    """Return a filter that also demands a sub-document at each path `within`, and the given value at each of `held`.

    `never` are filters that must not match.
    """
    held = held or {}
    # A filter follows paths into arrays, and an element's type counts as the array's. So arrays are excluded, and
    # first, so that the server looks at nothing else in them.
    excluded: list[Document] = [{path: {"$type": "array"}} for path in within]
    # To a filter, a value also equals an array that contains it.
    excluded += [
        {path: {"$elemMatch": {"$eq": value}} if isinstance(value, list) else {"$type": "array"}}
        for path, value in held.items()
        if not isinstance(value, list) or is_readable(value)
    ]
    excluded += never
    wanted: Fields = {"_id": where["_id"], **({"$nor": excluded} if excluded else {}), **where}
    wanted |= {path: {"$type": "object"} for path in within}
    # An explicit "$eq": a stored value may look like an operator.
    values = [{path: _match_value(value)} for path, value in held.items()]
    return wanted | ({"$and": values} if values else {})


def _match_value(value: object) -> Document:
    if value is MISSING:
        return {"$exists": False}
    if value is None:
        return {"$eq": None, "$exists": True}  # to a filter, null equals a missing field
    if isinstance(value, Mapping | list | DBRef) and not is_readable(value):
        return {"$exists": True}  # there are no bytes of the whole to compare with
    return make_condition({"$eq": value})


#: The value at a path that a document does not have.
MISSING: Any = object()


def get_at(document: Any, path: str) -> Any:
    """Return the value at a path of sub-documents, or `MISSING`."""
    for name in path.split("."):
        document = document.get(name, MISSING) if isinstance(document, Mapping) else MISSING
    return document


def born_alone(id: RawId, body: Document, revision: int) -> dict[str, object]:
    """Return the V2 document of an entity that V1 never had: with what optimistic locking needs, and nothing else."""
    return {"_id": id, **body, META_FIELD: {"rev": revision, "intent": revision}}


def born_clean(id: RawId, body: Body, revision: int, by: By, conv: int = 1) -> dict[str, Any]:
    """Return the V2 document of a lazy migration, with no write announced: clean, or without a body and why."""
    meta: dict[str, Any] = {"rev": revision, "intent": revision, "by": by}
    if conv != 1:  # missing means 1
        meta["conv"] = conv
    if isinstance(body, Unmoved):
        return {"_id": id, META_FIELD: meta | spell_unmoved(body)}
    return {"_id": id, **body, META_FIELD: meta}


def spell_unmoved(unmoved: Unmoved) -> Fields:
    """Return the meta data that say why V2 has no body."""
    meta: Fields = {"gone": True, "unmoved": unmoved.why}
    if unmoved.reason:
        meta["reason"] = unmoved.reason
    if unmoved.kept is not None:
        meta["kept"] = {"conv": unmoved.kept_conv, "body": dict(unmoved.kept)}
    return meta


def parse_unmoved(meta: Document) -> Unmoved | None:
    """Return why there is no body, as the meta data say; None where they do not."""
    why = meta.get("unmoved")
    if why not in ("waiting", "left"):
        return None
    kept = meta.get("kept")
    if not isinstance(kept, Mapping):
        kept = {}
    return Unmoved(why, meta.get("reason", ""), kept.get("body"), kept.get("conv", 1))


def body_of(stored: StoredV2) -> dict[str, Any]:
    """Return a V2 document's body as it is stored, to store it again without decoding it."""
    return {name: value for name, value in stored.document.items() if name not in ("_id", META_FIELD)}


def is_foreign(document: Document) -> bool:
    """Whether lazymig did not store this V2 document: nothing shows which revision of V1 it was made from."""
    return _get_revisions(document.get(META_FIELD)) is None


def is_raised(stored: StoredV2) -> bool:
    """Whether a writer has raised the intent past V1, perhaps to a number that another one has as its ticket."""
    return "raised" in stored.document.get(META_FIELD, ())


def _get_revisions(meta: object) -> tuple[int, int] | None:
    """Return the revision and the intent; None where lazymig did not store them."""
    if isinstance(meta, dict):
        revision, intent = meta.get("rev"), meta.get("intent")
        if isinstance(revision, int) and isinstance(intent, int):
            return revision, intent
    return None


def check_same_id(id: RawId, stored: S) -> S:
    """Return the document if it has this id. Raises `ConfigurationError` if it has another."""
    if stored.id != id:
        raise ConfigurationError(
            f"asked for the document with id {id!r}, the server answered with another one: the collection's "
            "collation treats different ids as equal; use collections with the simple collation"
        )
    return stored


def check_ticketed(id: RawId, stored: StoredV2) -> StoredV2:
    """Return the document after an announcement. Raises `ForeignDocument` for one that lazymig cannot have stored."""
    if stored.intent <= stored.revision:  # an announcement always raises the intent above the revision
        raise ForeignDocument(id)
    return check_same_id(id, stored)


def holds_body(document: Document, revision: int, conv: int) -> bool:
    """Whether V2's document holds a body at this revision, made by this conversion or a newer one.

    The short way to what `parse_v2` says of it, for listings. False also where lazymig did not store the document.
    """
    meta = document.get(META_FIELD)
    if not isinstance(meta, dict) or meta.get("gone", False):
        return False
    found = meta.get("rev")
    if found != revision or found.__class__ not in _INTEGERS or meta.get("intent").__class__ not in _INTEGERS:
        return False
    made_by = meta.get("conv", 1)
    return made_by.__class__ in _INTEGERS and bool(made_by >= conv)


def parse_v2(document: Document) -> StoredV2:
    """Return a V2 document as the driver returned it, with its meta data.

    Raises `ForeignDocument` for one that lazymig did not store.
    """
    id, revisions = raw_id(document["_id"]), _get_revisions(document.get(META_FIELD))
    if revisions is None:
        raise ForeignDocument(id)
    meta: Document = document[META_FIELD]
    at = meta.get("at")
    if at is not None and at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)  # from a tz_aware client; lazymig's own times are naive UTC
    return StoredV2(
        id,
        *revisions,
        meta.get("gone", False),
        at,
        document,
        meta.get("conv", 1),
        tuple(meta.get("inserts", ())),
        parse_unmoved(meta) if "unmoved" in meta else None,
    )


def parse_v2_or_error(document: Document) -> StoredV2 | ForeignDocument:
    """Return a V2 document with its meta data, or `ForeignDocument` for one that lazymig did not store."""
    try:
        return parse_v2(document)
    except ForeignDocument as error:
        return error
