"""What readers of the documentation look for is there: index entries, the reference, extras and error messages."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from typing import Any

import pytest

import lazymig
from lazymig import testing
from tests.pages import DOCS, TOP, blocks, name_of, pages

PAGES = pages()
INSTALLATION = DOCS / "installation.md"


def project() -> Any:
    """The project's metadata."""
    return tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_extras_exist() -> None:
    """Every extra that a page asks readers to install is one of the project's."""
    extras = project()["optional-dependencies"]
    for page in PAGES:
        for named in re.findall(r"lazymig\[([\w,]+)\]", page.read_text(encoding="utf-8")):
            assert set(named.split(",")) <= set(extras), name_of(page)


def test_the_table_of_extras_is_complete() -> None:
    """The installation page has a row for each extra, and no others."""
    extras = project()["optional-dependencies"]
    rows = re.findall(r"^\| `lazymig\[(\w+)\]` \|", INSTALLATION.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(extras)


#: What newcomers did not find, each with the page that must have an entry of the index for it.
WANTED = {
    "Criteria": "how-to/query.md",
    "sorting": "how-to/query.md",
    "get_many": "how-to/query.md",
    "exists": "how-to/query.md",
    "replace": "how-to/write.md",
    "id_field": "how-to/rename-fields.md",
    "exceptions": "how-to/handle-errors.md",
    "fixtures": "how-to/test.md",
    "write_behind": "how-to/tune.md",
    "coalesce": "how-to/tune.md",
    "extras": "installation.md",
    "indexes on V2": "how-to/indexes-and-validators.md",
    "logging": "how-to/monitor.md",
    "metrics": "how-to/monitor.md",
}


@pytest.mark.parametrize("word", WANTED)
def test_what_newcomers_look_for_is_in_the_index(word: str) -> None:
    """The index of the site has an entry for the word, which leads to the page that explains it."""
    text = (DOCS / WANTED[word]).read_text(encoding="utf-8")
    entries = re.findall(r"^```\{index\} (.*)$", text, re.MULTILINE)
    assert word in {entry.strip() for line in entries for entry in re.split(r"[;,]", line.partition(":")[2] or line)}


def test_every_public_name_has_its_reference() -> None:
    """The API reference documents everything that `lazymig` and `lazymig.testing` export, once."""
    reference = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob("*.md")))
    found = re.findall(r"^\.\. auto\w+:: ([\w.]+)", reference, re.MULTILINE)
    documented = set(found)
    assert len(found) == len(documented), "Sphinx refuses a name that is documented twice"
    public = {f"lazymig.{name}" for name in lazymig.__all__} | {f"lazymig.testing.{name}" for name in testing._HOMES}
    assert sorted(public - documented) == []


def test_the_reference_shows_inherited_calls() -> None:
    """Where a public class inherits calls from a private one, its page lists them: `exists`, `delete` and `count`."""
    reference = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob("*.md")))
    listing = re.findall(r"^\.\. autoclass:: ([\w.]+).*\n   :inherited-members:", reference, re.MULTILINE)
    public = {f"lazymig.{name}": getattr(lazymig, name) for name in lazymig.__all__}
    public |= {f"lazymig.testing.{name}": getattr(testing, name) for name in testing._HOMES}
    classes = {name: one for name, one in public.items() if isinstance(one, type)}
    inheriting = {
        name
        for name, one in classes.items()
        for base in one.__mro__[1:]
        if base.__module__.startswith("lazymig") and base not in classes.values() and _calls_of(base)
    }
    assert "lazymig.Repository" in inheriting
    assert sorted(inheriting - set(listing)) == []
    # In the defaults, Sphinx would let False win over the pages.
    assert "inherited-members" not in (DOCS / "conf.py").read_text(encoding="utf-8")


def _calls_of(base: type) -> list[str]:
    return [name for name, member in vars(base).items() if not name.startswith("_") and callable(member)]


# Troubleshooting


@cache
def templates() -> list[str]:
    """Each text in lazymig's sources, neighbours joined, with `…` for what is filled in."""
    found = []
    for file in sorted((TOP / "lazymig").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def in_order(parts: list[str], text: str) -> bool:
    """Whether the text holds the parts one behind the other."""
    for part in parts:
        _, there, text = text.partition(part)
        if not there:
            return False
    return True


MESSAGES = [block.text.strip() for block in blocks(DOCS / "troubleshooting.md") if block.language == "text"]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:40])
def test_messages_are_those_of_the_code(message: str) -> None:
    """The fixed parts of each quoted message stand in one text of the sources, in the same order."""
    parts = [part.strip() for part in re.split(r"\s*…\s*", " ".join(message.split())) if len(part.strip()) > 3]
    assert parts
    assert any(in_order(parts, " ".join(text.split())) for text in templates()), "correct the page, or the message"


def test_troubleshooting_knows_many_messages() -> None:
    """The page quotes some forty messages; a wrong fence would hide them all."""
    assert len(MESSAGES) > 30
