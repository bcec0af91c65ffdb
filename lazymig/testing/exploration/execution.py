"""One run of a scenario, which drives the clients' coroutines one statement at a time."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from itertools import count
from typing import Any

from attrs import frozen
from pymongo.results import DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from lazymig.testing.exploration.history import History, Record
from lazymig.testing.exploration.scenario import Call, Scenario
from lazymig.testing.exploration.statement import CANCEL_AFTER, DRAWS, Gate, Statement
from lazymig.testing.exploration.values import freeze
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import Snapshot


class Action(enum.IntEnum):
    """The treatment of a client's waiting statement."""

    STEP = 0
    CANCEL_BEFORE = 1
    CANCEL_AFTER = 2


Choice = tuple[int, Action]
"""The client that moves, and the action on its statement."""

Event = tuple[int, str, Any]
"""(client, "call", "step" or "return", and the call, (action, statement) or result)"""


Answers = tuple[tuple[Action, Any], ...]
"""What was done with each statement of a call, and its outcome."""


class _Client:
    __slots__ = ("answers", "asleep", "calls", "chain", "context", "coroutine", "position", "record", "statement")

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.context: Context = copy_context()
        self.position = 0
        #: None between calls, and in a call that a resumed run has not moved yet.
        self.coroutine: Any = None
        self.statement: Statement | None = None
        self.record: Record | None = None
        #: The answers to the present call so far; None between calls.
        self.answers: Answers | None = None
        #: A number for the results that the present call's statements got, which determine the coroutine's state.
        self.chain = 0
        #: Whether the present call waits for the clock.
        self.asleep = False

    def retrace(self, index: int, subject: Any) -> None:
        """Bring the present call to where it was, by the answers that it got."""
        assert self.answers is not None
        move: Callable[[Any], Any] = self.begin(index, subject)
        value: Any = None
        for action, outcome in self.answers:
            self.statement = self.context.run(move, value)
            assert self.statement is not None
            self.statement.answer_with(outcome)
            move, value = _treated(self.coroutine, action)
        self.statement = self.context.run(move, value)

    def begin(self, index: int, subject: Any) -> Callable[[Any], Any]:
        """Make the coroutine of the present call, and return its `send`."""
        self.context.run(DRAWS.set, _draws(index, self.position))
        self.coroutine = _awaiting(self.calls[self.position].run, subject)
        return self.coroutine.send  # type: ignore[no-any-return]


@frozen
class Point:
    """Where several runs go on: the stores, the history, and what `resume` needs of each client."""

    stores: tuple[Snapshot, ...]
    #: Each client's position, chain, answers, record and whether it is asleep.
    clients: tuple[tuple[int, int, Answers | None, int | None, bool], ...]
    history: History
    cancellations: int


class Execution:
    """A run in progress.

    A crashed client is one that is never scheduled again. None of its clean-up runs before the run is closed.
    """

    def __init__(self, scenario: Scenario, numbers: MutableMapping[Hashable, int]) -> None:
        self.scenario = scenario
        self.gate = Gate()
        self.world = scenario.setup(self.gate)
        self.history = History(len(scenario.clients))
        self.events: list[Event] = []
        self.failure: str | None = None
        self.call_ended = False
        self._numbers = numbers
        self._clients = [_Client(calls) for calls in scenario.clients.values()]
        self._cancellations = scenario.cancellations

    # ---- inspection -------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether every client has finished all its calls."""
        return all(client.position == len(client.calls) for client in self._clients)

    @property
    def open_calls(self) -> int:
        """The number of calls that have begun and not ended."""
        return sum(client.answers is not None for client in self._clients)

    def choices(self) -> list[Choice]:
        """Return the choices that are possible next."""
        waiting = [index for index, client in enumerate(self._clients) if client.position < len(client.calls)]
        wakes = self.scenario.wakes
        if wakes is not None and any(client.asleep for client in self._clients) and not wakes(self.world):
            # Time passes where nobody else can move.
            waiting = [index for index in waiting if not self._clients[index].asleep] or waiting
        if not self._cancellations:
            return [(index, Action.STEP) for index in waiting]
        return [(index, action) for action in Action for index in waiting]

    def chains(self) -> tuple[int, ...]:
        """Return one number for each client, which stands for the results of its present call so far."""
        return tuple([client.chain for client in self._clients])

    def stores_key(self) -> Hashable:
        """Return a key for the contents of the stores."""
        return tuple([store.fingerprint(self._numbers) for store in self.world.stores])

    def key(self, stores_key: Hashable) -> Hashable:
        """Return a key for the state. Runs with the same key have the same futures and the same judgement."""
        clients = tuple([(client.position, client.answers is not None, client.chain) for client in self._clients])
        return (stores_key, clients, self.history.key(), self._cancellations)

    # ---- movement ---------------------------------------------------------------------------------------------------

    def replay(self, path: Iterable[Choice], chains: Sequence[int]) -> None:
        """Take choices again. `chains` is the result of `chains()` after them, which saves computing it."""
        for choice in path:
            self.take(choice, chained=False)
        for client, chain in zip(self._clients, chains, strict=True):
            client.chain = chain

    def point(self) -> Point:
        """Return the present state, for `resume`."""
        records = {id(record): number for number, record in enumerate(self.history.records)}
        return Point(
            tuple([store.snapshot() for store in self.world.stores]),
            tuple(
                [
                    (one.position, one.chain, one.answers, records.get(id(one.record)), one.asleep)
                    for one in self._clients
                ]
            ),
            self.history.copied(),
            self._cancellations,
        )

    def resume(self, point: Point) -> None:
        """Go on from a state of another run. Its events are not repeated."""
        for store, snapshot in zip(self.world.stores, point.stores, strict=True):
            store.restore(snapshot)
        self.history, self._cancellations = point.history.copied(), point.cancellations
        for client, (position, chain, answers, record, asleep) in zip(self._clients, point.clients, strict=True):
            client.position, client.chain, client.answers, client.asleep = position, chain, answers, asleep
            client.record = None if record is None else self.history.records[record]

    def take(self, choice: Choice, *, chained: bool = True) -> None:
        """Run one client past one statement. A call begins with its first statement."""
        index, action = choice
        client = self._clients[index]
        self.call_ended = False
        if client.answers is None:
            self._begin(index, client)
        elif client.coroutine is None:
            client.retrace(index, self.world.subject)
        statement = client.statement
        if statement is None:
            return  # the call ended without a statement
        self.events.append((index, "step", (action, statement)))
        self._cancellations -= action is not Action.STEP
        self._resume(index, client, *_treated(client.coroutine, action))
        if client.answers is None:
            return
        client.answers += ((action, statement.outcome),)
        if chained:
            client.chain = self._numbers[("chain", client.chain, action, _outcome_key(statement.outcome))]

    def close(self) -> None:
        """End the run, and discard the coroutines of unfinished clients."""
        self.gate.over = True
        for client in self._clients:
            if client.coroutine is not None:
                client.context.run(_throw_away, client.coroutine)

    def _begin(self, index: int, client: _Client) -> None:
        call = client.calls[client.position]
        client.record = self.history.call(index, call)
        client.chain = 0
        client.answers = ()
        self.events.append((index, "call", call))
        self._resume(index, client, client.begin(index, self.world.subject), None)

    def _resume(self, index: int, client: _Client, move: Callable[[Any], Any], value: Any) -> None:
        try:
            statement = client.context.run(move, value)
        except StopIteration as stop:
            self._end(index, client, stop.value)
        except asyncio.CancelledError:
            self._end(index, client, Outcome.UNCERTAIN)
        except Exception as error:
            self._end(index, client, error)
        else:
            if not isinstance(statement, Statement):
                raise TypeError(
                    f"{client.calls[client.position]} awaited {statement!r}, which is not a statement of the "
                    "scenario's stores or clock; the explorer has no event loop, so use no tasks, futures or timers"
                )
            client.statement = statement
            client.asleep = statement.sleeps

    def _end(self, index: int, client: _Client, result: Any) -> None:
        call, record = client.calls[client.position], client.record
        client.coroutine = client.statement = client.record = client.answers = None
        client.asleep = False
        client.chain = 0
        client.position += 1
        self.call_ended = True
        result = self._result(call, result)
        self.events.append((index, "return", result))
        if record is not None:  # that of a call that is not judged is not kept for a resumed run
            self.history.give_back(record, result)

    def _result(self, call: Call, result: Any) -> Any:
        if isinstance(result, Exception):
            outcome = self.scenario.outcome(result)
            if outcome is None:
                self.failure = f"{call} raised {result!r}"
                return Outcome.UNCERTAIN
            return outcome
        return result if isinstance(result, Outcome) else call.observe(result)


def _treated(coroutine: Any, action: Action) -> tuple[Callable[[Any], Any], Any]:
    """Return how a client's coroutine is moved past its statement, and with what."""
    if action is Action.CANCEL_BEFORE:
        return coroutine.throw, _cancelled()
    return coroutine.send, CANCEL_AFTER if action is Action.CANCEL_AFTER else None


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


def _outcome_key(outcome: Any) -> Hashable:
    if isinstance(outcome, (UpdateResult, DeleteResult)):
        return freeze(outcome.raw_result)
    if isinstance(outcome, Exception):
        return (type(outcome).__name__, getattr(outcome, "code", None))
    if isinstance(outcome, InsertManyResult):
        return freeze(outcome.inserted_ids)
    if isinstance(outcome, InsertOneResult):
        return freeze(outcome.inserted_id)
    return freeze(outcome)
