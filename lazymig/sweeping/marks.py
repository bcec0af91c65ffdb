"""Resolving marks: heal those of dead writers, and purge those of deletes after their grace period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from lazymig.errors import Contention, ConversionError
from lazymig.passes.shedding import as_patient_as
from lazymig.protocol import bodies, heal, purge
from lazymig.protocol.bodies import is_due
from lazymig.protocol.moved import find_passed
from lazymig.protocol.pair import Pair
from lazymig.stores.keyset import Order
from lazymig.stores.records import Applied, StoredV1, StoredV2
from lazymig.stores.scans import Scan
from lazymig.sweeping.moving import Mover

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_PAGE = 500
_BY_AGE = Order("_lazymig.at", 1)


async def _always() -> bool:
    return True


async def resolve_marks(
    pair: Pair[V1, V2],
    mover: Mover[V1, V2],
    counts: Counter[str],
    grace: timedelta,
    goes_on: Callable[[], Awaitable[bool]] = _always,
) -> bool:
    """Resolve every mark and tombstone that is old enough, oldest first, found by the sparse index on `at`.

    `goes_on` is awaited before each, and may wait. False: the sweep is to stop before the end.
    """
    before = await pair.ledger.now() - bodies.HEAL_AFTER
    after = None
    while page := await pair.ledger.marks(before, _PAGE, after):
        for seen in page:
            if not await goes_on():
                await mover.failures.flush()
                return False
            outcome = await resolve_mark(pair, mover, seen, grace)
            if outcome is not None:
                counts[outcome] += 1
        await mover.failures.flush()
        after = Scan(pair.bodies).after(_BY_AGE, page[-1].document)
    return True


async def resolve_mark(pair: Pair[V1, V2], mover: Mover[V1, V2], seen: StoredV2, grace: timedelta) -> str | None:
    """Bring one dirty or gone document up to V1, or purge it; return "healed", "purged", or None if it is unchanged."""
    try:
        if await purge(pair, seen, grace):
            return "purged"
        truth = await pair.v1.find(seen.id)
        if truth is None:
            # Not healed: that would announce a write for a deleted entity and restart its grace period.
            return None
        if pair.conversions.must_leave(seen, truth):
            return None  # a sweep of the newer release heals it
        if await _bring_up(pair, seen, truth):
            return "healed"
        standing = await _find_standing(pair, seen)
        mover.failures.note_refused(standing.id, standing.revision)
    except Contention:
        pass  # other writers are alive
    except ConversionError as error:
        mover.failures.note_unconvertible(await _find_standing(pair, seen), error)
    return None


async def _bring_up(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1) -> bool:
    """Bring V2 up to V1. False: V2 refuses the body."""
    if seen.revision < truth.revision:
        # A repair first, which writes V2 only: if V2 refuses the body, healing would raise V1's revision in every
        # sweep.
        if await _repair(pair, seen, truth) is Applied.REFUSED:
            return False
        if seen.intent <= truth.revision:
            return True
    # An announced write is still open.
    if not await heal(pair, seen.id):
        return True
    now = await pair.bodies.find(seen.id)
    if now is None or now.settled:
        return True
    # The heal's last step failed or is unfinished, or another write is open.
    after = await pair.v1.find(seen.id)
    return after is None or await _repair(pair, now, after) is not Applied.REFUSED


async def _repair(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1) -> Applied:
    applied = Applied.NEWER
    for _ in range(pair.max_attempts):
        if await is_due(pair, seen, truth):
            break  # its writer is alive, and its body may hold more
        if not await find_passed(pair, [(seen, truth)]):
            applied = await _apply(pair, seen, truth)
        if applied is not Applied.NEWER:
            break
        # A body stored meanwhile may hold more than V1 can express: start over from it, if it is still behind V1.
        now, after = await pair.bodies.find(seen.id), await pair.v1.find(seen.id)
        if now is None or after is None or now.revision >= after.revision:
            break
        seen, truth = now, after
    return applied


async def _find_standing(pair: Pair[V1, V2], seen: StoredV2) -> StoredV1:
    """Find V1's present revision without the document, which may not decode."""
    return await as_patient_as(pair.v1, Scan(pair.v1, majority=True)).find_revision(seen.id)


async def _apply(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1) -> Applied:
    body = pair.conversions.v2_stored(await pair.conversions.upgraded(truth, seen))
    return await pair.bodies.apply(truth.id, body, truth.revision, over=seen)
