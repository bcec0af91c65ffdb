"""What the circuit breaker and a gradual cut-over add to a `get` in `coexist`: `python -m benchmarks.cut_over`.

Without a server, so that only the code's own time counts, and that in processor time, since machines are shared. Rounds
of the ways alternate; the table has the median of each way and of its difference from the first.
"""

from __future__ import annotations

import asyncio
from statistics import median
from time import process_time
from typing import Any

from attrs import evolve

from benchmarks.subject import MIGRATION, document, orders
from lazymig import Control, Phase, Repository
from lazymig.control import Moved, Standing
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import calls_of
from lazymig.routes.choosing import open_choosing
from lazymig.routes.stages import FixedStages
from lazymig.stores.positions import measure_position
from lazymig.testing.memory_collection import MemoryCollection

ROUNDS, OPERATIONS, TIMEOUT_S = 15, 2_000, 30.0


def open_repository(v1: Any, v2: Any, *, breaker: bool, settings: dict[str, object] | None = None) -> Any:
    """Return a repository in `coexist`: with the breaker or without, by these settings of a phase's record."""
    repository = Repository(MIGRATION, v1=v1, v2=v2, phase=Phase.COEXIST, coalesce=False, timeout_s=TIMEOUT_S)
    calls = calls_of(repository)
    pair = calls.pair if breaker else evolve(calls.pair, breaker=None, v2_wait_s=None)
    control = Control(MemoryCollection("control"))
    control.cohort("staff", lambda id: False)
    builder = evolve(calls.builder, pair=pair, choosing=open_choosing(control, MIGRATION.name))
    moved = Moved(SYSTEM_CLOCK.now(), "me", "a benchmark", None, Phase.COEXIST, 1)
    standing = Standing(MIGRATION.name, Phase.COEXIST, 1, None, settings or {}, (moved,))
    stages = FixedStages(builder.build(standing), TIMEOUT_S)
    repository._calls = evolve(calls, ground=pair, builder=builder, stages=stages)
    return repository


async def measure(repository: Any, id: Any) -> float:
    """Return the microseconds of one read."""
    began_s = process_time()
    for _ in range(OPERATIONS):
        await repository.get(id)
    return (process_time() - began_s) / OPERATIONS * 1e6


async def main() -> None:
    """Measure each way, and print the table."""
    stored = document(orders(1, 1)[0])
    id = stored["_id"]
    v1, v2 = MemoryCollection("v1", [stored]), MemoryCollection("v2")
    ways = {
        "without the breaker": open_repository(v1, v2, breaker=False),
        "with the breaker": open_repository(v1, v2, breaker=True),
        "gradual, chosen by share": open_repository(
            v1, v2, breaker=True, settings={"share": (1 + measure_position(id)) / 2}
        ),
        "gradual, a cohort asked first": open_repository(
            v1, v2, breaker=True, settings={"share": (1 + measure_position(id)) / 2, "cohorts": ["staff"]}
        ),
    }
    for repository in ways.values():
        await measure(repository, id)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, repository in ways.items():
            taken[name].append(await measure(repository, id))
    first = taken["without the breaker"]
    print("| way | us per get | more |\n| --- | --- | --- |")
    for name, times in taken.items():
        more = median(one - base for one, base in zip(times, first, strict=True))
        print(f"| {name} | {median(times):.1f} | {more:+.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
