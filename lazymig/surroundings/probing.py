"""Asking the server whether it would refuse what lazymig stores, before anything is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bson import Int64, ObjectId
from pymongo.errors import OperationFailure, PyMongoError

from lazymig.stores.documents import META_FIELD, raw_id
from lazymig.stores.drivers import is_server_state
from lazymig.stores.given import RawId
from lazymig.stores.probes import Probe
from lazymig.stores.records import PLACEHOLDER, Document
from lazymig.surroundings.looking import Seen, attempt
from lazymig.surroundings.unique import describe_collision, find_unique_indexes, pair_with_filters
from lazymig.surroundings.validators import describe_field, describe_gone, find_enforced_rule, find_refused_field

_AT = datetime(2000, 1, 1)
_EXAMPLES: dict[type, Any] = {
    str: "x", int: 1, bytes: b"x", ObjectId: ObjectId("0" * 23 + "1"), UUID: raw_id(UUID(int=1)),
}  # fmt: skip


async def find_refusals(v1: Probe, v2: Probe, seen: Seen, id_types: Sequence[type], unseen: list[str]) -> list[str]:
    """Find what V2's validator and unique indexes would refuse of what lazymig stores."""
    indexes, rule = find_unique_indexes(seen), find_enforced_rule(seen)
    found = [wrong for wrong in [find_refused_field(seen, META_FIELD)] if wrong]
    if not indexes and not rule:
        return found
    id, stored = await _find_example_id(v1, id_types)
    bodiless = _make_bodiless(id)
    for index, where in pair_with_filters(indexes):
        matched = len(bodiless) if not where else await _count_matching(v2, bodiless, where)
        if matched is None:
            unseen.append(f"v2: whether documents without a body are in the unique index {index['name']}")
        elif matched:
            found.append(describe_collision(seen, index))
    if rule:
        # An invented id proves nothing for a rule about ids.
        matched = await _count_matching(v2, bodiless, rule) if stored or "'_id'" not in repr(rule) else None
        if matched is None:
            unseen.append("v2: whether its validator takes documents without a body")
        elif matched < len(bodiless):
            found.append(describe_gone(seen))
    return found


async def find_refused_revision(v1: Probe, seen: Seen, unseen: list[str]) -> list[str]:
    """Find out whether V1's validator refuses a document with lazymig's field that it accepts without it."""
    rule = find_enforced_rule(seen)
    if not rule:
        return []
    field = v1.carried.revision.partition(".")[0]
    if wrong := find_refused_field(seen, field):
        return [wrong]
    revised = {v1.carried.revision: Int64(2**40)}  # revisions become this large
    refused = await find_refused_by(v1, rule, revised, unseen, "v1: whether its validator takes lazymig's field")
    return [describe_field(seen, field)] if refused else []


async def find_refused_by(probe: Probe, rule: Document, fields: Document, unseen: list[str], what: str) -> bool:
    """Find out whether the first document satisfies the rule, and no longer does with these fields."""
    stages: list[dict[str, Any]] = [
        {"$limit": 1},
        {"$match": rule},
        {"$set": {name: {"$literal": value} for name, value in fields.items()}},
        {"$match": {"$nor": [rule]}},
        {"$project": {"_id": 1}},
    ]
    return bool(await attempt(probe.evaluate(stages), [], unseen, what))


async def _find_example_id(v1: Probe, id_types: Sequence[type]) -> tuple[Any, bool]:
    """Return an id that V1 has, and True; else an invented one of a type that V1 may have, and False."""
    try:
        rows = await v1.find_documents({}, {"_id": 1}, limit=1)
    except PyMongoError:
        rows = []
    if rows:
        return rows[0]["_id"], True
    return next((_EXAMPLES[known] for known in _EXAMPLES for kind in id_types if issubclass(kind, known)), 1), False


def _make_bodiless(id: RawId) -> list[dict[str, Any]]:
    """Return a placeholder and a tombstone as lazymig stores them."""
    common = {"by": "write", "gone": True, "at": _AT, "raised": 1, "inserts": [Int64(2**40)]}
    revisions = ({"rev": PLACEHOLDER, "intent": 1}, {"rev": Int64(2**40), "intent": Int64(2**40)})
    return [{"_id": id, META_FIELD: {**revision, **common}} for revision in revisions]


async def _count_matching(v2: Probe, documents: Sequence[Any], where: Document) -> int | None:
    """Count the documents that the filter finds; None where the server cannot evaluate it."""
    try:
        return await v2.count_matching(documents, where)
    except OperationFailure as error:
        # Servers before 6.0 do not know the stage. Where the stage works, the rule itself fails, such as `$strLenCP` of
        # a missing field, which refuses a document as well.
        unknown = is_server_state(error.code) or not where or await _count_matching(v2, documents, {}) is None
        return None if unknown else 0
