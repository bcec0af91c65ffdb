"""Turns of the event loop: fetching the next item while the caller works on the present one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from types import coroutine
from typing import TypeVar

T = TypeVar("T")


@coroutine
def let_others_run() -> Generator[None]:
    """Give the event loop one turn."""
    yield


async def fetch_ahead(source: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield items in order, and fetch the next one while the caller works on this one.

    A caller that works for long must give the event loop turns. Closes the source at the end.
    """
    coming = asyncio.create_task(_fetch_next(source))
    try:
        while found := await coming:
            coming = asyncio.create_task(_fetch_next(source))
            yield found[0]
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await source.aclose()


async def _fetch_next(source: AsyncGenerator[T]) -> tuple[T] | None:
    try:
        return (await anext(source),)
    except StopAsyncIteration:  # a task cannot raise it
        return None
