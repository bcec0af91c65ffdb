"""Databases for tests: `database` on all three drivers, `server_database` on the first choice only.

Each test gets an empty database of its own, made inside the running loop and dropped afterwards.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

# `examples` is imported from the source tree, and stands last so that `lazymig` is the installed one.
sys.path.append(str(Path(__file__).parents[1]))

from lazymig.loop.clock import Clock, SystemClock
from lazymig.stores.rows import Rows
from lazymig.stores.server_time import ServerTime
from lazymig.testing.ports import ReservedPort
from tests.clocks import GivenTime
from tests.faults.proxy import Proxy
from tests.in_memory import keep_servers_in_memory
from tests.tracing import keep_part
from tests.widening import WIDENING, add_options, take_options

DRIVERS = ("pymongo", "motor", "mock")
# A server that is gone is found out within the test; a loaded machine still has time to answer.
TIMEOUT = {"serverSelectionTimeoutMS": 20_000}

pytest_plugins = ["pytester"]

_drops: set[asyncio.Future[None]] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that widen the proof."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read them before the tests are collected, and decide where servers keep their data."""
    # How long an example takes says how busy the machine is.
    settings.register_profile("unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("unhurried")
    take_options(config)
    keep_servers_in_memory()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the part of the tests that is asked for."""
    keep_part(WIDENING.part, config, items)


@pytest.fixture(autouse=True)
def stay_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in this process must not let others go first: all later tests would wait for a processor."""
    monkeypatch.setattr(os, "nice", lambda _: 0)


@pytest.fixture(autouse=True)
def servers_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rows, Clock], ServerTime]:
    """Where a test passes a clock of its own, the control collection's server goes by it too.

    Returns what really makes the server's time.
    """
    made = Rows.server_time

    def make(rows: Rows, clock: Clock) -> ServerTime | GivenTime:
        return made(rows, clock) if type(clock) is SystemClock else GivenTime(clock)

    monkeypatch.setattr(Rows, "server_time", make)
    return made


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port on which nothing listens while the test runs."""
    with ReservedPort() as port:
        yield port.number


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Which driver the test runs on; parametrize it yourself to narrow it."""
    return request.param


@pytest.fixture(scope="session")
async def server_clients(lazymig_server: Any) -> AsyncIterator[dict[str, Any]]:
    """An open client of the real server for each driver that can reach one; closed before the server stops."""
    motor: Any = AsyncIOMotorClient(lazymig_server.uri, **TIMEOUT)
    async with AsyncMongoClient(lazymig_server.uri, **TIMEOUT) as pymongo:
        yield {"pymongo": pymongo, "motor": motor}
        await all_dropped()
    motor.close()


@pytest.fixture
def client(driver: str, request: pytest.FixtureRequest) -> Any:
    """The client behind `database`."""
    # Asked for by name, so that a run of in-memory tests starts no server.
    return AsyncMongoMockClient() if driver == "mock" else request.getfixturevalue("server_clients")[driver]


@pytest.fixture
async def database(client: Any) -> AsyncIterator[Any]:
    """An empty async database; the test runs once on PyMongo's own API, on Motor and on mongomock-motor."""
    async with fresh_database(client) as database:
        yield database


@pytest.fixture
async def server_database(server_clients: dict[str, Any]) -> AsyncIterator[Any]:
    """An empty async database on the real server, by PyMongo's own async API."""
    async with fresh_database(server_clients["pymongo"]) as database:
        yield database


@pytest.fixture
async def proxy(lazymig_server: Any) -> AsyncIterator[Proxy]:
    """A way to the server that can be cut, or hang."""
    proxy = Proxy(urlsplit(lazymig_server.uri).port or 0)
    async with proxy.running():
        yield proxy


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A machine without any mongod, and not in CI."""
    for name in ("CI", "LAZYMIG_MONGOD", "LAZYMIG_TEST_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    # By import and not by name: a pytest inside a pytest may have left another module of this name behind.
    monkeypatch.setattr(import_module("lazymig.testing.mongod"), "find_spec", lambda name: None)


@asynccontextmanager
async def fresh_database(client: Any) -> AsyncIterator[Any]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield client[name]
    # Behind the next tests' backs: a drop waits for the journal, which is longer than most tests take.
    drop = asyncio.ensure_future(client.drop_database(name))
    _drops.add(drop)
    drop.add_done_callback(_drops.discard)


@asynccontextmanager
async def only_database(client: AsyncMongoClient[Any]) -> AsyncIterator[Any]:
    """An empty database of a client that is closed with it."""
    async with client:
        async with fresh_database(client) as database:
            yield database
        await all_dropped()


async def all_dropped() -> None:
    """Wait for the drops that are still under way: before their clients are closed."""
    await asyncio.gather(*_drops)
