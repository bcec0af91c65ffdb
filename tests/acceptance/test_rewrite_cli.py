"""`lazymig rewrite` and the versions in `lazymig status`, as a person or a cron job runs them."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from tests.commands import quick_script
from tests.older import document
from tests.pages import TOP

APP = ["--app", "examples.older_shapes:repository"]
COUNT = 200
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def members(lazymig_server: Any) -> Iterator[Any]:
    """The collection of the example, with documents of all versions."""
    with MongoClient[dict[str, Any]](lazymig_server.uri) as client:
        database = client[f"test_{uuid.uuid4().hex[:12]}"]
        database["members"].insert_many([document((None, 1, 2, 3)[id % 4], id) for id in range(COUNT)])
        yield database["members"]
        client.drop_database(database)


@pytest.fixture
def lazymig(lazymig_server: Any, members: Any) -> Run:
    """Run the console script on the example."""
    environment = {
        **os.environ, "MONGODB_URI": lazymig_server.uri, "MONGODB_DATABASE": members.database.name, "COLUMNS": "120",
    }  # fmt: skip

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [quick_script(), *arguments],
            cwd=TOP,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_what_cannot_be_rewritten_needs_a_person(lazymig: Run, members: Any) -> None:
    """The rest is rewritten, the exit code is 3, and the report names the document and the line, not its contents."""
    members.insert_one(document(1, COUNT, name="Confidential"))
    ended = lazymig("rewrite", *APP, "--json")
    report = json.loads(ended.stdout)
    assert ended.returncode == 3
    assert (report["rewritten"], report["failed"], report["finished"]) == (COUNT * 3 // 4, 1, True)
    assert report["versions"]["counts"] == {"1": 1, "3": COUNT}
    (failure,) = report["failures"]
    assert (failure["id"], failure["line"].partition(":")[0]) == (COUNT, "older_shapes.py")
    assert "Confidential" not in ended.stdout + ended.stderr
    assert members.count_documents({"schema_version": 3}) == COUNT
    # In words, and with the documents by version.
    shown = lazymig("rewrite", *APP)
    assert shown.returncode == 3
    assert "schema_version 3 (newest)      200" in shown.stdout
    assert "No upcaster may be deleted yet." in shown.stdout


def test_status_shows_the_versions(lazymig: Run, members: Any) -> None:
    """By number, and those without the field; nothing is migrated, so nothing remains."""
    ended = lazymig("status", *APP, "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert found["versions"] == {
        "field": "schema_version", "newest": 3, "counts": {"missing": 50, "1": 50, "2": 50, "3": 50},
        "estimated": False, "deletable": [],
    }  # fmt: skip
    assert (found["alone"], found["remaining"], found["share"]) == (True, 0, 1.0)


def test_a_migration_that_does_not_allow_it(lazymig: Run, members: Any) -> None:
    """A chain is needed: one line says so, the exit code is 2, and nothing is written."""
    ended = lazymig("rewrite", "--app", "examples.service.app:repository")
    assert ended.returncode == 2
    assert "needs a migration with lazymig.upcasters(..., persist=True)" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert members.count_documents({"schema_version": 3}) == COUNT // 4
