"""Inserts: announced where nothing live stands, at a revision that no entity of the id had."""

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
    # 1. Announced where nothing live stands in V2.
    announced, step = await _announce(pair, id)
    ticket = announced.intent
    # 2. V1 decides whether the id is free.
    try:
        inserted = await pair.v1.insert(id, change.v1_set, ticket)
    except WriteError:
        # V1 refuses the document: nothing was written. It says so before it looks whether the id is taken, so others'
        # announcements may stand beside this one.
        await withdraw(pair, announced, step)
        raise
    if not inserted:
        # The announcement of an insert that found its id taken.
        await _forget(pair, id, ticket)
        await close_mark(pair, id)
        raise AlreadyExists(decode_id(id))
    # 3. As in `write`.
    done = Done(ticket, change, ticket)
    await pair.behind.do(lambda: finish(pair, id, done), None, id)


async def _forget(pair: Pair[V1, V2], id: RawId, ticket: int) -> None:
    try:
        await pair.ledger.forget_insert(id, ticket)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)  # what only V2's body holds may be dropped when the entity is healed


async def _announce(pair: Pair[V1, V2], id: RawId) -> tuple[StoredV2, int]:
    """V2's document with the new entity's revision announced, without any body; and by how much that raised it."""
    step = pick_unused_step(pair.clock)
    for attempt in range(pair.max_attempts):
        seen = await _check_free(pair, id) if pair.in_session else None
        if seen is None or seen.gone:
            announced = await pair.ledger.vacant_ticket(id, step)
            if announced is not None:
                return announced, step
            seen = await _check_free(pair, id)
        # A delete died half way. It is finished by the same statement that announces the new entity, so that this
        # one never meets the body of the last.
        if seen is not None and await pair.ledger.vacate(seen, seen.intent + step):
            return StoredV2(id, seen.intent, seen.intent + step, True, None, {}), step
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def _check_free(pair: Pair[V1, V2], id: RawId) -> StoredV2 | None:
    """V2's document where the entity does not stand. Raises `AlreadyExists`.

    In a transaction it is asked for first, since a duplicate key would end all of it.
    """
    seen = await pair.bodies.find(id)
    if (seen is not None and seen.clean and not pair.checked) or await pair.v1.find(id) is not None:
        raise AlreadyExists(decode_id(id))
    return seen
