"""Which of many entities moved while they were read, where bodies hold what V1 cannot express. Only V2 shows it.

A read of one entity notices it when it stores its conversion. Reads of many store nothing for what is dirty: they met
V2 before a write and V1 after it, and V1's conversion with V2's earlier body was never the entity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from lazymig.errors import ForeignDocument
from lazymig.protocol.bodies import ask_in_time, is_due
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import get_upgrading
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1, StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def find_moved(
    pair: Pair[V1, V2], seen: Mapping[RawId, StoredV2], truths: Mapping[RawId, StoredV1]
) -> list[RawId]:
    """Return the entities that must be read again, one by one. One statement, and none where nothing is dirty.

    `seen` is what V2 held, and `truths` what V1 held before or after that.
    """
    if not get_upgrading(pair.conversions.migration).takes_other:
        return []
    apart = [id for id, truth in truths.items() if id in seen and seen[id].revision != truth.revision]
    if not apart:
        return []
    again, reachable = await ask_in_time(pair, lambda: pair.bodies.find_many(apart))
    if again is None or not reachable:
        return []
    return [id for id in apart if await _has_moved(pair, seen[id], again.get(id), truths[id])]


async def _has_moved(
    pair: Pair[V1, V2], seen: StoredV2, again: StoredV2 | ForeignDocument | None, truth: StoredV1
) -> bool:
    # V2 past V1's document: that was read before a write, and V2 after it.
    if again is None or isinstance(again, ForeignDocument) or seen.revision > truth.revision:
        return True
    if (again.revision, again.intent) != (seen.revision, seen.intent):
        return True
    return await is_due(pair, seen, truth)  # its writer is about to store what only its body holds
