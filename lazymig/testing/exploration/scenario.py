"""Scenarios to explore: fresh stores, the clients with their calls, and the invariants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from typing import Any

from attrs import Factory, field, frozen

from lazymig.testing.exploration.statement import Gate
from lazymig.testing.linearizability import Model, Operation, Outcome, entity_model
from lazymig.testing.memory_collection import MemoryCollection


@frozen
class World:
    """The stores of one run, and the subject of the calls."""

    stores: tuple[MemoryCollection, ...]
    subject: Any


Check = Callable[[World], str | None]
"""A function that inspects the stores and returns what is wrong in one sentence, or None. It must not change them."""

Values = Mapping[Any, Hashable]
"""The value of each entity of the scenario. An entity with None, or without an entry, is absent."""

Split = Callable[[Operation], Iterable[Operation]]
"""A function that returns what an operation is to each part of its entity, where parts are judged by themselves."""


def keep_whole(operation: Operation) -> Iterable[Operation]:
    """Return the operation as the only one: entities are judged as a whole."""
    return (operation,)


@frozen
class Call:
    """One operation of one client.

    `run(subject)` makes the call. The history check uses `name`, `entity` and `argument` (see
    `linearizability.Operation`). A call named "list" concerns all entities, and its observed result is a mapping of the
    entities that it found. A call without an entity and with another name, such as a sweep, is not part of any history.
    `observe` turns the result into a value.
    """

    name: str
    run: Callable[[Any], Awaitable[Any]]
    entity: Hashable = None
    argument: Any = None
    observe: Callable[[Any], Any] = field(default=lambda result: result)

    @property
    def recorded(self) -> bool:
        """Whether the call's result is judged."""
        return self.entity is not None or self.name == "list"

    def __str__(self) -> str:
        return self.name if self.entity is None else f"{self.name}({self.entity!r})"


@frozen(kw_only=True)
class Scenario:
    """Concurrent clients that start from the same state.

    - `setup(gate)` builds the stores with the gate. It is called for every run, and must always build the same stores.
    - `clients`: the calls of each client by its name, made one after the other. Calls share only the stores.
    - `truth(world)`: the value of every entity now, found without changing anything. Histories begin with it.
    - `afterwards(subject)`: the value of every entity as a client reads it at the end. It must equal the truth.
    - `invariants`: the checks that must hold in every state. `observations`: checks whose failures are only counted.
    - `is_dirty(world)`: whether something is left to heal, for the statistics.
    - `split(operation)`: what an operation is to each entity that `truth` names, where these are parts of what calls
      name: fields, if writers of other fields have an order of their own.
    - `outcomes`: the results that errors stand for. Any other error is a violation.
    - `crashes`: whether every state is also judged as the end of a run in which the unfinished clients crashed.
    - `cancellations`: the number of cancellations in one run, at any await, before or after the statement's effect.
    - `resumes`: whether nothing but the stores' documents, not even the clock, changes during a run, and calls look at
      them by statements only. The search then makes the stores once, goes on from a copy of their documents where it
      branches, and runs a call once for equal answers, instead of running all statements again.
    - `wakes(world)`: where clients that sleep go on. Elsewhere they do so only when all others sleep or have ended, so
      that what they wait for comes in time. None: a sleep may end at any time.
    - `step_limit`: the most statements of one run before it counts as endless. `alone_limit`: those of a call alone.
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
    split: Split = keep_whole
    crashes: bool = True
    cancellations: int = 0
    resumes: bool = False
    wakes: Callable[[World], bool] | None = None
    step_limit: int = 200
    alone_limit: int | None = None

    def outcome(self, error: Exception) -> Outcome | None:
        """Return the result that an error stands for, or None if it stands for none."""
        return next((outcome for kind, outcome in self.outcomes.items() if isinstance(error, kind)), None)
