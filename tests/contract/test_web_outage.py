"""The page while the database is away: what was seen stays, with its age, and goes on by itself afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import ServerSelectionTimeoutError

from tests.conftest import only_database
from tests.contract.test_web_events import EVENTS, Open, open_all, take_round
from tests.faults.proxy import Proxy
from tests.pages_of import open_client
from tests.streams import Stream
from tests.sweeps import thing

#: Soon, since the test waits for it; a loaded machine still has time to connect.
AWAY = {"serverSelectionTimeoutMS": 300, "directConnection": True}


@pytest.fixture
async def database(proxy: Proxy) -> AsyncIterator[Any]:
    """A database behind it."""
    async with only_database(AsyncMongoClient("127.0.0.1", proxy.port, **AWAY)) as database:
        await reach(database)
        yield database
        proxy.closed = False
        await reach(database)


async def reach(database: Any) -> None:
    """Wait until the client has found the server, for which `AWAY` gives it less time than a busy machine may take."""
    while True:
        with suppress(ServerSelectionTimeoutError):
            await database.command("ping")
            return


async def test_the_page_outlasts_an_outage(database: Any, proxy: Proxy) -> None:
    """Page and stream keep what was seen, with the trouble in words and its age; both go on by themselves."""
    on = Open(database)
    await on.begin()
    await database["v1"].insert_many([thing(id) for id in range(7)])
    async with open_client(on.app) as client, Stream(on.app, EVENTS) as stream:
        panels = await open_all(stream)
        assert "does not answer" not in panels["now"]
        proxy.close()
        await on.move()
        panels |= await take_round(stream)
        assert "the database does not answer" in panels["now"]
        page = await client.get("/m/things/")
        assert (page.status_code, "the database does not answer" in page.text) == (200, True)
        for age_s in (1, 2, 3):
            status = await client.get("/m/things/status.json")
            while f"the last look was {age_s} s ago" not in status.text:  # a look is under way
                status = await client.get("/m/things/status.json")
            assert status.status_code == 503
            assert status.json()["error"].startswith("the database does not answer; ")
            assert str(proxy.port) not in page.text + status.text
            await on.move()
        assert "7" in panels["progress"]
        proxy.closed = False
        while (await client.get("/m/things/status.json")).status_code == 503:
            await on.move()
        panels |= await take_round(stream)
        assert "does not answer" not in panels["now"]
        assert (await client.get("/m/things/status.json")).json()["v1"] == 7


async def test_a_page_that_nobody_has_seen_says_that_the_database_is_away(database: Any, proxy: Proxy) -> None:
    """Without an earlier look each path answers 503 in words, without an address, and opens once the database does."""
    on = Open(database)
    await on.begin()
    proxy.close()
    async with open_client(on.app) as client:
        for path in ("", "status.json", "events", "report.html"):
            answer = await client.get(f"/m/things/{path}")
            assert answer.status_code == 503
            assert "The database does not answer." in answer.text
            assert str(proxy.port) not in answer.text
        proxy.closed = False
        while answer.status_code == 503:
            on.clock.move(1.0)
            answer = await client.get("/m/things/")
        assert answer.status_code == 200
