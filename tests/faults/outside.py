"""Programs that write V1 by a plain driver, beside clients of lazymig at both doors."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any

from attrs import evolve
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, OperationFailure

from lazymig import Repository
from tests.faults.crowds import MET, Crowd, Kind
from tests.sweeps import ThingV1, ThingV2, thing

COUNT = 60
#: What writers meet while a server steps down or is killed.
PASSING = (ConnectionFailure, OperationFailure)


class Writers(Crowd):
    """Writers of either kind, each with choices of its own."""

    def __init__(self, database: Any, repo: Repository[ThingV1, ThingV2], seed: int) -> None:
        super().__init__(
            outside=Kind(self._change, (DuplicateKeyError, BulkWriteError, *PASSING)),
            inside=Kind(self._call, (*MET, *PASSING)),
        )
        self._v1 = database["v1"]
        self._repo = repo
        self._random = Random(seed)

    def at_work(self, *, outside: int = 2, inside: int = 2) -> AbstractAsyncContextManager[None]:
        """Let them write within the with statement."""
        return super().at_work(outside=outside, inside=inside)

    async def _change(self) -> None:
        rng, v1 = self._random, self._v1
        where, n = {"_id": rng.randrange(COUNT)}, rng.randrange(1, 10**6)
        match rng.randrange(9):
            case 0 | 1:
                await v1.update_one(where, {"$set": {"n": n}})
            case 2:
                await v1.update_one(where, {"$set": {"n": n}, "$unset": {"_lazymig_rev": 1}})
            case 3:
                await v1.replace_one(where, {"n": n, "code": None})
            case 4:
                # Read, change, save: it carries the revision of then along.
                if (found := await v1.find_one(where)) is not None:
                    await asyncio.sleep(0)
                    await v1.replace_one(where, {**found, "n": n})
            case 5:
                if (found := await v1.find_one(where)) is not None:
                    found.pop("_id")
                    await v1.update_one(where, {"$set": {**found, "n": n}})
            case 6:
                await v1.delete_one(where)
            case 7:
                await v1.insert_one(thing(where["_id"], n))
            case _:
                other = (where["_id"] + 1) % COUNT
                changes = [UpdateOne(where, {"$inc": {"n": 1}}), DeleteOne({"_id": other}), InsertOne(thing(other, n))]
                await v1.bulk_write(changes)

    async def _call(self) -> None:
        rng, repo = self._random, self._repo
        id, n = rng.randrange(COUNT), rng.randrange(1, 10**6)
        match rng.randrange(8):
            case 0 | 1:
                await repo.update(id, lambda v2: evolve(v2, count=n, note="by V2"))
            case 2:
                await repo.v1.update(id, lambda v1: evolve(v1, n=n))
            case 3:
                await repo.delete(id)
            case 4:
                await repo.insert(ThingV2(id, n))
            case 5:
                await repo.v1.insert(ThingV1(id, n))
            case 6:
                await repo.get_many(range(COUNT))
            case _:
                await repo.get(id)


async def fill(database: Any) -> None:
    """The same V1 as ever, nothing migrated."""
    for name in ("v1", "v2", "lazymig_control"):
        await database[name].delete_many({})
    await database["v1"].insert_many([thing(id, id + 1) for id in range(COUNT)])


async def find_served_wrongly(database: Any, repo: Repository[ThingV1, ThingV2]) -> dict[int, str]:
    """Read every entity and compare it with V1's document."""
    v1 = {one["_id"]: one async for one in database["v1"].find()}
    served = await repo.get_many(range(COUNT))
    wrong = {}
    for id in range(COUNT):
        expected, found = v1.get(id), served.get(id)
        if (expected and (expected["n"], expected["code"])) != (found and (found.count, found.code)):
            wrong[id] = f"served {found}, V1 has {expected}"
    return wrong
