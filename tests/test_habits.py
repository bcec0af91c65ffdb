"""The files around the code, held: versions, workflows, hooks, and what the pages for contributors name."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from lazymig.stores.documents import META_FIELD, REVISION_FIELD
from tests.house import ROOT
from tests.tracing import is_traced

PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", ROOT / "docs" / "releasing.md"]
PYTHON = "Programming Language :: Python :: 3."
#: What a command line may name besides tox environments, in the order in which it is asked for.
PROGRAMS = {"bash", "git", "pip", "pre-commit", "pytest", "python", "python3", "ruff", "tox", "lazymig"}
PATH = re.compile(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|toml|ini|yaml)")


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def tox() -> ConfigParser:
    parsed = ConfigParser(interpolation=None)
    parsed.read_string(text("tox.ini"))
    return parsed


def environments() -> set[str]:
    """The names of tox's environments that `.ci/run` runs."""
    return set(re.split(r"[,\s]+", tox()["tox"]["env_list"]))


# Versions


def pythons() -> list[str]:
    """The versions of Python that the classifiers name."""
    classifiers = PROJECT["project"]["classifiers"]
    return [name.rpartition(" ")[2] for name in classifiers if name.startswith(PYTHON)]


def test_versions_of_python_agree() -> None:
    """Classifiers, requires-python, the matrix of CI, the tools' targets and the policy name the same versions."""
    versions = pythons()
    minors = [int(version.partition(".")[2]) for version in versions]
    assert minors == list(range(minors[0], minors[-1] + 1))
    lowest = versions[0]
    assert PROJECT["project"]["requires-python"] == f">={lowest}"
    assert PROJECT["tool"]["mypy"]["python_version"] == lowest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"
    assert workflow("ci")["jobs"]["tests"]["strategy"]["matrix"] == {"python-version": versions}
    assert f"{lowest} to {versions[-1]}" in text("SECURITY.md")
    assert f"Python {lowest} or later" in text("CONTRIBUTING.md")


def test_the_policy_names_what_is_required_and_stored() -> None:
    """SECURITY.md names PyMongo's bounds, the stored fields, and the way to report."""
    policy = text("SECURITY.md")
    pymongo = next(line for line in PROJECT["project"]["dependencies"] if line.startswith("pymongo"))
    bounds = dict(re.findall(r"(>=|!=|<)([\d.]+)", pymongo))
    assert f"{bounds['>=']} and later {int(bounds['<']) - 1}.x, except {bounds['!=']}" in policy
    assert all(f"`{field}`" in policy for field in (META_FIELD, REVISION_FIELD))
    assert "Report a\nvulnerability" in policy
    assert "@" not in policy, "reports go through the repository's host, and to no address of a person"


def test_urls() -> None:
    """The project's pages are named, all at one address."""
    urls = PROJECT["project"]["urls"]
    assert set(urls) == {"Documentation", "Source", "Changelog", "Issues"}
    assert all(url.startswith(urls["Source"]) for url in urls.values())
    for name in ("Documentation", "Changelog"):
        assert (ROOT / urls[name].partition("/main/")[2]).exists()
    assert urls["Source"] in text("SECURITY.md")


# Workflows and hooks


def workflow(name: str) -> dict[Any, Any]:
    parsed: dict[Any, Any] = yaml.safe_load(text(f".github/workflows/{name}.yml"))
    return parsed


WORKFLOWS = sorted(file.stem for file in (ROOT / ".github" / "workflows").iterdir())


def steps(parsed: Mapping[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in parsed["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_run_what_developers_run(name: str) -> None:
    """Every command of a workflow is `.ci/run` with environments that tox has, and every job is bounded in time."""
    parsed = workflow(name)
    commands = [step["run"] for step in steps(parsed) if "run" in step]
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[:3] == ["bash", ".ci/run", "-e"]
        assert set(words[3].split(",")) <= environments()
    assert all(job["timeout-minutes"] <= 60 for job in parsed["jobs"].values())
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[\w./]+", step["uses"]) for step in steps(parsed) if "uses" in step)


def test_ci_runs_all() -> None:
    """CI runs each environment of `.ci/run`, for pushes and pull requests."""
    parsed = workflow("ci")
    ran = {name for step in steps(parsed) if "run" in step for name in shlex.split(step["run"])[3].split(",")}
    assert ran == environments()
    assert set(parsed[True]) == {"push", "pull_request"}  # YAML 1.1 reads the key `on` so


def test_workflows_may_do_little() -> None:
    """Workflows read the repository; only the job that publishes may prove who it is, and it runs no code of ours."""
    allowed = {"contents": "read"}
    for name in WORKFLOWS:
        parsed = workflow(name)
        assert parsed["permissions"] == allowed
        for job in parsed["jobs"].values():
            if permissions := job.get("permissions"):
                assert permissions == {"id-token": "write"}
                assert job["environment"] == "pypi"
                assert not any("run" in step for step in job["steps"])
    assert workflow("release")[True] == {"push": {"tags": ["v*"]}}


def test_hooks_are_the_lint_environment() -> None:
    """pre-commit runs the commands of tox's lint environment, with the same release of ruff."""
    hooks = [hook for repo in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]]
    lint = tox()["testenv:lint"]
    commands = [line.removesuffix(" --no-cache") for line in lint["commands"].strip().splitlines()]
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in hooks] == commands
    assert {requirement for hook in hooks for requirement in hook["additional_dependencies"]} == {lint["deps"]}
    assert {hook["language"] for hook in hooks} == {"python"}


def test_coverage_is_gated() -> None:
    """The coverage environment runs tests that exist, on the wheel as `tests` does, and fails below a high limit."""
    environment = tox()["testenv:coverage"]
    measured, reported = environment["commands"].replace("\\\n", "").strip().splitlines()
    paths = [word for word in shlex.split(measured) if word.startswith("tests/")]
    assert paths
    assert [path for path in paths if missing(path)] == []
    assert measured.startswith("coverage run {env_bin_dir}{/}pytest")
    assert "{[testenv:tests]set_env}" in environment["set_env"]
    assert reported == "coverage report"
    assert environment["extras"] == "{[testenv:tests]extras}"
    settings = PROJECT["tool"]["coverage"]
    assert settings["run"]["branch"] is True
    assert settings["report"]["fail_under"] >= 90


def test_each_test_runs_in_one_environment() -> None:
    """What `coverage` runs is left out by `tests` and `cases`, and nothing else is."""
    parts = {name: tox()[f"testenv:{name}"]["commands"] for name in ("coverage", "tests", "cases")}
    assert {name: re.findall(r"--part=(\w+)", line) for name, line in parts.items()} == {
        "coverage": ["traced"], "tests": ["untraced"], "cases": ["untraced"],
    }  # fmt: skip
    assert set(re.findall(r"--ignore=([\w/]+)", parts["tests"])) == {
        f"tests/{name}" for name in ("interleaving", "faults", "acceptance", "cases", "unit", "browser")
    }
    assert "tests/unit tests/contract tests/cases" in parts["coverage"]
    assert is_traced("tests/unit/test_laws.py::test_holds[pymongo]")
    assert is_traced("tests/contract/test_listing.py::test_lists[mock]")
    assert not is_traced("tests/contract/test_listing.py::test_lists[motor]")
    assert not is_traced("tests/contract/test_v1_store.py::test_lists[mock]")
    assert not is_traced("tests/cases/test_cli.py::test_it")
    assert not is_traced("tests/phases/test_walk.py::test_it")


# Pages


def commands(page: str) -> list[list[str]]:
    """Each command line of a page, in a block of shell or in backticks."""
    lines = [
        line.removeprefix("$ ")
        for block in re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
        for line in block.replace("\n   ", "\n").strip().splitlines()
    ]
    programs = "|".join(sorted(PROGRAMS))
    lines += re.findall(rf"`((?:\.venv/bin/)?(?:{programs}) [^`]+)`", page)
    return [shlex.split(part) for line in lines for part in line.strip().removeprefix("$ ").split(" && ")]


def unknown(words: list[str]) -> list[str]:
    """What a command line names that does not exist: programs, environments, modules, extras, tests."""
    program, *rest = words
    name = Path(program).name
    found = [] if name in PROGRAMS else [program]
    if name in {"tox", "bash"} and "-e" in rest:
        found += set(rest[rest.index("-e") + 1].split(",")) - environments()
    if name.startswith("python") and rest[:1] == ["-m"] and rest[1] != "venv":
        found += [] if find_spec(rest[1]) else [rest[1]]
    extras = [extra for word in rest for extras in re.findall(r"\[([\w,]+)\]", word) for extra in extras.split(",")]
    found += set(extras) - set(PROJECT["project"]["optional-dependencies"])
    return found + [word for word in rest if PATH.fullmatch(word) and word.startswith("tests/") and missing(word)]


def missing(path: str) -> bool:
    return not (ROOT / path).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_commands_exist(page: Path) -> None:
    """Every program, environment, module, extra and test that a command line of a page names is there."""
    assert [name for words in commands(page.read_text("utf-8")) for name in unknown(words)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """Every file that a page names in backticks or links to is there, and every heading that it links to."""
    written = page.read_text("utf-8")
    named = [name for name in re.findall(r"`([^`\s]+)`", written) if PATH.fullmatch(name)]
    at_home = [name for name in named if missing(name) and missing(f"lazymig/{name}") and missing(f"docs/{name}")]
    assert at_home == []
    for target in re.findall(r"\]\(([^)\s]+)\)", written):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            file = (page.parent / path).resolve()
            titles = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert not anchor or anchor in set(map(anchor_of, titles))


#: Words that a plain technical text does without.
UNUSUAL = re.compile(r"\b(told|tells?|whichever|whoever|mend(s|ed)?|anew|hence|dear|said of|ebbs?)\b", re.IGNORECASE)
WRITTEN = sorted(
    path
    for pattern in ("*.md", "lazymig/**/*.py", "lazymig/**/*.html", "docs/**/*.md", "docs/**/*.py", "benchmarks/**/*.*",
                    "examples/**/*.*")
    for path in ROOT.glob(pattern)
    if path.suffix in {".md", ".py", ".html"}
)  # fmt: skip


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_usual(path: Path) -> None:
    """No page, message, name or comment has a word in place of which everybody uses another."""
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if UNUSUAL.search(line.replace("_", " "))] == []


def anchor_of(title: str) -> str:
    """The anchor of a heading, as GitHub and the documentation make it: without punctuation."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_anchors_have_no_punctuation() -> None:
    """A link to a heading leaves out its punctuation, and keeps its hyphens and underscores."""
    assert anchor_of("How far it was: samples") == "how-far-it-was-samples"
    assert anchor_of("Into `V2_ONLY`: the by-hand seal") == "into-v2_only-the-by-hand-seal"


def test_contributing_shows_every_check() -> None:
    """CONTRIBUTING.md names each tox environment, and each package of lazymig with the floor that it stands on."""
    page = text("CONTRIBUTING.md")
    assert {words[2] for words in commands(page) if words[0] == ".venv/bin/tox" and words[1] == "-e"} == environments()
    packages = {folder.name for folder in (ROOT / "lazymig").iterdir() if (folder / "__init__.py").exists()}
    floors = page.partition("## Where things belong")[2].partition("## Words")[0]
    assert {name for name in packages if f"`{name}`" not in floors} == set()


def test_pages_bite() -> None:
    """A command that names what is not there is found in a block and in backticks."""
    page = (
        "```sh\ntox -e tests && .venv/bin/tox -e nothing\n```\nand `pytest tests/nothing.py`, `pip install '.[x,cli]'`"
    )
    assert [unknown(words) for words in commands(page)] == [[], ["nothing"], ["tests/nothing.py"], ["x"]]
    assert unknown(["python", "-m", "tests.nothing"]) == ["tests.nothing"]
    assert unknown(["make", "all"]) == ["make"]
