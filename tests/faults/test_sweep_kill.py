"""`kill -9` at random moments of a sweep, with live writers at both doors; one more sweep makes V1 and V2 equal."""

from __future__ import annotations

import random
from typing import Any

from attrs import evolve

from lazymig import AlreadyExists, NotFound, Repository
from tests.faults.crowds import Crowd, Kind
from tests.faults.nurseries import nursery
from tests.sweeps import LaterClock, ThingV1, ThingV2, control, moved, repository, stored, sweeper, thing
from tests.widening import WIDENING

COUNT, KILLS, ROUNDS_MAX = 300, 20 if WIDENING.full else 10, 60
#: How often a sweep of the newest first is killed: what follows a kill is the same code in both directions.
NEWEST_KILLS = 3
BAD = {7, 150, 299}
#: Each pair has one code, which V2's unique index takes once.
TWINS = {(20, 21), (200, 260)}


class Writers(Crowd):
    """Clients at both doors."""

    def __init__(self, repo: Repository[ThingV1, ThingV2], rng: random.Random) -> None:
        super().__init__(clients=Kind(self._call, (NotFound, AlreadyExists)))
        self._repo = repo
        self._rng = rng
        self._next_id = 1000

    async def _call(self) -> None:
        id = self._rng.choice([id for id in range(COUNT) if id not in BAD and id not in {*sum(TWINS, ())}])
        match self._rng.randrange(8):
            case 0 | 1:
                count = self._rng.randrange(1000)
                await self._repo.update(id, lambda v2: evolve(v2, count=count, note="by V2"))
            case 2 | 3:
                n = self._rng.randrange(1000)
                await self._repo.v1.update(id, lambda v1: evolve(v1, n=n))
            case 4:
                await self._repo.delete(id)
            case 5:
                self._next_id += 1
                await self._repo.insert(ThingV2(self._next_id, 1, f"new {self._next_id}", "born"))
            case 6:
                await self._repo.v1.insert(ThingV1(id, 2, f"again {id}"))
            case _:
                await self._repo.get(id)


async def fill(database: Any) -> None:
    """The same V1 as ever, nothing migrated."""
    for name in ("v1", "v2", "lazymig_control"):
        await database[name].delete_many({})
    codes = {second: first for first, second in TWINS}
    documents = [thing(id, -1 if id in BAD else id, code=f"c{codes.get(id, id)}") for id in range(COUNT)]
    await database["v1"].insert_many(documents)


async def check(database: Any) -> None:
    """V2 holds every entity just as V1 has it, and every failing one has one dead letter."""
    v1, v2 = await stored(database["v1"]), await stored(database["v2"])
    refused = {id for pair in TWINS for id in pair if str(id) not in v2}
    assert len(refused) == len(TWINS)
    told = [letter.id async for letter in control(database).dead_letters("things")]
    assert sorted(told) == sorted(BAD | refused)
    live = {id: body for id, body in v2.items() if not body["_lazymig"].get("gone")}
    assert set(live) == set(v1) - set(map(str, told))
    for id, document in live.items():
        truth = v1[id]
        by = document["_lazymig"]["by"]  # whoever was first
        expected = moved(truth["_id"], truth["n"], truth.get("_lazymig_rev", 0), by, code=truth["code"])
        assert document | {"note": None} == expected


async def test_kill_at_random_moments(lazymig_server: Any, server_database: Any, seed: int, wide: int) -> None:
    """Killed at random moments, with writers at both doors, a sweep leaves nothing that the next cannot end."""
    rng, kills = random.Random(seed), 0
    await server_database["v2"].create_index("code", unique=True, sparse=True)
    async with nursery(lazymig_server.uri, server_database) as children:
        for rounds in range(ROUNDS_MAX * wide):  # noqa: B007 - it is printed
            await fill(server_database)
            writers = Writers(repository(server_database), rng)
            async with writers.at_work(clients=4):
                await children.sweep(dies_at=children.draw(rng))
                kills += await children.end()
                # Late enough for the dead sweep's leases only: the writers' marks are young.
                repo = repository(server_database)
                await sweeper(server_database, repo=repo, batch_size=50, partition_size=50, clock=LaterClock(61)).run()
            report = await sweeper(server_database, batch_size=50, partition_size=1000, clock=LaterClock(122)).run()
            assert report.finished
            await check(server_database)
            if kills >= KILLS * wide:
                break
    print(f"{kills} kills in {rounds + 1} rounds")
    assert kills >= KILLS * wide


async def test_kill_a_sweep_of_the_newest_first(
    lazymig_server: Any, server_database: Any, seed: int, wide: int
) -> None:
    """Killed between any two pages, the next one continues below what was done, and V2 ends with all of V1."""
    rng, kills, continued = random.Random(seed), 0, 0
    async with nursery(lazymig_server.uri, server_database, kind="newest") as children:
        while kills < NEWEST_KILLS * wide or not continued:
            for name in ("v1", "v2", "lazymig_control"):
                await server_database[name].delete_many({})
            await server_database["v1"].insert_many([thing(id) for id in range(COUNT)])
            await children.sweep(dies_at=children.draw(rng))
            kills += await children.end()
            report = await sweeper(
                server_database, batch_size=50, partition_size=50, clock=LaterClock(61), newest_first=True
            ).run()
            assert report.finished
            continued += report.scanned < COUNT
            held = await stored(server_database["v2"])
            assert held == {repr(id): moved(id) for id in range(COUNT)}
    print(f"{kills} kills, {continued} passes continued")
