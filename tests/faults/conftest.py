"""One server of its own for the faults, seeds, and the ledger whose table ends the run.

`--seed` repeats a run's choices, `--wide` widens every test, `--soak-s` lengthens the soak, and `--ledger` names a file
from which `python -m tests.faults.report` makes the table in docs.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from random import SystemRandom
from typing import Any

import pytest
from attrs import asdict
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, WriteConcernError

from lazymig.stores.server_time import ServerTime
from lazymig.testing import ReplicaSet, Server, ServerMissing
from tests.faults.claims import Row
from tests.faults.report import table
from tests.widening import WIDENING

LEDGER: list[Row] = []
#: The time without a primary after which another is elected: no stall of a busy machine comes near it.
CALM_S = 10.0
#: How often it is tried to empty a collection.
_ATTEMPTS = 10


@pytest.fixture(autouse=True)
def server_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that sets a client's clock forward means the server's: every mark is old then."""

    async def now(time: ServerTime) -> datetime:
        return time._clock.now()

    monkeypatch.setattr(ServerTime, "now", now)


@pytest.fixture
def wide() -> int:
    """A factor for the sizes of tests: 1, or more in a proof."""
    return 4 if WIDENING.wide else 1


@pytest.fixture
def seed() -> int:
    """The seed of this test's choices, printed; the same in CI at every run."""
    fixed = 1 if WIDENING.seed is None and os.environ.get("CI") else WIDENING.seed
    seed = SystemRandom().randrange(10**6) if fixed is None else fixed
    print(f"--seed {seed}")
    return seed


@pytest.fixture
def ledger() -> Callable[[Row], None]:
    """Takes down what was tried."""
    return LEDGER.append


@pytest.fixture(scope="session")
def mortal_server() -> Iterator[Server]:
    """A server that tests may break and kill."""
    try:
        server = Server().start()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"no skipping in CI. {missing}", pytrace=False)
        pytest.skip(str(missing))
    yield server
    server.stop()


@pytest.fixture
def replica_set() -> Iterator[ReplicaSet]:
    """Three members on loopback, which elect another primary only where a test means it."""
    try:
        fleet = ReplicaSet(election_s=CALM_S)
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    with fleet:
        yield fleet


@asynccontextmanager
async def connected(uri: str, **options: Any) -> AsyncIterator[Any]:
    """An empty database of a client of its own."""
    async with AsyncMongoClient(uri, serverSelectionTimeoutMS=20_000, **options) as client:
        database = client["faults"]
        for name in ("v1", "v2", "control"):
            await _empty(database[name])
        yield database


async def _empty(collection: Any) -> None:
    """Delete everything. A busy machine's replica set may elect another primary meanwhile; then once more."""
    for attempt in range(_ATTEMPTS):
        try:
            await collection.delete_many({})
        except (ConnectionFailure, WriteConcernError):
            if attempt + 1 == _ATTEMPTS:
                raise
        else:
            return


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the ledger, and write it where it is wanted."""
    if LEDGER:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(LEDGER))
    if WIDENING.ledger:
        WIDENING.ledger.write_text(json.dumps([asdict(row) for row in LEDGER], indent=1) + "\n", "utf-8")
