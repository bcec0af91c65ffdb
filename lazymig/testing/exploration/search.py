"""The exhaustive search, which visits every interleaving of a scenario and each state once.

Coroutines cannot go back, so each branch is run again from the start or, where the scenario `resumes`, goes on from a
copy of the stores and from what is known of its calls. Depth first, a run continues into new states without a restart.
Breadth first, the first problem found is one with the fewest steps.

A crash needs no choice of its own. A crashed client is never scheduled again, so every state is also judged as the end
of the run in which all unfinished clients crashed there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from attrs import evolve

from lazymig.testing.exploration.execution import Choice, Execution, Point
from lazymig.testing.exploration.graph import Graph
from lazymig.testing.exploration.judge import Judge, Problem
from lazymig.testing.exploration.progress import Action, Progress
from lazymig.testing.exploration.report import Report, Violation, retell
from lazymig.testing.exploration.scenario import Scenario
from lazymig.testing.exploration.values import Numbers

Branch = tuple[tuple[Choice, ...], Point | None, int]
"""The choices to take, where to go on before the last one if not at the start, and the state before it."""


class Search:
    """One visit of a scenario's states. With `breadth`, it visits the nearest states first."""

    def __init__(self, scenario: Scenario, *, state_limit: int, breadth: bool = False) -> None:
        self._scenario = scenario
        self._state_limit = state_limit
        self._breadth = breadth
        self._numbers = Numbers()
        self._progress = Progress(scenario) if scenario.resumes else None
        self._judge = Judge(scenario)
        self._graph = Graph()
        self._branches: deque[Branch] = deque()
        self._runs = 0
        self.found: tuple[Problem, tuple[Choice, ...]] | None = None

    def run(self) -> Report:
        """Visit all states, up to the first problem or the limit."""
        try:
            self._start()
            while self._branches and self.found is None and len(self._graph) <= self._state_limit:
                self._follow(self._branches.popleft() if self._breadth else self._branches.pop())
        finally:
            if self._progress is not None:
                self._progress.close()
        return self._report()

    def _start(self) -> None:
        execution = self._fresh()
        try:
            self._judge.begin(execution)
            stores_key = execution.stores_key()
            self._graph.arrive(execution.key(stores_key))
            self._visit(execution, (), stores_key)
        finally:
            execution.close()

    def _fresh(self) -> Execution:
        self._runs += 1
        return Execution(self._scenario, self._numbers, self._progress)

    def _follow(self, branch: Branch) -> None:
        path, before, origin = branch
        execution = self._fresh()
        try:
            if before is None:
                for choice in path[:-1]:
                    execution.take(choice)
            else:
                execution.resume(before)
            next_path: tuple[Choice, ...] | None = path
            while next_path is not None:
                path = next_path
                execution.take(path[-1])
                next_path, origin = self._arrive(execution, path, origin)
        finally:
            execution.close()

    def _arrive(
        self, execution: Execution, path: tuple[Choice, ...], origin: int
    ) -> tuple[tuple[Choice, ...] | None, int]:
        """Record the state that the last choice led to. Return the path to continue with, if any, and the state."""
        client, action = path[-1]
        stores_key = execution.stores_key()
        state, new = self._graph.arrive(execution.key(stores_key))
        self._graph.connect(origin, state, client, alone=action is Action.STEP, ends_call=execution.call_ended)
        # A state does not contain the results of all calls, so a call that fails may lead to one that was visited.
        return (
            self._visit(execution, path, stores_key, state) if new or execution.failure is not None else None
        ), state

    def _visit(
        self, execution: Execution, path: tuple[Choice, ...], stores_key: Hashable, state: int = 0
    ) -> tuple[Choice, ...] | None:
        problem = self._judge.problem(execution, stores_key)
        choices = execution.choices()
        if problem is None and choices and len(path) >= self._scenario.step_limit:
            problem = Problem("ends", f"no end after {len(path)} steps")
        if problem is not None:
            self.found = (problem, path)
            return None
        if not choices:
            self._graph.end(state, dirty=self._dirty(execution))
        elif execution.open_calls:
            self._graph.crash_ends += 1
        return self._branch(execution, path, state, choices)

    def _branch(
        self, execution: Execution, path: tuple[Choice, ...], state: int, choices: list[Choice]
    ) -> tuple[Choice, ...] | None:
        following = [(*path, choice) for choice in choices]
        # All but one of them need a new run. Breadth first, and at the start, that one needs a new run too.
        put_off = following if self._breadth or not path else following[1:]
        if put_off:
            before = execution.point() if self._scenario.resumes else None
            self._branches.extend((other, before, state) for other in put_off)
        return following[0] if len(put_off) < len(following) else None

    def _dirty(self, execution: Execution) -> bool:
        return self._scenario.is_dirty is not None and self._scenario.is_dirty(execution.world)

    def _report(self) -> Report:
        counts = self._graph.counts(len(self._scenario.clients)) if self.found is None else {}
        return Report(
            scenario=self._scenario.name,
            runs=self._runs,
            states=len(self._graph),
            crash_ends=self._graph.crash_ends if self._scenario.crashes else 0,
            observed=dict(self._judge.observed),
            exhaustive=not self._branches,
            **counts,
        )


def search(scenario: Scenario, *, state_limit: int) -> Report:
    """Visit every state. If a check fails, find the shortest path to a failure."""
    deep = Search(scenario, state_limit=state_limit)
    report = deep.run()
    if deep.found is None:
        return _with_alone_limit(scenario, report)
    wide = Search(scenario, state_limit=state_limit, breadth=True)
    wide.run()
    problem, path = wide.found or deep.found
    return evolve(report, violations=(violation(scenario, problem, path),), exhaustive=False)


def violation(scenario: Scenario, problem: Problem, path: tuple[Choice, ...]) -> Violation:
    """Make a counter-example from a problem and the path to it."""
    return Violation(scenario.name, problem.check, problem.message, retell(scenario, path), path)


def _with_alone_limit(scenario: Scenario, report: Report) -> Report:
    limit = scenario.alone_limit
    if limit is None or report.alone_steps_max <= limit:
        return report
    message = f"a call alone takes {report.alone_steps_max} statements, but {limit} are allowed"
    return evolve(report, violations=(Violation(scenario.name, "steps alone", message, (), ()),))
