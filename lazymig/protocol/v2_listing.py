"""Listings and counts by V2's fields, while V1 is still the truth.

Every acknowledged write is in V2, but for those of a process of the phase before, whose last step may have failed or be
under way. Their documents are dirty, and the open marks find them. So a listing or count first brings V2 up to V1 where
V1 has moved on; then V2's own filter and order are right for what V1 held at that moment.

What is dirty when its page is read is answered through V1:
- V1 lacks the entity: it was deleted, and is left out.
- V1 is at the body's revision: the body is V1's present entity. V2's side of the question has found it.
- V1 is at another revision: it moved meanwhile. V1's side of the question decides whether it still matches, V1's entity
  is the answer, and it keeps the place in the order that V2 gave it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

from pymongo.errors import PyMongoError

from lazymig.errors import ConversionError, ForeignDocument, NotFound
from lazymig.loop.deadline import Deadline
from lazymig.protocol.bodies import WRITER_WAITS_S, ask_in_time, is_due
from lazymig.protocol.listed import ByKey
from lazymig.protocol.listing import TURN, fetch_pages, let_others, list_converted, walk_pages
from lazymig.protocol.many import make_answer, read_many
from lazymig.protocol.moved import find_moved, find_passed
from lazymig.protocol.pair import Pair
from lazymig.query import Criteria, Span
from lazymig.stores.alone import Alone
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.ports import Bodies, Repair
from lazymig.stores.raw import Undecoded, keys_of
from lazymig.stores.records import Applied, Document, StoredV1, StoredV2
from lazymig.telemetry import LEFT_DIRTY, REPAIRED

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Open marks per statement.
_PAGE = 500


async def list_entities(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
    """Yield V2's entities in V2's order, some at a time; what is gone is left out, and V1 answers for what is dirty.

    Where V2 does not answer at the beginning, V1 answers it all. V1 is exact, and has its own side of the question.
    """
    async with Deadline(span.timeout_s):
        reachable = await settle(pair) is not None
    if not reachable:
        async with aclosing(list_converted(pair, span)) as converted:
            async for answers in converted:
                yield answers
        return
    async with fetch_pages(pair, find_v2_pages(pair.bodies, span)) as pages:
        async for page in pages:
            for rows in page.parts(TURN):
                yield await _make_answers(pair, span, rows)
                await let_others(pair)


async def count(pair: Pair[V1, V2], criteria: Criteria) -> int:
    """Count V2's entities that match; V1 counts those whose body is not V1's present entity, or all without V2."""
    asked = await settle(pair)
    if asked is None:
        return await pair.v1.count(criteria.v1)
    counted = await pair.bodies.count(criteria.v2, asked)
    return counted + (await pair.v1.count(criteria.v1, asked) if asked else 0)


async def find_v2_pages(store: Bodies | Alone, span: Span) -> AsyncGenerator[Undecoded[StoredV2 | ForeignDocument]]:
    """Yield the pages of a listing by V2's side of the question and of the order."""
    question, order = store.question(span.criteria.v2), span.orders[1]
    after: Document | None = None
    if span.after is not None and order.field == "_id":
        after = {"_id": span.after}
    elif span.after is not None:
        async with Deadline(span.timeout_s):
            seen = await store.find(span.after)
        if seen is None or seen.gone:
            raise NotFound(decode_id(span.after))  # its place in the order is unknown
        after = seen.document
    found = walk_pages(lambda size, after: store.page(question, order, size, after), span, after)
    async with aclosing(found) as pages:
        async for page in pages:
            yield page


async def _make_answers(
    pair: Pair[V1, V2], span: Span, rows: Sequence[StoredV2 | ForeignDocument]
) -> list[V2 | ConversionError]:
    answers: list[V2 | ConversionError | None] = []
    asked = []
    for row in rows:
        entity = row if isinstance(row, ForeignDocument) else _trust(pair, row)
        if entity is None and isinstance(row, StoredV2):
            asked.append((len(answers), row))
        answers.append(entity)
    if asked:
        answered = await _ask_v1(pair, span, [row for _, row in asked])
        for (place, _), answer in zip(asked, answered, strict=True):
            answers[place] = answer
    return [answer for answer in answers if answer is not None]


def _trust(pair: Pair[V1, V2], row: StoredV2) -> V2 | None:
    """Return V2's entity where V2 can answer alone; None where V1 must be asked."""
    return pair.conversions.trusted(row) if row.clean and not pair.checked else None


async def _ask_v1(pair: Pair[V1, V2], span: Span, rows: Sequence[StoredV2]) -> list[V2 | ConversionError | None]:
    """Return V1's answer for each row; None where the entity was deleted, or does not match any more."""
    keys = keys_of(row.id for row in rows)
    async with Deadline(span.timeout_s):
        truths = ByKey(await pair.v1.find_each([row.id for row in rows]))
        moved = [row.id for key, row in zip(keys, rows, strict=True) if _has_moved(truths.get(key), row)]
        question = pair.v1.question(span.criteria.v1)
        still = ByKey(await pair.v1.find_each(moved, question)) if moved and question else truths
    pairs = zip(keys, rows, strict=True)
    found = {row.id: (still if _has_moved(truths.get(key), row) else truths).get(key) for key, row in pairs}
    held = {id: truth for id, truth in found.items() if truth is not None}
    seen = {row.id: row for row in rows}
    answers: dict[RawId, V2 | ConversionError | None] = {}
    if again := [] if pair.checked else await find_moved(pair, seen, held):
        answers |= await read_many(pair, again, lacking=False)
    for id in held.keys() - set(again):
        answer = await make_answer(pair, seen[id], held[id])
        answers[id] = answer
    return [answers.get(row.id) for row in rows]


def _has_moved(truth: StoredV1 | None, row: StoredV2) -> bool:
    return truth is not None and truth.revision != row.revision


async def settle(pair: Pair[V1, V2]) -> list[RawId] | None:
    """Bring V2 up to V1 where a write is announced and V1 has moved on. One round trip where no write is open.

    Returns the ids of those that only V1 can answer for: V2 could not be brought up, or holds what V1 has deleted.
    None: V2 does not answer.
    """
    asked: list[RawId] = []
    page, reachable = await ask_in_time(pair, pair.ledger.open_marks, _PAGE, None)
    if not reachable:
        return None
    while page:
        asked += await _settle_page(pair, page)
        page = await pair.ledger.open_marks(_PAGE, page[-1]) if len(page) == _PAGE else []
    return asked


async def _settle_page(pair: Pair[V1, V2], page: Sequence[StoredV2]) -> list[RawId]:
    """Bring these up to V1 by three statements; return the ids of those that could not be."""
    ids = [seen.id for seen in page]
    keys = keys_of(ids)
    waited: set[tuple[RawId, int]] = set()
    for turn, delay_s in enumerate((*WRITER_WAITS_S, 0)):
        truths = ByKey(await pair.v1.find_each(ids))
        behind: list[tuple[StoredV2, StoredV1]] = []
        for key, seen in zip(keys, page, strict=True):
            truth = truths.get(key)
            if truth is not None and truth.revision > seen.revision:
                behind.append((seen, truth))
        # A writer is about to store a body that may hold what V1 cannot express. It is not waited for as long as by a
        # read, which can answer without a repair: a listing could not find the entity.
        due = {(seen.id, truth.revision) for seen, truth in behind if await is_due(pair, seen, truth)}
        waited = waited & due if turn else due
        if not delay_s or not due:
            break
        await pair.clock.sleep(delay_s)
        now = ByKey(await pair.bodies.find_each(ids))
        page = [now.get(key) or seen for key, seen in zip(keys, page, strict=True)]
    coming = _find_late(due, waited) | await find_passed(pair, behind)
    repaired = await _repair(pair, [(seen, truth) for seen, truth in behind if seen.id not in coming])
    return [
        seen.id
        for key, seen in zip(keys, page, strict=True)
        if _differs(truths.get(key), seen) and seen.id not in repaired
    ]


def _find_late(due: set[tuple[RawId, int]], waited: set[tuple[RawId, int]]) -> set[RawId]:
    """Return those whose body has become due since. One that was waited for to the end is a dead writer's."""
    return {id for id, _ in due - waited}


def _differs(truth: StoredV1 | None, seen: StoredV2) -> bool:
    if truth is None:
        return not seen.gone  # a delete that has yet to reach V2
    if seen.unmoved is not None and truth.revision == seen.revision:
        return False  # V2's door does not list it
    return seen.gone or truth.revision != seen.revision


async def _repair(pair: Pair[V1, V2], behind: Sequence[tuple[StoredV2, StoredV1]]) -> list[RawId]:
    """Store V1's conversions over the documents that were seen; return the ids of those that V2 took, or is past."""
    repairs: list[Repair] = []
    for seen, truth in behind:
        if pair.conversions.is_newer(seen):
            continue  # a newer release's body, which this one must not replace
        try:
            body = pair.conversions.v2_stored(await pair.conversions.upgraded(truth, seen))
        except ConversionError:
            continue
        repairs.append((seen, body, truth.revision))
    if not repairs:
        return []
    try:
        outcomes = await pair.bodies.apply_many(repairs, durable=False)
    except PyMongoError:
        pair.tally.count(LEFT_DIRTY)
        return []
    stored = [seen.id for (seen, _, _), outcome in zip(repairs, outcomes, strict=True) if _is_stored(outcome)]
    pair.tally.count(REPAIRED, len(stored))
    return stored


def _is_stored(outcome: object) -> bool:
    # Where the document has changed since it was seen, another process has stored that revision or a later one.
    return outcome in (Applied.APPLIED, Applied.NEWER)
