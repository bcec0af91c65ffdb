"""`kill -9` at random moments of a rewriting pass, with plain writers beside it; the next run ends what it began."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from lazymig import Phase, Repository, Rewriter
from tests.faults.nurseries import nursery
from tests.older import alone, document
from tests.sweeps import LaterClock, control

COUNT, KILLS, ROUNDS_MAX = 400, 5, 40
VERSIONS = (None, 1, 2, 3)


async def documents(database: Any) -> dict[int, dict[str, Any]]:
    """V1's documents by id, without their revisions."""
    found = {one["_id"]: one for one in await database["v1"].find({}).to_list(None)}
    for one in found.values():
        one.pop("_lazymig_rev", None)
    return found


async def test_kill_at_random_moments(lazymig_server: Any, server_database: Any, seed: int, wide: int) -> None:
    """Every document is whole after each kill; the next run rewrites the rest, and keeps what others wrote."""
    rng, kills = random.Random(seed), 0
    async with nursery(lazymig_server.uri, server_database, kind="rewrite") as children:
        for number in range(ROUNDS_MAX * wide):
            for name in ("v1", "lazymig_control"):
                await server_database[name].delete_many({})
            await server_database["v1"].insert_many([document(VERSIONS[id % 4], id) for id in range(COUNT)])
            shoes = dict.fromkeys(range(COUNT), 38)
            await children.sweep(dies_at=children.draw(rng))
            over = asyncio.create_task(children.end())
            while not over.done():
                id = rng.randrange(COUNT)
                shoes[id] += 1
                await server_database["v1"].update_one({"_id": id}, {"$inc": {"shoe": 1}})
            killed = await over
            found = await documents(server_database)
            for id, one in found.items():
                assert one in [document(version, id, shoe=shoes[id]) for version in (VERSIONS[id % 4], 3)]
            left = sum(one.get("schema_version") != 3 for one in found.values())
            kills += killed and 0 < left < COUNT * 3 // 4
            # Its leases have run out.
            clock = LaterClock(60 * (number + 1))
            repo = Repository(alone(persist=True), v1=server_database["v1"], phase=Phase.V1_ONLY)
            report = await Rewriter(repo, control=control(server_database, clock), clock=clock).run()
            assert (report.finished, report.rewritten, report.failed) == (True, left, 0)
            assert await documents(server_database) == {id: document(3, id, shoe=shoes[id]) for id in range(COUNT)}
            if kills == KILLS * wide:
                return
    raise AssertionError(f"only {kills} runs were killed half way")
