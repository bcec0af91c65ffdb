"""`lazymig sweep`, `status` and the like on documents with both shapes, as a person or a cron job runs them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.apps import CLASSES
from tests.commands import SCRIPT, quick_script

COUNT = 60
#: Who does not convert, who waits, and who is left.
BAD, WAITS, LEFT, SECRET = 7, 8, 9, "Confidential"

APP = (
    CLASSES
    + """
def upgrade(old):
    if old.name == "Wait":
        raise lazymig.NotYet("no last name")
    if old.name == "Leave":
        return lazymig.LEAVE
    first, last = old.name.split(" ")
    return New(old.id, first, last)

def downgrade(new):
    return Old(new.id, f"{new.first} {new.last}")

migration = lazymig.Migration(name="people", v1=Old, v2=New, upgrade=upgrade, downgrade=downgrade)

def repository():
    people = AsyncMongoClient(os.environ["URI"])[os.environ["DATABASE"]]["people"]
    return lazymig.Repository.in_place(migration, people, phase=lazymig.Phase.COEXIST, timeout_s=5)
"""
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path, lazymig_server: Any) -> dict[str, str]:
    """A folder with the application in it, and what that reads from the environment."""
    (tmp_path / "shop.py").write_text(APP)
    own = {"DATABASE": f"test_{uuid.uuid4().hex[:12]}", "URI": lazymig_server.uri, "LAZYMIG_APP": "shop:repository"}
    return {**os.environ, **own, "COLUMNS": "80", "PYTHONWARNINGS": "always::ResourceWarning"}


@pytest.fixture
def lazymig(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run the console script in the application's folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [quick_script(), *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert "Warning" not in ended.stderr  # no client is left open
        return ended

    return run


@pytest.fixture
def people(environment: dict[str, str]) -> Iterator[Any]:
    """The application's collection, with people of V1's shape: one is bad, one waits, and one is left."""
    names = {BAD: SECRET, WAITS: "Wait", LEFT: "Leave"}
    with MongoClient[dict[str, Any]](environment["URI"]) as client:
        database = client[environment["DATABASE"]]
        database["people"].insert_many({"_id": id, "name": names.get(id, f"Ada Nr{id}")} for id in range(COUNT))
        yield database["people"]
        client.drop_database(database)


def rows_of(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The rows of a report: the first word of each value by its name."""
    rows = (line.strip().split("  ", 1) for line in ended.stdout.splitlines() if line.startswith("  "))
    return {row[0]: row[1].split()[0] for row in rows if len(row) == 2}


def test_a_sweep_and_its_letters(lazymig: Run, people: Any) -> None:
    """A sweep fills all but three and says so; its dead letter is retried and waived, and who waits is listed."""
    swept = lazymig("sweep")
    assert swept.returncode == 3
    assert rows_of(swept) == {
        "scanned": "60", "migrated": "57", "in V2 before": "0", "moved by clients meanwhile": "0",
        "converted again": "0",
        "V1 had changed since": "0", "not movable": "1", "waiting for users": "1", "not taken over": "1",
        "remaining, about": "1", "open dead letters": "1",
    }  # fmt: skip
    assert people.count_documents({"last": {"$exists": True}}) == 57
    listed = lazymig("dead-letters", "list")
    (line,) = [line for line in listed.stdout.splitlines() if not line.startswith("#")]
    assert line.split("\t")[:3] == [str(BAD), "upgrade", "ValueError"]
    assert SECRET not in listed.stdout
    waiting, left = lazymig("waiting"), lazymig("waiting", "--left")
    assert (waiting.returncode, waiting.stdout.splitlines()[1:]) == (3, [f"{WAITS}\tno last name"])
    assert (left.returncode, left.stdout.splitlines()[1:]) == (0, [f"{LEFT}\t-"])
    assert "still failing 1" in lazymig("dead-letters", "retry").stdout
    assert lazymig("dead-letters", "waive", str(BAD), "--reason", "a test record").returncode == 0
    people.update_one({"_id": BAD}, {"$set": {"name": "Ada Nr7"}})
    people.update_one({"_id": 3}, {"$set": {"name": "Eve Nr3"}})
    again = json.loads(lazymig("sweep", "--workers", "2", "--json").stdout)
    counts = {name: again[name] for name in ("migrated", "healed", "present", "dead", "remaining", "dead_letters")}
    assert counts == {"migrated": 1, "healed": 1, "present": 58, "dead": 0, "remaining": 0, "dead_letters": 0}
    assert again["in_place"]
    assert people.find_one({"_id": 3}, {"first": 1}) == {"_id": 3, "first": "Eve"}


def test_what_is_not_needed_is_refused(lazymig: Run, people: Any) -> None:
    """Following and rewriting end with 1, change nothing, and say what to do."""
    for arguments, why in (
        (("follow",), "a follower is not needed"),
        (("rewrite",), "gains nothing where one document carries both shapes"),
    ):
        ended = lazymig(*arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert why in ended.stderr
        assert "Traceback" not in ended.stderr
    assert people.count_documents({"_lazymig": {"$exists": True}}) == 0


def test_status_on_a_terminal(environment: dict[str, str], tmp_path: Path, lazymig: Run, people: Any) -> None:
    """On a terminal of 80 columns the status is one screen about one collection."""
    lazymig("sweep")
    people.update_one({"_id": 3}, {"$set": {"name": "Eve Nr3"}})
    own = {**environment, "LINES": "24", "TERM": "xterm", "NO_COLOR": "1"}
    parent, child = pty.openpty()
    with subprocess.Popen([SCRIPT, "status"], cwd=tmp_path, env=own, stdout=child, stderr=child) as process:
        os.close(child)
        text = _read(parent)
        assert process.wait(60) == 3
    os.close(parent)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()
    assert lines[0].startswith("people: phase coexist")
    assert "V2 part behind V1       1" in text
    assert "with a V2 part          57" in text
    assert "tombstones" not in text
    assert max(map(len, lines)) <= 80, text


def _read(terminal: int) -> str:
    """What a program shows on a terminal until it ends."""
    read = b""
    while True:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # the program has ended
            return read.decode()
        if not more:
            return read.decode()
        read += more
