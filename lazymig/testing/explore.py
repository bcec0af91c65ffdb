"""The interleaving explorer, which runs real code on stores whose every statement is one scheduling point.

Declare a `Scenario` (fresh stores, the clients' calls and the invariants) and pass it to `explore`. It visits every
interleaving of the clients' statements, each state once, with a crash of any client at any point and, if the scenario
allows them, cancellations. The result is a `Report` with the shortest counter-example in readable steps. For a scenario
that is too large, `walk` makes random runs with a seed that repeats them.

There is no event loop, since the explorer drives the coroutines itself. Code under test may await only the scenario's
`MemoryCollection`s and its `FixedClock` (no tasks, futures or timers), and must be deterministic.
"""

from __future__ import annotations

from datetime import datetime
from itertools import repeat
from typing import Final

from lazymig.testing.exploration.invariants import any_dirty, clean_is_current, dirty_is_marked, is_clean
from lazymig.testing.exploration.report import Report, Violation, retell, total
from lazymig.testing.exploration.scenario import Call, Scenario, World
from lazymig.testing.exploration.search import search
from lazymig.testing.exploration.statement import DRAWS, Gate, Sleep
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
    """A clock for the explorer (see `lazymig.loop.clock.Clock`): time is fixed, and a sleep is one scheduling point."""

    def __init__(self, gate: Gate | None = None, now: datetime = NOON) -> None:
        self.gate = gate
        self._now = now

    def now(self) -> datetime:
        """Return the fixed time, naive UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return 0."""
        return 0.0

    def random(self) -> float:
        """Return a number that no other call of the run draws, and that this call draws in every run."""
        return next(DRAWS.get(repeat(0.5)))

    async def sleep(self, delay_s: float) -> None:
        """Let the other clients move."""
        await Sleep(self.gate, "clock", "sleep", _nothing, delay_s)


def _nothing(_delay_s: float) -> None:
    return None


def explore(scenario: Scenario, *, state_limit: int = 200_000) -> Report:
    """Visit every interleaving of the scenario. Stop at the first violation, and find the shortest path to one.

    Beyond `state_limit` states the search stops, and the report is not `exhaustive`.
    """
    return search(scenario, state_limit=state_limit)


def walk(scenario: Scenario, *, runs: int, seed: int) -> Report:
    """Make `runs` random runs of the scenario. Stop at the first violation, and shorten its counter-example.

    Print the seed before the call, so that you can repeat the runs.
    """
    return Walk(scenario, seed).run(runs)
