"""What is slow to look up, beside looks that wait for it no longer than a moment."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from lazymig.measuring.holdings import MovedBy
from lazymig.status.counting import Sampled
from lazymig.status.slowly import Recalled, Slow
from lazymig.web.beside import Beside
from tests.clocks import StandingClock, settle


def found(number: int) -> Slow:
    """What a look found."""
    at = datetime(2024, 5, 1) + timedelta(seconds=number)
    return Slow(at, Sampled(MovedBy(number, 0, 0, 0, estimated=False), {}, None), (), (), None)


class Slowly:
    """A slow look that ends when the test says, and looks that show what it finds."""

    def __init__(self, wait_s: float = 30.0) -> None:
        self.clock = StandingClock()
        self.beside = Beside(self.clock, first_s=wait_s, later_s=wait_s)
        self.count = 0
        self.fails: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def look(self) -> Slow:
        """Look at what is slow."""
        self.count += 1
        number = self.count
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return found(number)

    async def show(self, known: int | None, **given: Any) -> int:
        """What a look shows that knows what this one found; 0 for nothing."""
        recalled = Recalled(None if known is None else found(known), **{"old": False} | given)
        return (await self.beside(recalled, self.look)).sampled.moved_by.read


async def test_what_is_young_is_kept() -> None:
    """The first look waits for what is slow; a later one looks again only when that is old."""
    on = Slowly()
    assert await on.show(None) == 1
    assert await on.show(1) == 1
    assert await on.show(1, old=True) == 2
    assert on.count == 2


async def test_a_slow_look_holds_nobody() -> None:
    """While it goes on, what is known is shown, and no second one begins; a later look shows what it finds."""
    on = Slowly(wait_s=0.0)
    on.go.clear()
    assert await on.show(None) == 0
    assert await on.show(None) == 0
    assert await on.show(7, old=True) == 7
    on.go.set()
    await settle()
    assert (await on.show(7, old=True), on.count) == (1, 1)


async def test_it_rests_for_long_after_it_took_long() -> None:
    """A look of ten seconds is not repeated for two hundred: a large collection is left alone most of the time."""
    on = Slowly(wait_s=0.0)
    on.go.clear()
    await on.show(7, old=True)
    on.clock.move(10.0)
    on.go.set()
    await settle()
    assert await on.show(7, old=True) == 1
    on.clock.move(199.0)
    assert (await on.show(1, old=True), on.count) == (1, 1)
    on.clock.move(2.0)
    on.go.clear()
    assert (await on.show(1, old=True), on.count) == (1, 2)


async def test_a_doubt_ends_the_rest_sooner() -> None:
    """Where a condition is in doubt, a look of ten seconds is repeated after twenty, though what is known is young."""
    on = Slowly(wait_s=0.0)
    on.go.clear()
    await on.show(7, doubtful=True)
    on.clock.move(10.0)
    on.go.set()
    await settle()
    assert await on.show(7, doubtful=True) == 1
    on.clock.move(19.0)
    assert (await on.show(1, doubtful=True), on.count) == (1, 1)
    on.clock.move(2.0)
    await on.show(1, doubtful=True)
    assert on.count == 2


async def test_a_move_of_the_fleet_ends_the_rest() -> None:
    """Once the fleet has moved it is looked up at once, and what an earlier look finds is not shown."""
    on = Slowly(wait_s=0.0)
    on.go.clear()
    await on.show(7, old=True)
    assert await on.show(7, moved=True) == 7
    assert on.count == 2
    on.go.set()
    await settle()
    assert await on.show(7) == 2


async def test_what_fails_is_raised_and_tried_again() -> None:
    """An error reaches the look that waits for it, and the look after that tries again."""
    on = Slowly()
    on.fails = ZeroDivisionError()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await on.show(7, old=True)
    on.fails = None
    assert await on.show(7, old=True) == 3
