"""Which of many entities moved while they were read, where bodies hold what V1 cannot express. Only V2 shows it.

A read of one entity notices it when it stores its conversion. Reads of many store nothing for what is dirty: they met
V2 before a write and V1 after it, and V1's conversion with V2's earlier body was never the entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from lazymig.errors import ForeignDocument
from lazymig.protocol import bodies
from lazymig.protocol.bodies import HEAL_AFTER, ask_in_time
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import get_upgrading
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1, StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_Seen = Mapping[RawId, StoredV2]


async def find_moved(pair: Pair[V1, V2], seen: _Seen, truths: Mapping[RawId, StoredV1]) -> list[RawId]:
    """Return the entities that must be read again. One statement, and none where nothing is dirty.

    `seen` is what V2 held, and `truths` what V1 held before or after that. Bodies that are about to be stored are
    waited for a moment, all together.
    """
    if not get_upgrading(pair.conversions.migration).takes_other:
        return []
    apart = [id for id, truth in truths.items() if id in seen and seen[id].revision != truth.revision]
    # V2 past V1's document: that was read before a write, and V2 after it.
    moved = {id for id in apart if seen[id].revision > truths[id].revision}
    moved |= await _find_changed(pair, seen, [id for id in apart if id not in moved])
    due = [id for id in await _find_due(pair, seen, truths) if id not in moved]
    for delay_s in bodies.WRITER_WAITS_S:
        if not due:
            break
        await pair.clock.sleep(delay_s)
        moved |= await _find_changed(pair, seen, due)
        due = [id for id in due if id not in moved]
    return [id for id in apart if id in moved]


async def find_passed(pair: Pair[V1, V2], looks: Iterable[tuple[StoredV2, StoredV1]]) -> set[RawId]:
    """Return those of which V1, read second, is past every announcement in V2, and which V2 holds differently now.

    V1 moves after an announcement, so one was made since V2 was seen, and its writer may have yet to store the body.
    V1's conversion with the earlier body, stored at that revision, would look as if it were that body: the next writer
    would start from it. Where V2 is as it was seen, V1's revision is from a time when nobody announced writes.
    One statement, and none where V1 is not past what was seen, or where V1 alone is the whole entity.
    """
    if not get_upgrading(pair.conversions.migration).takes_other:
        return set()
    past = {seen.id: seen for seen, truth in looks if truth.revision > seen.intent}
    return await _find_changed(pair, past, list(past))


async def find_held(pair: Pair[V1, V2], ids: Sequence[RawId]) -> set[RawId]:
    """Return those that V2 holds now. One statement, and none without ids."""
    return set(await _ask(pair, ids) or ())


async def _find_changed(pair: Pair[V1, V2], seen: _Seen, ids: Sequence[RawId]) -> set[RawId]:
    """Return those that V2 holds differently now; none where V2 does not answer."""
    now = await _ask(pair, ids)
    return set() if now is None else {id for id in ids if _differs(now.get(id), seen[id])}


async def _ask(pair: Pair[V1, V2], ids: Sequence[RawId]) -> Mapping[RawId, StoredV2 | ForeignDocument] | None:
    """Ask V2; None where it does not answer."""
    return (await ask_in_time(pair, pair.bodies.find_many, ids))[0] if ids else {}


def _differs(now: StoredV2 | ForeignDocument | None, seen: StoredV2) -> bool:
    if now is None or isinstance(now, ForeignDocument):
        return True
    return (now.revision, now.intent) != (seen.revision, seen.intent)


async def _find_due(pair: Pair[V1, V2], seen: _Seen, truths: Mapping[RawId, StoredV1]) -> list[RawId]:
    """Return those whose writer seems to be alive, and has yet to store what only its body holds.

    Bodies that this process itself is storing have been waited for.
    """
    announced = [
        id
        for id, truth in truths.items()
        if id in seen and seen[id].revision < truth.revision <= seen[id].intent and not pair.behind.holds(id)
    ]
    marks = {id: at for id in announced if (at := seen[id].at) is not None}
    if not marks:
        return []
    now, _ = await ask_in_time(pair, pair.ledger.now)
    return [id for id, at in marks.items() if now is not None and now - at < HEAL_AFTER]
