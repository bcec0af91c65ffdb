"""Two sides on one server, each with collections of its own, filled ahead of the clock."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from pymongo.monitoring import CommandListener

import lazymig
from benchmarks.by_hand import ByHand
from benchmarks.subject import MIGRATION, OrderV1, OrderV2, document, orders, to_v2

_BATCH = 1_000


class Trips(CommandListener):
    """Counts commands that go to the server."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: Any) -> None:
        self.count += 1

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


@frozen
class Scale:
    """How long to measure: rounds, and operations per leg at one task and at more."""

    rounds: int
    alone: int
    crowd: int
    #: Operations of each task at least, so that a leg is not all beginning and end.
    each: int = 16
    #: Entities of a listing.
    listed: int = 10_000

    def operations(self, tasks: int, weight: float = 1.0) -> int:
        """Operations of one leg; `weight` is below 1 for rows that take longer than a migrated `get`."""
        return max(tasks * self.each, int((self.alone if tasks == 1 else self.crowd) * weight))


@frozen
class Stage:
    """The server, by a client for the clock and by one that counts commands (listening costs time)."""

    uri: str
    client: Any
    listening: Any
    trips: Trips
    scale: Scale


@frozen
class Arena:
    """The contestants in databases of their own, with equal documents."""

    ours: lazymig.Repository[Any, Any]
    #: Ours with `write_behind`, on the same collections.
    behind: lazymig.Repository[Any, Any]
    theirs: ByHand

    async def fill(self, count: int, *, seed: int, share: float = 1.0) -> list[Any]:
        """Store orders in V1 of both sides, this share of them in V2 too; their ids."""
        made = orders(count, seed)
        for start in range(0, count, _BATCH):
            batch = made[start : start + _BATCH]
            for collection in (self.ours.collections.v1, self.theirs.v1):
                await collection.insert_many([document(order) for order in batch])
            # Spread evenly, as traffic migrates.
            chosen = [order for number, order in enumerate(batch, 1) if number * share % 1 < share]
            if chosen:
                await self._migrate(chosen)
        return [order.id for order in made]

    async def _migrate(self, chosen: list[OrderV1]) -> None:
        await self.ours.get_many([order.id for order in chosen])
        await self.theirs.v2.insert_many([document(to_v2(order)) for order in chosen])


async def arena(client: Any, name: str, migration: lazymig.Migration[OrderV1, OrderV2] = MIGRATION) -> Arena:
    """An empty arena; both sides convert as this migration does."""
    databases = [client[f"{name}_{side}"] for side in ("ours", "theirs")]
    for database in databases:
        await client.drop_database(database.name)
    ours, theirs = databases
    pair: dict[str, Any] = {"v1": ours["v1"], "v2": ours["v2"], "phase": lazymig.Phase.COEXIST}
    return Arena(
        lazymig.Repository(migration, **pair),
        lazymig.Repository(migration, write_behind=True, **pair),
        ByHand(theirs["v1"], theirs["v2"], migration.upgrade),
    )
