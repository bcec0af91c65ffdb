"""What is said to be missing stays missing: the defect that closed connections found, played in slow motion."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pymongo import WriteConcern

from lazymig import NotFound
from lazymig.repository import calls_of
from lazymig.stores.records import Begun
from lazymig.testing import Server
from tests.faults.boxes import legacy
from tests.faults.conftest import connected
from tests.faults.load import ShiftedClock, repository

#: The primary has it, the majority not yet: on a server by itself, because its journal is held up.
LAGGING = "pauseJournalFlusherBeforeFlush"


async def test_missing_is_confirmed(mortal_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No write is told that an entity is missing while reads still find it."""
    async with connected(mortal_server.uri) as database:
        repo = repository(database, ShiftedClock())
        await database["v1"].insert_one(legacy(1))
        await calls_of(repo).pair.ledger.ticket(1)
        store, looked = calls_of(repo).pair.v1, asyncio.Event()
        quick = database["v1"].with_options(write_concern=WriteConcern(1))
        find_local = store.find_local
        with mortal_server.members[0].failpoint({}, name=LAGGING):

            async def deleted_meanwhile(id: Any) -> Any:
                await quick.delete_one({"_id": id})
                found = await find_local(id)
                looked.set()
                return found

            # The ticket is durable before the journal is held up.
            monkeypatch.setattr(
                calls_of(repo).pair.bodies, "begin_ticket", _settled(Begun(await calls_of(repo).pair.bodies.find(1)))
            )
            monkeypatch.setattr(store, "find_local", deleted_meanwhile)
            write = asyncio.create_task(repo.update(1, lambda box: box))
            await looked.wait()
            assert await repo.get(1) is not None
            await asyncio.wait([write], timeout=0.3)
            assert not write.done()
        with pytest.raises(NotFound):
            await write
        assert await repo.get(1) is None


def _settled(ticket: Begun) -> Any:
    async def answer(*_: Any) -> Begun:
        return ticket

    return answer
