"""What needs no right to write: a dry run and a look at the status, on a server with access control."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import OperationFailure

from lazymig import ConfigurationError, Doctor, Severity
from lazymig.cli.status import looked_up
from lazymig.stores.drivers import await_if_needed
from lazymig.testing import ServerMissing
from lazymig.testing.mongod import Mongod
from tests.acceptance.test_cli import APP
from tests.commands import quick_script
from tests.sweeps import moved, repository, sweeper, thing

#: The server's code for "not authorized".
UNAUTHORIZED = 13
COUNT, BAD, PRESENT = 60, 7, 10


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A replica set of one that asks everybody who they are; the address that its administrator uses."""
    key = tmp_path_factory.mktemp("guarded") / "key"
    key.write_bytes(base64.b64encode(os.urandom(96)))
    key.chmod(0o600)
    try:
        mongod = Mongod(set_name="guarded", options=("--auth", "--keyFile", str(key)))
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"no skipping in CI. {missing}", pytrace=False)
        pytest.skip(str(missing))
    try:
        mongod.start()
        yield _administered(mongod)
    finally:
        mongod.remove()


def _administered(mongod: Mongod) -> str:
    # Whoever comes from the same machine may do this much while there is no user yet.
    members = [{"_id": 0, "host": mongod.address}]
    with mongod.client() as client:
        client.admin.command("replSetInitiate", {"_id": "guarded", "members": members})
    with MongoClient[dict[str, Any]](f"mongodb://{mongod.address}/?replicaSet=guarded") as client:
        client.admin.command("createUser", "root", pwd="secret", roles=["root"])
    return f"mongodb://root:secret@{mongod.address}/?replicaSet=guarded"


@pytest.fixture
def root(guarded: str) -> Iterator[Any]:
    """The administrator's client."""
    with MongoClient[dict[str, Any]](guarded) as client:
        yield client


@pytest.fixture
def name(root: Any) -> Iterator[str]:
    """A database of which the user `reader` may read everything and write nothing."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    root.admin.command("createUser", "reader", pwd="secret", roles=[{"role": "read", "db": name}])
    yield name
    root.admin.command("dropUser", "reader")
    root.drop_database(name)


@pytest.fixture
def uri(guarded: str) -> str:
    """The address that `reader` uses."""
    return guarded.replace("root:", "reader:")


def everything(root: Any) -> dict[str, Any]:
    """All documents and indexes of all databases, but for the server's own bookkeeping."""
    names = [name for name in root.list_database_names() if name not in ("local", "config")]
    return {
        f"{name}.{collection}": (list(root[name][collection].find()), root[name][collection].index_information())
        for name in names
        for collection in root[name].list_collection_names()
        if collection != "system.keys"  # which nobody may read
    }


class Log:
    """The server's own log of writes, from the moment when this is made."""

    def __init__(self, root: Any) -> None:
        self._entries = root.local["oplog.rs"]
        (last,) = self._entries.find().sort("$natural", -1).limit(1)
        self._since = last["ts"]

    def writes(self) -> list[str]:
        """Where anything was written since, but for the server's sessions."""
        found = self._entries.find({"ts": {"$gt": self._since}, "op": {"$ne": "n"}})
        return [entry["ns"] for entry in found if not entry["ns"].startswith("config.")]


@pytest.fixture(params=[AsyncMongoClient, AsyncIOMotorClient], ids=["pymongo", "motor"])
async def reading(request: pytest.FixtureRequest, uri: str, name: str) -> Any:
    """The database as `reader` sees it, on both drivers."""
    client = request.param(uri)
    yield client[name]
    await await_if_needed(client.close())


async def test_a_dry_run(root: Any, name: str, reading: Any) -> None:
    """A dry run by a user who may only read tells the right counts, and neither document nor index is written."""
    root[name]["v1"].insert_many(thing(id, -1 if id == BAD else 1) for id in range(COUNT))
    root[name]["v2"].insert_many(moved(id) for id in range(PRESENT, PRESENT * 2))
    before, log = everything(root), Log(root)
    report = await sweeper(reading, dry_run=True).run()
    assert (report.finished, report.scanned, report.present, report.dead) == (True, COUNT, PRESENT, 1)
    assert report.migrated == COUNT - PRESENT - 1
    assert log.writes() == []
    assert everything(root) == before


async def test_a_sweep_is_refused(root: Any, name: str, reading: Any) -> None:
    """The same user may not sweep in earnest: the server's refusal passes through, and nothing is written."""
    root[name]["v1"].insert_many(thing(id) for id in range(COUNT))
    before, log = everything(root), Log(root)
    with pytest.raises(OperationFailure) as caught:
        await sweeper(reading).run()
    assert caught.value.code == UNAUTHORIZED
    assert log.writes() == []
    assert everything(root) == before


async def test_what_is_written_would_be_seen(root: Any, name: str, guarded: str) -> None:
    """The administrator's sweep in earnest shows in the server's log, and in the comparison of everything."""
    root[name]["v1"].insert_many(thing(id) for id in range(COUNT))
    before, log = everything(root), Log(root)
    async with AsyncMongoClient(guarded) as client:
        await sweeper(client[name]).run()
    assert {f"{name}.v2", f"{name}.lazymig_control", f"{name}.$cmd"} <= set(log.writes())
    assert set(everything(root)) - set(before) == {f"{name}.v2", f"{name}.lazymig_control"}


@pytest.mark.parametrize("function", ["plain", "motor"])
def test_the_command_line(root: Any, name: str, uri: str, tmp_path: Path, function: str) -> None:
    """`sweep --dry-run` and `status` work for that user and write nothing; `sweep` ends with 1 and the reason."""
    people = root[name]["people"]
    people.insert_many({"_id": id, "name": "Confidential" if id == BAD else f"Ada Nr{id}"} for id in range(COUNT))
    (tmp_path / "shop.py").write_text(APP)
    environment = {**os.environ, "DATABASE": name, "URI": uri, "LAZYMIG_APP": f"shop:{function}"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [quick_script(), *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    before, log = everything(root), Log(root)
    rehearsed = run("sweep", "--dry-run", "--json")
    report = json.loads(rehearsed.stdout)
    assert (rehearsed.returncode, report["scanned"], report["migrated"], report["dead"]) == (3, COUNT, COUNT - 1, 1)
    for options in ([], ["--exact"]):
        shown = run("status", "--json", *options)
        status = json.loads(shown.stdout)
        assert (shown.returncode, status["v1"], status["remaining"]) == (0, COUNT, COUNT)
    refused = run("sweep")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Unauthorized (code 13)" in refused.stderr
    assert log.writes() == []
    assert everything(root) == before


@pytest.fixture
def narrow(root: Any, name: str, guarded: str) -> Iterator[str]:
    """The address of a user who may find documents in the collections, and nothing else."""
    resources = [{"db": name, "collection": collection} for collection in ("v1", "v2", "lazymig_control")]
    privileges = [{"resource": resource, "actions": ["find"]} for resource in resources]
    root[name].command("createRole", "finder", privileges=privileges, roles=[])
    root.admin.command("createUser", "narrow", pwd="secret", roles=[{"role": "finder", "db": name}])
    yield guarded.replace("root:", "narrow:")
    root.admin.command("dropUser", "narrow")
    root[name].command("dropRole", "finder")


async def test_a_doctor_needs_the_role_read(root: Any, name: str, reading: Any) -> None:
    """The doctor makes its checks for a user who may only read, names the rights that are missing, writes nothing."""
    root[name]["v1"].insert_many(thing(id, -1 if id == BAD else id) for id in range(COUNT))
    root[name]["v1"].create_index("n")
    before, log = everything(root), Log(root)
    diagnosis = await Doctor(repository(reading)).run()
    by_check = {finding.check: finding for finding in reversed(diagnosis.findings)}
    assert by_check["conversion"].ids == (BAD,)
    assert "whose use this user may not see; V2 has none on (count)" in by_check["indexes"].evidence
    unseen = [finding for finding in diagnosis.findings if finding.check == "rights"]
    assert {one.severity for one in unseen} == {Severity.NOTE}
    assert any("right indexStats" in one.evidence for one in unseen)
    assert any("right getDefaultRWConcern" in one.evidence for one in unseen)
    assert log.writes() == []
    assert everything(root) == before


async def test_a_doctor_without_rights_over_indexes(root: Any, name: str, narrow: str) -> None:
    """A user who may find documents and nothing else gets a diagnosis of them, and notes about all the rest."""
    root[name]["v1"].insert_many(thing(id, -1 if id == BAD else id) for id in range(COUNT))
    async with AsyncMongoClient(narrow) as client:
        diagnosis = await Doctor(repository(client[name])).run()
    assert [one.ids for one in diagnosis.findings if one.severity is Severity.BLOCKS] == [(BAD,)]
    unseen = " ".join(one.evidence for one in diagnosis.findings if one.check == "rights")
    assert "v1: its indexes" in unseen
    assert "v1: its options (capped, collation, validator)" in unseen


@pytest.mark.parametrize("kind", [AsyncMongoClient, AsyncIOMotorClient], ids=["pymongo", "motor"])
async def test_what_may_not_be_looked_at_is_no_error(root: Any, name: str, narrow: str, kind: Any) -> None:
    """A user without the right to see options and indexes gets a status that says so, and is served; a view is seen."""
    root[name]["v1"].insert_one(thing(1))
    root[name]["v2"].insert_one(moved(1))
    client = kind(narrow)
    found = await looked_up(repository(client[name]), exact=True)
    assert (found.v1, found.remaining) == (1, 0)
    assert set(found.unseen) >= {"v2: its indexes", "v2: its options (capped, collation, validator)"}
    assert await repository(client[name]).get(1) is not None
    root[name].drop_collection("v2")
    root[name].create_collection("v2", viewOn="v1", pipeline=[])
    with pytest.raises(ConfigurationError, match=r"v2: .* a view"):
        await repository(client[name]).get(1)
    await await_if_needed(client.close())


async def test_a_reader_sees_all_that_is_looked_at(name: str, root: Any, reading: Any) -> None:
    """The role `read` is enough for every look: a validator and an index are judged, and nothing is left unseen."""
    root[name]["v1"].insert_one(thing(1))
    root[name].create_collection("v2", validator={"$or": [{"_lazymig.gone": True}, {"count": {"$exists": True}}]})
    where = {"code": {"$exists": True}}
    root[name]["v2"].create_index("code", unique=True, partialFilterExpression=where)
    assert (await looked_up(repository(reading), exact=False)).unseen == ()
    root[name].command("collMod", "v2", validator={"count": {"$exists": True}})
    with pytest.raises(ConfigurationError, match="validator"):
        await looked_up(repository(reading), exact=False)
