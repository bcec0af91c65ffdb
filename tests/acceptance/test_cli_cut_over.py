"""`lazymig phase cut-over` and `on-outage`, as an operator uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_cli import Run, environment, lazymig, people

__all__ = ["environment", "lazymig", "people"]
APP = ("--app", "cut:followed")
FOLLOWED = """
import os
from pymongo import AsyncMongoClient
import lazymig, shop

def followed():
    database = AsyncMongoClient(os.environ["URI"])[os.environ["DATABASE"]]
    control = lazymig.Control(database["lazymig_control"])
    control.cohort("staff", [1, 2])
    collections = {"v1": database["people"], "v2": database["people_v2"]}
    return lazymig.Repository(shop.migration, **collections, phase=control)
"""


@pytest.fixture(autouse=True)
def followed(tmp_path: Path, environment: dict[str, str], people: Any, lazymig: Run) -> None:
    """The application follows a control collection, in `shadow`."""
    (tmp_path / "cut.py").write_text(FOLLOWED)
    assert lazymig("phase", "begin", "shadow", *APP, "--why", "a test", "--yes").returncode == 0


def unwrapped(text: str) -> str:
    """The text without the ends of its lines."""
    return " ".join(text.split())


def test_the_cut_over_is_shown_and_changed(lazymig: Run, people: Any) -> None:
    """What is not named stays; the record holds it for all processes."""
    shown = lazymig("phase", "cut-over", *APP)
    assert (shown.returncode, shown.stderr) == (0, "")
    begins = "people is in shadow (epoch 1). In coexist V2 answers first for 100 % of the entities."
    assert unwrapped(shown.stdout).startswith(begins)
    changed = lazymig("phase", "cut-over", *APP, "--share", "0.25", "--cohort", "staff", "--dark-share", "0.1")
    assert "(epoch 2). In coexist V2 answers first for 25 % of the entities and the cohorts staff." in unwrapped(
        changed.stdout
    )
    found = json.loads(lazymig("phase", "cut-over", *APP, "--no-cohorts", "--why", "too slow", "--json").stdout)
    assert [found[name] for name in ("share", "cohorts", "dark_share", "groups")] == [0.25, [], 0.1, {}]
    stored = people["lazymig_control"].find_one({"_id": "people/phase"})
    assert stored["settings"] == {"share": 0.25, "cohorts": [], "dark_share": 0.1}
    shown = lazymig("phase", "history", *APP).stdout.splitlines()
    assert [line.split("  ")[1:3] for line in shown if "share" in line] == [
        ["shadow", "share 0.25; dark share 0.1; cohorts staff"]
    ]
    assert any("cohorts none" in line and line.endswith("too slow") for line in shown)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cohort", "a b"), "cohort: pass a name"),
        (("--cohort", "stuff"), "this application declares no such cohort"),
        (("--cohort", "staff", "--no-cohorts"), "leave it out, or --cohort"),
        (("--why", "a test"), "say what to change as well"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(lazymig: Run, people: Any, options: tuple[str, ...], message: str) -> None:
    """Nothing is recorded."""
    ended = lazymig("phase", "cut-over", *APP, *options)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert people["lazymig_control"].find_one({"_id": "people/phase"})["settings"] == {}


def test_a_fixed_phase_has_nothing_to_change(lazymig: Run) -> None:
    """Its processes follow no record."""
    ended = lazymig("phase", "cut-over", "--app", "shop:plain", "--share", "0.5")
    assert ended.returncode == 2
    assert "its phase is fixed" in ended.stderr


def test_writes_may_go_to_v1_alone_in_shadow_only(lazymig: Run, people: Any) -> None:
    """Switched on and off again; in another phase it is refused."""
    on = lazymig("phase", "on-outage", "degrade", *APP, "--by", "ada", "--why", "V2 is down")
    assert on.stdout == "people: a write goes to V1 alone while V2 is down (epoch 3).\n"
    assert people["lazymig_control"].find_one({"_id": "people/phase"})["settings"] == {"degrade": True}
    off = json.loads(lazymig("phase", "on-outage", "fail", *APP, "--json").stdout)
    assert off == {"migration": "people", "policy": "fail", "suspect_since": None, "epoch": 5}
    kept = json.loads(lazymig("phase", "history", *APP, "--json").stdout)["history"]
    assert [(one["what"], one["why"], one["epoch"]) for one in kept[1:]] == [
        ("on-outage degrade", "V2 is down", 2), ("on-outage fail", "", 4),
    ]  # fmt: skip
    assert (kept[1]["by"], "@" in kept[2]["by"]) == ("ada", True)  # without a name it is the user of this machine
    assert lazymig("phase", "advance", *APP, "--to", "coexist", "--why", "a test", "--yes").returncode == 0
    refused = lazymig("phase", "on-outage", "degrade", *APP)
    assert refused.returncode == 1
    assert "only in shadow" in refused.stderr
