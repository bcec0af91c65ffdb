"""Reads and writes of V2 alone, ordered by a guard on its revision and its intent. V1 is neither read nor written.

An announcement of a process that still writes both collections changes the intent, so a write that began before it
loses; and every write closes it, since the new revision and the new intent are one number, above the old intent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from pymongo.errors import WriteError

from lazymig.errors import AlreadyExists, Contention, ConversionError, ForeignDocument, NotFound
from lazymig.loop.clock import pick_unused_step
from lazymig.protocol.edits import Change, ClientEdit
from lazymig.protocol.listing import TURN, fetch_pages, let_others
from lazymig.protocol.pair import Pair
from lazymig.protocol.v2_listing import find_v2_pages
from lazymig.protocol.waiting import back_off
from lazymig.query import Span
from lazymig.shapes.leaving import check_moved
from lazymig.stores.chunks import split_ids
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import Document, StoredV2
from lazymig.telemetry import CONTENDED

V1 = TypeVar("V1")
V2 = TypeVar("V2")
E = TypeVar("E")


async def read(pair: Pair[V1, V2], id: RawId) -> V2 | None:
    """Return the entity, or None. One round trip."""
    seen = await pair.alone.find(id)
    return None if seen is None or seen.gone else pair.conversions.v2_entity(seen)


async def read_v1(pair: Pair[V1, V2], id: RawId) -> V1 | None:
    """Return the entity in V1's type, converted, or None. One round trip."""
    entity = await read(pair, id)
    return None if entity is None else await pair.conversions.downgrade(entity, None)


async def exists(pair: Pair[V1, V2], id: RawId) -> bool:
    """Whether the entity exists; nothing is converted. One round trip."""
    seen = await pair.alone.find(id)
    return seen is not None and not seen.gone


async def read_many(pair: Pair[V1, V2], ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
    """Return the entities with these ids; missing ids are left out. One round trip per thousand ids."""
    return await _read_many(ids, pair, lambda seen: _decode(pair, seen))


async def read_v1_many(pair: Pair[V1, V2], ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
    """Return the entities with these ids in V1's type, converted. One round trip per thousand ids."""
    return await _read_many(ids, pair, lambda seen: _downgrade(pair, seen))


async def _read_many(
    ids: Sequence[RawId], pair: Pair[V1, V2], make: Callable[[StoredV2], Awaitable[E]]
) -> dict[RawId, E | ConversionError]:
    answers: dict[RawId, E | ConversionError] = {}
    for part in split_ids(ids):
        found = await pair.alone.find_many(part)
        for id in part:
            seen = found.get(id)
            if seen is not None and (isinstance(seen, ForeignDocument) or not seen.gone):
                answers[id] = await _attempt(make, seen)
    return answers


async def _attempt(make: Callable[[StoredV2], Awaitable[E]], seen: StoredV2 | ForeignDocument) -> E | ConversionError:
    if isinstance(seen, ForeignDocument):
        return seen
    try:
        return await make(seen)
    except ConversionError as error:
        return error


async def _decode(pair: Pair[V1, V2], seen: StoredV2) -> V2:
    return pair.conversions.v2_entity(seen)


async def _downgrade(pair: Pair[V1, V2], seen: StoredV2) -> V1:
    return await pair.conversions.downgrade(pair.conversions.v2_entity(seen), None)


def _get_body(id: RawId, change: Change) -> Document:
    """Return the body to store. Raises `ConversionError` where there is none, decided while V1 was still written."""
    return check_moved(id, change.v2_body)


async def write(pair: Pair[V1, V2], id: RawId, edit: ClientEdit) -> Change | None:
    """Change or delete one entity in V2. Two round trips. Raises `NotFound`, `Contention`, or what the edit raises."""
    for attempt in range(pair.max_attempts):
        seen = await pair.alone.find_local(id)
        if seen is None or seen.gone:
            if await pair.alone.confirm_missing(id):
                raise NotFound(decode_id(id))
            await back_off(pair, attempt)  # it is back: a fail-over took back the delete that was seen
            continue
        change = await edit.decide_alone(seen)
        bury = partial(pair.alone.bury, seen, again=attempt > 0)
        if await (bury() if change is None else _replace(pair, seen, change)):
            return change
        pair.tally.count(CONTENDED)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def _replace(pair: Pair[V1, V2], seen: StoredV2, change: Change) -> bool:
    try:
        return await pair.alone.replace(seen, _get_body(seen.id, change))
    except WriteError:
        change.note_refusal()
        raise


async def insert(pair: Pair[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity in V2. One round trip, three over a tombstone. Raises `AlreadyExists`."""
    for attempt in range(pair.max_attempts):
        # In a transaction this comes first, because a duplicate key would abort the transaction.
        seen = await pair.alone.find(id) if pair.in_session or attempt else None
        # An id that V2 never had starts at a revision that no entity with it can have had.
        if seen is None and await pair.alone.insert(id, _get_body(id, change), pick_unused_step(pair.clock)):
            return
        # The majority has what took the id, or what took over a tombstone: the statement that has lost waited for that.
        # What it does not have may be taken back, so it takes no id.
        seen = seen or await pair.alone.find(id)
        if seen is not None and not seen.gone:
            raise AlreadyExists(decode_id(id))
        if seen is not None and await pair.alone.replace(seen, _get_body(id, change)):
            return
        pair.tally.count(CONTENDED)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def list_entities(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
    """Yield V2's entities in V2's order, some at a time."""
    async with aclosing(_list(pair, span, lambda seen: _decode(pair, seen))) as found:
        async for some in found:
            yield some


async def list_v1(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
    """Yield V2's entities in V1's type and V2's order, some at a time."""
    async with aclosing(_list(pair, span, lambda seen: _downgrade(pair, seen))) as found:
        async for some in found:
            yield some


async def _list(
    pair: Pair[V1, V2], span: Span, make: Callable[[StoredV2], Awaitable[E]]
) -> AsyncGenerator[list[E | ConversionError]]:
    async with fetch_pages(pair, find_v2_pages(pair.alone, span)) as pages:
        async for page in pages:
            for rows in page.parts(TURN):
                answers: list[E | ConversionError] = []
                for row in rows:
                    answer = await _attempt(make, row)
                    answers.append(answer)
                yield answers
                await let_others(pair)
