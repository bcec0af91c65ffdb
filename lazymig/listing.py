"""Listings in a stable order, page by page, each page starting after the last one's key: constant memory.

V1 decides which entities there are and in which order. While V2 has most bodies, V1 is asked for ids and revisions
only; while it has few, for whole documents: decided anew for every page by what the last one met.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from lazymig.deadline import Deadline
from lazymig.documents import stored_v1
from lazymig.drivers import driver_of
from lazymig.errors import ConfigurationError, ConversionError
from lazymig.keyset import Order
from lazymig.many import bodies, or_error
from lazymig.protocol import Pair
from lazymig.records import StoredV1, StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")

PAGE = 1000


def _filter(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"Criteria.{attribute.name}: pass a MongoDB filter (a mapping), {{}} for all")


@frozen(kw_only=True)
class Criteria:
    """One question in both shapes: a MongoDB filter for V1's documents and the same for V2's.

    Both are required, since the phase decides which is sent. Build them from validated values only: what stands in
    them goes to the server as it is.
    """

    v1: Mapping[str, Any] = field(validator=_filter)
    v2: Mapping[str, Any] = field(validator=_filter)


def order_by(sort: str | Sequence[str] | None, v1: Sequence[str], v2: Sequence[str], id_field: str) -> Order:
    """The order for a `sort` argument: one name that both shapes have, or a pair; "-" in front means descending.

    Raises `ConfigurationError` for a name that a shape does not have.
    """
    if sort is None:
        return Order("_id", 1)
    names = (sort, sort) if isinstance(sort, str) else tuple(sort)
    if len(names) != 2 or not all(isinstance(name, str) and name.lstrip("-") for name in names):
        raise ConfigurationError("sort: pass one field name, or a pair (V1's name, V2's name)")
    for name, known, side in zip(names, (v1, v2), ("V1", "V2"), strict=True):
        if name.lstrip("-").split(".")[0] not in (*known, id_field, "_id"):
            raise ConfigurationError(f"sort: {side} has no field {name.lstrip('-')!r}; pass a pair, one name per shape")
    if names[0].startswith("-") != names[1].startswith("-"):
        raise ConfigurationError("sort: both names of a pair must go in the same direction")
    field_name = names[0].lstrip("-")
    return Order("_id" if field_name == id_field else field_name, -1 if names[0].startswith("-") else 1)


async def rows(
    pair: Pair[V1, V2],
    criteria: Mapping[str, Any],
    order: Order,
    *,
    limit: int | None,
    after: Mapping[str, Any] | None,
    timeout_s: float | None,
) -> AsyncIterator[list[StoredV1]]:
    """V1's whole documents, a page at a time."""
    async for page in _pages(pair, criteria, order, limit, after, timeout_s, _Width()):
        yield page


async def entities(
    pair: Pair[V1, V2],
    criteria: Mapping[str, Any],
    order: Order,
    *,
    limit: int | None,
    after: Mapping[str, Any] | None,
    timeout_s: float | None,
) -> AsyncIterator[list[V2 | ConversionError]]:
    """V1's entities with V2's bodies where these were made from V1's revision, a page at a time."""
    width = _Width(lean=True)
    async for page in _pages(pair, criteria, order, limit, after, timeout_s, width):
        async with Deadline(timeout_s):
            answers = await _answers(pair, page, width)
        yield answers


async def _answers(pair: Pair[V1, V2], page: list[StoredV1], width: _Width) -> list[V2 | ConversionError]:
    places = {row.id: place for place, row in enumerate(page)}
    answers: list[Any] = [None] * len(page)
    others: dict[Any, StoredV2] = {}
    for stored in await pair.v2.find_each(list(places)):
        place = places[stored.id]
        if _holds(stored, page[place]):
            answers[place] = or_error(pair.conversions.v2_entity, stored)
        else:
            others[stored.id] = stored
    truths = {row.id: row for row, answer in zip(page, answers, strict=True) if answer is None}
    current = len(page) - len(truths)
    if width.lean and truths:
        # Deleted since the page was read: left out, as a listing that started later would.
        truths = await pair.v1.find_many(list(truths))
    width.met(current, len(page))
    for id, answer in (await bodies(pair, others, truths)).items():
        answers[places[id]] = answer
    return [answer for answer in answers if answer is not None]


def _holds(stored: StoredV2, row: StoredV1) -> bool:
    return bool(stored.revision == row.revision and not stored.gone)


class _Width:
    """Whether V1's next page is asked for ids and revisions only."""

    def __init__(self, lean: bool = False) -> None:
        self.lean = lean
        self._adaptive = lean

    def met(self, current: int, total: int) -> None:
        self.lean = self._adaptive and current * 2 >= total


async def _pages(
    pair: Pair[V1, V2],
    criteria: Mapping[str, Any],
    order: Order,
    limit: int | None,
    after: Mapping[str, Any] | None,
    timeout_s: float | None,
    width: _Width,
) -> AsyncIterator[list[StoredV1]]:
    driver = driver_of(pair.v1.collection)
    while limit is None or limit > 0:
        size = PAGE if limit is None else min(PAGE, limit)
        where = dict(criteria)
        if after is not None:
            where = {"$and": [where, order.after(after, driver)]} if where else order.after(after, driver)
        fields = [order.field] if width.lean else None
        async with Deadline(timeout_s):
            found = await pair.v1.rows(where, order.keys, size, fields).to_list(None)
        page = [stored_v1(document) for document in found[:size]]
        if page:
            yield page
        if len(page) < size:
            return
        after = found[size - 1]
        limit = None if limit is None else limit - size
