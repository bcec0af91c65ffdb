"""Writes of one document with both shapes: find, decide, compare and set. Two round trips; an insert is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeAlias, TypeVar

from pymongo.errors import WriteError

from lazymig.errors import AlreadyExists, Contention, NotFound
from lazymig.loop.clock import pick_unused_step
from lazymig.protocol.edits import Base, Change, ClientEdit, More
from lazymig.protocol.in_place.composing import (
    compose_alone,
    compose_birth,
    compose_birth_alone,
    compose_v1,
    compose_write,
    hold_decided,
    raise_revision,
)
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.waiting import back_off
from lazymig.shapes.leaving import check_moved
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.records import Document, Fields, WholeChange
from lazymig.stores.whole_documents import check_whole, spell_whole
from lazymig.telemetry import CONTENDED

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Decides a write from a document: what the caller gets, and the statement; None for a delete.
Decide: TypeAlias = Callable[[Parts[V1, V2], ClientEdit], Awaitable[tuple[Change | None, WholeChange | None]]]


async def decide_both(parts: Parts[V1, V2], edit: ClientEdit) -> tuple[Change | None, WholeChange | None]:
    """Decide a write that keeps both parts. Once V2's part is the truth, it stays so."""
    if parts.alone:
        return await decide_alone(parts, edit)
    change = _settled(await edit.decide(parts.base._replace(check=partial(compose_write, parts))))
    return change, None if change is None else compose_write(parts, change)


async def decide_v1(parts: Parts[V1, V2], edit: ClientEdit) -> tuple[Change | None, WholeChange | None]:
    """Decide a write of V1's part alone."""
    if parts.alone:
        return await decide_alone(parts, edit)
    check_whole(parts.stored)
    change = _settled(await edit.decide(Base(None, parts.v1, keeps_v2=False)))
    return change, None if change is None else compose_v1(parts, change)


async def decide_alone(parts: Parts[V1, V2], edit: ClientEdit) -> tuple[Change | None, WholeChange | None]:
    """Decide a write of V2's part alone, which is the truth from then on."""
    parts.check_reduced()
    seen = parts.v2(fits=True)
    if seen is not None and (parts.alone or parts.trusted() is not None):
        change = await edit.decide_alone(seen)
    else:
        # What other programs have written until now still counts: only from this write on is V2's part the truth.
        change = _settled(await edit.decide(parts.base))
    if change is None:
        return None, None
    return change, compose_alone(parts, check_moved(parts.stored.id, change.v2_body))


def _settled(change: Change | Literal[More.TRUTH] | None) -> Change | None:
    assert change is not More.TRUTH  # it was given V1's part
    return change


async def write(
    place: Place[V1, V2], id: RawId, edit: ClientEdit, decide: Decide[V1, V2] = decide_both
) -> Change | None:
    """Change or delete one entity. Raises `NotFound`, `Contention`, or what the edit raises."""
    await place.behind.wait_for(id)
    for attempt in range(place.max_attempts):
        stored = await place.store.find_local(id)
        if stored is None:
            if await place.store.confirm_missing(id):
                raise NotFound(decode_id(id))
            await back_off(place, attempt)  # it is back: a fail-over took back the delete that was seen
            continue
        parts = Parts(place, stored)
        change, statement = await decide(parts, edit)
        if await (_delete(parts, edit, again=attempt > 0) if statement is None else _change(place, change, statement)):
            return change
        place.tally.count(CONTENDED)
        await back_off(place, attempt)
    raise Contention(decode_id(id), place.max_attempts)


async def _change(place: Place[V1, V2], change: Change | None, statement: WholeChange) -> bool:
    try:
        return await place.store.change(statement)
    except WriteError:
        if change is not None:
            change.note_refusal()
        raise


async def _delete(parts: Parts[V1, V2], edit: ClientEdit, *, again: bool) -> bool:
    # V2's door does not know an entity that `upgrade` leaves, and another program may just have made it one.
    held = hold_decided(parts) if edit.needs_entity else None
    place, stored = parts.place, parts.stored
    # Two deletes that raise revisions could go on raising each other's.
    return await place.store.delete(stored, None if again else raise_revision(place, stored), held)


async def insert(place: Place[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity with both parts. One round trip. Raises `AlreadyExists`."""
    await _insert(place, id, *compose_birth(place, id, change, pick_unused_step(place.clock)))


async def insert_v1(place: Place[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity with V1's part only. One round trip. Raises `AlreadyExists`."""
    await _insert(place, id, change.v1_set, spell_whole(pick_unused_step(place.clock)))


async def insert_alone(place: Place[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity with V2's part only. One round trip. Raises `AlreadyExists`."""
    body = check_moved(id, change.v2_body)
    await _insert(place, id, *compose_birth_alone(place, id, body, pick_unused_step(place.clock)))


async def _insert(place: Place[V1, V2], id: RawId, document: Document | Fields, meta: Document) -> None:
    if place.in_session and await place.store.find_local(id) is not None:
        raise AlreadyExists(decode_id(id))
    if not await place.store.insert(id, document, meta):
        raise AlreadyExists(decode_id(id))
