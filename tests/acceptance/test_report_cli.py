"""`lazymig report`, as an operator uses it for a ticket."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.acceptance.test_cli import Run, environment, lazymig, people
from tests.markup import Element, find_wrong, read

__all__ = ["environment", "lazymig", "people"]
APP = ("--app", "shop:plain")


def facts(root: Element, panel: str) -> dict[str, str]:
    """The facts of a panel by their names."""
    rows = root.one("section", id=panel).all("div")
    return {one.one("dt").text: one.one("dd").text for one in rows if any(one.all("dt"))}


def test_a_report_is_the_status_of_that_moment(lazymig: Run, people: Any, tmp_path: Path) -> None:
    """It holds the numbers of `lazymig status --json` and what a sample says, needs a person as the status does, and
    writes nothing into the database; a later one takes the place of the file."""
    people["people"].update_one({"_id": 1}, {"$set": {"name": "<b>"}})
    assert lazymig("sweep", *APP).returncode == 3
    assert lazymig("verify", *APP, "--sample", "20").stdout
    before = {name: list(people[name].find()) for name in people.list_collection_names()}
    made = lazymig("report", *APP, "--html", "people.html")
    assert (made.returncode, made.stderr) == (3, "")
    assert made.stdout.startswith("people.html: written, ")
    assert {name: list(people[name].find()) for name in people.list_collection_names()} == before
    html = (tmp_path / "people.html").read_text("utf-8")
    assert find_wrong(html) == []
    found, root = json.loads(lazymig("status", *APP, "--json").stdout), read(html)
    assert facts(root, "progress")["V1 entities"] == f"{found['v1']:,}"
    assert facts(root, "progress")["V2 clean"] == f"{found['v2']['clean']:,}"
    assert facts(root, "trouble")["open dead letters"] == "1"
    assert "20 sampled entities of V1 do not agree: with 95% confidence" in root.one("section", id="verification").text
    again = lazymig("report", *APP, "--html", "people.html")
    assert again.stdout.startswith("people.html: replaced the report that stood there, ")
    assert [file.name for file in tmp_path.iterdir() if "people.html" in file.name] == ["people.html"]


def test_a_report_on_stdout_is_nothing_else(lazymig: Run, people: Any) -> None:
    """In a pipe there is the file and no word beside it."""
    made = lazymig("report", *APP, "--html", "-", PYTHONIOENCODING="ascii")
    assert (made.returncode, made.stderr) == (0, "")
    assert find_wrong(made.stdout) == []


def test_another_file_is_left(lazymig: Run, tmp_path: Path) -> None:
    """Where a report would take the place of something else, that is bad usage, before anything is looked up."""
    (tmp_path / "notes.html").write_text("mine")
    refused = lazymig("report", *APP, "--html", "notes.html")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "this file is no report of lazymig, and stays as it is" in " ".join(refused.stderr.split())
    assert (tmp_path / "notes.html").read_text() == "mine"


def test_without_the_extra_it_says_what_to_install(lazymig: Run, tmp_path: Path) -> None:
    """Without Jinja2 the message names the extra, before anything is looked up."""
    (tmp_path / "jinja2.py").write_text("raise ModuleNotFoundError('no jinja2', name='jinja2')")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    refused = lazymig("report", *APP, "--html", "a.html", PYTHONPATH=path)
    assert refused.returncode == 1
    assert "pip install 'lazymig[cli,web]'" in " ".join(refused.stderr.split())
