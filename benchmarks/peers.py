"""Other libraries' single reads beside the raw driver's `find_one`, each on the same documents."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import cycle, islice

from attrs import frozen

from benchmarks.arena import Arena, Stage, arena
from benchmarks.contests import MIGRATED, Operation
from benchmarks.measure import Outcome, alternate, outcome, spread
from benchmarks.report import RAW

_TASKS = (1, 16, 64)


@frozen
class Peer:
    """One library's read by id. Without a target: for orientation only."""

    row: str
    open: Callable[[Arena, str], Awaitable[Operation]]

    async def run(self, stage: Stage) -> list[Outcome]:
        place = await arena(stage.client, "timed")
        ids = await place.fill(min(MIGRATED, stage.scale.operations(max(_TASKS))), seed=1)
        operation = await self.open(place, stage.uri)
        outcomes = []
        for tasks in _TASKS:
            count = stage.scale.operations(tasks)
            turns = list(islice(cycle(ids), count))
            taken = await alternate(
                lambda tasks=tasks, turns=turns: spread(operation, turns, tasks),  # type: ignore[misc]
                lambda tasks=tasks, turns=turns: spread(place.theirs.raw, turns, tasks),  # type: ignore[misc]
                stage.scale.rounds,
            )
            outcomes.append(outcome(self.row, RAW, tasks, None, taken, count))
        return outcomes


async def _lazymig(place: Arena, uri: str) -> Operation:
    return place.ours.get


async def _beanie(place: Arena, uri: str) -> Operation:
    module = importlib.import_module("benchmarks.peer_beanie")
    operation: Operation = await module.opened(place.theirs.v2)
    return operation


async def _odmantic(place: Arena, uri: str) -> Operation:
    module = importlib.import_module("benchmarks.peer_odmantic")
    operation: Operation = await module.opened(uri, place.theirs.v2.database.name)
    return operation


def peers() -> list[Peer]:
    """Those that are installed, lazymig first."""
    found = [Peer("lazymig get", _lazymig)]
    for row, module, opened in (("Beanie get", "beanie", _beanie), ("ODMantic find_one", "odmantic", _odmantic)):
        with suppress(ImportError):
            importlib.import_module(module)
            found.append(Peer(row, opened))
    return found
