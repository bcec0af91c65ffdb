"""Listings in a stable order and in constant memory: each page starts after the key of the last one.

V1 decides which entities exist and in which order. While V2 has most bodies, V1 is asked for ids and revisions only;
while V2 has few, V1 is asked for whole documents. Each page decides that for the next. The next page is fetched while
the entities of this one are made, a few at a time, and yielded.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from attrs import evolve

from lazymig.errors import ConversionError, NotFound
from lazymig.loop.deadline import Deadline
from lazymig.loop.turns import fetch_ahead, let_others_run
from lazymig.protocol.bodies import WRITER_WAITS_S, ask_in_time
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.listed import ByKey, Missed, Page, make_page_answers
from lazymig.protocol.many import make_answer, make_v1_answer
from lazymig.protocol.pair import Pair
from lazymig.query import Span
from lazymig.stores.documents import decode_id
from lazymig.stores.given import RawId
from lazymig.stores.keyset import Order
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Document, StoredV1, StoredWhole

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

#: Entities per statement. The first page is smaller, for callers that only need the beginning.
FIRST_PAGE, PAGE = 100, 1000
#: Documents that are decoded at a time, and entities that are made between two turns of the event loop. Some at once
#: are faster than one by one, and more of them that live together cost the garbage collector more than that saves.
TURN = 20


async def list_v1(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V1 | ConversionError]]:
    """Yield V1's entities in V1's type, or why one cannot be read, some at a time."""
    async with aclosing(_list_rows(pair, span, Missed())) as found:
        async for some in found:
            answers: list[V1 | ConversionError] = []
            for row in some:
                answer = make_v1_answer(pair, row)
                answers.append(answer)
            yield answers


async def list_converted(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
    """Yield V1's entities converted to V2's type, some at a time. V2 is not read."""
    async with aclosing(until_full(span, partial(_list_converted, pair))) as found:
        async for some in found:
            yield some


async def _list_converted(pair: Pair[V1, V2], span: Span, missed: Missed) -> AsyncGenerator[list[V2 | ConversionError]]:
    async with aclosing(_list_rows(pair, span, missed)) as found:
        async for some in found:
            answers: list[V2 | ConversionError] = []
            for row in some:
                missed.note(row, answer := await make_answer(pair, None, row))
                if answer is not None:
                    answers.append(answer)
            yield answers


async def list_entities(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
    """Yield V1's entities in V2's type, some at a time: V2's body where it was made from V1's revision."""
    async with aclosing(until_full(span, partial(_list_entities, pair))) as found:
        async for some in found:
            yield some


async def _list_entities(pair: Pair[V1, V2], span: Span, missed: Missed) -> AsyncGenerator[list[V2 | ConversionError]]:
    async with fetch_pages(pair, _find_pages_with_bodies(pair, span, missed)) as pages:
        async for page in pages:
            for some in page.parts(TURN):
                yield await make_page_answers(pair, page, some, missed)
                await let_others(pair)


async def until_full(span: Span, run: Callable[[Span, Missed], AsyncGenerator[list[T]]]) -> AsyncGenerator[list[T]]:
    """Run a listing, and again after its last row while its limit is not reached because rows were left out."""
    missed = Missed()
    while True:
        async with aclosing(run(span, missed)) as found:
            async for some in found:
                yield some
        if span.limit is None or not missed.count:
            return
        span, missed.count = evolve(span, limit=missed.count), 0


async def _list_rows(pair: Pair[V1, V2], span: Span, missed: Missed) -> AsyncGenerator[list[StoredV1]]:
    """Yield V1's whole documents, some at a time."""
    async with fetch_pages(pair, _find_pages(pair, span, _Width(), missed)) as pages:
        async for page in pages:
            for some in page.parts(TURN):
                yield some
                await let_others(pair)


def fetch_pages(pair: Pair[V1, V2] | Place[V1, V2], pages: AsyncGenerator[T]) -> aclosing[AsyncGenerator[T]]:
    """Return the pages, each fetched while the caller works on the one before it, where that is allowed."""
    return aclosing(fetch_ahead(pages) if pair.ahead else pages)


async def let_others(pair: Pair[V1, V2] | Place[V1, V2]) -> None:
    """Let other tasks run between the parts of a page."""
    # The statements of the next page need the loop too, and so do other tasks.
    if pair.ahead:
        await let_others_run()


async def _find_pages_with_bodies(pair: Pair[V1, V2], span: Span, missed: Missed) -> AsyncGenerator[Page]:
    await pair.behind.wait_for_all(sum(WRITER_WAITS_S))
    # Checked reads compare every body with V1's, so V1 is read whole.
    width = _Width(lean=not pair.checked)
    async for found in _find_pages(pair, span, width, missed):
        keys, ids, lean = found.keys, found.undecoded_ids, width.lean
        async with Deadline(span.timeout_s):
            bodies = ByKey((await ask_in_time(pair, pair.bodies.find_each, ids))[0])
            missing = [place for place, key in enumerate(keys) if key not in bodies]
            truths = await pair.v1.find_each([ids[place] for place in missing]) if lean and missing else None
        width.note_page(len(ids) - len(missing), len(ids))
        yield Page(found, keys, lean, bodies, ByKey(truths), ids, span.timeout_s)


class _Width:
    """Decides whether the next page of V1 is read lean: ids and revisions only."""

    def __init__(self, lean: bool = False) -> None:
        self.lean = lean
        self._adaptive = lean

    def note_page(self, present: int, total: int) -> None:
        """Note how much of a page V2 had: below two fifths, reading V1 whole costs less than reading it twice."""
        self.lean = self._adaptive and present * 5 >= total * 2


async def _find_pages(
    pair: Pair[V1, V2], span: Span, width: _Width, missed: Missed
) -> AsyncGenerator[Undecoded[StoredV1]]:
    question, order = pair.v1.question(span.criteria.v1), span.orders[0]
    after = missed.last or await find_last_seen(pair.v1.find, span, order)

    def find(size: int, after: Document | None) -> Awaitable[Undecoded[StoredV1]]:
        return pair.v1.page(question, order, size, after, [order.field] if width.lean else None)

    async with aclosing(walk_pages(find, span, after)) as pages:
        async for page in pages:
            yield page


async def walk_pages(
    find: Callable[[int, Document | None], Awaitable[Undecoded[T]]], span: Span, after: Document | None
) -> AsyncGenerator[Undecoded[T]]:
    """Yield the pages that `find(size, after)` finds, each after the last document of the one before it."""
    left, most = span.limit, FIRST_PAGE
    while left is None or left > 0:
        size = most if left is None else min(most, left)
        async with Deadline(span.timeout_s):
            page = await find(size, after)
        if page:
            yield page
        if len(page) < size:
            return
        after, most = page.document_at(-1), PAGE
        left = None if left is None else left - size


async def find_last_seen(
    find: Callable[[RawId], Awaitable[StoredV1 | StoredWhole | None]], span: Span, order: Order
) -> Document | None:
    """Return the document after which the listing starts. Raises `NotFound` where its place in the order is unknown."""
    if span.after is None:
        return None
    if order.field == "_id":
        return {"_id": span.after}
    async with Deadline(span.timeout_s):
        stored = await find(span.after)
    if stored is None:
        raise NotFound(decode_id(span.after))
    return stored.document
