"""How far calls get: the statement at which a call stands after the answers to those before, or its end."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import copy_context
from itertools import count
from typing import Any

from attrs import frozen

from lazymig.testing.exploration.scenario import Call, Scenario
from lazymig.testing.exploration.statement import CANCEL_AFTER, DRAWS, Gate, Statement
from lazymig.testing.linearizability import Outcome


class Action(enum.IntEnum):
    """The treatment of a client's waiting statement."""

    STEP = 0
    CANCEL_BEFORE = 1
    CANCEL_AFTER = 2


Answers = tuple[tuple[Action, Any], ...]
"""What was done with each statement of a call, and its outcome."""

Place = tuple[int, int, int]
"""The client, the position of its call, and a number that stands for the call's answers; 0 before the first."""


@frozen
class Stand:
    """Where a call stands."""

    #: What it waits for; None at its end.
    statement: Statement | None
    #: What it returned or raised.
    result: Any = None


class _Running:
    """The coroutine of a call, which stands at a statement."""

    __slots__ = ("_call", "_context", "_coroutine", "_statement")

    def __init__(self, call: Call, subject: Any, draws: Iterator[float]) -> None:
        self._call = call
        self._context = copy_context()
        self._context.run(DRAWS.set, draws)
        self._coroutine = _awaiting(call.run, subject)
        self._statement: Statement | None = None

    def begin(self) -> Stand:
        return self._move(self._coroutine.send, None)

    def go_on(self, action: Action, outcome: Any) -> Stand:
        assert self._statement is not None
        self._statement.answer_with(outcome)
        if action is Action.CANCEL_BEFORE:
            return self._move(self._coroutine.throw, _cancelled())
        return self._move(self._coroutine.send, CANCEL_AFTER if action is Action.CANCEL_AFTER else None)

    def discard(self) -> None:
        self._context.run(_throw_away, self._coroutine)

    def _move(self, move: Callable[[Any], Any], value: Any) -> Stand:
        try:
            statement = self._context.run(move, value)
        except StopIteration as stop:
            return Stand(None, stop.value)
        except asyncio.CancelledError:
            return Stand(None, Outcome.UNCERTAIN)
        except Exception as error:
            return Stand(None, error.with_traceback(None))
        if not isinstance(statement, Statement):
            raise TypeError(
                f"{self._call} awaited {statement!r}, which is not a statement of the scenario's stores or clock; the "
                "explorer has no event loop, so use no tasks, futures or timers"
            )
        self._statement = statement
        # A copy: the statement may be taken in other runs too, when the call has changed what it sent.
        return Stand(statement.copied())


class Progress:
    """The calls of a scenario in one world.

    Answers alone decide how a call goes on, so it is run once for equal ones, in all runs that share this object: those
    of a scenario that `resumes`. Any other scenario has an object for each run, which comes to each place once.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.gate = Gate()
        self.world = scenario.setup(self.gate)
        self._calls = list(scenario.clients.values())
        self._stands: dict[Place, Stand] = {}
        #: Coroutines by where they stand. Each can go on only once.
        self._running: dict[Place, _Running] = {}

    def begin(self, client: int, position: int) -> Stand:
        """Return where a call stands at first."""
        place = (client, position, 0)
        stand = self._stands.get(place)
        if stand is None:
            running = self._new(client, position)
            stand = self._arrive(place, running, running.begin())
        return stand

    def after(self, place: Place, answers: Answers, chain: int) -> Stand:
        """Return where the call stands that the last of these answers was given at `place`, which makes it `chain`."""
        client, position, _ = place
        reached = (client, position, chain)
        stand = self._stands.get(reached)
        if stand is None:
            running = self._running.pop(place, None) or self._retraced(client, position, answers[:-1])
            stand = self._arrive(reached, running, running.go_on(*answers[-1]))
        return stand

    def close(self) -> None:
        """Discard the coroutines of all calls that have not ended."""
        self.gate.over = True
        for running in self._running.values():
            running.discard()

    def _arrive(self, place: Place, running: _Running, stand: Stand) -> Stand:
        self._stands[place] = stand
        if stand.statement is not None:
            self._running[place] = running
        return stand

    def _retraced(self, client: int, position: int, answers: Answers) -> _Running:
        """Return the call's coroutine where these answers bring it."""
        running = self._new(client, position)
        running.begin()
        for action, outcome in answers:
            running.go_on(action, outcome)
        return running

    def _new(self, client: int, position: int) -> _Running:
        return _Running(self._calls[client][position], self.world.subject, _draws(client, position))


def _throw_away(coroutine: Coroutine[Any, Any, Any]) -> None:
    # `close` alone is not enough: on Python 3.11 it does not reach an asynchronous generator that is being awaited.
    with suppress(asyncio.CancelledError, GeneratorExit, StopIteration):
        coroutine.throw(_cancelled())
    coroutine.close()


async def _awaiting(run: Callable[[Any], Any], subject: Any) -> Any:
    return await run(subject)


def _draws(client: int, position: int) -> Iterator[float]:
    """Return numbers in [0, 1) that no other call gets, for up to ten clients, ten calls of each and ten draws."""
    return ((client % 10 * 100 + position % 10 * 10 + draw % 10) / 1000 + 0.0005 for draw in count())


def _cancelled() -> BaseException:
    return asyncio.CancelledError()
