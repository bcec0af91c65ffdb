"""Database statements as scheduling points.

Without a gate, a statement takes effect immediately, so the in-memory collection works in any event loop. With a gate,
it first yields itself to the driver of the coroutine, and takes effect as a whole when it is resumed. This module does
not use asyncio's loop: the driver decides which client moves next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from typing import Any, Final, Self

from pymongo.errors import PyMongoError

from lazymig.testing.exploration.values import fresh

_CONTAINERS: Final = frozenset({dict, list})

CANCEL_AFTER: Final = object()
"""The value that a driver sends into a coroutine to cancel it right after the waiting statement took effect."""

DRAWS: Final[ContextVar[Iterator[float]]] = ContextVar("lazymig_explorer_draws")
"""The random numbers of the current call. They do not depend on the other calls, so that a run can be repeated."""


class Gate:
    """A switch that the collections and the clock of one run share."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


class Statement:
    """An awaitable that takes effect as a whole when its driver resumes it.

    Afterwards, `outcome` is its result or the error that it raised.
    """

    __slots__ = ("arguments", "effect", "gate", "name", "outcome", "store")

    #: Whether it waits for time to pass.
    sleeps = False

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
                # The run has ended and its crashed coroutines are being closed. A dead process runs no clean-up.
                raise GeneratorExit
            command = yield self
        try:
            self.outcome = self.effect(*self.arguments)
        except Exception as error:
            self.outcome = error
            if command is CANCEL_AFTER and isinstance(error, PyMongoError):
                raise asyncio.CancelledError from None
            raise
        if command is CANCEL_AFTER:
            raise asyncio.CancelledError
        # A copy, which the code under test may change: the outcome distinguishes states, and may be given again.
        return fresh(self.outcome) if type(self.outcome) in _CONTAINERS else self.outcome

    def take_effect(self) -> Any:
        """Have the effect without being awaited, and return the outcome."""
        try:
            self.outcome = self.effect(*self.arguments)
        except Exception as error:
            self.outcome = error
        return self.outcome

    def copied(self) -> Self:
        """Return a statement that does the same, whatever becomes of the containers that this one was given."""
        return type(self)(self.gate, self.store, self.name, self.effect, *map(fresh, self.arguments))

    def answer_with(self, outcome: Any) -> None:
        """Make the statement take no effect and have this outcome."""
        self.effect, self.arguments = _give, (outcome,)


class Sleep(Statement):
    """A wait for time to pass."""

    __slots__ = ()

    sleeps = True


def _give(outcome: Any) -> Any:
    if isinstance(outcome, Exception):
        raise outcome.with_traceback(None)
    return outcome


class EndlessOperationError(AssertionError):
    """An error for an operation that runs alone and does not end within the allowed number of steps."""


def drive(coroutine: Coroutine[Any, Any, Any], *, step_limit: int = 1000) -> Any:
    """Run `coroutine` alone to its end, and return its result. Its errors are passed on.

    Raises `EndlessOperationError` if it takes more than `step_limit` statements.
    """
    try:
        for _ in range(step_limit):
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise EndlessOperationError(f"no end after {step_limit} steps alone; look for a loop that never gives up")
