"""Taking turns on the event loop: what is to come is fetched while what has come is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from types import coroutine
from typing import TypeVar

T = TypeVar("T")


@coroutine
def let_others_run() -> Generator[None]:
    """Let the loop come round once."""
    yield


async def ahead(source: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Items in their order, one ahead: the next is under way while this one is being looked at.

    Whoever looks for long must let the loop come round. Ends with the source, or ends the source.
    """
    coming = asyncio.create_task(_next(source))
    try:
        while found := await coming:
            coming = asyncio.create_task(_next(source))
            yield found[0]
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await source.aclose()


async def _next(source: AsyncGenerator[T]) -> tuple[T] | None:
    try:
        return (await anext(source),)
    except StopAsyncIteration:  # which a task cannot raise
        return None
