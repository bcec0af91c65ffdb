"""Checks of documents: V2's without `_lazymig`, and V1's with ids in a form that no call finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from attrs import frozen
from bson.binary import OLD_UUID_SUBTYPE, Binary

from lazymig.stores.documents import META_FIELD, is_foreign
from lazymig.stores.probes import Probe
from lazymig.surroundings.looking import Seen, attempt

#: Documents that are read at each end of V2, by the index on `_id`.
_ENDS = 3
#: Documents in a sample, for the tools, which have more time.
_SAMPLE = 100
#: This many foreign documents, if they are most of those that were read, mean that another program filled V2. Reads of
#: a single one raise an error of their own.
_BACK_FILL = 3
_FIELDS = {f"{META_FIELD}.rev": 1, f"{META_FIELD}.intent": 1}


@frozen
class Foreign:
    """How many of V2's documents were read, and how many of them lazymig did not store."""

    seen: int = 0
    looked_at: int = 0
    name: str = ""
    #: Whether V2 is the only truth.
    alone: bool = False

    @property
    def is_back_fill(self) -> bool:
        """Whether another program seems to have filled V2."""
        return self.seen >= _BACK_FILL and self.seen * 2 > self.looked_at

    @property
    def problem(self) -> tuple[str, ...]:
        """What to do about them; empty where none was seen."""
        return (describe_foreign(self.name, alone=self.alone),) if self.seen else ()


async def look_for_foreign(probe: Probe, seen: Seen, unseen: list[str], *, widely: bool, alone: bool) -> Foreign:
    """Look for documents that lazymig did not store among V2's first.

    `widely`: also its last, and a sample. `alone`: V2 is the only truth.
    """
    if seen.kind != "collection":
        return Foreign()
    what = "v2: whether it has documents without _lazymig"
    rows: list[Any] = []
    for direction in (1, -1):
        ends = probe.find_documents({}, _FIELDS, sort=[("_id", direction)], limit=_ENDS)
        rows += await attempt(ends, [], unseen, what)
        if not widely or len(rows) < _ENDS:
            break  # enough, or all documents
    if widely and len(rows) > _ENDS:
        stages = [{"$sample": {"size": _SAMPLE}}, {"$project": _FIELDS}]
        rows += await attempt(probe.evaluate(stages), [], unseen, what)
    by_id = {repr(row["_id"]): row for row in rows}
    return Foreign(sum(map(is_foreign, by_id.values())), len(by_id), seen.name, alone)


def describe_foreign(name: str, *, alone: bool) -> str:
    """Return what to do about documents that lazymig did not store. `alone`: V2 is the only truth."""
    what = f"v2: {name} holds documents without {META_FIELD}, which lazymig did not store and cannot trust; "
    if alone:
        return what + (
            "remove them and insert the entities again, or, if lazymig retire reduce --strip was run, use V2 without "
            "lazymig"
        )
    return what + "lazymig sweep --adopt replaces them by what V1 holds; remove those that V1 lacks"


async def find_legacy_ids(probe: Probe, id_types: Sequence[type], unseen: list[str]) -> list[str]:
    """Find V1's UUIDs of binary subtype 3; return what to do. The same UUID of subtype 4 is another id."""
    if UUID not in id_types or probe.in_memory:
        return []
    low, high = (Binary(byte * 16, OLD_UUID_SUBTYPE) for byte in (b"\x00", b"\xff"))
    where = {"_id": {"$gte": low, "$lte": high}}
    look = probe.find_documents(where, {"_id": 1}, limit=1)
    if not await attempt(look, [], unseen, "v1: whether it has UUIDs of subtype 3"):
        return []
    return [
        f"v1: {probe.name} has ids that are UUIDs of binary subtype 3 (a legacy uuidRepresentation), in "
        "which clients differ; store these documents again under subtype 4 (uuidRepresentation=standard), then migrate"
    ]
