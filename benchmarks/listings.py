"""Listings of all entities: how many are migrated, and what the conversion costs that a migrated one spares."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

from attrs import evolve, frozen

import lazymig
from benchmarks.arena import Stage, arena
from benchmarks.measure import Outcome, alternate, outcome, spread, used
from benchmarks.subject import CHECKED, MIGRATION, OrderV1, OrderV2, orders, to_v2, to_v2_checked

LISTED = 10_000


@frozen
class Listing:
    """A listing of all, of which this share is migrated."""

    row: str
    share: float
    target: float
    migration: lazymig.Migration[OrderV1, OrderV2] = MIGRATION

    async def run(self, stage: Stage) -> list[Outcome]:
        place = await arena(stage.client, "timed", self.migration)
        count = stage.scale.listed
        await place.fill(count, seed=4, share=self.share)

        async def ours(_: Any) -> None:
            assert await _length(place.ours.list()) == count

        async def theirs(_: Any) -> None:
            assert await _length(place.theirs.list()) == count

        cpu: tuple[list[float], list[float]] = [], []
        taken = await alternate(
            used(lambda: spread(ours, [0], 1), 1, cpu[0]),
            used(lambda: spread(theirs, [0], 1), 1, cpu[1]),
            stage.scale.rounds,
        )
        row = self.row.replace(f"{LISTED:,}", f"{count:,}")
        one = outcome(row, "find in V1, convert each", 1, self.target, taken, 1)
        return [evolve(one, ours_cpu_ms=round(min(cpu[0]), 2), theirs_cpu_ms=round(min(cpu[1]), 2))]


async def _length(entities: AsyncIterator[Any]) -> int:
    # Looked at and let go, which is what an iterator of entities is for.
    length = 0
    async for _ in entities:
        length += 1
    return length


LISTINGS = (
    Listing(f"list of {LISTED:,}, migrated, 10 µs each", 1.0, 1.15),
    Listing(f"list of {LISTED:,}, migrated, 100 µs each", 1.0, 2.0, CHECKED),
    Listing(f"list of {LISTED:,}, half migrated", 0.5, 0.95),
    Listing(f"list of {LISTED:,}, none migrated", 0.0, 1.0),
)


def conversions() -> str:
    """What the two conversions take here, the least of five runs: the rows' names only say about how much."""
    made = orders(1_000, seed=6)
    found = []
    for convert in (to_v2, to_v2_checked):
        least = float("inf")
        for _ in range(5):
            started = perf_counter()
            for order in made:
                convert(order)
            least = min(least, perf_counter() - started)
        found.append(f"{least / len(made) * 1e6:.0f}")
    return " and ".join(found) + " µs"
