"""What is released, held: the form of the changelog, and what sdist and wheel hold."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.distribution import tracked, wrong_release, wrong_sdist, wrong_wheel
from tests.house import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}


# The changelog


def misshapen(changelog: str) -> list[str]:
    """What is not as Keep a Changelog asks: headings, their order, their sections, and lines in each."""
    entries = re.split(r"^## ", changelog, flags=re.MULTILINE)
    found = [] if entries[0].startswith("# Changelog\n") else ["it does not begin with '# Changelog'"]
    versions = []
    for number, entry in enumerate(entries[1:]):
        title, _, body = entry.partition("\n")
        heading = re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d|Unreleased)", title)
        if heading is None:
            found.append(f"'{title}' is no '[1.2.3] - 2030-12-31'")
            continue
        versions.append(tuple(map(int, heading.groups()[:3])))
        if heading[4] == "Unreleased" and number:
            found.append(f"'{title}' is not the topmost entry")
        found += _sections(title, body)
    return found + [f"{low} stands above {high}" for low, high in itertools.pairwise(versions) if low <= high]


def _sections(title: str, body: str) -> Iterator[str]:
    sections = re.split(r"^### ", body, flags=re.MULTILINE)[1:]
    for section in sections:
        kind, _, lines = section.partition("\n")
        if kind not in KINDS:
            yield f"'{kind}' in '{title}' is no kind of change"
        if not re.search(r"^- \S", lines, re.MULTILINE):
            yield f"'{kind}' in '{title}' has no line"
    if not sections:
        yield f"'{title}' says nothing"


def test_changelog() -> None:
    """The changelog has the form of Keep a Changelog, and its topmost entry is the version of the project."""
    assert misshapen(CHANGELOG) == []
    top = re.search(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)
    assert top
    assert top[1] == PROJECT["project"]["version"]


@pytest.mark.parametrize(
    ("changelog", "message"),
    [
        ("# Changes\n## [1.0.0] - 2030-01-31\n### Added\n- A.\n", "it does not begin"),
        ("# Changelog\n## 1.0.0\n### Added\n- A.\n", "'1.0.0' is no"),
        ("# Changelog\n## [1.0.0] - 2030-01-31\n### New\n- A.\n", "'New' in"),
        ("# Changelog\n## [1.0.0] - 2030-01-31\n### Added\n### Fixed\n- A.\n", "'Added' in"),
        ("# Changelog\n## [1.0.0] - 2030-01-31\nWords.\n", "'[1.0.0] - 2030-01-31' says nothing"),
        (
            "# Changelog\n## [1.1.0] - 2030-01-31\n### Added\n- A.\n## [1.0.0] - Unreleased\n### Added\n- A.\n",
            "'[1.0.0] - Unreleased' is not the topmost",
        ),
        (
            "# Changelog\n## [1.9.0] - 2030-01-31\n### Added\n- A.\n## [1.10.0] - 2030-01-30\n### Added\n- A.\n",
            "(1, 9, 0) stands above (1, 10, 0)",
        ),
    ],
)
def test_changelog_bites(changelog: str, message: str) -> None:
    """Each way to spoil the changelog is found, and named alone."""
    assert [found[: len(message)] for found in misshapen(changelog)] == [message]


# Distributions


def test_the_sdist_holds_every_tracked_file() -> None:
    """What the sdist includes covers each file of the repository but those that are left out on purpose."""
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    tops = {name.partition("/")[0] for name in tracked()} - {".gitignore", "PKG-INFO", "pyproject.toml"}
    assert {f"/{top}" for top in tops} == set(included)


def test_distributions_bite() -> None:
    """A file that is missing and one that is too many are found in both distributions, and a tag that does not fit."""
    files = {"lazymig/a.py", "examples/customers/b.json", "tests/c.py", ".gitignore"}
    assert wrong_sdist({"PKG-INFO", *files}, files) == []
    assert wrong_sdist({"lazymig/a.py", "examples/customers/b.json", "d"}, files) == [
        "the sdist lacks tests/c.py",
        "the sdist holds d, which it should not",
    ]
    assert wrong_wheel({"lazymig/a.py", "lazymig/cli/customers/b.json", "lazymig-1.dist-info/METADATA"}, files) == []
    assert wrong_wheel({"lazymig/a.py", "tests/c.py"}, files) == [
        "the wheel lacks lazymig/cli/customers/b.json",
        "the wheel holds tests/c.py, which it should not",
    ]
    assert wrong_release("v1.0.0", "1.0.0", "## [1.0.0] - 2030-01-31\n") == []
    assert len(wrong_release("v1.0.1", "1.0.0", "## [1.0.0] - Unreleased\n")) == 2
    assert len(wrong_release("v1.0.0", "1.0.0", "## [0.9.0] - 2030-01-31\n")) == 1
