"""One database statement as one scheduling point.

A statement asks its gate first. Without a gate it takes effect at once, so the in-memory collection works in any event
loop. With a gate it yields itself to whoever drives the coroutine, before it has any effect; when resumed, it takes
effect as a whole. Nothing here knows of asyncio's loop: the driver decides who moves next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from typing import Any, Final

from pymongo.errors import PyMongoError

CANCEL_AFTER: Final = object()
"""What a driver sends into a coroutine to cancel it right after the waiting statement took effect."""

DRAWS: Final[ContextVar[Iterator[float]]] = ContextVar("lazymig_explorer_draws")
"""The random numbers of the call under way: its own, whatever the others do, so that a run can be made again."""


class Gate:
    """The switch shared by the collections and the clock of one run."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


class Statement:
    """An awaitable that takes effect in one piece, when its driver says so.

    After it took effect, `outcome` is its result or the driver error that it raised.
    """

    __slots__ = ("arguments", "effect", "gate", "name", "outcome", "store")

    def __init__(self, gate: Gate | None, store: str, name: str, effect: Callable[..., Any], *arguments: Any) -> None:
        self.gate = gate
        self.store = store
        self.name = name
        self.effect = effect
        self.arguments = arguments
        self.outcome: Any = None

    def __await__(self) -> Generator[Statement, Any, Any]:
        command = None
        if self.gate is not None:
            if self.gate.over:
                # The run has ended and its crashed coroutines are being closed: a dead process runs no clean-up.
                raise GeneratorExit
            command = yield self
        try:
            self.outcome = self.effect(*self.arguments)
        except PyMongoError as error:
            self.outcome = error
            if command is CANCEL_AFTER:
                raise asyncio.CancelledError from None
            raise
        if command is CANCEL_AFTER:
            raise asyncio.CancelledError
        return self.outcome


class EndlessOperationError(AssertionError):
    """An operation that runs alone did not end within the allowed number of steps."""


def drive(coroutine: Coroutine[Any, Any, Any], *, step_limit: int = 1000) -> Any:
    """Run `coroutine` alone to its end and return its result; raises what it raises.

    Raises `EndlessOperationError` when it takes more than `step_limit` statements.
    """
    try:
        for _ in range(step_limit):
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise EndlessOperationError(f"no end after {step_limit} steps alone: look for a loop that never gives up")
