"""The coexistence protocol: the only code that orders steps.

Invariant: **a clean V2 document is V1's current revision.** V1 moves to revision m only after V2's intent is at least m
(the ticket comes first), and a clean document has `revision == intent`: so V1 cannot be past it, and since the body
came from V1 at that revision, V1 cannot be before it either. Hence one read of V2 is as good as a read of V1; and V2
saying nothing (absent, dirty, gone) is always safe: ask V1.

Every order below was explored exhaustively (`tests/interleaving/`), with a crash before every step. Do not change one
without exploring it again; the mutants there show what each guard is for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from pymongo.errors import PyMongoError

from lazymig.clock import unused_step
from lazymig.codec import decode_id
from lazymig.edits import Base, Change, Edit, Keep, v2_of
from lazymig.errors import AlreadyExists, Contention, ConversionError, NotFound
from lazymig.pair import Pair
from lazymig.records import Applied, Put, StoredV1, StoredV2
from lazymig.telemetry import CONTENDED, HEALED, LEFT_DIRTY, MIGRATED, MISMATCHED, REFUSED, REPAIRED

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: A mark younger than this probably has a living writer. Time decides only when healing is worth its writes.
HEAL_AFTER = timedelta(seconds=5)

#: How long one waits for the body of a write that has V1 already: in all about a quarter of a second.
_WRITER_WAITS_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)


async def read(pair: Pair[V1, V2], id: Any) -> V2 | None:
    """The entity as it was at some moment of this call, or None. One round trip when V2 is clean."""
    for attempt in range(pair.max_attempts):
        # 1. V2 first: clean is V1's current revision.
        seen = await pair.v2.find(id)
        if seen is not None and seen.clean and not pair.checked:
            return pair.conversions.v2_entity(seen)
        # 2. Absent, dirty or gone says nothing: V1 answers.
        truth = await pair.v1.find(id)
        if truth is None:
            return None
        if seen is not None and seen.clean and seen.revision >= truth.revision:
            # Checked. V1 is behind a clean V2 only where another client replaced its document, revision and all.
            return await _compared(pair, seen, truth)
        if _body_is_due(pair, seen, truth) and attempt < len(_WRITER_WAITS_S):
            await pair.clock.sleep(_WRITER_WAITS_S[attempt])
            continue
        # 3./4. Fill or repair V2 on the way. Losing that race to a writer means that V2 now knows better than what
        # was converted here: it may hold fields that V1 cannot express. So look again.
        entity, stands = await _answer(pair, seen, truth, last=attempt + 1 == pair.max_attempts)
        if stands:
            return entity
    raise Contention(decode_id(id), pair.max_attempts)


async def _answer(pair: Pair[V1, V2], seen: StoredV2 | None, truth: StoredV1, last: bool) -> tuple[V2, bool]:
    """V1's answer, and whether it may be given: False when V2 was changed in the meantime."""
    if seen is not None and (seen.revision >= truth.revision or _body_is_due(pair, seen, truth)):
        entity = await v2_of(pair.conversions, Base(seen, truth))
        await _heal_if_old(pair, seen)
        return entity, True
    entity = await pair.conversions.upgraded(truth, seen)
    body = pair.conversions.v2_body(entity)
    # Put if absent, never an upsert: a slow reader must not overwrite what a writer stored meanwhile. A repair goes
    # over the body it was made with and no other: what came between may hold more, and the purged must not come back.
    stands = await pair.behind.do(lambda: _repair(pair, seen, truth, body) if seen else _put(pair, truth, body), True)
    return entity, stands or last


def _body_is_due(pair: Pair[V1, V2], seen: StoredV2 | None, truth: StoredV1, own: int = 0) -> bool:
    """Whether V1's revision was announced in V2 and its writer, to all appearances alive, has yet to bring the body.

    Asked only where that body may hold what V1 cannot express: when `upgrade` takes the previous entity. A reader that
    stored V1's conversion in its place would have the next writer start from the poorer body. `own` is the asking
    writer's ticket: with it and with 0 nobody ever announced what V1 holds.
    """
    if seen is None or not pair.conversions.migration.upgrading.takes_other:
        return False
    young = seen.at is not None and pair.clock.now() - seen.at < HEAL_AFTER
    return young and seen.revision < truth.revision <= seen.intent and truth.revision not in (0, own)


async def _put(pair: Pair[V1, V2], truth: StoredV1, body: dict[str, Any]) -> bool:
    try:
        put = await pair.v2.put_if_absent(truth.id, body, truth.revision)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)  # the answer is V1's, and absent is a safe state of V2
        return True
    pair.tally.count(MIGRATED, put is Put.STORED)
    pair.tally.count(REFUSED, put is Put.REFUSED)
    return put is not Put.LOST


async def _repair(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1, body: dict[str, Any]) -> bool:
    applied = await _applied(pair, lambda: pair.v2.apply(truth.id, body, truth.revision, over=seen.revision))
    pair.tally.count(REPAIRED, applied is Applied.APPLIED)
    return applied is not Applied.NEWER


async def _applied(pair: Pair[V1, V2], step: Callable[[], Coroutine[Any, Any, Applied]]) -> Applied | None:
    """The outcome of a V2 step that follows V1's; None when it failed.

    Not an error for the caller: V1 has the write, V2 stays dirty, and dirty means "ask V1".
    """
    try:
        applied = await step()
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)
        return None
    pair.tally.count(REFUSED, applied is Applied.REFUSED)
    return applied


async def _heal_if_old(pair: Pair[V1, V2], seen: StoredV2) -> None:
    if seen.at is None or pair.in_session or pair.clock.now() - seen.at < HEAL_AFTER:
        return
    # The read has its answer; should healing fail, whoever comes next tries again.
    await pair.behind.do(lambda: _settle(pair, seen.id), None)


async def _compared(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1) -> V2:
    """A checked read: V1 wins where its content was changed behind lazymig's back."""
    entity = pair.conversions.v2_entity(seen)
    expected = await pair.conversions.upgrade(pair.conversions.v1_entity(truth), entity)
    if expected == entity:
        return entity
    pair.tally.count(MISMATCHED)
    await heal(pair, seen.id, trust_v2=False)
    return expected


async def exists(pair: Pair[V1, V2], id: Any) -> bool:
    """Whether the entity stood at some moment of this call; nothing is converted."""
    seen = await pair.v2.find(id)
    if seen is not None and seen.clean and not pair.checked:
        return True
    return await pair.v1.find(id) is not None


async def write(pair: Pair[V1, V2], id: Any, edit: Edit) -> Change | None:
    """Change or delete one entity; the change made, None for a delete. Three round trips when V2 is clean.

    Raises `NotFound`, `Contention`, or whatever the edit raises; then nothing was written to V1.
    """
    # 1. The ticket comes before V1 is touched. After it, nobody takes V2 for clean; were V1 written first, a reader
    # between the two steps would be given the old body by a clean V2.
    seen = await pair.v2.ticket(id, pair.clock.now())
    ticket = seen.intent
    truth: StoredV1 | None = None
    # An only attempt is not lost to what V1 holds: it may lack a sub-document of which a part is to be set.
    asked = edit.needs_truth or not seen.clean_before_ticket or pair.max_attempts == 1
    for attempt in range(pair.max_attempts):
        if asked or attempt:
            # 2. V2 was not clean, or the last attempt was lost: V1 tells what stands.
            truth = await pair.v1.find_local(id)
            if truth is None:
                # The one answer that no compare-and-set settles.
                await pair.v1.confirm_missing(id)
                raise NotFound(decode_id(id))
            seen = await _seen_again(pair, seen, truth, ticket, attempt)
        base = Base(seen, truth)
        if base.revision >= ticket:
            # V1 is ahead of the ticket: moving it to a revision that V2 was not told of would break the invariant.
            ticket = base.revision + 1
            await pair.v2.raise_intent(id, ticket, pair.clock.now())
        change = await edit.decide(base)
        # 3. V1's compare-and-set orders the writers; the loser starts from what the winner left. So does whoever would
        # set a part of what V1 does not hold as a sub-document: it is lost without an error, and asks V1 next.
        if await moved(pair, id, base.revision, ticket, change):
            break
        pair.tally.count(CONTENDED)
        await back_off(pair, attempt)
    else:
        raise Contention(decode_id(id), pair.max_attempts)
    # 4. V1 has the write: whatever happens to this step is no error for the caller.
    await pair.behind.do(lambda: _finish(pair, id, ticket, change), None)
    return change


async def _seen_again(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1, ticket: int, attempt: int) -> StoredV2:
    """V2's document to start from: after a lost race, or with V1 past the ticket, the one that the ticket saw is old.

    V2 is read after V1, so that a body at V1's revision, with what V1 cannot express, is found if it is there yet. If
    it is not, its writer stands between V1 and V2, and whoever overtakes it there drops what only its body holds. It
    may be dead, so the wait for it is short; V1 is exact with or without it.
    """
    overtaken = truth.revision > ticket and pair.conversions.migration.upgrading.takes_other
    if (attempt or overtaken) and seen.revision != truth.revision:
        seen = await pair.v2.find(truth.id) or seen
    for delay_s in _WRITER_WAITS_S:
        if not _body_is_due(pair, seen, truth, ticket):
            break
        await pair.clock.sleep(delay_s)
        seen = await pair.v2.find(truth.id) or seen
    return seen


async def moved(pair: Pair[V1, V2], id: Any, expected: int, ticket: int, change: Change | None) -> bool:
    if change is None:
        return await pair.v1.delete(id, expected)
    return await pair.v1.compare_and_set(id, expected, ticket, change.v1_set, change.v1_unset, change.v1_within)


async def _finish(pair: Pair[V1, V2], id: Any, ticket: int, change: Change | None) -> None:
    if change is None:
        # A tombstone, not a removal: a slow reader that still holds the deleted entity must find its place taken.
        now = pair.clock.now()
        await _applied(pair, lambda: pair.v2.bury(id, ticket, now))
    else:
        body = change.v2_body
        await _applied(pair, lambda: pair.v2.apply(id, body, ticket, own=True))


async def back_off(pair: Pair[V1, V2], attempt: int) -> None:
    # The first losses are the normal price of a race; a crowd on one entity needs spreading.
    if attempt >= 2:
        await pair.clock.sleep(min(0.001 * 2 ** (attempt - 2), 0.05) * pair.clock.random())


async def insert(pair: Pair[V1, V2], id: Any, change: Change) -> None:
    """Store a new entity. Three round trips. Raises `AlreadyExists`."""
    if pair.in_session and await exists(pair, id):
        raise AlreadyExists(decode_id(id))
    # 1. Announced where nothing live stands in V2; at a revision that no entity of this id had (see `unused_step`).
    seen = await pair.v2.vacant_ticket(id, pair.clock.now(), unused_step(pair.clock))
    if seen is None:
        if await exists(pair, id):
            raise AlreadyExists(decode_id(id))
        # A delete died between V1 and its tombstone: V2's body is a dead entity's.
        seen = await pair.v2.ticket(id, pair.clock.now())
    # 2. V1 decides whether the id is free.
    if not await pair.v1.insert(id, change.v1_set, seen.intent):
        # The announcement of an insert that found its id taken.
        await _settle(pair, id)
        raise AlreadyExists(decode_id(id))
    # 3. As in `write`.
    await pair.behind.do(lambda: _finish(pair, id, seen.intent, change), None)


async def _settle(pair: Pair[V1, V2], id: Any) -> None:
    """Close an open announcement, so that reads take one round trip again. Not the caller's concern if it fails."""
    try:
        await heal(pair, id)
    except (PyMongoError, Contention, ConversionError):
        pair.tally.count(LEFT_DIRTY)


async def heal(pair: Pair[V1, V2], id: Any, *, trust_v2: bool = True) -> bool:
    """Move the entity to a fresh revision with the same content. False: V1 does not hold it.

    For a mark whose writer died. Should that writer wake, its compare-and-set is lost: no clock, no lock, no lease.
    Without `trust_v2`, V2's body counts only as the previous one even where its revision is V1's.
    """
    try:
        await write(pair, id, Keep(pair.conversions, trust_v2=trust_v2))
    except NotFound:
        return False
    pair.tally.count(HEALED)
    return True


async def purge(pair: Pair[V1, V2], seen: StoredV2, grace: timedelta) -> bool:
    """Remove what a delete left in V2, once no read that began before it can still be in flight.

    False: too young, not a remainder, or changed meanwhile. The only place where time matters: `grace` must exceed the
    longest time that an operation may be in flight.
    """
    if seen.at is None or pair.clock.now() - seen.at < grace or seen.clean:
        return False
    # V1 after V2, then only if V2 is unchanged: whoever inserts the entity again raises the intent first.
    if await pair.v1.find(seen.id) is not None:
        return False
    return await pair.v2.purge(seen)
