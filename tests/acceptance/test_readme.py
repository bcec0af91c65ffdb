"""What the README and the documentation show is run, and what they point to is there."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pymongo
import pytest
from mongomock_motor import AsyncMongoMockClient

from lazymig.shapes import bson_types
from lazymig.cli.verbs import app

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
PAGES = [README, *sorted((TOP / "docs").glob("*.md")), TOP / "examples" / "service" / "README.md"]
SCRIPT = Path(sys.executable).with_name("lazymig")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def promised(source: str, statement: ast.stmt) -> str | None:
    """What the comment behind a statement says that it gives."""
    last_line = source.splitlines()[(statement.end_lineno or 0) - 1]
    _, arrow, text = last_line.partition("# -> ")
    return text if arrow else None


async def run(source: str, namespace: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Run a block as `python -m asyncio` would; what each commented statement promises, and what it gave."""
    met = []
    for statement in ast.parse(source).body:
        promise = promised(source, statement)
        tree: Any = ast.Module([statement], [])
        mode = "exec"
        if isinstance(statement, ast.Expr):
            tree, mode = ast.Expression(statement.value), "eval"
        # Inherited flags would postpone annotations here, and not for a reader of the page.
        code = compile(tree, "<page>", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            result = await result
        if promise is not None:
            met.append((promise, repr(result)))
    return iter(met)


# Python


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
async def test_python_blocks_give_what_they_promise(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run in order, and each value behind an arrow is the one that comes out."""
    monkeypatch.setattr(pymongo, "AsyncMongoClient", lambda uri: AsyncMongoMockClient())
    namespace: dict[str, Any] = {"__name__": "page"}
    if page != README:  # which introduces the people that the other pages take for granted
        for source in (blocks(README, "python")[0], blocks(README, "python")[2]):
            await run(source, namespace)
    met = [pair for source in blocks(page, "python") for pair in await run(source, namespace)]
    assert met, "nothing was promised, so nothing was checked"
    assert [given for _, given in met] == [promise for promise, _ in met]


async def test_a_broken_promise_is_noticed() -> None:
    """The reader of the blocks tells a wrong value behind an arrow from a right one."""
    assert list(await run("1 + 1  # -> 3\n2  # -> 2\n3", {})) == [("3", "2"), ("2", "2")]


def test_user_code_is_short() -> None:
    """Declaring a migration takes about 15 lines."""
    lines = [line for line in blocks(README, "python")[0].splitlines() if line.strip()]
    assert len(lines) <= 15


# Shell


def test_every_command_of_the_readme_is_known() -> None:
    """The shell blocks hold the commands that the tests below run or look at, and no others."""
    commands = [line for block in blocks(README, "sh") for line in block.splitlines()]
    assert commands == [DEMO, "bash .ci/run", *SWEEPS]


DEMO = "python3 -m venv .venv && .venv/bin/pip install -q '.[cli,testing]' && .venv/bin/lazymig demo"
SWEEPS = [f"lazymig {verb} --app examples.service.app:repository" for verb in ("sweep", "status")]


def test_the_first_command_ends_in_all_customers_equal() -> None:
    """The demo, as the first command runs it, finds every customer equal in both collections."""
    extras = re.findall(r"\.\[(.*)\]", DEMO)[0].split(",")
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    done = subprocess.run([SCRIPT, "demo"], capture_output=True, text=True, timeout=120, check=False, cwd=TOP)
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
    function, bound, _ = app.parse_args(command.split()[1:], exit_on_error=False, print_error=False)
    assert bound.arguments["app"] == "examples.service.app:repository"
    assert function.__name__ in command


def test_the_sweep_of_the_readme_moves_the_services_customers(lazymig_server: Any) -> None:
    """The sweep of the README, on a real server, leaves every customer of the service in V2."""
    name = f"readme_{os.getpid()}"
    with pymongo.MongoClient(lazymig_server.uri) as client:
        try:
            client[name]["customers"].insert_many(_customers())
            done = subprocess.run(
                [SCRIPT, *SWEEPS[0].split()[1:]], cwd=TOP, capture_output=True, text=True, timeout=120, check=False,
                env={**os.environ, "MONGODB_URI": lazymig_server.uri, "MONGODB_DATABASE": name},
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


# Links and tables


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file of the repository, and a heading that is there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        assert file.exists(), f"{page.name} points to {target}"
        assert TOP in (file, *file.parents)
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, target


def test_the_table_of_types_is_the_codes() -> None:
    """The documented table of types is the one that stands beside the code."""

    def table(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("|")]

    documented = table((TOP / "docs" / "bson-types.md").read_text(encoding="utf-8"))
    assert documented == table(bson_types.__doc__ or ""), "take the table of lazymig/shapes/bson_types.py into the page"
    assert len(documented) > 10
