"""Listings across changes of the phase: each goes on in the new phase, after what it gave last."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from attrs import evolve

from lazymig.errors import ConversionError, NotFound, PhaseError
from lazymig.query import Span
from lazymig.routes.route import Route
from lazymig.routes.stages import Stage, Stages
from lazymig.stores.given import RawId
from lazymig.stores.keyset import Order

E = TypeVar("E")
V1 = TypeVar("V1")
V2 = TypeVar("V2")


async def list_through(
    stages: Stages[V1, V2],
    pages: Callable[[Route[V1, V2], Span], AsyncGenerator[list[E | ConversionError]]],
    span: Span,
    find_id: Callable[[E | ConversionError], RawId],
    *,
    of_v1: bool = False,
) -> AsyncGenerator[list[E | ConversionError]]:
    """Yield a listing's answers, some at a time, each of them read in a phase that still held afterwards.

    Raises `PhaseError` where the listing cannot go on: its order is not by id, and what it gave last is gone, or the
    new phase orders by another field.
    """
    resumed, order = False, None
    while True:
        async with stages.call(writes=False) as stage:
            pass  # only the check of the collections; each page has its own time
        former, order = order, _choose_order(stage.route, span, of_v1=of_v1)
        if former not in (None, order) and span.after is not None:
            raise PhaseError(
                "the phase changed during this listing, whose order is that of another field now: list again"
            )
        given, last = 0, span.after
        try:
            async with aclosing(pages(stage.route, span)) as found:
                async for answers in found:
                    if not await _may_be_given(stages, stage, of_v1=of_v1):
                        break
                    yield answers
                    if answers:
                        given, last = given + len(answers), find_id(answers[-1])
                else:
                    if await _may_be_given(stages, stage, of_v1=of_v1):
                        return
        except NotFound:
            if not resumed:
                raise
            raise PhaseError(
                "the phase changed during this listing, and the entity after which it would go on is gone: list again"
            ) from None
        resumed = True
        span = evolve(span, limit=None if span.limit is None else span.limit - given, after=last)


def _choose_order(route: Route[V1, V2], span: Span, *, of_v1: bool) -> Order:
    """Return the order in which a route lists through this door: V1's field's, or V2's."""
    by_v1, by_v2 = span.orders
    return by_v1 if (route.keeps_v1 if of_v1 else not route.lists_v2) else by_v2


async def _may_be_given(stages: Stages[V1, V2], stage: Stage[V1, V2], *, of_v1: bool) -> bool:
    return await stages.is_current(stage) and (not of_v1 or await stages.may_answer_from_v1(stage))
