"""Reads: V2 first, V1 where V2 has no answer, and V2 filled or repaired in passing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from pymongo.errors import PyMongoError

from lazymig.errors import Contention
from lazymig.protocol import bodies, v1_alone
from lazymig.protocol.bodies import ask_in_time, await_own_body, is_due, is_old, name_stored, try_step
from lazymig.protocol.moved import find_passed
from lazymig.protocol.pair import Pair
from lazymig.protocol.writing import close_mark
from lazymig.shapes.leaving import answer
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import Applied, Body, Put, StoredV1, StoredV2, Unmoved
from lazymig.telemetry import LEFT_DIRTY, MISMATCHED, REFUSED, REPAIRED

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Where V1 was read longer ago than this, in seconds, V1 is checked again once the conversion is stored. Always less
#: than the grace period, after which V2 may have forgotten a delete.
OLD_READ_S = 1.0


class Revised(Protocol):
    """Something made from one revision of V1."""

    @property
    def id(self) -> Any: ...

    @property
    def revision(self) -> int: ...


async def read(pair: Pair[V1, V2], id: RawId, *, lacking: bool = True) -> V2 | None:
    """Return the entity as it was at some moment of this call, or None. One round trip when V2 is clean.

    `lacking`: V2 may lack entities that V1 holds. Without it, an entity that V2 lacks does not exist.
    """
    await await_own_body(pair, id)
    for attempt in range(pair.max_attempts):
        # 1. V2 first: a clean document is V1's current revision.
        seen, reachable = await ask_in_time(pair, pair.bodies.find, id)
        if not reachable:
            return await v1_alone.read_converted(pair, id)
        if seen is not None and seen.clean and not pair.checked:
            entity = pair.conversions.trusted(seen)
            if entity is not None:
                return entity
        if seen is None and not lacking and not pair.checked:
            return None
        # 2. V2 is absent, dirty, gone, or of another conversion: V1 answers.
        read_at_s = pair.clock.monotonic()
        truth = await pair.v1.find(id)
        if truth is None:
            if pair.checked and seen is not None and seen.clean:
                await close_mark(pair, id)  # another client deleted it
            return None
        early, last = await _is_early(pair, seen, truth, attempt), attempt + 1 == pair.max_attempts
        if early and not last:
            continue
        # 3. Fill or repair V2. If a writer wins that race, V2's body is better than the one converted here: it may hold
        # fields that V1 cannot express. So read again.
        filled = await fill(pair, seen, truth, read_at_s, storing=not early)
        made, stands = filled
        if stands or last:
            return answer(id, made)
    raise Contention(decode_id(id), pair.max_attempts)


async def _is_early(pair: Pair[V1, V2], seen: StoredV2 | None, truth: StoredV1, attempt: int) -> bool:
    """Whether V2 must be looked at again, since a body at V1's revision may follow. Waits a moment where one is due."""
    if attempt < len(bodies.WRITER_WAITS_S) and await is_due(pair, seen, truth):
        await pair.clock.sleep(bodies.WRITER_WAITS_S[attempt])
        return True
    return seen is not None and bool(await find_passed(pair, [(seen, truth)]))


async def fill(
    pair: Pair[V1, V2], seen: StoredV2 | None, truth: StoredV1, read_at_s: float, *, storing: bool = True
) -> tuple[V2 | Unmoved, bool]:
    """Fill or repair V2 with V1's entity, or with the reason why V2 gets no body. Without `storing`, repair nothing.

    Returns V1's answer, and whether it may be used: False where V2 was changed in the meantime.
    """
    if seen is None:
        entity = await pair.conversions.upgraded(truth, None)
        body = pair.conversions.v2_stored(entity)
        # Put if absent, never an upsert: a slow reader must not overwrite what a writer stored meanwhile.
        return entity, await pair.behind.do(lambda: _put(pair, truth, body, read_at_s), True)
    if pair.checked and seen.revision >= truth.revision:
        return await _answer_checked(pair, seen, truth), True
    # Only with V1's revision beside it: V2 alone answers by bodies alone.
    if (unmoved := pair.conversions.decided(seen, truth)) is not None:
        await _heal_if_old(pair, seen, truth)
        return unmoved, True
    # A newer release's body is not replaced, even where this release cannot read it.
    storing = storing and not pair.conversions.is_newer(seen)
    held = seen.revision == truth.revision and (not seen.gone or seen.unmoved is not None)
    trusted = pair.conversions.trusted(seen) if held and not seen.gone else None
    if trusted is not None:
        await _heal_if_old(pair, seen, truth)
        return trusted, True
    entity = await pair.conversions.upgraded(truth, seen, storing=storing)
    body = pair.conversions.v2_stored(entity)
    if not storing or (seen.revision >= truth.revision and not held) or await is_due(pair, seen, truth):
        await _heal_if_old(pair, seen, truth)
        return entity, True
    # A repair only replaces the body that it was made with: a body stored meanwhile may hold more, and a purged
    # document must not come back.
    return entity, await pair.behind.do(lambda: _repair(pair, seen, truth, body), True)


async def _put(pair: Pair[V1, V2], truth: StoredV1, body: Body, read_at_s: float) -> bool:
    try:
        put = await pair.bodies.put_if_absent(truth.id, body, truth.revision)
        if put is Put.STORED and pair.clock.monotonic() - read_at_s > OLD_READ_S:
            await look_again_at(pair, [truth])
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)  # V1 has the answer, and V2 may be absent
        return True
    pair.tally.count(name_stored(body), put is Put.STORED)
    pair.tally.count(REFUSED, put is Put.REFUSED)
    return put is not Put.LOST


async def look_again_at(pair: Pair[V1, V2], truths: Iterable[Revised]) -> int:
    """Heal V2 where V1 has changed since it was read; return how many had. For conversions stored long after the read.

    Within the grace period V2's tombstone keeps the conversion of a deleted entity out. A process that was paused for
    longer, or a sweep that waited, may bring the deleted entity back, which this corrects.
    """
    changed = await pair.v1.find_changed({truth.id: truth.revision for truth in truths})
    for id in changed:
        await close_mark(pair, id)
    return len(changed)


async def _repair(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1, body: Body) -> bool:
    outcome = await try_step(pair, lambda: pair.bodies.apply(truth.id, body, truth.revision, over=seen))
    pair.tally.count(REPAIRED, outcome is Applied.APPLIED)
    return outcome is not Applied.NEWER


async def _heal_if_old(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1) -> None:
    # A newer release's body behind V1 may hold what this release would drop: that release heals it.
    if not pair.in_session and not pair.conversions.must_leave(seen, truth) and await is_old(pair, seen):
        # The read already has its answer. If healing fails, the next reader tries again.
        await pair.behind.do(lambda: close_mark(pair, seen.id), None)


async def _answer_checked(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1) -> V2 | Unmoved:
    """Return V1's entity for a checked read. Heal V2 where another client has changed V1, even if V2 is clean."""
    compared = await compare(pair, seen, truth)
    entity, agrees = compared
    if agrees:
        await _heal_if_old(pair, seen, truth)
    else:
        pair.tally.count(MISMATCHED)
        await close_mark(pair, seen.id)
    return entity


async def compare(
    pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1, *, seen_later: bool = False
) -> tuple[V2 | Unmoved, bool]:
    """Return V1's entity in V2's type, and whether V2's body is equal to it, byte for byte."""
    conversions = pair.conversions
    expected = await conversions.upgraded(truth, seen, seen_later=seen_later)
    if isinstance(expected, Unmoved):
        return expected, conversions.decided(seen, truth) == expected
    held = not seen.gone and seen.revision == truth.revision
    trusted = conversions.trusted(seen) if held else None
    return expected, trusted is not None and conversions.is_same_v2(expected, trusted)


async def exists(pair: Pair[V1, V2], id: RawId, *, lacking: bool = True) -> bool:
    """Whether V2's door knew the entity at some moment of this call; nothing is converted.

    One that is left counts as missing only where V2 has recorded that.
    """
    seen, reachable = await ask_in_time(pair, pair.bodies.find, id)
    if seen is None and reachable and not lacking and not pair.checked:
        return False
    if seen is not None and seen.clean and not pair.checked:
        return True
    truth = await pair.v1.find(id)
    if truth is None:
        return False
    unmoved = pair.conversions.decided(seen, truth)
    return unmoved is None or unmoved.why == "waiting"
