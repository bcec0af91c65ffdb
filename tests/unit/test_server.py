"""The real test server: found, started, killed, restarted, and never left behind."""

from __future__ import annotations

import os
import platform
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError
from pymongo.write_concern import WriteConcern

from lazymig.testing import ReplicaSet, Server, ServerFailed, ServerMissing
from lazymig.testing.mongod import Mongod, find_mongod
from lazymig.testing.ports import ReservedPort

MAJORITY = WriteConcern("majority", j=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def folder_of(member: Mongod) -> Path:
    return Path(member._folder)


def wait_for_end(process_id: int) -> None:
    """Return when the process has ended, without asking again and again; fail after 20 s."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], 20)
        assert ended, "the process outlived its parent"
    finally:
        os.close(descriptor)


def test_replica_set_of_one(server: Server) -> None:
    """A server is the primary of a replica set, so a transaction commits on it."""
    with MongoClient(server.uri) as client, client.start_session() as session:
        with session.start_transaction():
            client.shop.orders.insert_one({"_id": 1}, session=session)
        assert client.admin.command("hello")["setName"] == "lazymig"
        assert client.shop.orders.find_one() == {"_id": 1}


def test_loopback_only(server: Server) -> None:
    """The server listens on 127.0.0.1 and nowhere else."""
    with server.members[0].client() as client:
        network = client.admin.command("getCmdLineOpts")["parsed"]["net"]
    assert network["bindIp"] == "127.0.0.1"
    assert network["unixDomainSocket"] == {"enabled": False}


def test_kill_and_restart(server: Server) -> None:
    """What the majority acknowledged before a kill -9 is there after a restart at the same address."""
    uri = server.uri
    with MongoClient(uri) as client:
        client.get_database("shop", write_concern=MAJORITY).kept.insert_one({"_id": "kept"})
    server.kill()
    with MongoClient(uri, serverSelectionTimeoutMS=50) as client, pytest.raises(ServerSelectionTimeoutError):
        client.admin.command("ping")
    server.restart()
    assert server.uri == uri
    with MongoClient(uri) as client:
        assert client.shop.kept.find_one() == {"_id": "kept"}


def test_failpoint(server: Server) -> None:
    """A failpoint fails the given command, as often as asked, and is gone after its block."""
    with MongoClient(server.uri, retryWrites=False) as client:
        with server.failpoint({"failCommands": ["insert"], "errorCode": 50}, times=1):
            with pytest.raises(OperationFailure) as failure:
                client.shop.failing.insert_one({"_id": 1})
            client.shop.failing.insert_one({"_id": 2})
        with server.failpoint({"failCommands": ["insert"], "closeConnection": True}), pytest.raises(AutoReconnect):
            client.shop.failing.insert_one({"_id": 3})
        client.shop.failing.insert_one({"_id": 4})
        assert failure.value.code == 50
        assert [each["_id"] for each in client.shop.failing.find()] == [2, 4]


def test_standalone_and_clean_end() -> None:
    """A standalone server has no set; after its block process and folder are gone, and it can be started anew."""
    server = Server(replica_set=False)
    with server:
        member = server.members[0]
        assert folder_of(member).is_dir()
        with MongoClient(server.uri) as client:
            assert "setName" not in client.admin.command("hello")
            client.shop.orders.insert_one({})
    assert not member.alive
    assert not folder_of(member).exists()
    with pytest.raises(RuntimeError, match=r"call start\(\)"):
        _ = server.uri
    with server, MongoClient(server.uri) as client:
        assert client.shop.orders.find_one() is None


def test_step_down() -> None:
    """A replica set of three elects another primary on request and after a kill, and keeps majority writes."""
    with ReplicaSet() as replica_set:
        with MongoClient(replica_set.uri) as client:
            client.get_database("shop", write_concern=MAJORITY).kept.insert_one({"_id": "kept"})
        first = replica_set.primary
        second = replica_set.step_down()
        assert second is not first
        killed = replica_set.kill_primary()
        third = replica_set.primary
        assert third is not killed
        assert not killed.alive
        with MongoClient(replica_set.uri) as client:
            assert client.shop.kept.find_one() == {"_id": "kept"}
    assert not any(folder_of(member).exists() for member in (first, second, third))


def test_its_port_stays_its_own_while_it_is_down() -> None:
    """Nobody else gets the port of a server that is not started yet or was killed; it starts there again."""
    member = Mongod()
    try:
        for _ in range(2):
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", member.port))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", member.port))
            member.start()
            with member.client() as client:
                assert client.admin.command("ping")["ok"] == 1
            member.kill()
    finally:
        member.remove()


def test_a_reserved_port_is_given_back() -> None:
    """Another process can take the port after its release, and not before."""
    with ReservedPort() as port, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port.number))
    with socket.socket() as other:
        other.bind(("127.0.0.1", port.number))


def test_dies_with_its_parent() -> None:
    """When the Python process is killed with kill -9, the server ends and its folder is deleted."""
    program = (
        "import sys\n"
        "from lazymig.testing import Server\n"
        "member = Server(replica_set=False).start().members[0]\n"
        "print(member._process.pid, member._watchdog.pid, member._folder, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        mongod, watchdog, folder = parent.stdout.readline().split()
        assert Path(folder).is_dir()
        parent.send_signal(signal.SIGKILL)
    wait_for_end(int(mongod))
    wait_for_end(int(watchdog))
    assert not Path(folder).exists()


def test_missing(no_server: None) -> None:
    """Without any mongod the error says which extra to install."""
    with pytest.raises(ServerMissing, match=r"pip install 'lazymig\[server\]'"):
        Server().start()


def test_found_in_order(no_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAZYMIG_MONGOD goes before PATH, and naming no executable there is an error, not a silent fallback."""
    on_path, named = tmp_path / "mongod", tmp_path / "other-mongod"
    for program in (on_path, named):
        program.write_text("#!/bin/sh\necho out of order\nexit 3\n")
        program.chmod(0o755)
    assert find_mongod() == on_path
    monkeypatch.setenv("LAZYMIG_MONGOD", str(named))
    assert find_mongod() == named
    named.chmod(0o644)
    with pytest.raises(ServerMissing, match="LAZYMIG_MONGOD"):
        find_mongod()


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="no such wheel here")
def test_bundled_is_not_imported() -> None:
    """The server of lazymig[server] is found without importing the package that carries it."""
    program = (
        "import sys\n"
        "from lazymig.testing import mongod\n"
        "print(mongod._bundled())\n"
        "assert 'fiftyone' not in sys.modules\n"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert Path(found.strip()).name == "mongod"


def test_failed_start(no_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mongod that ends at once is an error that quotes its log, and its folder is deleted."""
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    broken.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("LAZYMIG_TEST_FOLDER", str(data))
    with pytest.raises(ServerFailed, match="out of order"):
        Server().start()
    assert list(data.iterdir()) == []


def test_data_are_kept_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that LAZYMIG_TEST_FOLDER names, else in the one for temporary files; nothing stays there."""
    named, usual = tmp_path / "named", tmp_path / "usual"
    monkeypatch.setattr("tempfile.tempdir", str(usual))
    for folder in (named, usual):
        folder.mkdir()
        monkeypatch.setenv("LAZYMIG_TEST_FOLDER", str(folder))
        if folder is usual:
            monkeypatch.delenv("LAZYMIG_TEST_FOLDER")
        with Server(replica_set=False):
            assert [path.is_dir() for path in folder.iterdir()] == [True]
        assert list(folder.iterdir()) == []
