"""Histories of entities by field: a program that writes another field of a document has an order of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import evolve

from lazymig.testing.linearizability import Operation, Outcome

#: A field that an answer does not show.
UNSEEN = "unseen"


def kept(value: Any) -> Any:
    """A field that a write leaves as it is."""
    return value


def split_by(names: Sequence[str]) -> Callable[[Operation], list[Operation]]:
    """A function that returns what an operation is to each of these fields.

    Its result is a value for each field, an outcome, or None. The argument of a write has, for each field, the new
    value or a function from the one before. Operations whose entity is a field already stay as they are.
    """

    def split(operation: Operation) -> list[Operation]:
        if isinstance(operation.entity, tuple):
            return [operation] if operation.result != UNSEEN else []
        return list(_parts(operation, names))

    return split


def _parts(operation: Operation, names: Sequence[str]) -> Iterator[Operation]:
    result, argument = operation.result, operation.argument
    for place, name in enumerate(names):
        shown = result[place] if isinstance(result, tuple) else result
        change = argument[place] if isinstance(argument, tuple) else argument
        one = evolve(operation, entity=(operation.entity, name), argument=change)
        if operation.name == "get":
            if shown != UNSEEN:
                yield evolve(one, result=shown)
            continue
        one = evolve(one, result=Outcome.DONE if shown == UNSEEN else shown)
        if operation.name in ("update", "replace"):
            one = evolve(one, name="update" if callable(change) else "replace")
        yield one


def by_field(entity: Any, value: Any, names: Sequence[str]) -> dict[Any, Any]:
    """An entity's value by field, as histories name them."""
    return {(entity, name): None if value is None else value[place] for place, name in enumerate(names)}
