"""What must hold of one collection whose documents carry both shapes, before the first call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bson import Binary, Int64

from lazymig.shapes.one_document import OneDocument
from lazymig.stores.documents import META_FIELD
from lazymig.stores.probes import Probe
from lazymig.stores.records import Document
from lazymig.stores.whole_documents import ALONE, OF, read_alone
from lazymig.surroundings.looking import Seen, attempt
from lazymig.surroundings.probing import find_refused_by
from lazymig.surroundings.validators import describe_field, find_enforced_rule, find_refused_field

#: Documents that are read at each end of the collection, by the index on `_id`.
_ENDS: Final = 3
#: Documents in a sample.
_SAMPLE: Final = 1000
#: More than this share of the documents without a V2 part, and at least so many, mean that no sweep has ended. Fewer
#: may have been inserted by other programs, and must end no service.
_UNSWEPT, _MANY = 0.5, 20
#: What lazymig stores beside both shapes, with a revision as large as they become.
_META: Final = {"rev": Int64(2**40), "of": Binary(b"0" * 16), "conv": 1, "by": "write"}
#: What an earlier migration leaves, and what to do about it.
_STILL_THERE: Final = (
    f"and still has its {META_FIELD}, which means something else here; remove it by lazymig retire reduce --strip, in "
    "the release that has that migration"
)


def judge_one(seen: Seen, shape: OneDocument, *, keeps_v1: bool) -> Iterator[str]:
    """Yield what is wrong with the collection as the server describes it."""
    own = shape.v2_own
    keyed = sorted(_firsts_of(seen.shard_key) & own)
    if keyed:
        yield (
            f"{seen.side}: {seen.name} is sharded by ({', '.join(seen.shard_key)}), of which {keyed[0]!r} is V2's, and "
            "lazymig changes documents by their _id; store V2's field under another name, or pass "
            "Migration(v2_within=...)"
        )
    names = own if keeps_v1 else frozenset(shape.v1 or ()) - shape.shared - {"_id"}
    for index in seen.indexes:
        if _collides(index, names):
            yield _describe_collision(seen, index, keeps_v1=keeps_v1)


def _firsts_of(keys: Document) -> set[str]:
    return {str(path).partition(".")[0] for path in keys}


def _collides(index: Document, own: frozenset[str]) -> bool:
    """Whether two documents without these fields have one key in a unique index."""
    if not (index.get("unique") or index.get("prepareUnique")) or not _firsts_of(index["key"]) <= own:
        return False
    partial: Document = index.get("partialFilterExpression", {})
    return not index.get("sparse") and not _firsts_of(partial) & own


def _describe_collision(seen: Seen, index: Document, *, keeps_v1: bool) -> str:
    keys = list(index["key"])
    which = (
        "documents without a V2 part collide, and so do all that other programs insert"
        if keeps_v1
        else "documents that are inserted in this phase collide, since they have no V1 part"
    )
    return (
        f"{seen.side}: {seen.name} has the unique index {index['name']} on ({', '.join(keys)}), in which {which}. "
        f"Create it with partialFilterExpression={{{keys[0]!r}: {{'$exists': True}}}} instead"
    )


async def find_refused_parts(probe: Probe, seen: Seen, shape: OneDocument, unseen: list[str]) -> list[str]:
    """Find what the validator would refuse: lazymig's own field, or V2's fields."""
    rule = find_enforced_rule(seen)
    if not rule:
        return []
    if wrong := find_refused_field(seen, META_FIELD):
        return [wrong]
    for name in sorted(shape.v2_own):
        if find_refused_field(seen, name):
            return [
                f"{seen.side}: the validator of {seen.name} does not allow V2's field {name!r}, which stands beside "
                f"V1's; let it allow {', '.join(map(repr, sorted(shape.v2_own)))} as well, with collMod"
            ]
    what = f"{seen.side}: whether its validator takes lazymig's field"
    refused = await find_refused_by(probe, rule, {META_FIELD: _META}, unseen, what)
    return [describe_field(seen, META_FIELD)] if refused else []


async def find_leftovers(probe: Probe, seen: Seen, unseen: list[str]) -> list[str]:
    """Find out whether another migration has left its meta data in a collection whose V1 parts count."""
    what = f"{seen.side}: whether it has meta data of an earlier migration"
    names = ("intent", "gone", "alone", "of", "by")
    for row in await _read_ends(probe, {f"{META_FIELD}.{name}": 1 for name in names}, unseen, what):
        meta = row.get(META_FIELD)
        if not isinstance(meta, Mapping):
            continue
        if "intent" in meta or "gone" in meta:
            return [f"{seen.side}: {seen.name} was V2 of another migration {_STILL_THERE}"]
        if read_alone(meta) is not None and meta.keys().isdisjoint(("of", "by")):  # as the end of V1's fields leaves it
            return [
                f"{seen.side}: V1's fields were taken out of {seen.name}, and this phase needs them. If that was "
                f"the collection of another migration {_STILL_THERE}; otherwise start in Phase.V2_ONLY"
            ]
    return []


async def find_taken(probe: Probe, seen: Seen, shape: OneDocument, unseen: list[str]) -> list[str]:
    """Find out whether V2 would overwrite what is in documents already; return what to do.

    Most of those that are read must have such a field: reads of a single one raise an error of their own. Where one of
    them has been migrated, another without meta data lost them.
    """
    what = f"{seen.side}: whether its documents have fields already that only V2 declares"
    rows = await _read_ends(probe, {f"{META_FIELD}.rev": 1, **dict.fromkeys(shape.v2_own, 1)}, unseen, what)
    having = [min(names) for row in rows if (names := shape.v2_own & row.keys())]
    if len(having) * 2 <= len(rows) or any(META_FIELD in row for row in rows):
        return []
    return [
        f"{seen.side}: documents of {seen.name} have a field {having[0]!r} already, which V1 does not declare and V2 "
        "would overwrite; pass Migration(v2_within=...), or store V2's field under another name"
    ]


async def _read_ends(probe: Probe, fields: Document, unseen: list[str], what: str) -> Sequence[Document]:
    rows: list[Document] = []
    for direction in (1, -1):
        found = probe.find_documents({}, fields, sort=[("_id", direction)], limit=_ENDS)
        rows += await attempt(found, [], unseen, what)
        if len(rows) < _ENDS:
            break  # all documents
    return rows


async def find_unfilled(probe: Probe, seen: Seen, migration: str, unseen: list[str]) -> list[str]:
    """Find out whether most documents lack a V2 part of this migration in a phase that lists by V2's fields.

    What another migration has made the truth is V1's part to this one.
    """
    made = {OF: {"$exists": True}, ALONE: {"$not": {"$type": "string"}}}
    lacking = {"$nor": [{ALONE: migration}, made]}
    counts = {"all": [{"$count": "n"}], "lacking": [{"$match": lacking}, {"$count": "n"}]}
    stages: list[Document] = [{"$sample": {"size": _SAMPLE}}, {"$project": {OF: 1, ALONE: 1}}, {"$facet": counts}]
    rows = await attempt(probe.evaluate(stages), [], unseen, f"{seen.side}: whether its documents have V2 parts")
    if not rows:
        return []
    of, without = (sum(int(row["n"]) for row in rows[0][name]) for name in ("all", "lacking"))
    if without < _MANY or without <= of * _UNSWEPT:
        return []
    return [
        f"{seen.side}: {without} of {of} documents of {seen.name} that were looked at have no V2 part, but this phase "
        "lists by V2's fields, which they lack; stay in Phase.COEXIST until a sweep has stored them"
    ]
