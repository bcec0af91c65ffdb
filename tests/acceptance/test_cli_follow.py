"""`lazymig follow` as a person, a pipe or a service manager runs it, and what `lazymig status` says afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.apps import CLASSES
from tests.commands import quick_script

SECRET = "Confidential"
APP = (
    CLASSES
    + """
migration = lazymig.Migration(
    name="people", v1=Old, v2=New,
    upgrade=lambda old: New(old.id, *old.name.split(" ", 1)),
    downgrade=lambda new: Old(new.id, f"{new.first} {new.last}"),
)

def people(phase=lazymig.Phase.COEXIST):
    database = AsyncMongoClient(os.environ["URI"])[os.environ["DATABASE"]]
    return lazymig.Repository(migration, v1=database["v1"], v2=database["v2"], phase=phase)

def alone():
    return people(lazymig.Phase.V1_ONLY)
"""
)


@pytest.fixture
def database(tmp_path: Path, lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A folder with the application in it, and its database with two entities in both collections."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    (tmp_path / "shop.py").write_text(APP)
    for variable, value in {"URI": lazymig_server.uri, "DATABASE": name, "LAZYMIG_APP": "shop:people"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        found = client[name]
        meta = {"rev": 0, "intent": 0, "by": "sweep"}
        for id in (1, 2):
            found["v1"].insert_one({"_id": id, "name": f"Ada Nr{id}"})
            found["v2"].insert_one({"_id": id, "first": "Ada", "last": f"Nr{id}", "_lazymig": meta})
        yield found
        client.drop_database(name)


class Follow:
    """A running `lazymig follow --json`."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "lazymig", "follow", "--json", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        self.first = self._process.stderr.readline()  # once the position is found

    def end(self, number: int = signal.SIGTERM) -> tuple[int, dict[str, Any], str]:
        """Send a signal; its exit code, its report, and what it said on stderr."""
        self._process.send_signal(number)
        stdout, stderr = self._process.communicate(timeout=300)
        return self._process.returncode, json.loads(stdout), self.first + stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [quick_script(), *arguments], capture_output=True, text=True, timeout=300, env=dict(os.environ)
    )


def test_a_run(database: Any) -> None:
    """It heals until a signal ends it, reports what it did, and status counts what was not announced."""
    following = Follow("--no-catch-up")
    assert json.loads(following.first)["event"] == "follow"
    database["v1"].update_one({"_id": 1}, {"$set": {"name": "Ada King"}})
    with database["v2"].watch([{"$match": {"documentKey._id": 1}}], full_document="updateLookup") as stream:
        while database["v2"].find_one({"_id": 1})["last"] != "King":
            stream.try_next()
    code, report, stderr = following.end()
    assert code == 0
    assert report["rogue"] == {"update": 1}
    assert report["healed"] == 1
    assert "stopping" in stderr
    assert all("Ada" not in text for text in (json.dumps(report), stderr))
    shown = run("status")
    assert shown.returncode == 0, shown.stderr
    assert "not announced, last 24 h       1 (update 1)\n" in shown.stdout
    assert "not running" in shown.stdout
    follower = json.loads(run("status", "--json").stdout)["follower"]
    assert follower["rogue_last_day"] == {"update": 1}
    assert (follower["running"], follower["catching_up"], follower["catch_ups"]) == (False, None, 0)


def test_exit_code_of_dead_letters(database: Any) -> None:
    """What cannot be healed makes exit code 3, and nothing of it is shown."""
    assert run("follow", "--no-catch-up", "--max-time", "0.5").returncode == 0
    database["v1"].update_one({"_id": 1}, {"$set": {"name": SECRET}})
    ended = run("follow", "--max-time", "2")
    assert ended.returncode == 3, ended.stderr
    assert "Some documents need a person" in ended.stdout
    assert "not healed                     1\n" in ended.stdout
    assert SECRET not in ended.stdout + ended.stderr
    assert [line for line in ended.stderr.splitlines() if not line.startswith("follow: ")] == []


def test_first_start_catches_up(database: Any) -> None:
    """The first start verifies both sides; where there is no time for it, the report says so and it stays due."""
    database["v1"].update_one({"_id": 1}, {"$set": {"name": "Ada King"}})
    ended = run("follow", "--max-time", "1")  # a difference must stand for ten seconds before it is repaired
    assert "not finished" in ended.stdout
    assert "verification is due" in run("status").stdout


def test_refusals(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase without V2 is refused in one line; a wrong option is bad usage."""
    monkeypatch.setenv("LAZYMIG_APP", "shop:alone")
    refused = run("follow")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "a follower runs only where V2 is filled from V1" in refused.stderr
    assert run("follow", "--batch-size", "0").returncode == 2
