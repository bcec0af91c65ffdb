"""Reads and writes of V1 alone, ordered by compare-and-set on its revision."""

from __future__ import annotations

from typing import TypeVar

from lazymig.errors import AlreadyExists, Contention
from lazymig.loop.clock import pick_unused_step
from lazymig.protocol.edits import Base, Change, Edit, More
from lazymig.protocol.pair import Pair
from lazymig.protocol.placing import check_missing, explain_refusal
from lazymig.protocol.waiting import back_off
from lazymig.protocol.writing import change_v1, decide
from lazymig.shapes.leaving import answer
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.telemetry import CONTENDED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def read_v1(pair: Pair[V1, V2], id: RawId) -> V1 | None:
    """Return the entity in V1's type, or None. One round trip."""
    stored = await pair.v1.find(id)
    return None if stored is None else pair.conversions.v1_entity(stored)


async def read_converted(pair: Pair[V1, V2], id: RawId) -> V2 | None:
    """Return V1's entity in V2's type; nothing is stored. One round trip."""
    truth = await pair.v1.find(id)
    return None if truth is None else answer(id, await pair.conversions.upgraded(truth, None))


async def exists_in_v1(pair: Pair[V1, V2], id: RawId) -> bool:
    """Return whether V1 holds the entity; nothing is converted. One round trip."""
    return await pair.v1.find(id) is not None


async def write_v1(pair: Pair[V1, V2], id: RawId, edit: Edit) -> Change | None:
    """Change or delete one entity in V1. Two round trips. Raises `NotFound`, `Contention`, or what the edit raises."""
    for attempt in range(pair.max_attempts):
        truth = await pair.v1.find_local(id)
        if truth is None:
            await check_missing(pair, id)
            await back_off(pair, attempt)
            continue
        base = Base(None, truth, keeps_v2=False)
        change = await decide(pair, edit, base)
        if change is More.TRUTH:
            await back_off(pair, attempt)  # V1's document, which it was given, has changed since
            continue
        if await change_v1(pair, id, base, max(truth.revision, 0) + 1, change):
            return change
        pair.tally.count(CONTENDED)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)


async def insert_v1(pair: Pair[V1, V2], id: RawId, change: Change) -> None:
    """Store a new entity in V1. One round trip. Raises `AlreadyExists`, `NotFound`."""
    if pair.in_session and await pair.v1.find_local(id) is not None:
        raise AlreadyExists(decode_id(id))
    above = 0
    for attempt in range(pair.max_attempts):
        # V1 alone keeps no tombstone with a deleted entity's last revision, so choose one that was never used.
        if await pair.v1.insert(id, change.v1_set, above + pick_unused_step(pair.clock)):
            return
        above = await explain_refusal(pair, id)
        await back_off(pair, attempt)
    raise Contention(decode_id(id), pair.max_attempts)
