"""The doctor on servers of other kinds: a standalone one, and a replica set with an arbiter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from lazymig import Doctor, Finding, Severity
from lazymig.testing import ServerMissing
from lazymig.testing.electing import start_set
from lazymig.testing.mongod import Mongod
from tests.sweeps import repository, thing


def _started(stack: ExitStack, set_name: str | None = None) -> Mongod:
    try:
        mongod = Mongod(set_name=set_name, cache_gb=0.25)
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"no skipping in CI. {missing}", pytrace=False)
        pytest.skip(str(missing))
    stack.callback(mongod.remove)
    mongod.start()
    return mongod


@pytest.fixture(scope="module")
def standalone() -> Iterator[str]:
    """The address of a server without a replica set."""
    with ExitStack() as stack:
        yield f"mongodb://{_started(stack).address}/"


@pytest.fixture(scope="module")
def with_arbiter() -> Iterator[str]:
    """The address of a replica set of two members with data and an arbiter."""
    with ExitStack() as stack:
        members = [_started(stack, "psa") for _ in range(3)]
        uri = f"mongodb://{','.join(member.address for member in members[:2])}/?replicaSet=psa"
        start_set("psa", members, uri, election_s=10, arbiters=1)
        yield uri


async def diagnosed(v1: Any, v2: Any) -> dict[str, Finding]:
    """The findings about these collections by check, the most serious of each."""
    await v1.insert_one(thing(1))
    found = (await Doctor(repository(v1.database, v1=v1, v2=v2)).run()).findings
    return {finding.check: finding for finding in reversed(found)}


async def test_a_standalone_server(standalone: str) -> None:
    """A server without a replica set is a warning, and has no transactions; nothing else fails there."""
    async with AsyncMongoClient(standalone) as client:
        found = await diagnosed(client["alone"]["v1"], client["alone"]["v2"])
    assert found["topology"].severity is Severity.WARNING
    assert "standalone" in found["topology"].evidence
    assert found["clusters"].severity is Severity.NOTE
    assert found["conversion"].severity is Severity.OK
    assert Severity.BLOCKS not in {one.severity for one in found.values()}


async def test_an_arbiter(with_arbiter: str, standalone: str) -> None:
    """Two members and an arbiter are a warning; the default of w: 1 is named, and the secondary's clock is read."""
    async with AsyncMongoClient(with_arbiter) as client, AsyncMongoClient(standalone) as other:
        found = await diagnosed(client["psa"]["v1"], client["psa"]["v2"])
        apart = await diagnosed(client["apart"]["v1"], other["apart"]["v2"])
    assert found["topology"].severity is Severity.WARNING
    assert "members that hold data: 2, arbiters: 1" in found["topology"].evidence
    assert found["concerns"].severity is Severity.NOTE
    assert "the server's default is w: 1" in found["concerns"].evidence
    assert found["clocks"].severity is Severity.OK
    assert found["clocks"].evidence.count("127.0.0.1:") == 2
    assert "different servers" in apart["clusters"].evidence


async def test_a_direct_connection(with_arbiter: str) -> None:
    """A client that is bound to one member is a warning on the primary, and blocks on a secondary."""
    async with AsyncMongoClient(with_arbiter) as client:
        await client["direct"]["v1"].insert_one(thing(2))
        ((secondary_host, secondary_port),) = await client.secondaries
        host, port = await client.primary or ("", 0)
    async with AsyncMongoClient(host, port, directConnection=True) as bound:
        on_primary = await Doctor(repository(bound["direct"])).run()
    async with AsyncMongoClient(secondary_host, secondary_port, directConnection=True) as bound:
        on_secondary = await Doctor(repository(bound["direct"])).run()
    assert not on_primary.blocked
    assert any("to one member directly" in one.evidence for one in on_primary.findings)
    assert on_secondary.blocked
    assert any("not a primary" in one.evidence for one in on_secondary.findings)
