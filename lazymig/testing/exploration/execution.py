"""One run of a scenario, which drives the clients' coroutines one statement at a time."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping, Sequence
from typing import Any

from attrs import frozen
from pymongo.results import DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from lazymig.testing.exploration.history import History, Record
from lazymig.testing.exploration.progress import Action, Answers, Progress, Stand
from lazymig.testing.exploration.scenario import Call, Scenario
from lazymig.testing.exploration.statement import Statement
from lazymig.testing.exploration.values import freeze
from lazymig.testing.linearizability import Outcome
from lazymig.testing.memory_collection import Snapshot

Choice = tuple[int, Action]
"""The client that moves, and the action on its statement."""

Event = tuple[int, str, Any]
"""(client, "call", "step" or "return", and the call, (action, statement) or result)"""


class _Client:
    __slots__ = ("answers", "calls", "chain", "position", "record", "statement")

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.position = 0
        self.statement: Statement | None = None
        self.record: Record | None = None
        #: The answers to the present call so far; None between calls.
        self.answers: Answers | None = None
        #: A number for these answers, which determine the coroutine's state.
        self.chain = 0

    @property
    def asleep(self) -> bool:
        """Whether the present call waits for the clock."""
        return self.statement is not None and self.statement.sleeps


@frozen
class Point:
    """Where several runs go on: the stores, the history, and what `resume` needs of each client."""

    stores: tuple[Snapshot, ...]
    #: Each client's position, chain, answers, statement and record.
    clients: tuple[tuple[int, int, Answers | None, Statement | None, int | None], ...]
    history: History
    cancellations: int


class Execution:
    """A run in progress.

    A crashed client is one that is never scheduled again. None of its clean-up runs before the run is closed.
    """

    def __init__(
        self, scenario: Scenario, numbers: MutableMapping[Hashable, int], shared: Progress | None = None
    ) -> None:
        self.scenario = scenario
        self._shared = shared
        self._progress = Progress(scenario) if shared is None else shared
        self.world = self._progress.world
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

    def stores_key(self) -> Hashable:
        """Return a key for the contents of the stores."""
        return tuple([store.fingerprint(self._numbers) for store in self.world.stores])

    def key(self, stores_key: Hashable) -> Hashable:
        """Return a key for the state. Runs with the same key have the same futures and the same judgement."""
        clients = tuple([(client.position, client.answers is not None, client.chain) for client in self._clients])
        return (stores_key, clients, self.history.key(), self._cancellations)

    # ---- movement ---------------------------------------------------------------------------------------------------

    def point(self) -> Point:
        """Return the present state, for `resume`."""
        records = {id(record): number for number, record in enumerate(self.history.records)}
        return Point(
            tuple([store.snapshot() for store in self.world.stores]),
            tuple(
                [
                    (one.position, one.chain, one.answers, one.statement, records.get(id(one.record)))
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
        for client, (position, chain, answers, statement, record) in zip(self._clients, point.clients, strict=True):
            client.position, client.chain, client.answers, client.statement = position, chain, answers, statement
            client.record = None if record is None else self.history.records[record]

    def take(self, choice: Choice) -> None:
        """Run one client past one statement. A call begins with its first statement."""
        index, action = choice
        client = self._clients[index]
        self.call_ended = False
        if client.answers is None:
            self._begin(index, client)
        statement = client.statement
        if statement is None:
            return  # the call ended without a statement
        assert client.answers is not None
        self.events.append((index, "step", (action, statement)))
        self._cancellations -= action is not Action.STEP
        outcome = None if action is Action.CANCEL_BEFORE else statement.take_effect()
        place = (index, client.position, client.chain)
        client.answers += ((action, outcome),)
        client.chain = self._numbers[("chain", client.chain, action, _outcome_key(outcome))]
        self._arrive(index, client, self._progress.after(place, client.answers, client.chain))

    def close(self) -> None:
        """End the run, and discard the coroutines of unfinished clients."""
        if self._shared is None:
            self._progress.close()

    def _begin(self, index: int, client: _Client) -> None:
        call = client.calls[client.position]
        client.record = self.history.call(index, call)
        client.answers = ()
        self.events.append((index, "call", call))
        self._arrive(index, client, self._progress.begin(index, client.position))

    def _arrive(self, index: int, client: _Client, stand: Stand) -> None:
        client.statement = stand.statement
        if stand.statement is None:
            self._end(index, client, stand.result)

    def _end(self, index: int, client: _Client, result: Any) -> None:
        call, record = client.calls[client.position], client.record
        client.record = client.answers = None
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
