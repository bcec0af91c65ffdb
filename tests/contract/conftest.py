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
from tests.layouts import Layout
from tests.people import PersonV1, PersonV2, people
from tests.watching import Watch
from tests.widening import WIDENING

KINDS: dict[str, Any] = {"pymongo": AsyncMongoClient, "motor": AsyncIOMotorClient}


@frozen
class Last:
    """A phase that the fixture `phase` has for one document only: two collections have tests of their own for it."""

    phase: Phase

    def __str__(self) -> str:
        return str(self.phase)


_EARLY = (Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW)
#: Where the contract is not run again, by layout and the fixture that names the driver: time is short, and these send
#: nothing that `coexist` does not. `test_phases.py` has what is their own, on the server too.
LEFT_OUT = {
    Layout.TWO: {
        "driver": {("motor", Phase.V1_ONLY)}
        | {(driver, phase) for driver in ("motor", "pymongo") for phase in (Phase.PREPARE, Phase.SHADOW)},
        "watched": {("motor", phase) for phase in _EARLY},
    },
    # All phases send the same kinds of statements, by one store, whose own contract runs on every driver.
    Layout.ONE: {
        "driver": {("motor", phase) for phase in (*Phase, None)}
        | {("pymongo", phase) for phase in (*_EARLY, Phase.V2_ONLY)},
        "watched": {("motor", phase) for phase in Phase if phase is not Phase.COEXIST}
        | {("pymongo", phase) for phase in (*_EARLY, Phase.V2_ONLY)},
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out phases on drivers, as listed."""
    items[:] = [item for item in items if not _is_left_out(getattr(getattr(item, "callspec", None), "params", {}))]


def _is_left_out(given: dict[str, object]) -> bool:
    phase, layout = given.get("phase"), given.get("layout")  # in other tests of the same run they may be anything
    where = layout if isinstance(layout, Layout) else Layout.TWO
    if isinstance(phase, Last):
        if where is Layout.TWO:
            return True
        phase = phase.phase
    if where is Layout.ONE:
        if phase is Phase.PREPARE:
            return True  # there is none
        if WIDENING.full:
            return False
    elif not isinstance(phase, Phase):
        return False
    return any((given.get(name), phase) in left_out for name, left_out in LEFT_OUT[where].items())


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


PHASES = [Phase.COEXIST, Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW, Last(Phase.V2_PRIMARY), Last(Phase.V2_ONLY)]


@pytest.fixture(params=PHASES, ids=str)
def phase(request: pytest.FixtureRequest) -> Phase:
    """The test runs in every phase in which V2 may lack what V1 holds; parametrize it yourself to narrow it."""
    return request.param.phase if isinstance(request.param, Last) else request.param


@pytest.fixture(params=list(Layout), ids=str)
def layout(request: pytest.FixtureRequest) -> Layout:
    """The test runs in both layouts; parametrize it yourself to narrow it."""
    return request.param


@pytest.fixture
def open_repository(layout: Layout) -> Callable[..., Repository[PersonV1, PersonV2]]:
    """Makes a repository of people on a database's collections `v1` and `v2`, or in one document."""

    def make(database: Any, **options: Any) -> Repository[PersonV1, PersonV2]:
        return layout.open(database, options.pop("migration", None) or people(), **options)

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
