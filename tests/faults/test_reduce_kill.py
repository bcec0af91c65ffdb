"""`kill -9` at random moments of the pass that takes V1's fields out and lifts V2's, with ten writers beside it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from attrs import evolve

from lazymig import Control, Migration, Phase, Repository, Retirement
from lazymig.control import parts_of
from tests.faults import reduce_nursery
from tests.faults.nurseries import nursery
from tests.people import PersonV2, ada, ada_v1, join, people
from tests.whole_people import META, ORDER, WITHIN, whole

COUNT, WRITERS, KILLS = 100, 10, 2
FINISHED: Migration[Any, Any] = Migration.finished("people", v2=PersonV2)


class Service:
    """Ten writers of one process at both doors, and the answers they got: each entity's age, or that it is gone."""

    def __init__(self, repo: Repository[Any, Any], rng: random.Random) -> None:
        self._repo, self._rng = repo, rng
        self.ages: dict[int, int] = dict.fromkeys(range(COUNT), 36)
        self.done, self._next_id, self._turn = 0, COUNT, asyncio.Event()

    async def after(self, count: int) -> None:
        """Return when so many more calls were made."""
        aim = self.done + count
        while self.done < aim:
            self._turn.clear()
            await self._turn.wait()

    async def run(self, own: int, over: asyncio.Event) -> None:
        """One writer of its own entities."""
        mine = [id for id in self.ages if id % WRITERS == own]
        while not over.is_set():
            await self._call(mine)
            self.done += 1
            self._turn.set()

    async def _call(self, mine: list[int]) -> None:
        repo, id = self._repo, self._rng.choice(mine)
        match self._rng.randrange(8):
            case 0:
                self._next_id += 1
                mine.append(new := self._next_id)
                await repo.insert(ada(new, age=1))
                self.ages[new] = 1
            case 1 if len(mine) > 5:
                mine.remove(id)
                await repo.delete(id)
                del self.ages[id]
            case 2 | 3:
                await repo.v1.update(id, lambda v1: evolve(v1, age=v1.age + 1))
                self.ages[id] += 1
            case 4:
                found = await repo.get(id)
                assert found is not None
                assert found.age == self.ages[id]
            case _:
                await repo.update(id, lambda v2: evolve(v2, age=v2.age + 1))
                self.ages[id] += 1


async def fill(database: Any) -> None:
    """Documents with both parts, behind an outside write, and never read; all in `v2_only`."""
    for name in ("people", "lazymig_control"):
        await database[name].delete_many({})
    await database["people"].insert_many([ada_v1(id) for id in range(COUNT)])
    await whole(database, Phase.COEXIST, migration=people(**WITHIN)).get_many([id for id in range(COUNT) if id % 4 < 3])
    await database["people"].update_many({"_id": {"$mod": [4, 0]}}, {"$set": {"name": "Grace Hopper"}})
    await parts_of(Control(database["lazymig_control"])).phases("people").begin(Phase.V2_ONLY, **ORDER)


async def check(database: Any, ages: dict[int, int]) -> None:
    """Every acknowledged write is stored, every document is whole, and nothing of V1 is left."""
    documents = {one["_id"]: one for one in await database["people"].find({}).to_list(None)}
    assert {id: document["age"] for id, document in documents.items()} == ages
    for id, document in documents.items():
        outside = id < COUNT and not id % 4
        assert join(PersonV2(id, document["first"], document["last"], 0)).name == (
            "Grace Hopper" if outside else "Ada Lovelace"
        )
        others = {"shoe_size"} if id < COUNT else set()
        assert set(document) == {"_id", "first", "last", "age", "tags", "note", META} | others
        assert (document[META]["alone"], document[META]["lifted"]) == ("people", True)
    async with whole(database, migration=FINISHED) as repo:
        assert {person.id: person.age async for person in repo.list()} == ages


async def test_kill_at_random_moments(lazymig_server: Any, server_database: Any, seed: int, wide: int) -> None:
    """Killed again and again while ten writers work, the pass keeps all that was acknowledged, and V2's part alone."""
    rng, kills, rounds = random.Random(seed), 0, 0
    async with nursery(lazymig_server.uri, server_database, reduce_nursery.__file__) as children:
        while kills < KILLS * wide:
            rounds += 1
            assert rounds < 10 * KILLS * wide
            await fill(server_database)
            migration = people(**WITHIN)
            async with whole(server_database, migration=migration) as repo:
                service, over = Service(repo, rng), asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    for own in range(WRITERS):
                        group.create_task(service.run(own, over))
                    for _ in range(2):
                        await children.sweep(dies_at=children.draw(rng))
                        kills += await children.end()
                    work = Retirement(repo, unwatched=True, soak_s=0.0, by="me")
                    done = await work.reduce(confirm="people")
                    await service.after(50)
                    over.set()
                assert (done.finished, done.failed) == (True, 0)
                assert (await work.report()).stage == "reduced"
                # What was inserted behind the end is V2's alone and at the top already; only its meta data is longer.
                assert (await work.reduce()).failed == 0
            await check(server_database, service.ages)
    print(f"{kills} kills in {rounds} rounds")
