"""The history that the clients of one run saw: their calls and returns in order."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from typing import Any

from lazymig.testing.exploration.scenario import Call
from lazymig.testing.exploration.values import freeze
from lazymig.testing.linearizability import Operation, Outcome, listed


class Record:
    """The record of one call, which is open while `returned_at` is None."""

    __slots__ = ("before", "call", "called_at", "client", "key", "result", "returned_at")

    def __init__(self, client: int, call: Call, called_at: int, before: tuple[int, ...]) -> None:
        self.client = client
        self.call = call
        self.called_at = called_at
        self.before = before
        self.result: Any = Outcome.UNCERTAIN
        self.returned_at: int | None = None
        self.key: Hashable = (client, before)


class History:
    """The records of judged calls. The check of linearizability treats histories with equal `key()` alike."""

    def __init__(self, clients: int) -> None:
        self.records: list[Record] = []
        self._returned = [0] * clients
        self._moment = 0

    def call(self, client: int, call: Call) -> Record:
        """Begin a call. Its order matters only through the calls that had returned by then."""
        self._moment += 1
        record = Record(client, call, self._moment, tuple(self._returned))
        if call.recorded:
            self.records.append(record)
        return record

    def give_back(self, record: Record, result: Any) -> None:
        """End a call. With `UNCERTAIN`, it may happen at any time after it began."""
        if not record.call.recorded:
            return
        self._moment += 1
        record.result = result
        record.key = (record.client, record.before, freeze(result))
        if result is not Outcome.UNCERTAIN:
            record.returned_at = self._moment
            self._returned[record.client] += 1

    def copied(self) -> History:
        """Return a copy, to which records may be added and whose open ones may be ended."""
        result = History(0)
        result.records = [copy(record) if record.returned_at is None else record for record in self.records]
        result._returned = list(self._returned)
        result._moment = self._moment
        return result

    def key(self) -> Hashable:
        """Return the calls with their results and, for each, the calls that had returned when it began."""
        # Each client's records are already in order, and sorting by client is stable.
        return tuple([record.key for record in sorted(self.records, key=_client)])

    def operations(self, names: Sequence[str], values: Mapping[Any, Hashable]) -> list[Operation]:
        """Return the operations on each entity, followed by a read of every entity's final value."""
        entities = list(values)
        result = [operation for record in self.records for operation in _operations(record, names, entities)]
        end = self._moment + 1
        return [*result, *listed(values, entities, client="afterwards", called_at=end, returned_at=end + 1)]


def _client(record: Record) -> int:
    return record.client


def _operations(record: Record, names: Sequence[str], entities: Sequence[Any]) -> list[Operation]:
    client, call = names[record.client], record.call
    if call.name == "list":
        if record.returned_at is None:
            return []
        moments = {"called_at": record.called_at, "returned_at": record.returned_at}
        return listed(record.result, entities, client=client, **moments)
    return [
        Operation(client, call.name, call.argument, record.result, record.called_at, record.returned_at, call.entity)
    ]
