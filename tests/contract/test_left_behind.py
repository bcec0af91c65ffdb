"""What callers leave behind who are cancelled, or whose time is over: their shared statements go on without them."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import evolve

from lazymig import Phase, Switch
from lazymig.loop.batcher import find_running
from lazymig.loop.turns import let_others_run
from lazymig.repository import calls_of
from tests.people import ada, people
from tests.switches import ORDER, followed


async def test_a_fleet_waits_for_a_statement_that_its_callers_have_left(server_database: Any) -> None:
    """It may still change the entity by the rules of a phase that is over: nobody may be two phases ahead by then."""
    repository = followed(server_database, migration=people())
    await Switch(repository, soak_s=0).begin(Phase.COEXIST, **ORDER)
    async with repository:
        for id in (1, 2):
            await repository.insert(ada(id))
        in_flight = calls_of(repository).stages.member.calls  # type: ignore[attr-defined]
        assert in_flight.idle
        v1 = calls_of(repository).pair.v1
        async with server_database.client.start_session() as session:
            async with await session.start_transaction():
                await server_database["v1"].update_one({"_id": 1}, {"$set": {"shoe_size": 38}}, session=session)
                calls = [
                    asyncio.ensure_future(repository.update(id, lambda person: evolve(person, age=99))) for id in (1, 2)
                ]
                while not find_running(v1):
                    await let_others_run()
                for call in calls:
                    call.cancel()
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert {type(result) for result in results} == {asyncio.CancelledError}
                assert not in_flight.idle
                # What was sent waits for the transaction.
                statements = find_running(v1)
            await asyncio.gather(*statements)
        assert in_flight.idle
