"""What an earlier migration left in a collection that was its V2 and is V1 now: documents that are no entities."""

from __future__ import annotations

from lazymig.stores.documents import META_FIELD
from lazymig.stores.probes import Probe
from lazymig.surroundings.looking import Seen, attempt

_GONE, _AT, _REV = f"{META_FIELD}.gone", f"{META_FIELD}.at", f"{META_FIELD}.rev"
#: Documents that are read at the beginning of V1. Those with the lowest ids are usually the oldest.
_FIRST = 3


async def find_tombstones(probe: Probe, seen: Seen, unseen: list[str]) -> list[str]:
    """Find V2's tombstones and placeholders in a collection that is used as V1; return what to do.

    They have no body and are no entities, but a read of V1 cannot know that. An index of V2 finds them at once. Without
    it they are searched for, within a bounded time, if V1's first documents show that it was a V2.
    """
    if probe.carried.is_part:
        return []  # which have none of the attributes
    what = "v1: whether it has tombstones of an earlier migration"
    index = next((index["name"] for index in seen.indexes if next(iter(index["key"]), None) == _AT), None)
    if index is None:
        first = probe.find_documents({}, {_REV: 1}, sort=[("_id", 1)], limit=_FIRST)
        if not any(META_FIELD in row for row in await attempt(first, [], unseen, what)):
            return []
    where, hint = ({_GONE: True}, {}) if index is None else ({_AT: {"$exists": True}, _GONE: True}, {"hint": index})
    if not await attempt(probe.find_documents(where, {"_id": 1}, limit=1, **hint), [], unseen, what):
        return []
    return [
        f"v1: {probe.name} was V2 of another migration and still holds its tombstones, which are no entities; remove "
        "them by lazymig retire reduce, in the release that has that migration"
    ]
