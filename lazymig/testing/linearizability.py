"""A checker for linearizable histories of operations on one entity.

A history is linearizable if one instant between call and return can be assigned to each operation, such that every
result is correct. An operation whose caller never learned the outcome may have happened at any time after its call, or
not at all. The search tries candidates for the next instant depth first, and remembers the configurations that it
visited. Entities are independent of each other, so each history is checked separately.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen


class Verdict(enum.StrEnum):
    """The result of a check."""

    OK = "ok"
    """Some order of the operations explains every result."""
    ILLEGAL = "illegal"
    """No order of the operations explains every result."""
    UNKNOWN = "unknown"
    """The budget was used up before the check was decided."""


class Outcome(enum.StrEnum):
    """A result of an operation that is not the entity's value."""

    ALREADY_EXISTS = "already exists"
    NOT_FOUND = "not found"
    DONE = "done"
    UNCERTAIN = "uncertain"
    """The caller does not know whether the operation happened."""


@frozen
class Operation:
    """One operation of one client on one entity, as the client saw it.

    `name` is get, insert, update, replace or delete. `argument` is the value of an insert or replace, or the function
    from value to value of an update. `result` is the value (None if absent) or an `Outcome`. `called_at` and
    `returned_at` are numbers that order the events. `returned_at` is None if the client never learned the result.
    """

    client: str
    name: str
    argument: Any = field(default=None, eq=False)
    result: Any = None
    called_at: float = 0
    returned_at: float | None = None
    entity: Hashable = None

    @property
    def certain(self) -> bool:
        """Whether the operation certainly happened before `returned_at`, with `result`."""
        return self.returned_at is not None and self.result is not Outcome.UNCERTAIN


Model = Callable[[Any, Operation], tuple[bool, Hashable]]
"""A function from a state and an operation to (whether its result is correct in that state, the state afterwards). The
result of an operation that is not `certain` is always correct, and the state afterwards is the one it would produce."""

ABSENT: Final = None


def entity_model(state: Any, operation: Operation) -> tuple[bool, Hashable]:
    """Apply an operation to one entity, whose state is its value, or None while it does not exist."""
    return _STEPS[operation.name](state, operation)


def _get(state: Any, operation: Operation) -> tuple[bool, Hashable]:
    return not operation.certain or operation.result == state, state


def _insert(state: Any, operation: Operation) -> tuple[bool, Hashable]:
    after = operation.argument if state is ABSENT else state
    refused = operation.result is Outcome.ALREADY_EXISTS
    return not operation.certain or refused == (state is not ABSENT), after


def _delete(state: Any, operation: Operation) -> tuple[bool, Hashable]:
    missed = operation.result is Outcome.NOT_FOUND
    return not operation.certain or missed == (state is ABSENT), ABSENT


def _update(state: Any, operation: Operation) -> tuple[bool, Hashable]:
    if state is ABSENT:
        return not operation.certain or operation.result is Outcome.NOT_FOUND, ABSENT
    after = operation.argument(state) if operation.name == "update" else operation.argument
    return not operation.certain or operation.result in (after, Outcome.DONE), after


_STEPS: Final[Mapping[str, Model]] = {
    "get": _get,
    "insert": _insert,
    "update": _update,
    "replace": _update,
    "delete": _delete,
}

Configuration = tuple[int, int, int, Hashable]
"""(first certain operation not placed, bits of those placed after it, bits of the uncertain ones placed, state)"""


class _Search:
    """A search for an order of the operations. Certain ones must all be placed, uncertain ones may be."""

    def __init__(self, operations: Iterable[Operation], model: Model) -> None:
        ordered = sorted(operations, key=lambda operation: operation.called_at)
        self._certain = [operation for operation in ordered if operation.certain]
        # A read that never returned reveals nothing and changes nothing.
        self._uncertain = [operation for operation in ordered if not operation.certain and operation.name != "get"]
        self._model = model

    def verdict(self, initial: Hashable, budget: int) -> Verdict:
        start: Configuration = (0, 0, 0, initial)
        seen = {start}
        stack = [start]
        while stack:
            configuration = stack.pop()
            if configuration[0] == len(self._certain):
                return Verdict.OK
            if len(seen) > budget:
                return Verdict.UNKNOWN
            for following in self._following(configuration):
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
        return Verdict.ILLEGAL

    def _following(self, configuration: Configuration) -> Iterator[Configuration]:
        """Yield the next configurations. The most likely comes last, because the stack takes it first."""
        first, placed, used, state = configuration
        deadline, window = self._window(first, placed)
        yield from self._uncertain_next(configuration, deadline)
        # The operation that returned first most likely happened first.
        for index in sorted(window, key=lambda index: -self._returned_at(index)):
            right, after = self._model(state, self._certain[index])
            if right:
                yield (*_placing(first, placed, index), used, after)

    def _window(self, first: int, placed: int) -> tuple[float, list[int]]:
        """Return the earliest return of an unplaced operation, and the certain operations called before it."""
        deadline, window = math.inf, []
        for index in range(first, len(self._certain)):
            if placed >> (index - first) & 1:
                continue
            if self._certain[index].called_at > deadline:
                break
            window.append(index)
            deadline = min(deadline, self._returned_at(index))
        return deadline, [index for index in window if self._certain[index].called_at <= deadline]

    def _uncertain_next(self, configuration: Configuration, deadline: float) -> Iterator[Configuration]:
        first, placed, used, state = configuration
        for index, operation in enumerate(self._uncertain):
            if operation.called_at > deadline:
                break
            after = state if used >> index & 1 else self._model(state, operation)[1]
            if after != state:
                yield first, placed, used | 1 << index, after

    def _returned_at(self, index: int) -> float:
        returned_at = self._certain[index].returned_at
        return math.inf if returned_at is None else returned_at


def _placing(first: int, placed: int, index: int) -> tuple[int, int]:
    placed |= 1 << (index - first)
    while placed & 1:
        first, placed = first + 1, placed >> 1
    return first, placed


def check(
    operations: Iterable[Operation], initial: Hashable = ABSENT, *, model: Model = entity_model, budget: int = 200_000
) -> Verdict:
    """Check whether one entity's history is linearizable from its `initial` value. Values must be hashable.

    `budget` limits the number of visited configurations. Beyond it the verdict is UNKNOWN.
    """
    return _Search(operations, model).verdict(initial, budget)


def check_entities(
    operations: Iterable[Operation],
    initial: Mapping[Any, Hashable],
    *,
    model: Model = entity_model,
    budget: int = 200_000,
) -> dict[Any, Verdict]:
    """Check the history of each entity. Entities missing from `initial` begin absent. `budget` is per entity."""
    histories: dict[Any, list[Operation]] = {entity: [] for entity in initial}
    for operation in operations:
        histories.setdefault(operation.entity, []).append(operation)
    return {
        entity: check(history, initial.get(entity, ABSENT), model=model, budget=budget)
        for entity, history in histories.items()
    }


def listed(
    found: Mapping[Any, Hashable], entities: Sequence[Any], *, client: str, called_at: float, returned_at: float | None
) -> list[Operation]:
    """Return a listing as one read of each entity, which found its value or nothing."""
    return [
        Operation(client, "get", None, found.get(entity, ABSENT), called_at, returned_at, entity) for entity in entities
    ]
