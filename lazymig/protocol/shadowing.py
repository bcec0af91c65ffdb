"""Reads while V2 is filled and does not answer: V1's answer first, then V2 is filled or repaired with it.

The order of the two reads does not matter to V2: whatever is stored there goes over nothing, or over exactly the
document that was seen. It matters to the caller: once V1 has answered, no failure of V2 is an error, nor does a V2 that
hangs delay the call by more than half of its time, or by `v2_wait_s`. With `write_behind`, it is not waited for at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from pymongo.errors import PyMongoError

from lazymig.errors import ConversionError, ForeignDocument
from lazymig.protocol.bodies import ask_aside
from lazymig.protocol.many import make_answers, put_many, store_again
from lazymig.protocol.pair import Pair
from lazymig.protocol.reading import fill
from lazymig.shapes.leaving import answer, as_answers
from lazymig.stores.chunks import split_ids
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1, Unmoved
from lazymig.telemetry import V2_AWAY

V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def read(pair: Pair[V1, V2], id: RawId) -> V2 | None:
    """Return V1's entity in V2's type, and fill V2. Two round trips when V2 is clean."""
    read_at_s = pair.clock.monotonic()
    truth = await pair.v1.find(id)
    if truth is None:
        return None
    made = await pair.conversions.upgraded(truth, None)
    await pair.behind.do(lambda: _fill(pair, truth, read_at_s), None)
    return answer(id, made)


async def _fill(pair: Pair[V1, V2], truth: StoredV1, read_at_s: float) -> None:
    try:
        seen, reachable = await ask_aside(pair, pair.bodies.find, truth.id)
        if reachable and (pair.checked or seen is None or not pair.conversions.is_settled(seen)):
            await fill(pair, seen, truth, read_at_s)
    except PyMongoError:
        pair.tally.count(V2_AWAY)
    except ConversionError:
        pass  # V1's entity is the answer; the sweep reports what V2 cannot get


async def read_many(pair: Pair[V1, V2], ids: Sequence[RawId]) -> dict[RawId, V2 | ConversionError]:
    """Return V1's entities in V2's type, and fill V2. Two round trips per thousand ids when V2 is clean."""
    answers: dict[RawId, V2 | ConversionError] = {}
    for part in split_ids(ids):
        read_at_s = pair.clock.monotonic()
        truths = await pair.v1.find_many(part)
        converted: dict[RawId, V2 | ConversionError] = {}
        if pair.checked:
            for id in truths:
                converted |= await _read_checked(pair, id)
        else:
            converted = as_answers(await make_answers(pair, {}, truths))
            await pair.behind.do(partial(_fill_many, pair, truths, read_at_s), None)
        answers |= {id: converted[id] for id in part if id in converted}
    return answers


async def _read_checked(pair: Pair[V1, V2], id: RawId) -> dict[RawId, V2 | ConversionError]:
    try:
        entity = await read(pair, id)
    except ConversionError as error:
        return {id: error}
    return {} if entity is None else {id: entity}


async def _fill_many(pair: Pair[V1, V2], truths: dict[RawId, StoredV1], read_at_s: float) -> None:
    try:
        found, reachable = await ask_aside(pair, pair.bodies.find_many, list(truths))
        if not reachable:
            return
        seen = {id: stored for id, stored in (found or {}).items() if not isinstance(stored, ForeignDocument)}
        current = {id for id, stored in seen.items() if pair.conversions.is_settled(stored)}
        left = {id: truth for id, truth in truths.items() if id not in current}
        # Made with V2's body as the previous entity, which the answers were made without.
        made: dict[RawId, V2 | ConversionError | Unmoved] = await make_answers(pair, seen, left)
        await put_many(pair, [truth for id, truth in left.items() if id not in (found or {})], made, read_at_s)
        await store_again(pair, seen, left, made)
    except PyMongoError:
        pair.tally.count(V2_AWAY)
