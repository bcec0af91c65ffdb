"""The judgement of states by invariants, by reads afterwards and by the clients' histories. Results are cached."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from attrs import frozen

from lazymig.testing.exploration.execution import Execution
from lazymig.testing.exploration.scenario import Scenario, Values, World
from lazymig.testing.exploration.statement import drive
from lazymig.testing.linearizability import Verdict, check_entities


@frozen
class Problem:
    """A failed check of a state, with its message."""

    check: str
    message: str


class Judge:
    """The checks of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._names = list(scenario.clients)
        self._initial: Values | None = None
        self._stores: dict[Hashable, Problem | None] = {}
        self._ends: dict[Hashable, Problem | Values] = {}
        self._histories: dict[Hashable, Problem | None] = {}
        #: The number of distinct contents of the stores in which each observation was made.
        self.observed: dict[str, int] = dict.fromkeys(scenario.observations, 0)

    def begin(self, execution: Execution) -> None:
        """Record the values that every history begins with."""
        self._initial = self._scenario.truth(execution.world)

    def problem(self, execution: Execution, stores_key: Hashable) -> Problem | None:
        """Return the problem with the state, or None."""
        if execution.failure is not None:
            return Problem("unexpected error", execution.failure)
        if stores_key not in self._stores:
            self._stores[stores_key] = self._broken_invariant(execution.world)
        broken = self._stores[stores_key]
        if broken is not None or not (self._scenario.crashes or execution.finished):
            return broken
        if stores_key not in self._ends:
            self._ends[stores_key] = self._end(execution.world)
        end = self._ends[stores_key]
        return end if isinstance(end, Problem) else self._bad_history(execution, stores_key, end)

    def _broken_invariant(self, world: World) -> Problem | None:
        for name, observation in self._scenario.observations.items():
            self.observed[name] += observation(world) is not None
        for name, invariant in self._scenario.invariants.items():
            message = invariant(world)
            if message is not None:
                return Problem(name, message)
        return None

    def _end(self, world: World) -> Problem | Values:
        """Return the values that a client reads after the run, or the problem if they differ from the truth."""
        truth = self._scenario.truth(world)
        if self._scenario.afterwards is None:
            return truth
        snapshots = [store.snapshot() for store in world.stores]
        try:
            values = drive(self._scenario.afterwards(world.subject), step_limit=self._scenario.step_limit)
        except Exception as error:
            return Problem("reads afterwards", f"reading afterwards raised {error!r}")
        finally:
            for store, snapshot in zip(world.stores, snapshots, strict=True):
                store.restore(snapshot)
        return truth if _present(values) == _present(truth) else _differing(values, truth)

    def _bad_history(self, execution: Execution, stores_key: Hashable, values: Values) -> Problem | None:
        key = (execution.history.key(), stores_key)
        if key not in self._histories:
            self._histories[key] = self._judged(execution, values)
        return self._histories[key]

    def _judged(self, execution: Execution, values: Values) -> Problem | None:
        assert self._initial is not None
        closing = {entity: values.get(entity) for entity in {**self._initial, **values}}
        recorded = execution.history.operations(self._names, closing)
        operations = [part for operation in recorded for part in self._scenario.split(operation)]
        verdicts = check_entities(operations, self._initial, model=self._scenario.model)
        bad = {entity: verdict for entity, verdict in verdicts.items() if verdict is not Verdict.OK}
        if not bad:
            return None
        described = ", ".join(f"{entity!r} ({verdict})" for entity, verdict in bad.items())
        return Problem("linearizable", f"no order of the calls explains what the clients saw of {described}")


def _present(values: Values) -> dict[Any, Any]:
    return {entity: value for entity, value in values.items() if value is not None}


def _differing(values: Mapping[Any, Any], truth: Values) -> Problem:
    differing = [entity for entity in {**truth, **values} if values.get(entity) != truth.get(entity)]
    described = "; ".join(
        f"{entity!r} is read as {values.get(entity)!r}, the truth is {truth.get(entity)!r}" for entity in differing
    )
    return Problem("reads afterwards", described)
