"""Inserts: announced where V2 holds no live document, at a revision that no entity with this id ever had."""

from __future__ import annotations

from typing import TypeVar

from pymongo.errors import PyMongoError, WriteError

from lazymig.errors import AlreadyExists, Contention, ConversionError, NotFound
from lazymig.loop.clock import pick_unused_step
from lazymig.protocol.edits import Change
from lazymig.protocol.pair import Pair
from lazymig.protocol.placing import explain_refusal
from lazymig.protocol.tickets import withdraw
from lazymig.protocol.waiting import back_off
from lazymig.protocol.writing import Done, close_mark, complete
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV2
from lazymig.telemetry import LEFT_DIRTY

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def insert(pair: Pair[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity. Three round trips. Raises `AlreadyExists`, `NotFound`."""
    done = await announce_and_insert(pair, id, change)
    # 3. V1 has the entity: whatever happens to this step is no error for the caller.
    await pair.behind.do(lambda: complete(pair, id, done), None, id)


async def announce_and_insert(pair: Pair[V1, V2], id: RawId, change: Change) -> Done:
    """Do steps 1 and 2 of an insert. Raises `AlreadyExists`, and `NotFound` where V1 has no document to put it in."""
    above = 0
    for attempt in range(pair.max_attempts):
        # 1. The announcement, where V2 holds no live document.
        announced, step = await announce(pair, id, trusting=not pair.suspect, above=above)
        ticket = announced.intent
        # 2. V1 decides whether the id is free.
        if await insert_announced(pair, id, change, announced, step):
            return Done(ticket, change, ticket, announced)
        await forget(pair, id, ticket)  # it made no new entity
        try:
            above = await explain_refusal(pair, id)
        except AlreadyExists:
            await close_mark(pair, id)
            raise
        except NotFound:
            await withdraw(pair, announced, step, missing=True)
            raise
        await withdraw(pair, announced, step, missing=True)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def insert_announced(pair: Pair[V1, V2], id: RawId, change: Change, announced: StoredV2, step: int) -> bool:
    """Insert an entity into V1 at the revision that was announced. False: V1 did not take it."""
    try:
        return await pair.v1.insert(id, change.v1_set, announced.intent)
    except (WriteError, ConversionError):
        # V1 refuses the document, so nothing was written. The server checks that before it checks whether the id is
        # taken, so other writers may have announced something as well.
        await withdraw(pair, announced, step)
        raise


async def forget(pair: Pair[V1, V2], id: RawId, ticket: int) -> None:
    """Make V2 forget an insert whose id was taken. A failure is no error for the caller."""
    try:
        await pair.ledger.forget_insert(id, ticket)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)  # healing may then drop what only V2's body holds


async def announce(pair: Pair[V1, V2], id: RawId, *, trusting: bool = True, above: int = 0) -> tuple[StoredV2, int]:
    """Announce the new entity's revision; return V2's document without a body, and how far this raised the intent.

    Without `trusting`, only V1 says whether the id is free. `above`: a revision that the new one must exceed.
    """
    step = above + pick_unused_step(pair.clock)
    for attempt in range(pair.max_attempts):
        seen = await _check_free(pair, id, trusting) if pair.in_session else None
        if seen is None or (seen.gone and seen.unmoved is None):
            announced = await pair.ledger.vacant_ticket(id, step)
            if announced is not None:
                return announced, step
            seen = await _check_free(pair, id, trusting)
        # A delete died after V1 and before V2. One statement both finishes it and announces the new entity, which so
        # never meets the deleted entity's body.
        if seen is not None and await pair.ledger.vacate(seen, seen.intent + step):
            return StoredV2(id, seen.intent, seen.intent + step, True, None, {}), step
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def _check_free(pair: Pair[V1, V2], id: RawId, trusting: bool) -> StoredV2 | None:
    """Return V2's document if the entity does not exist. Raises `AlreadyExists` if it does.

    In a transaction this comes first, because a duplicate key would abort the transaction.
    """
    seen = await pair.bodies.find(id)
    known = trusting and not pair.checked and seen is not None and seen.clean
    if known or await pair.v1.find(id) is not None:
        raise AlreadyExists(decode_id(id))
    return seen
