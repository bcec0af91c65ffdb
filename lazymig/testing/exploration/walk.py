"""Random runs of a scenario that is too large for an exhaustive search. Each new state is judged."""

from __future__ import annotations

import random
from collections.abc import Hashable

from attrs import evolve

from lazymig.testing.exploration.execution import Choice, Execution
from lazymig.testing.exploration.judge import Judge, Problem
from lazymig.testing.exploration.report import Report
from lazymig.testing.exploration.scenario import Scenario
from lazymig.testing.exploration.search import violation
from lazymig.testing.exploration.values import Numbers

Found = tuple[Problem, tuple[Choice, ...]]


class Walk:
    """A series of random runs that its seed determines."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._chance = random.Random(seed)
        self._numbers = Numbers()
        self._judge = Judge(scenario)
        self._seen: set[Hashable] = set()
        self._dirty: dict[Hashable, bool] = {}
        self._crash_ends = 0

    def run(self, runs: int) -> Report:
        """Make up to `runs` runs. Stop at the first problem, and shorten its counter-example."""
        report = Report(scenario=self._scenario.name, runs=0, states=0, exhaustive=False, seed=self._seed)
        found: Found | None = None
        made = 0
        while made < runs and found is None:
            made += 1
            found = self._one(None)
        if found is not None:
            report = evolve(report, violations=(violation(self._scenario, *self._shortened(found)),))
        return evolve(
            report,
            runs=made,
            states=len(self._seen),
            crash_ends=self._crash_ends if self._scenario.crashes else 0,
            ends=len(self._dirty),
            dirty_ends=sum(self._dirty.values()),
            observed=dict(self._judge.observed),
        )

    def _one(self, given: tuple[Choice, ...] | None) -> Found | None:
        """Make one run at random or, to shorten a path, with the given choices as far as they are possible."""
        execution = Execution(self._scenario, self._numbers)
        path: list[Choice] = []
        left = None if given is None else list(given)
        try:
            self._judge.begin(execution)
            while (problem := self._problem(execution, path)) is None:
                choice = self._next(execution.choices(), left)
                if choice is None:
                    return None
                execution.take(choice)
                path.append(choice)
        finally:
            execution.close()
        return problem, tuple(path)

    def _next(self, choices: list[Choice], left: list[Choice] | None) -> Choice | None:
        if left is None:
            return self._chance.choice(choices) if choices else None
        while left:
            choice = left.pop(0)
            if choice in choices:
                return choice
        return None

    def _problem(self, execution: Execution, path: list[Choice]) -> Problem | None:
        stores_key = execution.stores_key()
        key = execution.key(stores_key)
        if key not in self._seen:
            self._seen.add(key)
            self._crash_ends += bool(execution.open_calls)
            if execution.finished:
                is_dirty = self._scenario.is_dirty
                self._dirty[key] = is_dirty is not None and is_dirty(execution.world)
        if len(path) > self._scenario.step_limit:
            return Problem("ends", f"no end after {len(path)} steps")
        return self._judge.problem(execution, stores_key)

    def _shortened(self, found: Found) -> Found:
        """Return a shorter path to a failure of the same check, if omitting single choices leads to one."""
        index = 0
        while index < len(found[1]):
            path = found[1]
            shorter = self._one((*path[:index], *path[index + 1 :]))
            if shorter is not None and shorter[0].check == found[0].check and len(shorter[1]) < len(path):
                found, index = shorter, 0
            else:
                index += 1
        return found
