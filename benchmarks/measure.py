"""Alternating rounds of contestants, the ratio of their times, and whether it reaches its target."""

from __future__ import annotations

import asyncio
import enum
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from time import perf_counter, process_time
from typing import Any

from attrs import field, frozen

Leg = Callable[[], Awaitable[float]]


class Rule(enum.StrEnum):
    """What a ratio has to do with its target."""

    #: The median of the rounds reaches it.
    AT_LEAST = "at least"
    #: The median of the rounds stays within it: the ratio is a slowdown.
    AT_MOST = "at most"
    #: No round goes beyond it: the ratio is a slowdown that somebody feels.
    EVERY_ROUND = "at most, in every round"


@frozen
class Outcome:
    """One row at one number of tasks. Times are in ms per operation.

    A ratio is theirs / ours, so above 1 is faster, but where the rule bounds a slowdown: there it is ours / theirs.
    """

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
    rule: Rule = field(default=Rule.AT_LEAST, converter=Rule)
    #: Calls of ours that failed in all rounds; None where the row counts none, since a failure ends it.
    failures: int | None = None
    #: The least processor time of this process in a round, ms per operation: a busy machine disturbs it less.
    ours_cpu_ms: float | None = None
    theirs_cpu_ms: float | None = None

    @property
    def cpu_ratio(self) -> float | None:
        """Their processor time beside ours, where it was measured."""
        if self.ours_cpu_ms is None or self.theirs_cpu_ms is None:
            return None
        return self.theirs_cpu_ms / self.ours_cpu_ms

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, and no call failed; None without a target."""
        if self.target is None:
            return None
        if self.failures:
            return False
        if self.rule is Rule.AT_LEAST:
            return self.ratio >= self.target
        return (max(self.ratios) if self.rule is Rule.EVERY_ROUND else self.ratio) <= self.target


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


async def rotate(legs: Mapping[str, Leg], rounds: int) -> dict[str, list[float]]:
    """Seconds of each in each round; who begins changes from round to round. One round before them warms all up."""
    names = list(legs)
    for name in names:
        await legs[name]()
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            taken[name].append(await legs[name]())
    return taken


async def alternate(ours: Leg, theirs: Leg, rounds: int) -> list[tuple[float, float]]:
    """Seconds of both in each round, as `rotate` measures them."""
    taken = await rotate({"ours": ours, "theirs": theirs}, rounds)
    return list(zip(taken["ours"], taken["theirs"], strict=True))


def used(leg: Leg, operations: int, into: list[float]) -> Leg:
    """The leg, with the processor time of this process in ms per operation put down as well."""

    async def counted() -> float:
        started = process_time()
        taken = await leg()
        into.append((process_time() - started) / operations * 1000)
        return taken

    return counted


def outcome(
    row: str,
    against: str,
    tasks: int,
    target: float | None,
    taken: Sequence[tuple[float, float]],
    operations: int,
    round_trips: float | None = None,
    *,
    rule: Rule = Rule.AT_LEAST,
    failures: int | None = None,
) -> Outcome:
    """The median of the rounds' ratios, with the median times."""
    ratios = [theirs / ours if rule is Rule.AT_LEAST else ours / theirs for ours, theirs in taken]
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
        rule=rule,
        failures=failures,
    )
