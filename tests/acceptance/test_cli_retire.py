"""`lazymig retire` as a person or a script runs it, on a real server."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from lazymig.cli.output import prepare_streams
from lazymig.cli.verbs import run
from tests.apps import CLASSES

APP = (
    CLASSES
    + """
def to_new(old: Old) -> New:
    return New(old.id, *old.name.split(" ", 1))

def to_old(new: New) -> Old:
    return Old(new.id, f"{new.first} {new.last}")

migration = lazymig.Migration(name="people", v1=Old, v2=New, upgrade=to_new, downgrade=to_old)

def people(phase=lazymig.Phase.V2_ONLY):
    database = AsyncMongoClient(os.environ["URI"])[os.environ["DATABASE"]]
    return lazymig.Repository(migration, v1=database["v1"], v2=database["v2"], phase=phase)

def before():
    return people(lazymig.Phase.V2_PRIMARY)
"""
)
SECRET = "Confidential"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def database(tmp_path: Path, lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A folder with the application in it, and its database in `v2_only`."""
    name, module = f"test_{uuid.uuid4().hex[:12]}", f"shop_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{module}.py").write_text(APP)
    for variable, value in {"URI": lazymig_server.uri, "DATABASE": name, "LAZYMIG_APP": f"{module}:people"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        found = client[name]
        for id in (1, 2):
            found["v1"].insert_one({"_id": id, "name": f"{SECRET} Nr{id}"})
            meta = {"rev": 1, "intent": 1, "by": "sweep"}
            found["v2"].insert_one({"_id": id, "first": SECRET, "last": f"Nr{id}", "_lazymig": meta})
        yield found
        client.drop_database(name)


@pytest.fixture
def retire(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `lazymig retire`; returns exit code, stdout and stderr."""
    prepare_streams()

    def call(*words: str) -> tuple[int, str, str]:
        code = run(["retire", *words])
        shown = capsys.readouterr()
        assert SECRET not in shown.out + shown.err
        return code, shown.out, shown.err

    return call


def test_all_the_way_by_commands(database: Any, retire: Run, tmp_path: Path) -> None:
    """Each command says what it did and what comes next, and what it refuses it explains."""
    now = ("--soak-days", "0", "--unwatched")
    code, out, _ = retire("show", "--unwatched")
    assert (code, "people: V1 is where it was" in out, "Next: lazymig retire quarantine" in out) == (0, True, True)
    assert "2 documents" in out
    code, out, err = retire("quarantine")
    assert (code, out) == (3, "")
    assert "nobody watches V1; run lazymig retire watch beside the service" in err
    assert retire("quarantine", *now)[0] == 0
    code, out, _ = retire("restore")
    assert (code, "people: V1 is where it was" in out) == (0, True)
    assert retire("quarantine", *now)[0] == 0
    assert retire("archive")[0] == 2
    code, out, _ = retire("archive", "--file", "old.bson")
    assert (code, f"Archived: {tmp_path / 'old.bson'}" in out.replace("\n", "")) == (0, True)
    assert len(bson.decode_all(Path("old.bson").read_bytes())) == 2
    code, _, err = retire("drop", *now)
    assert (code, "pass the migration's name by --confirm NAME" in err) == (2, True)
    code, _, err = retire("drop", *now, "--confirm", "persons")
    assert (code, "confirm it by the migration's name, people" in err) == (1, True)
    code, _, err = retire("drop", "--unwatched", "--confirm", "people")
    assert (code, "of 7.0 days; wait until" in err) == (3, True)
    assert "v1" not in database.list_collection_names()
    code, out, _ = retire("drop", *now, "--confirm", "people")
    assert (code, "Code that may go" in out, "class Old (v1)" in out) == (0, True, True)
    assert set(database.list_collection_names()) == {"v2", "lazymig_control"}
    code, out, _ = retire("reduce", "--json")
    assert (code, json.loads(out)["reduced"]) == (0, 2)
    code, out, _ = retire("finish", "--json")
    assert (code, json.loads(out)["stage"]) == (0, "retired")
    assert database["v2"].find_one({"_id": 1})["_lazymig"] == {"rev": 1, "intent": 1}
    assert {row["kind"] for row in database["lazymig_control"].find()} == {"retirement"}


def test_the_exit_code_says_that_something_blocks(database: Any, retire: Run) -> None:
    """With the condition, what was seen and what to do; as JSON too."""
    code, out, _ = retire("show")
    assert (code, "NO   quiet V1: nobody watches V1" in out) == (3, True)
    code, out, _ = retire("show", "--json")
    assert (code, json.loads(out)["blocked"]) == (3, True)


def test_a_watch_that_saw_a_stray_write_ends_with_3(database: Any, retire: Run) -> None:
    """It goes on where it was stopped, and says what it saw; without one it ends with 0."""
    code, out, err = retire("watch", "--max-time", "0.2")
    assert (code, "changes of V1" in out, "watching V1" in err) == (0, True, True)
    database["v1"].insert_one({"_id": 9, "name": SECRET})
    code, out, _ = retire("watch", "--max-time", "2", "--json")
    assert (code, json.loads(out)["changes"]) == (3, {"insert": 1})
    code, out, _ = retire("show")
    assert (code, "1 changes (insert)" in out.replace("\n       ", " ")) == (3, True)


def test_another_phase_is_refused(database: Any, retire: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """V1 is needed there."""
    monkeypatch.setenv("LAZYMIG_APP", os.environ["LAZYMIG_APP"].replace(":people", ":before"))
    code, _, err = retire("quarantine", "--unwatched")
    assert (code, "in the phase v2_primary V1 is needed" in err) == (1, True)
    assert "v1" in database.list_collection_names()


def test_a_person_types_the_name(database: Any, retire: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another name drops nothing."""
    now = ("--soak-days", "0", "--unwatched")
    retire("quarantine", *now)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for typed, code in (("yes", 1), ("people", 0)):
        monkeypatch.setattr("builtins.input", lambda _, typed=typed: typed)
        assert retire("drop", *now)[0] == code
        assert (len(database.list_collection_names()) == 2) is (code == 0)
