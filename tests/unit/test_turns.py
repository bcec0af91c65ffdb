"""One ahead: the same in the same order, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from lazymig.loop.turns import fetch_ahead, let_others_run
from tests.tasks import own_tasks


class Source:
    """Numbers, with what was asked for and whether it was ended."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.asked: list[int] = []
        self.ended = False
        self._count = count
        self._error = error

    async def numbers(self) -> AsyncGenerator[int]:
        try:
            for number in range(self._count):
                self.asked.append(number)
                await asyncio.sleep(0)
                yield number
            if self._error:
                raise self._error
        finally:
            self.ended = True


async def test_the_next_is_under_way_while_one_is_looked_at() -> None:
    """Asked for as soon as the loop comes round, and no further ahead than one."""
    source, seen = Source(4), []
    async for number in fetch_ahead(source.numbers()):
        seen.append(number)
        for _ in range(5):
            await let_others_run()
        assert max(source.asked) == min(number + 1, 3)
    assert seen == [0, 1, 2, 3]
    assert source.ended


async def test_none_and_false_are_items_too() -> None:
    """Only the source's end is the end."""

    async def falsy() -> AsyncGenerator[int | None]:
        for item in (None, 0, None):
            yield item

    assert [item async for item in fetch_ahead(falsy())] == [None, 0, None]


async def test_leaving_early_ends_the_source() -> None:
    """What is under way is cancelled, and waited for."""
    source = Source(4)
    with own_tasks() as started:
        coming = fetch_ahead(source.numbers())
        assert await anext(coming) == 0
        await coming.aclose()
    assert source.ended
    assert [task.cancelled() for task in started] == [False, True]


async def test_an_error_comes_in_its_place() -> None:
    """After the items before it."""
    source, seen = Source(2, ValueError("bad")), []

    async def look() -> None:
        async for number in fetch_ahead(source.numbers()):
            seen.append(number)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ValueError, match="bad"):
        await look()
    assert seen == [0, 1]
    assert source.ended
