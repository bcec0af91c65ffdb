"""The stages of a change stream: which changes are of this migration's entities, and what leaves the server of them.

Field by field and never `fullDocument`: the follower must not see contents, and an event with a document of 16 MB would
be too large for a reply.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lazymig.stores.carried import Carried
from lazymig.stores.documents import META_FIELD, OWN_FIELDS
from lazymig.stores.records import Document, Fields

_UPDATED, _WHOLE = "$updateDescription.updatedFields", "$fullDocument"
_SET: Document = {"$objectToArray": {"$ifNull": [_UPDATED, {}]}}
_REMOVED: Document = {"$ifNull": ["$updateDescription.removedFields", []]}
#: What an update lists: fields that were set, removed, and arrays that were cut.
_LISTS = (
    {"$map": {"input": _SET, "in": "$$this.k"}},
    _REMOVED,
    {"$map": {"input": {"$ifNull": ["$updateDescription.truncatedArrays", []]}, "in": "$$this.field"}},
)
_UPDATE, _INSERT = ({"$eq": ["$operationType", kind]} for kind in ("update", "insert"))


def make_stages(carried: Carried) -> list[Fields]:
    """Return the stages that pass on an entity's changes, each as its operation, id, times and revision.

    Where entities are parts of documents, `ended` is whether an update has removed the entity, as deletes of lazymig
    do. What a replacement or a deletion removed does not show, so each counts; an insert counts if it has an entity.
    """
    shown: Fields = {"operationType": 1, "documentKey._id": 1, "clusterTime": 1, "wallTime": 1}
    if not carried.is_part:
        revision = {"$ifNull": [f"{_UPDATED}.{carried.revision}", f"{_WHOLE}.{carried.revision}"]}
        return [{"$project": {**shown, "revision": revision}}]
    relevant = {"$cond": [_UPDATE, _is_touched(carried), {"$cond": [_INSERT, _is_present(carried), True]}]}
    made = {"revision": _find_revision(carried.revision), "ended": _is_ended(carried)}
    return [{"$match": {"$expr": relevant}}, {"$project": {**shown, **made}}]


def make_stray_stages(carried: Carried) -> list[Fields]:
    """Return the stages that pass on what other programs still do with V1.

    Where entities are parts of documents, the documents live on: only writes of the entities' fields count.
    """
    stages = make_stages(carried)
    if not carried.is_part:
        return stages
    never = {"$ne": ["$operationType", "delete"]}
    stored = {"$or": [{"$ne": ["$operationType", "replace"]}, _is_present(carried)]}
    return [{"$match": {"$expr": {"$and": [never, stored]}}}, *stages]


def make_outside_stages(names: Sequence[str] | None, others: Iterable[str]) -> list[Fields]:
    """Return the stages that pass on other programs' writes of V1's fields in documents that carry both shapes.

    Where `names` is None, all fields are V1's but the `others`. lazymig updates documents and raises their revision, so
    a replacement is another program's, and so is an insert or an update without a revision. Deletes look alike.
    """
    paths, first = {"$concatArrays": list(_LISTS)}, {"$arrayElemAt": [{"$split": ["$$this", "."]}, 0]}
    own = {"$not": [{"$in": [first, [*others, *OWN_FIELDS]]}]} if names is None else {"$in": [first, list(names)]}
    touched = {"$anyElementTrue": [{"$map": {"input": paths, "in": own}}]}
    raised = {"$setIntersection": [paths, [META_FIELD, f"{META_FIELD}.rev"]]}
    updated = {"$and": [touched, {"$eq": [raised, []]}]}
    known = {"$ne": [{"$type": f"{_WHOLE}.{META_FIELD}.rev"}, "missing"]}
    written = {"$cond": [_INSERT, {"$not": [known]}, {"$eq": ["$operationType", "replace"]}]}
    shown: Fields = {"operationType": 1, "documentKey._id": 1, "clusterTime": 1, "wallTime": 1}
    ended = {"operationType": {"$in": ["drop", "rename", "dropDatabase", "invalidate"]}}
    outside = {"$expr": {"$cond": [_UPDATE, updated, written]}}
    return [{"$match": {"$or": [ended, outside]}}, {"$project": shown}]


def _is_touched(carried: Carried) -> Document:
    """Whether an update changed a field of the entity, in whole or in part, or its revision."""
    paths = {"$concatArrays": list(_LISTS)}
    first = {"$arrayElemAt": [{"$split": ["$$this", "."]}, 0]}
    own = {"$or": [{"$eq": ["$$this", carried.revision]}, {"$in": [first, list(carried.names)]}]}
    known = {"$ne": [{"$type": _find_revision(carried.revision)}, "missing"]}
    return {"$or": [known, {"$anyElementTrue": [{"$map": {"input": paths, "in": own}}]}]}


def _is_ended(carried: Carried) -> Document:
    """Whether an update removed the revision, or stored null for it, and set no field of the entity."""
    kept = {"$in": [{"$arrayElemAt": [{"$split": ["$$this.k", "."]}, 0]}, list(carried.names)]}
    some = {"$anyElementTrue": [{"$map": {"input": _SET, "in": kept}}]}
    path = carried.revision
    removed = {"$in": [path, _REMOVED]}
    nulled = {"$in": [{"$literal": {"k": path, "v": None}}, _SET]}, {"$eq": [{"$type": f"{_UPDATED}.{path}"}, "null"]}
    return {"$and": [{"$or": [removed, *nulled]}, {"$not": [some]}]}


def _is_present(carried: Carried) -> Document:
    return {"$or": [{"$ne": [{"$type": f"{_WHOLE}.{name}"}, "missing"]} for name in carried.names]}


def _find_revision(path: str) -> Document:
    """Return the revision that a change stored: by its path, or within the field around it."""
    # No path reaches a key with a dot in it. The field around it is set with the first revision in it.
    named = {"$filter": {"input": _SET, "cond": {"$eq": ["$$this.k", path]}}}
    dotted = {"$arrayElemAt": [{"$map": {"input": named, "in": "$$this.v"}}, 0]}
    return {"$ifNull": [dotted, {"$ifNull": [f"{_UPDATED}.{path}", f"{_WHOLE}.{path}"]}]}
