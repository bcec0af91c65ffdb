"""Repair: bring V2 to what V1 holds now, where V2 is known or suspected to be wrong although it is clean.

The invariant says that a clean document is V1's current revision. Programs that write V1 without lazymig break it, and
so does damage to V2. No step that trusts V2's revision can notice either, so these steps trust V1 alone.
"""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import ConversionError, NotFound
from lazymig.protocol.edits import Renew
from lazymig.protocol.pair import Pair
from lazymig.protocol.writing import back_off, write
from lazymig.stores.given import RawId
from lazymig.stores.records import Put
from lazymig.telemetry import HEALED, MIGRATED, REFUSED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def repair(pair: Pair[V1, V2], id: RawId, *, same_life: bool = False) -> bool:
    """Bring V2 to what V1 holds now, whatever V2 claims. False: V1 does not hold the entity, and V2 no longer does.

    `same_life`: V2's body is of the entity that V1 holds, even where its revision is above V1's.

    Driver errors pass through. Raises `ConversionError` where V1's document does not convert, and `Contention`. After a
    `ConversionError` V2 no longer answers, so that readers get the error too, and not an entity that V1 has no more.
    """
    try:
        if await pair.bodies.find(id) is None and await _store_first(pair, id):
            return True
        # The ticket comes first, as in every write: V2 does not answer from then on. V1's compare-and-set gives V1 a
        # new revision, so that no write that started from V2's wrong body can win.
        await write(pair, id, Renew(pair.conversions, same_life))
    except NotFound:
        await _bury(pair, id)
        return False
    except ConversionError:
        await _distrust(pair, id)
        raise
    pair.tally.count(HEALED)
    return True


async def _store_first(pair: Pair[V1, V2], id: RawId) -> bool:
    """Store V1's conversion where V2 has nothing. False: V1 has nothing, V2 refuses it, or another client was first.

    What another client stored is not trusted: it may be a slow reader's conversion of what V1 held before. Had it come
    later, it would have been refused. Durably, so that this holds after a fail-over too.
    """
    truth = await pair.v1.find(id)
    if truth is None:
        return False
    body = pair.conversions.v2_body(await pair.conversions.upgraded(truth, None))
    born = pair.bodies.born_clean(id, body, truth.revision, "read")
    put = (await pair.bodies.put_many([born], durable=True))[0]
    pair.tally.count(MIGRATED, put is Put.STORED)
    pair.tally.count(REFUSED, put is Put.REFUSED)
    return put is Put.STORED


async def _bury(pair: Pair[V1, V2], id: RawId) -> None:
    """Replace V2's body of an entity that V1 lost by a tombstone, at the last announced revision.

    The write before found V1 without the entity and left its announcement open. An insert since then raised the intent
    and removed the body in one statement, so this finds no body to bury, or comes too late.
    """
    seen = await pair.bodies.find(id)
    if seen is None or seen.gone or seen.clean:
        return
    if await pair.v1.find(id) is None:
        await pair.bodies.bury(id, seen.intent, since=seen.intent)
        pair.tally.count(HEALED)


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
    if seen is None or not seen.clean:
        return
    truth = await pair.v1.find(id)
    if truth is None or truth.revision == seen.revision:
        return
    ticket = seen.intent + 1
    if await pair.ledger.vacate(seen, ticket):
        # The repair that follows applies at a later revision, and this body's inserts must not count against it.
        await pair.ledger.forget_insert(id, ticket)


async def announce_absence(pair: Pair[V1, V2], id: RawId) -> None:
    """Announce a write where V1 lacks the entity and V2 holds no body of it.

    A slow reader that still holds the deleted entity can then not store it, and the body of a slow insert does not
    answer. A sweep removes what this leaves once no operation can be in flight.
    """
    seen = await pair.bodies.find(id)
    if seen is None or (seen.gone and seen.intent > seen.revision):
        await pair.ledger.ticket(id)
