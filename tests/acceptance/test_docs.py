"""What the README and the documentation show is run, and what they point to is there."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymongo
import pytest

from lazymig.shapes import bson_types
from tests.pages import DOCS, NOT_RUN, README, TOP, Reader, blocks, commands, environment, fits, name_of, pages

PAGES = pages()


@pytest.fixture
async def reader(
    lazymig_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Reader]:
    """A reader of one page, with a folder and a database of their own; both are gone afterwards."""
    name, opened = f"docs_{uuid4().hex[:12]}", []

    class Client(pymongo.AsyncMongoClient):  # type: ignore[type-arg]
        """A client of the test's server, whatever address a page names, where "shop" is the page's own database."""

        def __init__(self, _uri: str = "", **options: Any) -> None:
            super().__init__(lazymig_server.uri, **options)
            opened.append(self)

        def __class_getitem__(cls, _documents: Any) -> Any:
            return cls

        def __getitem__(self, database: str) -> Any:
            return super().__getitem__(name if database == "shop" else database)

    monkeypatch.setattr(pymongo, "AsyncMongoClient", Client)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "examples").symlink_to(TOP / "examples")
    variables = environment(lazymig_server.uri, name)
    monkeypatch.setenv("MONGODB_URI", variables["MONGODB_URI"])
    monkeypatch.setenv("MONGODB_DATABASE", name)
    known = set(sys.modules)
    yield Reader(request.param, tmp_path, {"__name__": "page", "db": Client()["shop"]}, variables)
    await opened[0].drop_database(name)
    for client in opened:
        await client.close()
    for module in set(sys.modules) - known:
        if str(getattr(sys.modules[module], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[module]


RUN = [page for page in PAGES if any(block.runs for block in blocks(page))]


@pytest.mark.parametrize("reader", RUN, ids=map(name_of, RUN), indirect=True)
async def test_pages_do_what_they_say(reader: Reader) -> None:
    """The blocks of a page run in order, and each value, exception and output is the one that the page shows."""
    await reader.follow()
    assert not reader.mismatches, "\n".join(["", *map(str, reader.mismatches)])
    assert reader.compared, "the page promises nothing, so nothing was checked"


def test_every_test_file_of_a_page_is_run() -> None:
    """A page that shows a file of tests runs it by a command further down."""
    for page in RUN:
        shown = blocks(page)
        for place, block in enumerate(shown):
            if block.file and Path(block.file).name.startswith("test_"):
                later = [
                    command for one in shown[place:] if one.language == "console" for command in commands(one.text)
                ]
                assert any("pytest" in command for command, _, _ in later), f"{name_of(page)} shows {block.file}"


def test_all_code_is_seen() -> None:
    """Code is fenced, at the margin, as `python` or `console`; nothing else hides from the tests."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^[ \t]+```(python|console)", text, re.MULTILINE), name_of(page)
        assert not re.search(r"^```(py|pycon|bash|shell)$", text, re.MULTILINE), name_of(page)


def test_every_exception_from_running_is_needed() -> None:
    """Each command that is not run is shown by some page."""
    shown = [
        command
        for page in PAGES
        for block in blocks(page)
        if block.language == "console"
        for command, _, _ in commands(block.text)
    ]
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in shown)] == []


# The reader of the blocks itself


def page_of(folder: Path, text: str) -> Reader:
    page = folder / "page.md"
    page.write_text(text)
    return Reader(page, folder, {"__name__": "page"}, dict(os.environ))


async def test_broken_promises_are_noticed(tmp_path: Path) -> None:
    """A wrong value, a wrong exception, one that is not raised, a wrong output and a wrong exit code are found."""
    reader = page_of(
        tmp_path,
        "```python\n1 + 1  # -> 3\n2  # -> 2\n1 / 0  # raises ValueError: no\nint('1')  # raises ValueError\n```\n"
        "```console\n$ echo one\ntwo\n$ echo x; exit 2\nx\n```\n",
    )
    await reader.follow()
    assert [one.expected for one in reader.mismatches] == [
        "3", "ValueError: no", "raises ValueError", "two", "exit code 0",
    ]  # fmt: skip


async def test_kept_promises_pass(tmp_path: Path) -> None:
    """Values, the beginnings of exceptions, files, outputs with gaps and exit codes that are right are no mismatch."""
    reader = page_of(
        tmp_path,
        "```python\n# shop/data.py\nwhat = 'tea'\n```\n"
        "```python\n1 + 1  # -> 2\nint('x')  # raises ValueError: invalid\n```\n"
        "```console\n$ cat shop/data.py\n...\nwhat = ...'\n$ exit 3  # exit code 3\n```\n",
    )
    await reader.follow()
    assert reader.mismatches == []
    assert (tmp_path / "shop" / "data.py").read_text().startswith("# shop/data.py")
    assert fits("a ... d", "a b\n c   d")
    assert not fits("a ... d", "a b c")


# Links and tables


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file of the repository, and a heading that is there."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        assert file.exists(), f"{page.name} points to {target}"
        assert TOP in (file, *file.parents)
        # The site holds nothing but docs/.
        assert DOCS not in page.parents or DOCS in file.parents, f"{page.name} points out of the site, to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, target


def test_the_table_of_types_is_the_codes() -> None:
    """The documented table of types is the one that stands beside the code."""

    def table(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("|")]

    documented = table((DOCS / "bson-types.md").read_text(encoding="utf-8"))
    assert documented == table(bson_types.__doc__ or ""), "take the table of lazymig/shapes/bson_types.py into the page"
    assert len(documented) > 10


def test_the_people_of_the_pages_are_the_readmes() -> None:
    """`examples/people.py`, which pages import, declares what the README and the landing page do."""

    def declared(text: str) -> list[str]:
        kept = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.Assign)]
        return [ast.dump(node) for node in kept]

    people = declared((TOP / "examples" / "people.py").read_text(encoding="utf-8"))
    assert len(people) == 3
    for page in (README, DOCS / "index.md"):
        first = next(block for block in blocks(page) if block.language == "python")
        assert declared(first.text) == people, name_of(page)
