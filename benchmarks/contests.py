"""The rows of the table: what each side does, how often, and the ratio aimed at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from attrs import evolve, frozen

from benchmarks.arena import Arena, Scale, Stage, arena
from benchmarks.measure import Leg, Outcome, alternate, outcome, spread, used
from benchmarks.subject import OrderV1, entity, orders, ship, to_v2
from lazymig.repository import calls_of

Operation = Callable[[Any], Awaitable[Any]]

#: Entities that reads and updates go round, at most.
MIGRATED = 4_000
#: Entities that are compared behind the clock.
_LOOKED_AT = 50


@frozen
class Contest:
    """One row: both sides as operations on one argument, and where a leg's arguments come from."""

    row: str
    against: str
    targets: Mapping[int, float | None]
    ours: Callable[[Arena], Operation]
    theirs: Callable[[Arena], Operation]
    #: The arguments of both sides' next legs, from how many legs and how many operations in each.
    arguments: Callable[[Arena, int, int], Awaitable[tuple[Sequence[Any], Sequence[Any]]]]
    #: How long this row's operations are measured beside a migrated `get`'s.
    weight: float = 1.0

    async def run(self, stage: Stage) -> list[Outcome]:
        round_trips = await self._round_trips(stage)
        place = await arena(stage.client, "timed")
        return [await self._at(place, tasks, stage.scale, round_trips) for tasks in self.targets]

    async def _at(self, place: Arena, tasks: int, scale: Scale, round_trips: float) -> Outcome:
        operations = scale.operations(tasks, self.weight)
        mine, other = await self.arguments(place, scale.rounds + 1, operations)
        cpu: tuple[list[float], list[float]] = [], []
        taken = await alternate(
            used(_legs(self.ours(place), mine, operations, tasks, place), operations, cpu[0]),
            used(_legs(self.theirs(place), other, operations, tasks, place), operations, cpu[1]),
            scale.rounds,
        )
        await _agree(place, mine)
        one = outcome(self.row, self.against, tasks, self.targets[tasks], taken, operations, round_trips)
        return evolve(one, ours_cpu_ms=round(min(cpu[0]), 4), theirs_cpu_ms=round(min(cpu[1]), 4))

    async def _round_trips(self, stage: Stage) -> float:
        # Counted until the caller has its answer: what `write_behind` leaves behind is no wait of the caller's.
        place = await arena(stage.listening, "counted")
        # Each repository looks at its collections before its first call, once; the rows are about the calls after it.
        await place.ours.check()
        await place.behind.check()
        mine, _ = await self.arguments(place, 1, 10)
        operation = self.ours(place)
        total = 0
        for argument in mine:
            before = stage.trips.count
            await operation(argument)
            total += stage.trips.count - before
            await calls_of(place.behind).pair.behind.drain()
        return total / len(mine)


async def _agree(place: Arena, arguments: Sequence[Any]) -> None:
    """Fail unless both sides have come to the same entities: what is measured must have happened."""
    ids = [getattr(argument, "id", argument) for argument in arguments]
    for id in ids[:: max(1, len(ids) // _LOOKED_AT)]:
        found = await place.ours.get(id)
        assert found == await place.theirs.get(id), "the two sides differ"
        seen, kept = await place.ours.v1.get(id), await place.theirs.v1.find_one({"_id": id})
        assert seen == (kept and entity(kept, OrderV1)), "the two sides differ in V1"


def _legs(operation: Operation, arguments: Sequence[Any], count: int, tasks: int, place: Arena) -> Leg:
    batches = iter(range(0, len(arguments), count))

    async def leg() -> float:
        start = next(batches)
        batch = arguments[start : start + count]
        return await spread(operation, batch, tasks, calls_of(place.behind).pair.behind.drain)

    return leg


async def _migrated(place: Arena, legs: int, count: int) -> tuple[list[Any], list[Any]]:
    ids = await place.fill(min(MIGRATED, legs * count), seed=1)
    turns = list(islice(cycle(ids), legs * count))
    return turns, turns


async def _untouched(place: Arena, legs: int, count: int) -> tuple[list[Any], list[Any]]:
    ids = await place.fill(legs * count, seed=2, share=0.0)
    return ids, ids


async def _unknown(place: Arena, legs: int, count: int) -> tuple[list[Any], list[Any]]:
    made = [to_v2(order) for order in orders(legs * count, seed=3)]
    return made, made


async def _stored(place: Arena, legs: int, count: int) -> tuple[list[Any], list[Any]]:
    ids = await place.fill(legs * count, seed=5)
    return ids, ids


CONTESTS = (
    Contest(
        "get, migrated",
        "find_one + the same structuring",
        {1: 0.95, 16: 3.0, 64: 5.0},
        lambda place: place.ours.get,
        lambda place: place.theirs.get,
        _migrated,
    ),
    Contest(
        "get, first read",
        "find V2, find V1, convert, insert V2",
        {1: 1.2, 16: 4.0, 64: 5.0},
        lambda place: place.ours.get,
        lambda place: place.theirs.first_get,
        _untouched,
        weight=0.4,
    ),
    Contest(
        "update, clean",
        "find V2, replace V1, replace V2",
        {1: 0.9, 16: 2.0, 64: 3.0},
        lambda place: lambda id: place.ours.update(id, ship),
        lambda place: lambda id: place.theirs.update(id, ship),
        _migrated,
        weight=0.3,
    ),
    Contest(
        "update, write_behind",
        "find V2, replace V1, replace V2",
        {1: 1.2, 16: 1.0, 64: 1.0},
        lambda place: lambda id: place.behind.update(id, ship),
        lambda place: lambda id: place.theirs.update(id, ship),
        _migrated,
        weight=0.3,
    ),
    Contest(
        "insert",
        "find V2, find V1, insert V1, insert V2",
        {1: 1.0, 16: 2.0, 64: 3.0},
        lambda place: place.ours.insert,
        lambda place: place.theirs.insert,
        _unknown,
        weight=0.3,
    ),
    Contest(
        "delete",
        "find V2, delete V1, delete V2",
        {1: 0.9, 16: 1.5, 64: 2.0},
        lambda place: place.ours.delete,
        lambda place: place.theirs.delete,
        _stored,
        weight=0.3,
    ),
    # For orientation: by hand, it says nothing where nothing was, as lazymig's always does.
    Contest(
        "delete, without a look",
        "delete V1, delete V2",
        dict.fromkeys((1, 16, 64)),
        lambda place: place.ours.delete,
        lambda place: place.theirs.delete_unseen,
        _stored,
        weight=0.3,
    ),
)
