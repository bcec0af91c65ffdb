"""Writes: the ticket, V1's compare-and-set, the body; and what is made of them: healing, closing, purging."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import NamedTuple, TypeVar

from pymongo.errors import PyMongoError, WriteError

from lazymig.errors import Contention, ConversionError, NotFound
from lazymig.protocol import bodies
from lazymig.protocol.bodies import is_due, try_step
from lazymig.protocol.edits import Base, Change, Edit, Keep, More
from lazymig.protocol.pair import Pair
from lazymig.stores.documents import decode_id, get_at
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1, StoredV2
from lazymig.telemetry import CONTENDED, HEALED, LEFT_DIRTY

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def write(pair: Pair[V1, V2], id: RawId, edit: Edit) -> Change | None:
    """Change or delete one entity; the change made, None for a delete. Three round trips when V2 is clean.

    Raises `NotFound`, `Contention`, or whatever the edit raises; then nothing was written to V1.
    """
    if pair.behind.holds(id):
        # A write that overtakes this process's own body drops what only that body holds.
        await pair.behind.wait_for(id)
    # 1. The ticket comes before V1 is touched. After it, nobody takes V2 for clean; were V1 written first, a reader
    # between the two steps would be given the old body by a clean V2.
    announced = await pair.ledger.ticket(id)
    doubt = _Doubt()
    try:
        done = await _change_v1_until_won(pair, id, edit, announced, doubt)
    except (Exception, asyncio.CancelledError) as error:
        # Nothing was written: without this, readers would ask V1 until somebody heals the mark.
        if not doubt.sent:
            await withdraw(pair, announced, missing=isinstance(error, NotFound))
        raise
    # 4. V1 has the write: whatever happens to this step is no error for the caller.
    await pair.behind.do(lambda: finish(pair, id, done), None, id)
    return done.change


class Done(NamedTuple):
    """What a write did to V1: the ticket it moved it to, the change, and the revision that it started from."""

    ticket: int
    change: Change | None
    since: int


class _Doubt:
    """Whether a statement that moves V1 was sent and its outcome is not known."""

    sent = False


async def _change_v1_until_won(pair: Pair[V1, V2], id: RawId, edit: Edit, seen: StoredV2, doubt: _Doubt) -> Done:
    """Steps 2 and 3."""
    ticket, truth, entity = seen.intent, None, None
    if not (edit.needs_truth or pair.checked) and seen.clean_before_ticket and edit.needs_entity:
        entity = pair.conversions.trusted(seen)
    # An only attempt is not lost to what V1 holds: it may lack a sub-document of which a part is to be set.
    asked = edit.needs_truth or pair.checked or not seen.clean_before_ticket or pair.max_attempts == 1
    asked |= edit.needs_entity and entity is None
    for attempt in range(pair.max_attempts):
        if asked or attempt:
            # 2. V2 was not clean, or the last attempt was lost: V1 says what stands.
            truth, entity = await pair.v1.find_local(id), None
            if truth is None:
                # The one answer that no compare-and-set settles.
                await pair.v1.confirm_missing(id)
                raise NotFound(decode_id(id))
            seen = await _refresh_seen(pair, seen, truth, ticket, attempt)
        base = Base(seen, truth, entity, not pair.checked)
        if base.revision >= ticket:
            # V1 is ahead of the ticket: moving it to a revision that was not announced in V2 would break the invariant.
            ticket = base.revision + 1
            await pair.ledger.raise_intent(id, ticket)
        change = await edit.decide(base)
        if change is More.TRUTH:
            continue
        # 3. V1's compare-and-set orders the writers; the loser starts from what the winner left. So does a
        # writer that would set a part of what V1 does not hold as a sub-document: it loses without an error.
        doubt.sent = True
        try:
            won = await change_v1(pair, id, base, ticket, change)
        except WriteError:
            doubt.sent = False  # V1 refuses the document: a unique index, a validator
            raise
        if won:
            return Done(ticket, change, base.revision)
        doubt.sent = False
        pair.tally.count(CONTENDED)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def withdraw(pair: Pair[V1, V2], announced: StoredV2, step: int = 1, *, missing: bool = False) -> None:
    """Take an announcement back that nothing was written for. Not the caller's concern if it fails.

    `missing`: nothing was written because V1 does not hold the entity.
    """

    async def withdrawn() -> None:
        try:
            await pair.ledger.withdraw(announced, step, missing=missing)
        except PyMongoError:
            pair.tally.count(LEFT_DIRTY)  # the next reader or sweep heals it

    await pair.behind.at_last(withdrawn)


async def _refresh_seen(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1, ticket: int, attempt: int) -> StoredV2:
    """V2's document to start from: after a lost race, or with V1 past the ticket, the one that the ticket saw is old.

    V2 is read after V1, so that a body at V1's revision, with what V1 cannot express, is found if it is there yet. If
    it is not, its writer stands between V1 and V2, and a write that overtakes it there drops what only its body holds.
    It may be dead, so the wait for it is short; V1 is exact with or without it.
    """
    overtaken = truth.revision > ticket and pair.conversions.migration.upgrading.takes_other
    if (attempt or overtaken) and seen.revision != truth.revision:
        seen = await pair.bodies.find(truth.id) or seen
    for delay_s in bodies.WRITER_WAITS_S:
        if not await is_due(pair, seen, truth, ticket):
            break
        if pair.behind.holds(truth.id):
            # It is this process's own, which is known to be under way. In a transaction it may wait for that one.
            await pair.behind.wait_for(truth.id, delay_s if pair.in_session else None)
            seen = await pair.bodies.find(truth.id) or seen
            continue
        await pair.clock.sleep(delay_s)
        seen = await pair.bodies.find(truth.id) or seen
    return seen


async def change_v1(pair: Pair[V1, V2], id: RawId, base: Base, ticket: int, change: Change | None) -> bool:
    """Move V1 from the base's revision to the ticket. False: the race is lost, and nothing was written."""
    expected = base.revision
    if change is None:
        return await pair.v1.delete(id, expected)
    held = None
    if pair.checked and base.truth is not None:
        # Clients that know no revision may write V1 as well: what they changed meanwhile must not be overwritten.
        held = {path: get_at(base.truth.document, path) for path in (*change.v1_set, *change.v1_unset)}
    return await pair.v1.compare_and_set(id, expected, ticket, change.v1_set, change.v1_unset, change.v1_within, held)


async def finish(pair: Pair[V1, V2], id: RawId, done: Done) -> None:
    """Step 4: bring V2 up to what V1 has."""
    change, ticket, since = done.change, done.ticket, done.since
    if change is None:
        # A tombstone, not a removal: a slow reader that still holds the deleted entity must find its place taken.
        await try_step(pair, lambda: pair.bodies.bury(id, ticket, since=since))
    else:
        body, conv = change.v2_body, change.conv
        await try_step(pair, lambda: pair.bodies.apply(id, body, ticket, own=True, since=since, conv=conv))


async def back_off(pair: Pair[V1, V2], attempt: int) -> None:
    """Wait before the next attempt: the first losses are the normal price of a race, a crowd needs spreading."""
    if attempt >= 2:
        await pair.clock.sleep(min(0.001 * 2 ** (attempt - 2), 0.05) * pair.clock.random())


async def close_mark(pair: Pair[V1, V2], id: RawId) -> None:
    """Close an open announcement, so that reads take one round trip again. Not the caller's concern if it fails."""
    try:
        await heal(pair, id)
    except (PyMongoError, Contention, ConversionError):
        pair.tally.count(LEFT_DIRTY)


async def heal(pair: Pair[V1, V2], id: RawId) -> bool:
    """Move the entity to a fresh revision with the same content. False: V1 does not hold it.

    For a mark whose writer died. Should that writer wake, its compare-and-set is lost: no clock, no lock, no lease.
    """
    try:
        await write(pair, id, Keep(pair.conversions))
    except NotFound:
        return False
    pair.tally.count(HEALED)
    return True


async def purge(pair: Pair[V1, V2], seen: StoredV2, grace: timedelta) -> bool:
    """Remove what a delete left in V2, once no read that began before it can still be in flight.

    False: too young, not a remainder, or changed meanwhile. The only place where time matters, by the server's clock:
    `grace` must exceed the longest time that an operation may be in flight.
    """
    if seen.at is None or seen.clean or await pair.ledger.now() - seen.at < grace:
        return False
    # V1 after V2, then only if V2 is unchanged: an insert of the entity raises the intent first.
    if await pair.v1.find(seen.id) is not None:
        return False
    return await pair.ledger.purge(seen)
