"""Repair: bring V2 to what V1 holds now, where V2 is known or suspected to be wrong although it is clean.

The invariant says that a clean document is V1's current revision. Programs that write V1 without lazymig break it, and
so does damage to V2. No step that trusts V2's revision can notice either, so these steps trust V1 alone.
"""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import Contention, ConversionError, NotFound
from lazymig.protocol.pair import Pair
from lazymig.protocol.reading import OLD_READ_S
from lazymig.protocol.renewals import Renew
from lazymig.protocol.waiting import back_off
from lazymig.protocol.writing import Done, finish, move_v1
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import Applied, Put
from lazymig.telemetry import HEALED, MIGRATED, REFUSED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def repair(pair: Pair[V1, V2], id: RawId, *, same_life: bool = False) -> bool:
    """Bring V2 to what V1 holds now, whatever V2 claims. False: V1 does not hold the entity, and V2 no longer does.

    To be called after the change of V1 that V2 may have missed: what V1 held before cannot be in V2 afterwards, not
    even by a reader that read V1 before the change and stores its conversion late.

    `same_life`: V2's body is of the entity that V1 holds, even where its revision is above V1's.

    Driver errors pass through. Raises `ConversionError` where V1's document does not convert, and `Contention`. After a
    `ConversionError` V2 no longer answers, so that readers get the error too, and not an entity that V1 has no more.
    """
    try:
        return await _bring_up(pair, id, same_life=same_life)
    except ConversionError:
        await _distrust(pair, id)
        raise


async def _bring_up(pair: Pair[V1, V2], id: RawId, *, same_life: bool) -> bool:
    seen = await pair.bodies.find(id)
    if seen is None and await _migrate(pair, id):
        return True
    if seen is not None and seen.revision > seen.intent:
        # No step leaves this: the meta data are damaged. A ticket below the body's revision would announce nothing.
        await pair.ledger.raise_intent(id, seen.revision + 1)
    for attempt in range(pair.max_attempts):
        done, outcome = await _renew(pair, id, same_life=same_life)
        # V2 is past this ticket: another writer was faster, or a slow reader stored what it read at a revision that the
        # other program has taken away from V1. Only the first is harmless, and they look alike.
        if outcome is not Applied.NEWER and not (done.change is None and await _came_late(pair, id)):
            pair.tally.count(HEALED)
            return done.change is not None
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def _came_late(pair: Pair[V1, V2], id: RawId) -> bool:
    """Whether V1 holds an entity over which V2 has got a tombstone, by an insert that was announced before the repair.

    V1 may have taken it after the repair looked, and its body may have been buried. An insert that V1 takes from here
    on meets the tombstone with its own body, and heals it (`writing.revive`).
    """
    return await pair.v1.find_local(id) is not None


async def _renew(pair: Pair[V1, V2], id: RawId, *, same_life: bool) -> tuple[Done, Applied | None]:
    """Give the entity a new revision, and V2 a new body; return what was done to V1 and the outcome in V2."""
    # The ticket comes first, as in every write: V2 does not answer from then on. V1's compare-and-set gives V1 a new
    # revision, so that no write that started from V2's wrong body can win.
    announced = await pair.ledger.ticket(id)
    try:
        done = await move_v1(pair, id, Renew(pair.conversions, same_life), announced)
    except NotFound:
        # Even an absent V2 gets a tombstone: without it, a slow reader could store the entity that was deleted.
        done = Done(announced.intent, None, announced.intent)
    # Not behind the caller: what it asks for is that V2 is right now.
    return done, await finish(pair, id, done)


async def _migrate(pair: Pair[V1, V2], id: RawId) -> bool:
    """Store V1's conversion in V2, which lacks it. False: V1 lacks the entity as well, or V2 has a body by now.

    A body that was stored meanwhile may be of what V1 held earlier, so it is not trusted as a read would trust it.
    """
    read_at_s = pair.clock.monotonic()
    truth = await pair.v1.find(id)
    if truth is None:
        return False
    body = pair.conversions.v2_stored(await pair.conversions.upgraded(truth, None))
    # Durably: rolled back, it would leave the place to a slow reader.
    born = pair.bodies.born_clean(id, body, truth.revision, "read")
    put = (await pair.bodies.put_many([born], durable=True))[0]
    pair.tally.count(MIGRATED, put is Put.STORED)
    pair.tally.count(REFUSED, put is Put.REFUSED)
    # Stored late, it may be of an entity that was deleted and forgotten meanwhile.
    return put is Put.REFUSED or (put is Put.STORED and pair.clock.monotonic() - read_at_s <= OLD_READ_S)


async def _distrust(pair: Pair[V1, V2], id: RawId) -> None:
    """Take the answer from V2's body: V1 holds something else, which does not convert.

    An open announcement is not enough. It would be healed later by `Keep`, which trusts a body at V1's revision. So V1
    gets a new revision as well, with its content as it is; then every healer converts V1, and fails as this did.
    """
    for attempt in range(pair.max_attempts):
        truth, seen = await pair.v1.find_local(id), await pair.bodies.find(id)
        if truth is None or (seen is not None and not seen.clean and seen.revision != truth.revision):
            return  # V2 does not answer, and no healer trusts its body
        announced = (await pair.ledger.ticket(id)).intent
        ticket = max(announced, truth.revision + 1)
        if ticket > announced:
            await pair.ledger.raise_intent(id, ticket)
        if await pair.v1.compare_and_set(id, truth.revision, ticket, {}):
            return
        await back_off(pair, attempt)


async def begin_life(pair: Pair[V1, V2], id: RawId) -> None:
    """Remove the body of an earlier entity with this id, where another program inserted a new one into V1.

    Without this, what only V2 held about the earlier entity would reach the new one. A body at V1's revision stays: it
    is the new entity's, which a client of lazymig has written since.
    """
    seen = await pair.bodies.find(id)
    if seen is None or not seen.settled:
        return
    truth = await pair.v1.find(id)
    if truth is None or truth.revision == seen.revision:
        return
    ticket = seen.intent + 1
    if await pair.ledger.vacate(seen, ticket):
        # The repair that follows applies at a later revision, and this body's inserts must not count against it.
        await pair.ledger.forget_insert(id, ticket)
