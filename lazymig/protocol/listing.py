"""Listings in a stable order, page by page, each page starting after the last one's key: constant memory.

V1 decides which entities there are and in which order. While V2 has most bodies, V1 is asked for ids and revisions
only; while it has few, for whole documents: decided anew for every page by what the last one met. The next page is
under way while the entities of this one are made, a few at a time, and handed out.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from attrs import define, field, frozen

from lazymig.errors import ConfigurationError, ConversionError, ForeignDocument
from lazymig.loop.deadline import Deadline
from lazymig.loop.turns import ahead, turn
from lazymig.protocol.bodies import WRITER_WAITS_S, in_time
from lazymig.protocol.many import body
from lazymig.protocol.pair import Pair
from lazymig.stores.drivers import driver_of
from lazymig.stores.keyset import Order
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import StoredV1, StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

#: Entities per statement; fewer at first, for those who look at the beginning only.
FIRST_PAGE, PAGE = 100, 1000
#: Entities made before others on the event loop get their turn.
_TURN = 50


#: What a document that does not convert does to a listing: see `Repository.list`.
OnError = Literal["raise", "skip"] | Callable[[ConversionError], Awaitable[object] | object]


def reporter(on_error: OnError) -> Callable[[ConversionError], Awaitable[None]]:
    """What to do with an error, as one function. Raises `TypeError` for what is no `on_error`."""
    if on_error not in ("raise", "skip") and not callable(on_error):
        raise TypeError('on_error: pass "raise", "skip", or a function that takes a ConversionError')

    async def report(error: ConversionError) -> None:
        if on_error == "raise":
            raise error
        if callable(on_error):
            result = on_error(error)
            if inspect.isawaitable(result):
                await result

    return report


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


def checked(criteria: Any) -> Criteria:
    """The criteria, all where there are none. Raises `TypeError` for anything else."""
    if criteria is None:
        return Criteria(v1={}, v2={})
    if not isinstance(criteria, Criteria):
        raise TypeError("criteria: pass lazymig.Criteria(v1={...}, v2={...}), the question in both shapes")
    return criteria


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


@frozen(kw_only=True)
class Span:
    """Which part of which listing: all that matches, in this order, from behind a document on, at most so many."""

    criteria: Mapping[str, Any]
    order: Order
    limit: int | None
    after: Mapping[str, Any] | None
    timeout_s: float | None


async def rows(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[StoredV1]]:
    """V1's whole documents, some at a time."""
    async with _in_time(pair, _pages(pair, span, _Width())) as pages:
        async for page in pages:
            for some in _parts(page):
                yield some
                await _let_others(pair)


async def upgraded(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
    """V1's entities converted, some at a time."""
    async with aclosing(rows(pair, span)) as found:
        async for some in found:
            answers: list[V2 | ConversionError] = []
            for row in some:
                converted = await body(pair, None, row)
                answers.append(converted)
            yield answers


async def entities(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[list[V2 | ConversionError]]:
    """V1's entities with V2's bodies where these were made from V1's revision, some at a time."""
    async with _in_time(pair, _bodied(pair, span)) as pages:
        async for page in pages:
            for some in _parts(page.rows):
                yield await _answers(pair, page, some)
                await _let_others(pair)


def _in_time(pair: Pair[V1, V2], pages: AsyncGenerator[T]) -> aclosing[AsyncGenerator[T]]:
    return aclosing(ahead(pages) if pair.ahead else pages)


async def _let_others(pair: Pair[V1, V2]) -> None:
    # The next page's statements need the loop too, and so do all who share it.
    if pair.ahead:
        await turn()


def _parts(rows: Iterable[T]) -> Iterator[list[T]]:
    left = iter(rows)
    return iter(lambda: list(islice(left, _TURN)), [])


class _ByKey(Generic[T]):
    """Documents by the keys of their ids, each decoded when it is asked for."""

    def __init__(self, found: Undecoded[T] | None = None) -> None:
        self._found = found
        self._places = {} if found is None else {key: place for place, key in enumerate(found.keys)}

    def get(self, key: Any) -> T | None:
        place = self._places.get(key)
        return None if place is None else self._found[place]  # type: ignore[index]

    def __contains__(self, key: Any) -> bool:
        return key in self._places


@define
class _Page:
    #: Each row with its key; where it is lean, the rows are ids and revisions only.
    rows: Iterable[tuple[Any, StoredV1]]
    lean: bool
    v2: _ByKey[StoredV2]
    #: V1's documents where the rows are lean: of those that V2 lacks, and of all once V2 was found to be behind.
    v1: _ByKey[StoredV1]
    ids: list[Any]
    timeout_s: float | None

    async def truth(self, pair: Pair[V1, V2], key: Any, row: StoredV1, stored: StoredV2 | None) -> StoredV1 | None:
        """V1's document of a row that V2 has not; None: deleted since the page was read."""
        if not self.lean:
            return row
        if stored is not None and key not in self.v1 and self.ids:
            ids, self.ids = self.ids, []
            async with Deadline(self.timeout_s):
                self.v1 = _ByKey(await pair.v1.find_each(ids))
        return self.v1.get(key)


def _holds(stored: StoredV2, row: StoredV1) -> bool:
    return stored.revision == row.revision and not stored.gone


async def _answers(pair: Pair[V1, V2], page: _Page, some: Iterable[tuple[Any, StoredV1]]) -> list[V2 | ConversionError]:
    answers: list[V2 | ConversionError] = []
    for key, row in some:
        try:
            stored = page.v2.get(key)
        except ForeignDocument as error:
            answers.append(error)
            continue
        trusted = None
        if stored is not None and _holds(stored, row) and not pair.checked:
            trusted = pair.conversions.trusted(stored)
        if trusted is not None:
            answers.append(trusted)
            continue
        truth = await page.truth(pair, key, row, stored)
        if truth is not None:  # else left out, as a listing that started later would
            converted = await body(pair, stored, truth, seen_later=True)
            answers.append(converted)
    return answers


async def _bodied(pair: Pair[V1, V2], span: Span) -> AsyncGenerator[_Page]:
    await pair.behind.all_settled(sum(WRITER_WAITS_S))
    # Where each body is compared with V1's, V1 is read whole.
    width = _Width(lean=not pair.checked)
    async for found in _pages(pair, span, width):
        keys, lean = found.keys, width.lean
        rows = found.at_once() if lean else found
        ids = [row.id for row in rows] if lean else found.ids
        async with Deadline(span.timeout_s):
            bodies = _ByKey((await in_time(pair, pair.v2.find_each(ids)))[0])
            missing = [id for id, key in zip(ids, keys, strict=True) if key not in bodies]
            truths = await pair.v1.find_each(missing) if lean and missing else None
        width.met(len(ids) - len(missing), len(ids))
        yield _Page(zip(keys, rows, strict=True), lean, bodies, _ByKey(truths), ids, span.timeout_s)


class _Width:
    """Whether V1's next page is asked for ids and revisions only."""

    def __init__(self, lean: bool = False) -> None:
        self.lean = lean
        self._adaptive = lean

    def met(self, present: int, total: int) -> None:
        """V2 had so many of a page: below two fifths, reading all of V1 costs less than asking it twice."""
        self.lean = self._adaptive and present * 5 >= total * 2


async def _pages(pair: Pair[V1, V2], span: Span, width: _Width) -> AsyncGenerator[Undecoded[StoredV1]]:
    driver = driver_of(pair.v1.collection)
    order, left, after, most = span.order, span.limit, span.after, FIRST_PAGE
    while left is None or left > 0:
        size = most if left is None else min(most, left)
        where: Mapping[str, Any] = span.criteria
        if after is not None:
            where = {"$and": [where, order.after(after, driver)]} if where else order.after(after, driver)
        fields = [order.field] if width.lean else None
        async with Deadline(span.timeout_s):
            page = await pair.v1.rows(where, order.keys, size, fields)
        if page:
            yield page
        if len(page) < size:
            return
        after, most = page[-1].document, PAGE
        left = None if left is None else left - size
