"""Clients of both doors at work, and the history of what each of them was told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

from attrs import Factory, define
from pymongo.errors import PyMongoError

from lazymig import AlreadyExists, Contention, NotFound, Phase, Repository
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.testing.linearizability import Operation, Outcome
from tests.faults.boxes import DoorV1, DoorV2, Value, migration

#: How often each call is made, relative to the others.
WEIGHTS = {"get": 5, "exists": 1, "get_many": 1, "list": 1, "insert": 3, "update": 5, "replace": 1, "delete": 2}
#: What a call came to that says nothing: it certainly changed nothing.
SILENT = object()


class ShiftedClock:
    """The machine's clock, set forward when a test wants marks to be old."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return SYSTEM_CLOCK.now() + self.ahead

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()

    def random(self) -> float:
        return SYSTEM_CLOCK.random()

    async def sleep(self, delay_s: float) -> None:
        await SYSTEM_CLOCK.sleep(delay_s)


@define
class History:
    """What every client was told."""

    #: The entities at the start; all others are absent.
    initial: Mapping[int, Value]
    operations: list[Operation] = Factory(list)
    calls: int = 0
    #: Calls by name, and beside them `uncertain` writes, failed `reads`, and writes that were `contended`.
    counts: Counter[str] = Factory(Counter)

    async def record(
        self, client: str, name: str, ids: Iterable[int], call: Callable[[], Awaitable[Any]], argument: Any = None
    ) -> None:
        """Make one call and record it. An error of the driver leaves a write uncertain, and a read unrecorded."""
        reads = name in ("get", "get_many", "list", "exists")
        called_at = time.monotonic()
        self.calls += 1
        self.counts[name] += 1
        result = await self._result(call, reads)
        returned_at = None if result is Outcome.UNCERTAIN else time.monotonic()
        if result is SILENT:
            return
        for id in ids:
            # To each entity by itself, a call that reads many is a read that found its value, or nothing.
            told, verb = (result.get(id), "get") if isinstance(result, dict) else (result, name)
            self.operations.append(Operation(client, verb, argument, told, called_at, returned_at, id))

    async def _result(self, call: Callable[[], Awaitable[Any]], reads: bool) -> Any:
        try:
            return await call()
        except NotFound:
            return Outcome.NOT_FOUND
        except AlreadyExists:
            return Outcome.ALREADY_EXISTS
        except Contention:
            self.counts["contended"] += 1
            return SILENT
        except PyMongoError:
            # The clients' own statements: what these raise is what an application sees.
            self.counts["reads" if reads else "uncertain"] += 1
            return SILENT if reads else Outcome.UNCERTAIN


class Client:
    """One client of one door, with a repository of its own."""

    def __init__(self, name: str, door: DoorV1 | DoorV2, ids: range, history: History, random: Random) -> None:
        self._name = name
        self._door = door
        self._ids = ids
        self._history = history
        self._random = random
        self._written = 0

    async def step(self) -> None:
        """One call, chosen by the seed."""
        name = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        # The first entities are met much more often: some for races, some for peace.
        id = self._ids[int(len(self._ids) * self._random.random() ** 2)]
        ids = [id]
        if name in ("get_many", "list"):
            ids = list(self._ids) if name == "list" else self._random.sample(self._ids, min(5, len(self._ids)))
        self._written += 1
        writer = f"{self._name}.{self._written}"
        call, argument = getattr(self, f"_{name}")(ids if name == "get_many" else id, writer)
        await self._history.record(self._name, name, ids, call, argument)

    def _get(self, id: int, _: str) -> Any:
        return lambda: self._value_of(self._door.calls.get(id)), None

    def _exists(self, id: int, _: str) -> Any:
        return lambda: self._door.calls.exists(id), None

    def _get_many(self, ids: list[int], _: str) -> Any:
        async def call() -> dict[int, Any]:
            found = await self._door.calls.get_many(ids)
            return {id: self._door.value(entity) for id, entity in found.items()}

        return call, None

    def _list(self, _: int, __: str) -> Any:
        async def call() -> dict[int, Any]:
            return {entity.id: self._door.value(entity) async for entity in self._door.calls.list()}

        return call, None

    def _insert(self, id: int, writer: str) -> Any:
        value = (writer, 0)
        return lambda: self._value_of(self._door.calls.insert(self._door.entity(id, value))), value

    def _replace(self, id: int, writer: str) -> Any:
        value = (writer, 0)
        return lambda: self._value_of(self._door.calls.replace(self._door.entity(id, value))), value

    def _update(self, id: int, writer: str) -> Any:
        change = lambda entity: self._door.written_by(writer, entity)  # noqa: E731
        return lambda: self._value_of(self._door.calls.update(id, change)), lambda value: (writer, value[1] + 1)

    def _delete(self, id: int, _: str) -> Any:
        async def call() -> Outcome:
            await self._door.calls.delete(id)
            return Outcome.DONE

        return call, None

    async def _value_of(self, call: Awaitable[Any]) -> Value | None:
        return self._door.value(await call)


def clients(
    database: Any,
    history: History,
    ids: range,
    seed: int,
    clock: ShiftedClock,
    *,
    count: int,
    timeouts_s: tuple[float | None, float | None] = (10.0, None),
    migration: Any = migration,
) -> list[Client]:
    """Clients of the two doors by turns; half of them share a repository, as the tasks of one process do.

    `timeouts_s`: of the shared repository and of the others. One that ends cancels the statement that is under way.
    """
    made = []
    shared = repository(database, clock, timeouts_s[0], migration)
    for number in range(count):
        own = shared if number < count // 2 else repository(database, clock, timeouts_s[1], migration)
        door = DoorV1(own) if number % 2 else DoorV2(own)
        made.append(Client(f"c{number}", door, ids, history, Random(seed * 1000 + number)))
    return made


def repository(
    database: Any, clock: ShiftedClock, timeout_s: float | None = 10.0, migration: Any = migration
) -> Repository[Any, Any]:
    """A repository as a service has it."""
    return Repository(
        migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, clock=clock, timeout_s=timeout_s
    )


async def work(
    clients: Iterable[Client], going: Callable[[], bool], between: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Let all clients make calls while `going()`; each awaits `between` before each of its calls."""

    async def one(client: Client) -> None:
        while going():
            if between is not None:
                await between()
            await client.step()
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(one(client))
