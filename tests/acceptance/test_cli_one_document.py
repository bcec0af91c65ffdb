"""`lazymig phase` and `lazymig retire` where one document carries both shapes, as a person or a script runs them."""

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

APP = """
import os
from attrs import frozen
from pymongo import AsyncMongoClient
import lazymig

@frozen
class Old:
    id: int
    name: str
    age: int = 0

@frozen
class New:
    id: int
    first: str
    last: str
    age: int = 0

def to_new(old: Old) -> New:
    return New(old.id, *old.name.split(" ", 1), old.age)

def to_old(new: New) -> Old:
    return Old(new.id, f"{new.first} {new.last}", new.age)

migration = lazymig.Migration(name="people", v1=Old, v2=New, upgrade=to_new, downgrade=to_old)
finished = lazymig.Migration.finished("people", v2=New)

def people(migration=migration):
    database = AsyncMongoClient(os.environ["URI"])[os.environ["DATABASE"]]
    control = lazymig.Control(database["lazymig_control"])
    return lazymig.Repository.in_place(migration, database["people"], phase=control)

def afterwards():
    return people(finished)
"""
SECRET = "Confidential"
Run = Callable[..., tuple[int, str, str]]
WHY = ("--why", "a test", "--yes")
NOW = ("--soak-days", "0", "--unwatched")


@pytest.fixture
def database(tmp_path: Path, lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A folder with the application in it, and its database, in which nothing is migrated."""
    name, module = f"test_{uuid.uuid4().hex[:12]}", f"shop_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{module}.py").write_text(APP)
    for variable, value in {"URI": lazymig_server.uri, "DATABASE": name, "LAZYMIG_APP": f"{module}:people"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        found = client[name]
        found["people"].insert_many([{"_id": id, "name": f"{SECRET} Nr{id}", "age": 3, "shoe": id} for id in (1, 2)])
        yield found
        client.drop_database(name)


@pytest.fixture
def lazymig(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `lazymig`; returns exit code, stdout in one line and stderr."""
    prepare_streams()

    def call(*words: str) -> tuple[int, str, str]:
        code = run([*words])
        shown = capsys.readouterr()
        assert SECRET not in shown.out + shown.err
        return code, " ".join(shown.out.split()), " ".join(shown.err.split())

    return call


def climb(lazymig: Run) -> None:
    """All phases up, with what each step needs."""
    assert lazymig("phase", "begin", "v1_only", *WHY)[0] == 0
    for phase in ("shadow", "coexist"):
        assert lazymig("phase", "advance", "--to", phase, *WHY)[0] == 0
    code, out, _ = lazymig("phase", "advance", "--soak", "0", *WHY)
    assert (code, "CLOSED remaining V2's part is missing" in out) == (3, True)
    assert lazymig("sweep")[0] == 0
    assert lazymig("verify", "--min-age", "0")[0] == 0
    assert lazymig("phase", "advance", "--soak", "0", "--to", "v2_primary", *WHY)[0] == 0
    assert lazymig("phase", "rollback", *WHY)[0] == 0
    assert lazymig("verify", "--min-age", "0")[0] == 0
    assert lazymig("phase", "advance", "--soak", "0", *WHY)[0] == 0
    assert lazymig("verify", "--min-age", "0")[0] == 0
    code, out, _ = lazymig("phase", "advance", "--soak", "0", "--dry-run")
    assert (code, "nobody watches V1's fields" in out, "no write is held" in out) == (3, True, True)
    last = ("--accept", "outside-writes", "--confirm", "people")
    assert lazymig("phase", "advance", "--soak", "0", *last, *WHY)[0] == 0


def test_all_the_way_by_commands(database: Any, lazymig: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """From v1_only to the end of V1's fields; each command says what it did, what comes next, and what it refuses."""
    climb(lazymig)
    code, out, _ = lazymig("phase", "show")
    assert (code, "people is in v2_only" in out, "Back: none" in out) == (0, True, True)
    assert "lazymig retire reduce" in out
    code, out, _ = lazymig("retire", "show", "--unwatched", "--soak-days", "0")
    assert (code, "V1's fields are where they were" in out, "Next: lazymig retire reduce" in out) == (0, True, True)
    assert "V1's own fields (name) of 2 documents" in out
    for step in (("quarantine", *NOW), ("restore",), ("drop", *NOW, "--confirm", "people")):
        code, _, err = lazymig("retire", *step)
        assert (code, "both shapes are in one collection, which stays" in err) == (1, True)
    code, out, _ = lazymig("retire", "archive", "--file", "old.bson")
    assert (code, "Archived:" in out) == (0, True)
    assert [set(one) for one in bson.decode_all(Path("old.bson").read_bytes())] == [{"_id", "name"}] * 2
    code, _, err = lazymig("retire", "reduce", *NOW)
    assert (code, "pass the migration's name by --confirm NAME" in err) == (2, True)
    code, _, err = lazymig("retire", "reduce", "--confirm", "people")
    assert (code, "quiet V1: nobody watches V1" in err) == (3, True)
    code, out, _ = lazymig("retire", "reduce", *NOW, "--confirm", "people", "--json")
    found = json.loads(out)
    assert (code, found["reduced"], found["finished"], found["failed"]) == (0, 2, True, 0)
    assert set(database["people"].find_one({"_id": 1})) == {"_id", "first", "last", "age", "shoe", "_lazymig"}
    code, out, _ = lazymig("retire", "show")
    assert (code, "V1's fields are gone" in out, "class Old (v1)" in out) == (0, True, True)
    monkeypatch.setenv("LAZYMIG_APP", os.environ["LAZYMIG_APP"].replace(":people", ":afterwards"))
    code, out, _ = lazymig("retire", "finish", "--json")
    assert (code, json.loads(out)["stage"], json.loads(out)["in_place"]) == (0, "retired", True)
    code, out, _ = lazymig("retire", "reduce", "--strip", "--confirm", "people")
    assert (code, "V2 is reduced" in out) == (0, True)
    assert database["people"].find_one({"_id": 1}, {"_lazymig": 1}) == {"_id": 1}
    assert {row["kind"] for row in database["lazymig_control"].find()} == {"phase", "retirement"}


def test_what_a_pass_could_not_do_needs_a_person(database: Any, lazymig: Run) -> None:
    """The exit code is 3, and each document that failed is named by its id, with the reason and none of its values."""
    climb(lazymig)
    database["people"].insert_one({"_id": 9, "name": SECRET})
    code, out, err = lazymig("retire", "reduce", *NOW, "--confirm", "people")
    assert (code, "1 documents could not be reduced" in out + err, "9: upgrade: " in out) == (3, True, True)
    code, out, _ = lazymig("retire", "reduce", *NOW, "--confirm", "people", "--json")
    assert (code, json.loads(out)["failed"]) == (3, 1)


def test_what_one_collection_cannot_choose_is_refused(database: Any, lazymig: Run) -> None:
    """A policy for outages, and a phase that this layout lacks: each with the reason."""
    code, _, err = lazymig("phase", "begin", "prepare", *WHY)
    assert (code, "in this layout there are Phase.V1_ONLY" in err) == (2, True)
    assert lazymig("phase", "begin", "shadow", *WHY)[0] == 0
    code, _, err = lazymig("phase", "on-outage", "degrade", "--why", "a test")
    assert (code, "both shapes are in one document" in err) == (2, True)
    code, out, _ = lazymig("phase", "cut-over", "--share", "0.5", "--why", "a test")
    assert (code, "50" in out) == (0, True)
