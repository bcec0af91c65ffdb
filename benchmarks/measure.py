"""Alternating rounds of two contestants, and the ratio of their times."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

from attrs import frozen

Leg = Callable[[], Awaitable[float]]


@frozen
class Outcome:
    """One row at one number of tasks. Times are in ms per operation; a ratio is theirs / ours, so above 1 is faster."""

    row: str
    against: str
    tasks: int
    target: float | None
    ratio: float
    ratios: list[float]
    ours_ms: float
    theirs_ms: float
    operations: int
    round_trips: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.ratio >= self.target


async def _nothing() -> None: ...


async def spread(
    operation: Callable[[Any], Awaitable[Any]],
    arguments: Sequence[Any],
    tasks: int,
    settle: Callable[[], Awaitable[None]] = _nothing,
) -> float:
    """Seconds that this many tasks, working off one list, need for all arguments; `settle` ends what they left open."""
    remaining = iter(arguments)

    async def work() -> None:
        for argument in remaining:
            await operation(argument)

    gc.collect()
    started = perf_counter()
    if tasks == 1:
        await work()
    else:
        await asyncio.gather(*(work() for _ in range(tasks)))
    await settle()
    return perf_counter() - started


async def alternate(ours: Leg, theirs: Leg, rounds: int) -> list[tuple[float, float]]:
    """Seconds of both in each round; who begins changes from round to round. One round before them warms both up."""
    await ours()
    await theirs()
    taken = []
    for number in range(rounds):
        if number % 2:
            second = await theirs()
            taken.append((await ours(), second))
        else:
            taken.append((await ours(), await theirs()))
    return taken


def outcome(
    row: str,
    against: str,
    tasks: int,
    target: float | None,
    taken: Sequence[tuple[float, float]],
    operations: int,
    round_trips: float | None = None,
) -> Outcome:
    """The median of the rounds' ratios, with the median times."""
    ratios = [theirs / ours for ours, theirs in taken]
    return Outcome(
        row=row,
        against=against,
        tasks=tasks,
        target=target,
        ratio=round(median(ratios), 3),
        ratios=[round(ratio, 3) for ratio in ratios],
        ours_ms=round(median(ours for ours, _ in taken) / operations * 1000, 4),
        theirs_ms=round(median(theirs for _, theirs in taken) / operations * 1000, 4),
        operations=operations,
        round_trips=round_trips,
    )
