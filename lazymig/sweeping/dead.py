"""Dead letters: let go once their entities are well again or are no more, tried again once V1 has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from lazymig.control import Control
from lazymig.documents import REVISION_FIELD, is_foreign, stored_v2
from lazymig.drivers import LENIENT, READ_MAJORITY, tuned
from lazymig.pair import Pair
from lazymig.raw import find_one
from lazymig.records import DeadLetter, StoredV2
from lazymig.sweeping.marks import resolve
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import Pages

V1 = TypeVar("V1")
V2 = TypeVar("V2")


def _never() -> bool:
    return False


async def settle_dead(
    pair: Pair[V1, V2],
    control: Control,
    mover: Mover[V1, V2],
    grace: timedelta,
    *,
    ids: Sequence[Any] = (),
    insist: bool = False,
    stopping: Callable[[], bool] = _never,
) -> int:
    """Go over the dead letters, or over those of `ids`; how many of them were removed.

    Those of entities that V2 holds by now or V1 no longer holds are removed. Entities whose V1 document has another
    revision by now are tried again first; with `insist`, the others too.
    """
    name, count = pair.conversions.migration.name, 0
    async for letter in _letters(control, name, ids, needing=insist):
        if stopping():
            break
        if await _is_well(pair, mover, letter, grace, insist=insist):
            count += await control.resolve(name, [letter.id])
    return count


async def _letters(control: Control, name: str, ids: Sequence[Any], *, needing: bool) -> AsyncIterator[DeadLetter]:
    if not ids:
        async for letter in control.dead_letters(name, waived=False if needing else None):
            yield letter
    for id in ids:
        known = await control.dead_letter(name, id)
        if known is not None:
            yield known


async def _is_well(
    pair: Pair[V1, V2], mover: Mover[V1, V2], letter: DeadLetter, grace: timedelta, *, insist: bool
) -> bool:
    seen = await _seen(pair, letter.id)
    if seen is not None and pair.conversions.is_current(seen):
        return True
    # Only the revision: the document may be one that cannot even be decoded.
    v1 = tuned(pair.v1.collection, read=READ_MAJORITY, codec=LENIENT)
    row = await v1.find_one({"_id": letter.id}, {REVISION_FIELD: 1})
    if row is None:
        return True
    if not insist and row.get(REVISION_FIELD, 0) == letter.revision:
        return False
    if seen is None:
        read_at_s = pair.clock.monotonic()
        await mover.move(await Pages(v1).page({"_id": letter.id}, 1, whole=True), read_at_s)
    else:
        await resolve(pair, mover, seen, grace)
    seen = await _seen(pair, letter.id)
    return seen is not None and pair.conversions.is_current(seen)


async def _seen(pair: Pair[V1, V2], id: Any) -> StoredV2 | None:
    # Not by the store: it may join finds, for which an id must be hashable, and one that is none is a dead letter.
    row = await find_one(tuned(pair.v2.collection), id, None)
    return None if row is None or is_foreign(row) else stored_v2(row)
