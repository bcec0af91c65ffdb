"""Resolving marks: heal what a dead writer left, purge what a delete left once its grace is over."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TypeVar

from lazymig.drivers import driver_of
from lazymig.errors import Contention, ConversionError
from lazymig.keyset import Order
from lazymig.protocol import HEAL_AFTER, Pair, heal, purge
from lazymig.records import StoredV2
from lazymig.sweeping.moving import Mover

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_PAGE = 500
_BY_AGE = Order("_lazymig.at", 1)


async def resolve_marks(pair: Pair[V1, V2], mover: Mover[V1, V2], counts: Counter[str], grace: timedelta) -> None:
    """Go once over every mark and tombstone that is old enough, oldest first, found by the sparse index on `at`."""
    before = pair.clock.now() - HEAL_AFTER
    after = None
    while page := await pair.v2.marks(before, _PAGE, after):
        for seen in page:
            await _resolve(pair, mover, counts, seen, grace)
        after = _BY_AGE.after(page[-1].document, driver_of(pair.v2.collection))


async def _resolve(
    pair: Pair[V1, V2], mover: Mover[V1, V2], counts: Counter[str], seen: StoredV2, grace: timedelta
) -> None:
    truth = await pair.v1.find(seen.id)
    if truth is None:
        # Not healed: that would announce a write for an entity that is gone, and make its remainder young again.
        counts["purged"] += await purge(pair, seen, grace)
        return
    try:
        await heal(pair, seen.id)
    except Contention:
        return  # its writers are alive
    except ConversionError as error:
        await mover.record_failure(truth, error)
        return
    now = await pair.v2.find(seen.id)
    if now is not None and now.revision == seen.revision:
        await mover.record(truth, "store", "Refused", "V2 refuses the body (unique index, validator or size)", "")
    else:
        counts["healed"] += 1
