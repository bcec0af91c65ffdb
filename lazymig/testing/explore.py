"""The interleaving explorer: run real code on stores whose every statement is one scheduling point.

Declare a `Scenario` (fresh stores, the clients' calls, what must hold) and `explore` it: every interleaving of the
clients' statements is visited, each state once, with a crash of anyone at any point and, where asked for, a
cancellation. What is found comes back as a `Report` with the shortest counter-example in readable steps. A scenario
that is too large for that is walked at random with `walk`, by a seed that repeats it.

There is no event loop: the explorer drives the coroutines itself. Code under test may await nothing but the
scenario's `MemoryCollection`s and its `FixedClock` (no tasks, futures or timers), and must be deterministic.
"""

from __future__ import annotations

from datetime import datetime
from itertools import repeat
from typing import Final

from lazymig.testing.exploration.invariants import any_dirty, clean_is_current, dirty_is_marked, is_clean
from lazymig.testing.exploration.report import Report, Violation, retell, total
from lazymig.testing.exploration.scenario import Call, Scenario, World
from lazymig.testing.exploration.search import search
from lazymig.testing.exploration.statement import DRAWS, Gate, Statement
from lazymig.testing.exploration.walk import Walk

__all__ = [
    "Call",
    "FixedClock",
    "Gate",
    "Report",
    "Scenario",
    "Violation",
    "World",
    "any_dirty",
    "clean_is_current",
    "dirty_is_marked",
    "explore",
    "is_clean",
    "retell",
    "total",
    "walk",
]

NOON: Final = datetime(2024, 1, 1, 12)


class FixedClock:
    """Time that stands still, and a sleep that is one scheduling point: `lazymig.loop.clock.Clock` for the explorer."""

    def __init__(self, gate: Gate | None = None, now: datetime = NOON) -> None:
        self.gate = gate
        self._now = now

    def now(self) -> datetime:
        """Always the same moment, naive UTC."""
        return self._now

    def monotonic(self) -> float:
        """Always 0."""
        return 0.0

    def random(self) -> float:
        """A number that no other call of the run draws, and this call draws again in every run."""
        return next(DRAWS.get(repeat(0.5)))

    async def sleep(self, delay_s: float) -> None:
        """Let the others move."""
        await Statement(self.gate, "clock", "sleep", _nothing, delay_s)


def _nothing(_delay_s: float) -> None:
    return None


def explore(scenario: Scenario, *, state_limit: int = 200_000) -> Report:
    """Visit every interleaving of the scenario; stops at the first violation and finds the shortest way to it.

    Beyond `state_limit` states it gives up, and the report is not `exhaustive`.
    """
    return search(scenario, state_limit=state_limit)


def walk(scenario: Scenario, *, runs: int, seed: int) -> Report:
    """Make `runs` random runs of the scenario; stops at the first violation and shortens its counter-example.

    Print the seed before the call: with it, the same runs are made again.
    """
    return Walk(scenario, seed).run(runs)
