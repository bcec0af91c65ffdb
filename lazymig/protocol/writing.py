"""Writes: the ticket, V1's compare-and-set, the body. Healing, closing marks and purging are built of these steps."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, TypeVar

from pymongo.errors import PyMongoError, WriteError

from lazymig.errors import Contention, ConversionError, NotFound
from lazymig.protocol import bodies
from lazymig.protocol.bodies import ask_in_time, is_buried, is_due, try_step
from lazymig.protocol.edits import Base, Change, Edit, More
from lazymig.protocol.joining import Joined
from lazymig.protocol.pair import Pair
from lazymig.protocol.placing import check_missing
from lazymig.protocol.renewals import Keep, Restore
from lazymig.protocol.tickets import Decision, Early, announce, start, withdraw
from lazymig.protocol.waiting import back_off, let_older_pass
from lazymig.shapes.migration import get_upgrading
from lazymig.stores.documents import decode_id, get_at
from lazymig.stores.given import RawId
from lazymig.stores.records import Applied, StoredV1, StoredV2
from lazymig.telemetry import CONTENDED, HEALED, LEFT_DIRTY

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def write(pair: Pair[V1, V2], id: RawId, edit: Edit) -> Change | None:
    """Change or delete one entity; return the change, None for a delete. Three round trips when V2 is clean.

    Raises `NotFound`, `Contention`, or what the edit raises; then nothing was written to V1.
    """
    done = await announce_and_move(pair, id, edit)
    # 4. The body. V1 has the write, so whatever happens to this step is no error for the caller.
    await pair.behind.do(lambda: complete(pair, id, done), None, id)
    return done.change


async def announce_and_move(pair: Pair[V1, V2], id: RawId, edit: Edit) -> Done:
    """Do steps 1 to 3 of a write. Raises `NotFound`, `Contention`, or what the edit raises."""
    if pair.behind.holds(id):
        # This process is still storing a body. A write that overtakes it would drop what only that body holds.
        await pair.behind.wait_for(id)
    # 1. The ticket, before V1 is changed. After it V2 is not clean. If V1 were written first, a reader between the two
    # steps would get the old body from a clean V2.
    announced, early = await announce(pair, id, edit)
    try:
        return await move_v1(pair, id, edit, announced, early)
    except NotFound as error:
        await withdraw(pair, announced, missing=True, ending=error)
        raise


async def move_v1(pair: Pair[V1, V2], id: RawId, edit: Edit, announced: StoredV2, early: Early | None = None) -> Done:
    """Do steps 2 and 3 of a write: change V1 from its present revision to the ticket or above.

    Where nothing was written, the announcement is withdrawn, also if the edit ends the program: otherwise readers would
    ask V1 until the mark is healed.
    Only if V1 does not hold the entity, which raises `NotFound`, what becomes of the announcement is the caller's
    decision. `early` is what the edit has decided from this announcement.
    """
    doubt = Doubt()
    try:
        return await _change_v1_until_won(pair, id, edit, announced, doubt, early)
    except NotFound:
        raise
    except BaseException as error:
        if not doubt.sent:
            await withdraw(pair, announced, ending=error)
        raise


class Done(NamedTuple):
    """What a write did to V1: the ticket, which is V1's new revision, the change, and the revision before.

    `announced` is V2's document after the last announcement that was seen.
    """

    ticket: int
    change: Change | None
    since: int
    announced: StoredV2 | None = None


class Doubt:
    """Whether a statement that changes V1 was sent and its outcome is unknown."""

    sent = False


async def _change_v1_until_won(
    pair: Pair[V1, V2], id: RawId, edit: Edit, seen: StoredV2, doubt: Doubt, early: Early | None
) -> Done:
    """Do steps 2 and 3 of a write: read V1 where needed, and change it, until an attempt wins."""
    ticket, truth = seen.intent, None
    asked, entity = (False, None) if early is not None else start(pair, edit, seen)
    for attempt in range(pair.max_attempts):
        if asked or attempt:
            # 2. V2 was not clean, or the last attempt lost its race: read V1.
            truth, entity = await pair.v1.find_local(id), None
            if isinstance(edit, Joined):
                truth = await let_older_pass(pair, id, truth, ticket)
            if truth is None:
                await check_missing(pair, id)
                await back_off(pair, attempt)
                continue
            if not (isinstance(edit, Restore) and edit.brings(truth)):
                seen = await _refresh_seen(pair, seen, truth, ticket, attempt)
        base = Base(seen, truth, entity, not pair.checked)
        if base.revision >= ticket:
            # V1 is ahead of the ticket. V1 must not get a revision that was not announced in V2: it breaks the
            # invariant.
            ticket = base.revision + 1
            await pair.ledger.raise_intent(id, ticket)
        change = await decide(pair, edit, base, None if attempt else early)
        if change is More.TRUTH:
            continue
        # 3. V1's compare-and-set orders the writers; the loser starts over from what the winner wrote. A writer that
        # wants to set a part of a sub-document that V1 does not have loses in the same way, without an error.
        doubt.sent = True
        try:
            won = await change_v1(pair, id, base, ticket, change)
        except (WriteError, ConversionError):
            doubt.sent = False  # V1 refuses the document, by a unique index or a validator, or what stands in it does
            raise
        if won:
            return Done(ticket, change, base.revision, seen)
        doubt.sent = False
        pair.tally.count(CONTENDED)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def _refresh_seen(pair: Pair[V1, V2], seen: StoredV2, truth: StoredV1, ticket: int, attempt: int) -> StoredV2:
    """Return V2's document to start from. After a lost race, or with V1 past the ticket, the ticket's document is old.

    V2 is read after V1, so that a body at V1's revision, with what V1 cannot express, is found if it is stored. If it
    is not, its writer has written V1 and not yet V2, and a write that overtakes it drops what only its body holds. That
    writer may be dead, so the wait is short; V1 is exact in either case.
    """
    # At the ticket, too, unless it is the first: a writer that found V1 at its ticket may have raised its number to it.
    overtaken = truth.revision >= max(ticket, 2) and get_upgrading(pair.conversions.migration).takes_other
    if (attempt or overtaken) and (seen.revision != truth.revision or is_buried(seen)):
        seen = await _look_again(pair, seen)
    for delay_s in bodies.WRITER_WAITS_S:
        if not await is_due(pair, seen, truth, ticket):
            break
        if pair.behind.holds(truth.id):
            # This process is storing it, so it will come. In a transaction that step may wait for this one, so wait
            # briefly.
            await pair.behind.wait_for(truth.id, delay_s if pair.in_session else None)
            seen = await _look_again(pair, seen)
            continue
        await pair.clock.sleep(delay_s)
        seen = await _look_again(pair, seen)
    return seen


async def _look_again(pair: Pair[V1, V2], seen: StoredV2) -> StoredV2:
    """Return V2's document as it is now; the one that was seen where V2 does not answer, which V1 does without."""
    found, _ = await ask_in_time(pair, pair.bodies.find, seen.id)
    return found or seen


async def decide(pair: Pair[V1, V2], edit: Edit, base: Base, early: Early | None = None) -> Decision:
    """Let the edit decide from what is stored, unless it has done so. Raises what it raises."""
    try:
        return await edit.decide(base) if early is None else early.result()
    except NotFound:
        # `upgrade` leaves the entity. No compare-and-set follows that would check that V1 holds what was read.
        if await pair.v1.confirm_missing(base.id, base.revision):
            raise
        return More.TRUTH  # V1 has another revision than the one that was read


async def change_v1(pair: Pair[V1, V2], id: RawId, base: Base, ticket: int, change: Change | None) -> bool:
    """Change V1 from the base's revision to the ticket. False: the race is lost, and nothing was written."""
    expected = base.revision
    if change is None:
        seen = base.seen
        return await pair.v1.delete(id, expected, seen if _shows_others(pair, seen, expected, ticket) else None)
    held = change.v1_held
    if pair.checked and base.truth is not None:
        # Other clients may write V1 without changing the revision: what they changed meanwhile must not be overwritten.
        standing = {path: get_at(base.truth.document, path) for path in (*change.v1_set, *change.v1_unset)}
        held = {**standing, **(held or {})}
    sets = (change.v1_set, change.v1_unset, change.v1_within, held)
    try:
        return await pair.v1.compare_and_set(id, expected, ticket, *sets)
    except WriteError:
        change.note_refusal()
        raise


def _shows_others(pair: Pair[V1, V2], seen: StoredV2 | None, expected: int, ticket: int) -> bool:
    """Whether V2 will show if somebody else deletes the entity, which a delete that shares a statement must know.

    It does where everybody announces deletes, and no announcement before this one is open.
    """
    if seen is None or pair.checked or pair.suspect:
        return False
    return seen.clean_before_ticket and (seen.revision, seen.intent) == (expected, ticket)


async def finish(pair: Pair[V1, V2], id: RawId, done: Done) -> Applied | None:
    """Do step 4 of a write: bring V2 up to V1. Returns its outcome, or None if it failed."""
    return await try_step(pair, lambda: bring_v2_up(pair, id, done))


async def complete(pair: Pair[V1, V2], id: RawId, done: Done) -> None:
    """Do step 4 of a write, and see to it that no tombstone stands over an entity that V1 has. Never raises for V2."""
    if await finish(pair, id, done) is Applied.NEWER:
        try:
            await revive(pair, id, done)
        except PyMongoError:
            pair.tally.count(LEFT_DIRTY)


async def revive(pair: Pair[V1, V2], id: RawId, done: Done) -> None:
    """Heal the entity if V2 is past the ticket of a write that V1 has, by a tombstone or by an earlier entity's body.

    Tickets are drawn before V1 changes, and V1 may take two writes in the other order: it deletes an entity by the
    higher ticket, and then takes an insert by the lower one. A tombstone stands in V2 then over an entity that exists.
    Reads ask V1 where they meet a tombstone, but listings by V2 would miss it, and what only V2 holds would be lost.
    """
    if done.change is None:
        return
    seen = await pair.bodies.find(id)
    if seen is not None and not is_buried(seen) and await _holds_earlier(pair, seen, done.ticket):
        # While V1's revision is below, that body is known to be an earlier entity's. It must be gone before V1's rises.
        await pair.bodies.bury(id, seen.revision + 1, since=seen.revision)
        seen = await pair.bodies.find(id)
    if seen is not None and is_buried(seen):
        await close_mark(pair, id, Restore(pair.conversions, done.ticket, done.change))


async def _holds_earlier(pair: Pair[V1, V2], seen: StoredV2, ticket: int) -> bool:
    """Whether V2's body is of an entity that was deleted before V1 took this write, which that delete has yet to bury.

    The one that V1 holds now has its own V2-only fields. Without such fields the delete's step, or a read, is enough.
    """
    if seen.revision <= ticket or not get_upgrading(pair.conversions.migration).takes_other:
        return False
    truth = await pair.v1.find(seen.id)
    return truth is not None and truth.revision == ticket


async def bring_v2_up(pair: Pair[V1, V2], id: RawId, done: Done) -> Applied:
    """Bring V2 up to a write that V1 has. Driver errors pass through."""
    change, ticket, since = done.change, done.ticket, done.since
    if change is None:
        # A tombstone and no removal: a slow reader that still holds the deleted entity must not be able to store it.
        if not since and done.announced is not None:
            # V1 has no revision: lazymig never wrote the entity, or a program has dropped it. What V2 held is of it in
            # either case, and what came later may be of an entity that was inserted since.
            since = max(done.announced.revision, 0)
        return await pair.bodies.bury(id, ticket, since=since, announced=done.announced)
    return await pair.bodies.apply(
        id, change.v2_body, ticket, own=True, since=since, conv=change.conv, announced=done.announced
    )


async def close_mark(pair: Pair[V1, V2], id: RawId, edit: Edit | None = None) -> None:
    """Close an open announcement, so that reads take one round trip again. A failure is no error for the caller."""
    try:
        await heal(pair, id, edit)
    except (PyMongoError, Contention, ConversionError):
        pair.tally.count(LEFT_DIRTY)


async def heal(pair: Pair[V1, V2], id: RawId, edit: Edit | None = None) -> bool:
    """Give the entity a new revision with the same content. False: V1 does not hold it.

    This resolves the mark of a writer that died. If that writer is alive after all, its compare-and-set loses, so no
    clock, lock or lease is needed.
    """
    try:
        await write(pair, id, edit or Keep(pair.conversions))
    except NotFound:
        return False
    pair.tally.count(HEALED)
    return True


async def purge(pair: Pair[V1, V2], seen: StoredV2, grace: timedelta) -> bool:
    """Remove what a delete left in V2, once no read that began before it can be in flight.

    False: it is too young, no remainder, or changed meanwhile. Correctness depends on time only here, by the server's
    clock: `grace` must exceed the longest time that an operation may be in flight.
    """
    if seen.at is None or seen.clean or await pair.ledger.now() - seen.at < grace:
        return False
    # V1 is read after V2, and V2 is only removed if unchanged: an insert of the entity would raise the intent first.
    if await pair.v1.find(seen.id) is not None:
        return False
    return await pair.ledger.purge(seen)
