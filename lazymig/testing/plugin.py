"""The pytest plugin: fixtures for tests that need a MongoDB.

It is loaded in every pytest run where lazymig is installed. So it imports nothing until a fixture is used, changes no
option, and chooses no asyncio mode.
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
    """A real MongoDB for the whole session; `.uri` is its connection string.

    `LAZYMIG_TEST_URI` names a server to use instead of starting one. Without any server the tests that ask for it are
    skipped, except where `CI` is set: there they fail, because a test that never runs there guards nothing.
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
    """`lazymig.testing.memory_repository`: a repository on in-memory collections, a new one at each call."""
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
