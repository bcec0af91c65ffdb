"""`kill -9` of a sweep over documents with both shapes, beside clients and a program that does not know lazymig."""

from __future__ import annotations

import random
from typing import Any

from lazymig.protocol.in_place.parts import Parts
from lazymig.stores.whole_documents import parse_whole
from tests.faults.crowds import Crowd, Kind
from tests.faults.nurseries import nursery
from tests.places import Repo, noted, place_of, place_repository, place_sweeper
from tests.sweeps import LaterClock, letters, stored, thing

COUNT, KILLS, ROUNDS_MAX = 120, 4, 20
BAD = {7, 50, 119}


class Writers(Crowd):
    """A program that sets V1's fields by a plain driver, and clients that set what only V2 holds.

    Each remembers what was acknowledged last. Their fields differ, so that must be what is stored in the end.
    """

    def __init__(self, database: Any, repo: Repo, rng: random.Random) -> None:
        super().__init__(outside=Kind(self._outside, ()), inside=Kind(self._inside, ()))
        self._both, self._repo, self._rng = database["both"], repo, rng
        self.numbers = {id: id for id in range(COUNT)}
        self.notes: dict[int, str] = {}

    def _draw(self) -> int:
        return self._rng.choice([id for id in range(COUNT) if id not in BAD])

    async def _outside(self) -> None:
        id, number = self._draw(), self._rng.randrange(10**6)
        await self._both.update_one({"_id": id}, {"$set": {"n": number}})
        self.numbers[id] = number

    async def _inside(self) -> None:
        id, note = self._draw(), f"note {self._rng.randrange(10**6)}"
        await self._repo.update(id, noted(note))
        self.notes[id] = note


async def _fill(database: Any) -> None:
    for name in ("both", "lazymig_control"):
        await database[name].delete_many({})
    await database["both"].insert_many([thing(id, -1 if id in BAD else id) for id in range(COUNT)])


async def _check(database: Any, writers: Writers) -> None:
    """Everything that was acknowledged is stored, each V2 part is of its V1 part, and each bad one has its letter."""
    place = place_of(place_repository(database))
    found = await stored(database["both"])
    assert len(found) == COUNT
    assert set(await letters(database)) == {repr(id) for id in BAD}
    for document in found.values():
        id = document["_id"]
        assert document["colour"] == "red"
        if id in BAD:
            assert "count" not in document
            continue
        assert (document["n"], document["count"]) == (writers.numbers[id],) * 2
        assert document["note"] == writers.notes.get(id)
        assert Parts(place, parse_whole(document)).is_current


async def test_kill_at_random_moments(lazymig_server: Any, server_database: Any, seed: int, wide: int) -> None:
    """Killed at random moments, a sweep leaves nothing that the next cannot end, and no write of anybody is lost."""
    rng, kills, continued = random.Random(seed), 0, 0
    async with nursery(lazymig_server.uri, server_database, kind="one-document") as children:
        for rounds in range(ROUNDS_MAX * wide):  # noqa: B007 - it is printed
            await _fill(server_database)
            writers = Writers(server_database, place_repository(server_database), rng)
            async with writers.at_work(outside=1, inside=1):
                await children.sweep(dies_at=children.draw(rng))
                kills += await children.end()
                # Late enough for the dead sweep's leases.
                large: dict[str, Any] = {"batch_size": 25, "partition_size": 50}
                report = await place_sweeper(server_database, clock=LaterClock(61), **large).run()
                continued += report.scanned < COUNT
            # What the writers left behind, the next pass finds.
            report = await place_sweeper(server_database, batch_size=50, partition_size=1000).run()
            assert (report.finished, report.remaining) == (True, len(BAD))
            await _check(server_database, writers)
            if kills >= KILLS * wide and continued:
                break
    print(f"{kills} kills in {rounds + 1} rounds, {continued} passes continued")
    assert kills >= KILLS * wide
    assert continued
