"""Reads of many entities at once. They decide as `protocol.read` does, and send one statement per set of ids."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from pymongo.errors import PyMongoError

from lazymig.errors import ConversionError, ForeignDocument
from lazymig.protocol.bodies import ask_in_time, await_own_body, name_stored
from lazymig.protocol.edits import Base, make_v2
from lazymig.protocol.moved import find_moved
from lazymig.protocol.pair import Pair
from lazymig.protocol.reading import OLD_READ_S, compare, look_again_at, read
from lazymig.shapes.leaving import as_answer, as_answers
from lazymig.stores.chunks import split_ids
from lazymig.stores.given import RawId
from lazymig.stores.records import Applied, Put, StoredV1, StoredV2, Unmoved
from lazymig.telemetry import LEFT_DIRTY, REFUSED, REPAIRED

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def read_many(
    pair: Pair[V1, V2], ids: Sequence[RawId], *, lacking: bool = True
) -> dict[RawId, V2 | ConversionError]:
    """Return the entities with these ids, by three statements per thousand; missing ids are left out.

    A fourth statement replaces bodies of older conversions. Dirty entities are read from V1 and not repaired. Where
    bodies hold what V1 cannot express, one more statement looks whether dirty entities have moved meanwhile.
    Without `lacking`, entities that V2 lacks do not exist.
    """
    answers: dict[RawId, V2 | ConversionError] = {}
    for part in split_ids(ids):
        answers |= await _read_part(pair, part, lacking)
    return answers


async def read_v1_many(pair: Pair[V1, V2], ids: Sequence[RawId]) -> dict[RawId, V1 | ConversionError]:
    """Return V1's entities in V1's type; missing ids are left out. One statement per thousand ids."""
    answers: dict[RawId, V1 | ConversionError] = {}
    for part in split_ids(ids):
        stored = await pair.v1.find_many(part)
        for id in (id for id in part if id in stored):
            answer = make_v1_answer(pair, stored[id])
            answers[id] = answer
    return answers


def make_v1_answer(pair: Pair[V1, V2], stored: StoredV1) -> V1 | ConversionError:
    """Return V1's entity in V1's type, or why it cannot be read."""
    try:
        return pair.conversions.v1_entity(stored)
    except ConversionError as error:
        return error


async def convert_many(pair: Pair[V1, V2], ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
    """Return V1's entities in V2's type; nothing is stored. One statement per thousand ids."""
    answers: dict[RawId, V2 | ConversionError] = {}
    for part in split_ids(ids):
        answers |= as_answers(await make_answers(pair, {}, await pair.v1.find_many(part)))
    return answers


async def _read_part(pair: Pair[V1, V2], ids: Sequence[RawId], lacking: bool) -> dict[RawId, V2 | ConversionError]:
    if pair.checked:
        return {id: answer async for id, answer in _read_one_by_one(pair, ids)}
    # Wait for all at once: one after the other, a V2 that hangs would use up the time of the whole call.
    if held := [id for id in ids if pair.behind.holds(id)]:
        await asyncio.gather(*(await_own_body(pair, id) for id in held))
    answer, reachable = await ask_in_time(pair, pair.bodies.find_many, ids)
    found = answer or {}
    answers: dict[RawId, V2 | ConversionError | Unmoved] = {
        id: stored for id, stored in found.items() if isinstance(stored, ForeignDocument)
    }
    seen = {id: stored for id, stored in found.items() if not isinstance(stored, ForeignDocument)}
    for id, stored in seen.items():
        entity = pair.conversions.trusted(stored) if stored.clean else None
        if entity is not None:
            answers[id] = entity
    rest = [id for id in ids if id not in answers and (id in seen or lacking or not reachable)]
    read_at_s = pair.clock.monotonic()
    truths = await pair.v1.find_many(rest) if rest else {}
    answers.update(await make_answers(pair, seen, truths))
    if not reachable:
        return as_answers({id: answers[id] for id in ids if id in answers})
    for id in (moved := await find_moved(pair, seen, truths)):
        del answers[id], truths[id]
    lost = moved + await put_many(pair, [truth for id, truth in truths.items() if id not in seen], answers, read_at_s)
    for id in lost:
        answers.pop(id, None)  # it is read again; if it was deleted meanwhile, it is left out
    answers.update({id: answer async for id, answer in _read_one_by_one(pair, lost)})
    await store_again(pair, seen, truths, answers)
    return as_answers({id: answers[id] for id in ids if id in answers})


async def store_again(
    pair: Pair[V1, V2],
    seen: dict[RawId, StoredV2],
    truths: dict[RawId, StoredV1],
    answers: dict[RawId, V2 | ConversionError | Unmoved],
) -> None:
    """Replace what older conversions stored, and unreadable bodies, by one statement.

    Each new body only replaces the one that was seen. Dirty entities are repaired by reads of single entities.
    """
    repairs = []
    for id, stored in seen.items():
        truth, entity = truths.get(id), answers.get(id)
        if truth is None or entity is None or isinstance(entity, ConversionError):
            continue
        if not stored.settled or stored.revision != truth.revision or pair.conversions.is_newer(stored):
            continue
        if pair.conversions.decided(stored, truth) is not None:
            continue
        try:
            repairs.append((stored, pair.conversions.v2_stored(entity), truth.revision))
        except ConversionError as error:
            answers[id] = error
    if not repairs:
        return
    unknown: list[Applied | BaseException] = []
    try:
        outcomes = await pair.behind.do(lambda: pair.bodies.apply_many(repairs, durable=False), unknown)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)
        return
    pair.tally.count(REPAIRED, outcomes.count(Applied.APPLIED))
    pair.tally.count(REFUSED, outcomes.count(Applied.REFUSED))


async def put_many(
    pair: Pair[V1, V2],
    truths: Sequence[StoredV1],
    answers: dict[RawId, V2 | ConversionError | Unmoved],
    read_at_s: float,
) -> list[Any]:
    """Store new conversions by one statement; return the ids that others stored first."""
    documents, names = [], []
    for truth in truths:
        entity = answers[truth.id]
        if isinstance(entity, ConversionError):
            continue
        try:
            body = pair.conversions.v2_stored(entity)
            documents.append(pair.bodies.born_clean(truth.id, body, truth.revision, "read"))
            names.append(name_stored(body))
        except ConversionError as error:
            answers[truth.id] = error
    if not documents:
        return []
    try:
        puts = await pair.bodies.put_many(documents)
        if pair.clock.monotonic() - read_at_s > OLD_READ_S:
            await look_again_at(pair, truths)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)
        return []
    for name, count in Counter(name for name, put in zip(names, puts, strict=True) if put is Put.STORED).items():
        pair.tally.count(name, count)
    pair.tally.count(REFUSED, puts.count(Put.REFUSED))
    return [document["_id"] for document, put in zip(documents, puts, strict=True) if put is Put.LOST]


async def make_answers(
    pair: Pair[V1, V2], seen: dict[RawId, StoredV2], truths: dict[RawId, StoredV1]
) -> dict[RawId, V2 | ConversionError | Unmoved]:
    """Return what is made in V2's type of each of V1's documents.

    It is V2's body where that was made from V1's revision and may answer, else V1's entity, converted.
    """
    answers: dict[RawId, V2 | ConversionError | Unmoved] = {}
    for id, truth in truths.items():
        answer = await make_one(pair, seen.get(id), truth)
        answers[id] = answer
    return answers


async def make_answer(
    pair: Pair[V1, V2], seen: StoredV2 | None, truth: StoredV1, *, seen_later: bool = False
) -> V2 | ConversionError | None:
    """Return V2's door's answer for one of V1's documents, or why there is none; None for one that is left."""
    made = await make_one(pair, seen, truth, seen_later=seen_later)
    return as_answer(truth.id, made)


async def make_one(
    pair: Pair[V1, V2], seen: StoredV2 | None, truth: StoredV1, *, seen_later: bool = False
) -> V2 | ConversionError | Unmoved:
    """Return what is made in V2's type of one of V1's documents, or why it cannot be made.

    It is V2's body where that was made from V1's revision and may answer, else V1's entity, converted. `seen_later`:
    V2 was read after V1.
    """
    try:
        if seen is None:  # nothing is recorded, and there is no body that could answer
            return await pair.conversions.upgraded(truth, None, storing=False)
        if pair.checked:
            return (await compare(pair, seen, truth, seen_later=seen_later))[0]
        unmoved = pair.conversions.decided(seen, truth)
        if unmoved is not None:
            return unmoved
        base = Base(seen, truth)
        return await make_v2(pair.conversions, base, storing=False, seen_later=seen_later)
    except ConversionError as error:
        return error


async def _read_one_by_one(pair: Pair[V1, V2], ids: Sequence[RawId]) -> AsyncIterator[tuple[Any, V2 | ConversionError]]:
    for id in ids:
        try:
            entity = await read(pair, id)
        except ConversionError as error:
            yield id, error
        else:
            if entity is not None:
                yield id, entity
