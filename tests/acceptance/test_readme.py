"""The README's promises that go beyond its code, which `test_docs.py` runs with all other pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from typing import Any

import pymongo
import pytest

from lazymig.cli.verbs import command_line
from tests.commands import quick_script
from tests.pages import README, TOP, blocks


def shown(language: str) -> list[str]:
    """The README's code in this language."""
    return [block.text for block in blocks(README) if block.language == language]


# Python


def test_user_code_is_short() -> None:
    """Declaring a migration takes about 15 lines."""
    lines = [line for line in shown("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 15


# Shell


def test_every_command_of_the_readme_is_known() -> None:
    """The shell blocks hold the commands that the tests below run or look at, and no others."""
    commands = [line for block in shown("sh") for line in block.splitlines()]
    assert commands == [DEMO, "bash .ci/run", *SWEEPS]


DEMO = "python3 -m venv .venv && .venv/bin/pip install -q '.[cli,testing]' && .venv/bin/lazymig demo"
SWEEPS = [f"lazymig {verb} --app examples.service.app:repository" for verb in ("sweep", "status")]


def test_the_first_command_ends_in_all_customers_equal() -> None:
    """The demo, as the first command runs it, finds every customer equal in both collections."""
    extras = re.findall(r"\.\[(.*)\]", DEMO)[0].split(",")
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    done = subprocess.run([quick_script(), "demo"], capture_output=True, text=True, timeout=300, check=False, cwd=TOP)
    assert done.returncode == 0, done.stderr
    equal, entities = re.findall(r"^(\d+) of (\d+) equal$", done.stdout, re.MULTILINE)[0]
    assert equal == entities
    assert int(entities) > 400


def test_the_second_command_runs_tox_on_everything() -> None:
    """`.ci/run` is sound bash that runs tox, whose environments are style, types and tests."""
    script = TOP / ".ci" / "run"
    subprocess.run(["bash", "-n", script], check=True)
    assert "tox" in script.read_text()
    tox = ConfigParser()
    tox.read(TOP / "tox.ini")
    assert {"lint", "typing", "tests"} <= set(tox["tox"]["env_list"].replace(",", " ").split())


@pytest.mark.parametrize("command", SWEEPS)
def test_the_operators_commands_parse(command: str) -> None:
    """The command line takes what the README shows."""
    function, bound, _ = command_line().parse_args(command.split()[1:], exit_on_error=False, print_error=False)
    assert bound.arguments["app"] == "examples.service.app:repository"
    assert function.__name__ in command


def test_the_sweep_of_the_readme_moves_the_services_customers(lazymig_server: Any) -> None:
    """The sweep of the README, on a real server, leaves every customer of the service in V2."""
    name = f"readme_{os.getpid()}"
    with pymongo.MongoClient(lazymig_server.uri) as client:
        try:
            client[name]["customers"].insert_many(_customers())
            done = subprocess.run(
                [quick_script(), *SWEEPS[0].split()[1:]], cwd=TOP, capture_output=True, text=True, timeout=300,
                check=False, env={**os.environ, "MONGODB_URI": lazymig_server.uri, "MONGODB_DATABASE": name},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert client[name]["customers_v2"].count_documents({"born": {"$type": "date"}}) == 30
        finally:
            client.drop_database(name)


def _customers() -> list[dict[str, Any]]:
    # Last on the path: the example comes from the checkout, lazymig from wherever it is installed.
    sys.path.append(str(TOP))
    from examples.customers import load_documents

    return load_documents()[:30]
