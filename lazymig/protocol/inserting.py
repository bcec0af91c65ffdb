"""Inserts: announced where nothing live stands, at a revision that no entity of the id had."""

from __future__ import annotations

from typing import Any, TypeVar

from pymongo.errors import WriteError

from lazymig.clock import unused_step
from lazymig.codec import decode_id
from lazymig.edits import Change
from lazymig.errors import AlreadyExists, Contention
from lazymig.pair import Pair
from lazymig.protocol.reading import exists
from lazymig.protocol.writing import back_off, finish, settle, withdraw
from lazymig.records import PLACEHOLDER, StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def insert(pair: Pair[V1, V2], id: Any, change: Change) -> None:
    """Store a new entity. Three round trips. Raises `AlreadyExists`."""
    if pair.in_session and await exists(pair, id):
        raise AlreadyExists(decode_id(id))
    # 1. Announced where nothing live stands in V2.
    ticket = await _announced(pair, id)
    # 2. V1 decides whether the id is free.
    try:
        inserted = await pair.v1.insert(id, change.v1_set, ticket)
    except WriteError:
        # V1 refuses the document: nothing was written. Alone where the announcement made V2's document.
        await withdraw(pair, StoredV2(id, PLACEHOLDER, ticket, True, None, {}), ticket)
        raise
    if not inserted:
        # The announcement of an insert that found its id taken.
        await settle(pair, id)
        raise AlreadyExists(decode_id(id))
    # 3. As in `write`.
    await pair.behind.do(lambda: finish(pair, id, ticket, change), None, id)


async def _announced(pair: Pair[V1, V2], id: Any) -> int:
    """The revision of the new entity, announced in V2, where no body of an earlier life is left or can still arrive."""
    for attempt in range(pair.max_attempts):
        step = unused_step(pair.clock)
        seen = await pair.v2.vacant_ticket(id, step)
        if seen is None:
            ticket = await _over_a_live_document(pair, id, step)
        elif seen.intent - step > max(seen.revision, 0) and pair.conversions.migration.upgrading.takes_other:
            ticket = await _over_open_announcements(pair, seen, step)
        else:
            return seen.intent
        if ticket is not None:
            return ticket
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def _over_a_live_document(pair: Pair[V1, V2], id: Any, step: int) -> int | None:
    """The ticket where V2 holds a body, but V1 no entity: a delete died half way. None: V2 has changed, start over."""
    seen = await pair.v2.find(id)
    if seen is None or seen.gone:
        return None
    if (seen.clean and not pair.checked) or await pair.v1.find(id) is not None:
        raise AlreadyExists(decode_id(id))
    # The delete is finished by the same statement, so that the new entity never meets the body of the last one.
    return await _vacated(pair, seen, seen.intent, seen.intent + step)


async def _over_open_announcements(pair: Pair[V1, V2], seen: StoredV2, step: int) -> int | None:
    """The ticket where writes were announced before this insert and their bodies have yet to come.

    A body that is late would stand beside the new entity, and what only it holds would be taken for the new one's.
    """
    if await pair.v1.find(seen.id) is not None:
        await settle(pair, seen.id)
        raise AlreadyExists(decode_id(seen.id))
    # V1 holds nothing: they were of an earlier life, and come too late from now on.
    return await _vacated(pair, seen, seen.intent - step, seen.intent)


async def _vacated(pair: Pair[V1, V2], seen: StoredV2, revision: int, intent: int) -> int | None:
    return intent if await pair.v2.vacate(seen, revision, intent) else None
