"""Listings of documents with both shapes: one query per page, and what a page lacks of V2 parts is stored at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from attrs import frozen

from lazymig.errors import ConversionError
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.in_place.reading import Make, convert_each, fill, make_v1
from lazymig.protocol.listed import Missed
from lazymig.protocol.listing import TURN, fetch_pages, find_last_seen, let_others, until_full, walk_pages
from lazymig.query import Criteria, Span
from lazymig.shapes.leaving import as_answer
from lazymig.stores.keyset import Order
from lazymig.stores.pages import join_filters
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Document, StoredWhole, Unmoved, WholeChange
from lazymig.stores.whole_documents import MOVED

V1 = TypeVar("V1")
V2 = TypeVar("V2")
R = TypeVar("R")


@frozen
class Asked:
    """A listing as the server is asked."""

    question: Document
    order: Order


def ask_v1(place: Place[V1, V2], span: Span) -> Asked:
    """Return the question by V1's fields."""
    return Asked(place.store.question(span.criteria.v1), span.orders[0])


def ask_v2(place: Place[V1, V2], span: Span) -> Asked:
    """Return the question by V2's fields, about entities that V2 knows. Raises `ConfigurationError`."""
    question = place.store.question(place.shape.translate(span.criteria.v2))
    return Asked(join_filters(question, MOVED), place.shape.translate_order(span.orders[1]))


async def count_v1(place: Place[V1, V2], criteria: Criteria) -> int:
    """Count the documents that match V1's filter."""
    return await place.store.count(criteria.v1)


async def count_v2(place: Place[V1, V2], criteria: Criteria) -> int:
    """Count the documents that match V2's filter, without those that `upgrade` gave no V2 part."""
    return await place.store.count(place.shape.translate(criteria.v2), moved=True)


async def list_entities(
    place: Place[V1, V2], span: Span, asked: Asked, make: Make[V1, V2, V2 | Unmoved]
) -> AsyncGenerator[list[V2 | ConversionError]]:
    """Yield the entities in V2's type, some at a time; those that are left are left out."""
    async with aclosing(until_full(span, partial(_list_entities, place, asked, make))) as found:
        async for some in found:
            yield some


async def _list_entities(
    place: Place[V1, V2], asked: Asked, make: Make[V1, V2, V2 | Unmoved], span: Span, missed: Missed
) -> AsyncGenerator[list[V2 | ConversionError]]:
    async with aclosing(_list(place, span, asked, make, missed)) as found:
        async for rows, answers in found:
            known: list[V2 | ConversionError] = []
            for row, made in zip(rows, answers, strict=True):
                entity = made if not isinstance(made, Unmoved) else as_answer(row.id, made)
                if entity is not None:
                    known.append(entity)
            missed.note_part(rows, known)
            yield known


async def list_v1(
    place: Place[V1, V2], span: Span, asked: Asked, make: Make[V1, V2, V1 | None] = make_v1
) -> AsyncGenerator[list[V1 | ConversionError]]:
    """Yield the entities in V1's type, some at a time."""
    async with aclosing(_list(place, span, asked, make, Missed())) as found:
        async for _, answers in found:
            yield [made for made in answers if made is not None]


async def _list(
    place: Place[V1, V2], span: Span, asked: Asked, make: Make[V1, V2, R], missed: Missed
) -> AsyncGenerator[tuple[list[StoredWhole], list[R | ConversionError]]]:
    async with fetch_pages(place, _find_pages(place, span, asked, missed)) as pages:
        async for page in pages:
            changes: list[WholeChange] = []
            for rows in page.parts(TURN):
                yield rows, await convert_each(place, rows, make, changes)
                await let_others(place)
            if changes:
                await fill(place, changes)


async def _find_pages(
    place: Place[V1, V2], span: Span, asked: Asked, missed: Missed
) -> AsyncGenerator[Undecoded[StoredWhole]]:
    after = missed.last or await find_last_seen(place.store.find, span, asked.order)

    def find(size: int, after: Document | None) -> Awaitable[Undecoded[StoredWhole]]:
        return place.store.page(asked.question, asked.order, size, after)

    async with aclosing(walk_pages(find, span, after)) as pages:
        async for page in pages:
            yield page
