"""The pytest plugin: fixtures for tests that need a MongoDB.

Pytest loads it in every run where lazymig is installed. So it imports nothing until a fixture is used, changes no
option and selects no asyncio mode.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lazymig.repository import Repository
    from lazymig.testing.server import External, Server


@pytest.fixture(scope="session")
def lazymig_server() -> Iterator[Server | External]:
    """Provide a real MongoDB for the whole session. Its `uri` is the connection string.

    `LAZYMIG_TEST_URI` names a server to use instead of starting one. Without a server, the tests that need it are
    skipped. If `CI` is set, they fail instead, so that a missing server is noticed.
    """
    from lazymig.testing.server import External

    uri = os.environ.get("LAZYMIG_TEST_URI")
    if uri:
        yield External(uri)
        return
    server = _started()
    yield server
    server.stop()


@pytest.fixture
def lazymig_memory() -> Callable[..., Repository[Any, Any]]:
    """Provide `lazymig.testing.memory_repository`, which makes a new repository on in-memory collections."""
    from lazymig.testing import memory_repository

    return memory_repository


def _started() -> Server:
    from lazymig.testing.mongod import ServerMissing
    from lazymig.testing.server import Server

    try:
        return Server().start()
    except ServerMissing as missing:
        if _in_ci():
            pytest.fail(f"no skipping in CI. {missing}", pytrace=False)
        pytest.skip(str(missing))


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}
