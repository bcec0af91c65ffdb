"""Inserts: announced where V2 holds no live document, at a revision that no entity with this id ever had."""

from __future__ import annotations

from typing import TypeVar

from pymongo.errors import PyMongoError, WriteError

from lazymig.errors import AlreadyExists, Contention
from lazymig.loop.clock import pick_unused_step
from lazymig.protocol.edits import Change
from lazymig.protocol.pair import Pair
from lazymig.protocol.writing import Done, back_off, close_mark, finish, withdraw
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV2
from lazymig.telemetry import LEFT_DIRTY

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def insert(pair: Pair[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity. Three round trips. Raises `AlreadyExists`."""
    # 1. The announcement, where V2 holds no live document.
    announced, step = await _announce(pair, id)
    ticket = announced.intent
    # 2. V1 decides whether the id is free.
    try:
        inserted = await pair.v1.insert(id, change.v1_set, ticket)
    except WriteError:
        # V1 refuses the document, so nothing was written. The server checks that before it checks whether the id is
        # taken, so other writers may have announced something as well.
        await withdraw(pair, announced, step)
        raise
    if not inserted:
        # The id is taken: V2 must not remember this insert, and healing closes its announcement.
        await _forget(pair, id, ticket)
        await close_mark(pair, id)
        raise AlreadyExists(decode_id(id))
    # 3. V1 has the entity: whatever happens to this step is no error for the caller.
    done = Done(ticket, change, ticket)
    await pair.behind.do(lambda: finish(pair, id, done), None, id)


async def _forget(pair: Pair[V1, V2], id: RawId, ticket: int) -> None:
    try:
        await pair.ledger.forget_insert(id, ticket)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)  # healing may then drop what only V2's body holds


async def _announce(pair: Pair[V1, V2], id: RawId) -> tuple[StoredV2, int]:
    """Announce the new entity's revision; return V2's document without a body, and how far this raised the intent."""
    step = pick_unused_step(pair.clock)
    for attempt in range(pair.max_attempts):
        seen = await _check_free(pair, id) if pair.in_session else None
        if seen is None or seen.gone:
            announced = await pair.ledger.vacant_ticket(id, step)
            if announced is not None:
                return announced, step
            seen = await _check_free(pair, id)
        # A delete died after V1 and before V2. One statement both finishes it and announces the new entity, which so
        # never meets the deleted entity's body.
        if seen is not None and await pair.ledger.vacate(seen, seen.intent + step):
            return StoredV2(id, seen.intent, seen.intent + step, True, None, {}), step
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def _check_free(pair: Pair[V1, V2], id: RawId) -> StoredV2 | None:
    """Return V2's document if the entity does not exist. Raises `AlreadyExists` if it does.

    In a transaction this comes first, because a duplicate key would abort the transaction.
    """
    seen = await pair.bodies.find(id)
    if (seen is not None and seen.clean and not pair.checked) or await pair.v1.find(id) is not None:
        raise AlreadyExists(decode_id(id))
    return seen
