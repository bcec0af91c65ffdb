"""A sweep's checkpoint is never ahead of what the majority has."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError

from tests.sweeps import by_id, moved, stored, sweeper, thing


async def test_an_unconfirmed_batch_is_not_checkpointed(mortal_server: Any) -> None:
    """A batch that the majority did not confirm ends the run behind it; the next run looks at it again."""
    async with AsyncMongoClient(mortal_server.uri) as client:
        database = client[f"test_{uuid4().hex[:12]}"]
        await database["v1"].insert_many([thing(id) for id in range(20)])
        refusal = {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out"}
        data = {"failCommands": ["insert"], "namespace": f"{database.name}.v2", "writeConcernError": refusal}
        with mortal_server.failpoint(data, times=1), pytest.raises(BulkWriteError):
            # One page after the other: the first one is refused.
            await sweeper(database, partition_size=1000, concurrency=1).run()
        row = await database["lazymig_control"].find_one({"kind": "partition"})
        assert row["position"] is None
        report = await sweeper(database).run()
        assert (report.scanned, report.finished) == (20, True)
        assert await stored(database["v2"]) == by_id(moved(id) for id in range(20))
        await client.drop_database(database.name)
