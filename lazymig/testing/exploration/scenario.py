"""What to explore: fresh stores, the clients and their calls, and what must hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any

from attrs import Factory, field, frozen

from lazymig.testing.exploration.statement import Gate
from lazymig.testing.linearizability import Model, Outcome, entity_model
from lazymig.testing.memory_collection import MemoryCollection


@frozen
class World:
    """The stores of one run, and the subject that the calls are made on."""

    stores: tuple[MemoryCollection, ...]
    subject: Any


Check = Callable[[World], str | None]
"""Looks at the stores; returns what is wrong in one sentence, or None. Must not change them."""

Values = Mapping[Any, Hashable]
"""The value of each entity of the scenario; None (or left out): absent."""


@frozen
class Call:
    """One operation of one client.

    `run(subject)` makes it. `name`, `entity` and `argument` are what the history check knows of it (see
    `linearizability.Operation`); a call named "list" concerns all entities, and its observed result is a mapping of
    those it found. A call with neither (a sweep) is not part of any history. `observe` turns the result into a value.
    """

    name: str
    run: Callable[[Any], Awaitable[Any]]
    entity: Hashable = None
    argument: Any = None
    observe: Callable[[Any], Any] = field(default=lambda result: result)

    @property
    def recorded(self) -> bool:
        """Whether its result is judged."""
        return self.entity is not None or self.name == "list"

    def __str__(self) -> str:
        return self.name if self.entity is None else f"{self.name}({self.entity!r})"


@frozen(kw_only=True)
class Scenario:
    """Clients that run side by side from one starting state.

    - `setup(gate)` builds the stores with that gate; it is called for every run and must always build the same.
    - `clients`: for each name its calls, made one after the other. Calls share nothing but the stores.
    - `truth(world)`: every entity's value now, by looking only. It is also where histories begin.
    - `afterwards(subject)`: every entity's value as a client reads it when all is over; must equal the truth.
    - `invariants`: must hold in every state. `observations`: counted where they do not, and not held against the run.
    - `is_dirty(world)`: whether something is left to be put right, for the statistic.
    - `outcomes`: what errors mean as results. An error that is not named is a violation.
    - `crashes`: every state is also judged as the end of a run in which the clients that are not done have died.
    - `cancellations`: how many calls of one run may be cancelled, at any await, the statement having happened or not.
    - `step_limit`: statements in one run, beyond which it is called endless. `alone_limit`: those of a call alone.
    """

    name: str
    setup: Callable[[Gate], World]
    clients: Mapping[str, Sequence[Call]]
    truth: Callable[[World], Values]
    afterwards: Callable[[Any], Coroutine[Any, Any, Values]] | None = None
    invariants: Mapping[str, Check] = Factory(dict)
    observations: Mapping[str, Check] = Factory(dict)
    is_dirty: Callable[[World], bool] | None = None
    outcomes: Mapping[type[Exception], Outcome] = Factory(dict)
    model: Model = entity_model
    crashes: bool = True
    cancellations: int = 0
    step_limit: int = 200
    alone_limit: int | None = None

    def outcome(self, error: Exception) -> Outcome | None:
        """What the error means as a result, or None where it is none."""
        return next((outcome for kind, outcome in self.outcomes.items() if isinstance(error, kind)), None)
