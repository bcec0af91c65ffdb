"""What the contract tests share: databases whose commands can be watched, and repositories on them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from attrs import frozen
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from lazymig import Phase, Repository
from lazymig.stores.drivers import await_if_needed
from lazymig.testing import Server, ServerMissing
from tests.conftest import all_dropped, fresh_database
from tests.people import PersonV1, PersonV2, people
from tests.watching import Watch

KINDS: dict[str, Any] = {"pymongo": AsyncMongoClient, "motor": AsyncIOMotorClient}


#: Where the contract of `coexist` is not run again, by the fixture that names the driver: time is short, and these send
#: nothing that it does not. `test_phases.py` has what is their own, on the server too.
LEFT_OUT = {
    "driver": {("motor", Phase.V1_ONLY)}
    | {(driver, phase) for driver in ("motor", "pymongo") for phase in (Phase.PREPARE, Phase.SHADOW)},
    "watched": {("motor", phase) for phase in (Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW)},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out phases on drivers, as listed."""
    items[:] = [item for item in items if not _is_left_out(getattr(getattr(item, "callspec", None), "params", {}))]


def _is_left_out(given: dict[str, object]) -> bool:
    phase = given.get("phase")  # in other tests of the same run it may be anything
    return isinstance(phase, Phase) and any((given.get(name), phase) in left_out for name, left_out in LEFT_OUT.items())


@frozen
class Watched:
    """An empty database on a real server, and a watch over what is sent to it."""

    database: Any
    watch: Watch

    def sent(self) -> Any:
        """What goes to the server within the with statement."""
        return self.watch.sent(self.database)


@pytest.fixture(scope="session")
async def watched_clients(lazymig_server: Any) -> AsyncIterator[dict[str, tuple[Any, Watch]]]:
    """One watched client for each real driver."""
    clients = {}
    for name, kind in KINDS.items():
        watch = Watch()
        clients[name] = kind(lazymig_server.uri, event_listeners=[watch]), watch
    yield clients
    await all_dropped()
    for client, _ in clients.values():
        await await_if_needed(client.close())


@pytest.fixture(params=KINDS)
async def watched(request: pytest.FixtureRequest, watched_clients: Any) -> AsyncIterator[Watched]:
    """The test runs on both real drivers."""
    client, watch = watched_clients[request.param]
    async with fresh_database(client) as database:
        yield Watched(database, watch)


@pytest.fixture(params=[Phase.COEXIST, Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW], ids=str)
def phase(request: pytest.FixtureRequest) -> Phase:
    """The test runs in every phase in which V2 may lack what V1 holds; parametrize it yourself to narrow it."""
    return request.param


@pytest.fixture
def open_repository() -> Callable[..., Repository[PersonV1, PersonV2]]:
    """Makes a repository of people on a database's collections `v1` and `v2`."""

    def make(database: Any, **options: Any) -> Repository[PersonV1, PersonV2]:
        migration = options.pop("migration", None) or people()
        collections = {"v1": database["v1"], "v2": database["v2"]}
        return Repository(migration, **({"phase": Phase.COEXIST} | collections | options))

    return make


@pytest.fixture(scope="session")
def fallible(lazymig_server: Any) -> Iterator[Any]:
    """A server that may be made to fail: that of the session, or one of its own beside somebody else's."""
    if hasattr(lazymig_server, "failpoint"):
        yield lazymig_server
        return
    try:
        server = Server()
        server.start()
    except ServerMissing as missing:
        reason = f"the server of LAZYMIG_TEST_URI is not made to fail, and there is no other: {missing}"
        if os.environ.get("CI"):
            pytest.fail(f"no skipping in CI. {reason}", pytrace=False)
        pytest.skip(reason)
    yield server
    server.stop()


@pytest.fixture
def failpoint(fallible: Any) -> Callable[..., Any]:
    """The server's own failure injection."""
    fail: Callable[..., Any] = fallible.failpoint
    return fail
