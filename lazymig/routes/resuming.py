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

    Raises `PhaseError` where the listing cannot go on: its order is not by id, and what it gave last is gone.
    """
    resumed = False
    while True:
        async with stages.call(writes=False) as stage:
            pass  # only the check of the collections; each page has its own time
        try:
            async with aclosing(pages(stage.route, span)) as found:
                async for answers in found:
                    if not await _may_be_given(stages, stage, of_v1=of_v1):
                        break
                    yield answers
                    if answers:
                        left = None if span.limit is None else span.limit - len(answers)
                        span = evolve(span, limit=left, after=find_id(answers[-1]))
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


async def _may_be_given(stages: Stages[V1, V2], stage: Stage[V1, V2], *, of_v1: bool) -> bool:
    return await stages.is_current(stage) and (not of_v1 or await stages.may_answer_from_v1(stage))
