"""One server of its own for the faults, seeds, and the ledger whose table ends the run.

`LAZYMIG_SEED` repeats a run's choices, `LAZYMIG_PROOF=1` widens every test, `LAZYMIG_SOAK_S` lengthens the soak, and
`LAZYMIG_FAULTS_JSON` names a file for the ledger, from which `python -m tests.faults.report` makes the table in docs.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from attrs import asdict
from pymongo import AsyncMongoClient

from lazymig.testing import Server, ServerMissing
from tests.faults.claims import Row
from tests.faults.report import table

WIDE = os.environ.get("LAZYMIG_PROOF", "") not in ("", "0")
LEDGER: list[Row] = []


@pytest.fixture
def wide() -> int:
    """A factor for the sizes of tests: 1, or more in a proof."""
    return 4 if WIDE else 1


@pytest.fixture
def seed() -> int:
    """The seed of this test's choices, printed; the same in CI at every run."""
    fixed = os.environ.get("LAZYMIG_SEED") or ("1" if os.environ.get("CI") else None)
    seed = int(fixed) if fixed else SystemRandom().randrange(10**6)
    print(f"LAZYMIG_SEED={seed}")
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


@asynccontextmanager
async def connected(uri: str, **options: Any) -> AsyncIterator[Any]:
    """An empty database of a client of its own."""
    async with AsyncMongoClient(uri, serverSelectionTimeoutMS=20_000, **options) as client:
        database = client["faults"]
        for name in ("v1", "v2", "control"):
            await database[name].delete_many({})
        yield database


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the ledger, and write it where it is wanted."""
    if LEDGER:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(LEDGER))
    target = os.environ.get("LAZYMIG_FAULTS_JSON")
    if target:
        Path(target).write_text(json.dumps([asdict(row) for row in LEDGER], indent=1) + "\n", "utf-8")
