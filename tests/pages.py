"""Pages as programs: what the README and the documentation show is run as a reader would run it.

Per page: one namespace for the Python blocks, one folder for the files, and one database, `db`, on a real server.

- A ```python block runs statement by statement, as in `python -m asyncio`. A comment `# -> value` behind a statement is
  the `repr` of what it gives; `# raises Error: text` is the exception that it raises, from the beginning of its text.
- A block of any language whose first line is a comment with a file name, as `# shop/storage.py`, is that file. It is
  written to the page's folder, where later blocks import it.
- A ```console block holds commands, each behind `$ `, and below each what it prints; `...` stands for anything.
  `# exit code 3` behind a command is its exit code, which is otherwise 0.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from tests.commands import SCRIPT, quick_script

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
README = TOP / "README.md"
#: Commands that no test runs, by how they begin, each with the reason.
NOT_RUN = {
    "pip install": "the environment is fixed; `test_extras_exist` compares the extras with pyproject.toml",
    "uvicorn": "it serves until it is stopped; the tests of the service run the application itself",
    "tox": "it runs these tests",
    "lazymig demo": "it takes its time; the tests of the demo and of the README run it",
    "lazymig serve": "it serves until it is stopped; the tests of the command line stop it",
    "lazymig verify --continuous": "it runs until it is stopped; a test of the command line stops it",
    "lazymig retire watch": "it runs until it is stopped; the tests of the command line stop it",
    "lazymig sweep --dask": "there is no Dask cluster here; the tests of the fleet start one",
}

_FENCE = re.compile(r"^(`{3,})([^`\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^(?:#|//) ((?:[\w-]+/)*[\w.-]+\.(?:py|toml|ini|yaml))\n")
_PROMISE = re.compile(r"# (->|raises) (.*)$", re.MULTILINE)


@frozen
class Block:
    """One fenced block of a page."""

    language: str
    text: str
    #: The line of the page that it begins at.
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file that it is, None for a block that runs where it stands."""
        found = _FILE.match(self.text)
        return found[1] if found else None

    @property
    def runs(self) -> bool:
        """Whether a test can run something of it."""
        if self.language == "console":
            return any(not command.startswith(tuple(NOT_RUN)) for command, _, _ in commands(self.text))
        return self.language == "python"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(found[2], found[3], text.count("\n", 0, found.start()) + 1) for found in _FENCE.finditer(text)]


def pages() -> list[Path]:
    """Every page that readers are shown."""
    return [README, *sorted(DOCS.rglob("*.md")), TOP / "examples" / "service" / "README.md"]


def name_of(page: Path) -> str:
    """The page's path in the repository, for the names of tests."""
    return page.relative_to(TOP).as_posix()


@frozen
class Mismatch:
    """A place where a page says one thing and another happened."""

    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}\n  the page says: {self.expected}\n  it was: {self.found}"


@define
class Reader:
    """Somebody who follows one page from top to bottom, in a folder of their own."""

    page: Path
    folder: Path
    namespace: dict[str, Any]
    environment: dict[str, str]
    mismatches: list[Mismatch] = Factory(list)
    #: How many values, exceptions and lines of output were compared.
    compared: int = 0
    files: list[str] = Factory(list)

    async def follow(self) -> None:
        """Do what each block says; what differs is in `mismatches`."""
        for block in blocks(self.page):
            if block.file:
                self._write(block)
            elif block.language == "python":
                await self._run(block)
            elif block.language == "console":
                self._execute(block)

    def _write(self, block: Block) -> None:
        assert block.file is not None
        target = self.folder / block.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")
        self.files.append(block.file)

    async def _run(self, block: Block) -> None:
        statements = ast.parse(block.text).body
        kept = sum(promised(block.text, statement) is not None for statement in statements)
        assert kept == len(_PROMISE.findall(block.text)), (
            f"{self.page.name}:{block.line}: a promise behind no statement"
        )
        for statement in statements:
            where = f"{self.page.name}:{block.line + statement.lineno}"
            promise = promised(block.text, statement)
            try:
                result = await evaluated(statement, self.namespace)
            except Exception as error:
                if promise is None or not promise[0]:
                    error.add_note(f"in {where}")
                    raise
                self._compare(where, promise[1], f"{type(error).__name__}: {error}"[: len(promise[1])])
            else:
                if promise is not None:
                    expected = f"raises {promise[1]}" if promise[0] else promise[1]
                    self._compare(where, expected, repr(result))

    def _execute(self, block: Block) -> None:
        for command, exit_code, expected in commands(block.text):
            if command.startswith(tuple(NOT_RUN)):
                continue
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command], cwd=self.folder, env=self.environment, text=True,
                capture_output=True, timeout=120, check=False,
            )  # fmt: skip
            where = f"{self.page.name}:{block.line}: {command}"
            printed = done.stdout + done.stderr
            self._compare(f"{where}\n{printed}", f"exit code {exit_code}", f"exit code {done.returncode}")
            if expected and not fits(expected, done.stdout):
                self.mismatches.append(Mismatch(where, expected, printed))
            self.compared += bool(expected)

    def _compare(self, where: str, expected: str, found: str) -> None:
        self.compared += 1
        if expected != found:
            self.mismatches.append(Mismatch(where, expected, found))


def promised(source: str, statement: ast.stmt) -> tuple[bool, str] | None:
    """What the comment behind a statement says: whether it raises, and the text of the value or the exception."""
    last_line = source.splitlines()[(statement.end_lineno or 0) - 1]
    found = _PROMISE.search(last_line)
    return (found[1] == "raises", found[2]) if found else None


async def evaluated(statement: ast.stmt, namespace: dict[str, Any]) -> Any:
    """Run one statement as `python -m asyncio` would; its value if it is an expression."""
    tree: Any = ast.Module([statement], [])
    mode = "exec"
    if isinstance(statement, ast.Expr):
        tree, mode = ast.Expression(statement.value), "eval"
    # Inherited flags would postpone annotations here, and not for a reader of the page.
    code = compile(tree, "<page>", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, namespace)
    return await result if inspect.isawaitable(result) else result


def commands(text: str) -> Iterator[tuple[str, int, str]]:
    """The commands of a console block, with their exit codes and what they print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.split("\n")
        command = lines.pop(0)
        while command.endswith("\\"):
            command = command[:-1] + lines.pop(0).strip()
        found = re.search(r"\s+# exit code (\d)$", command)
        exit_code = int(found[1]) if found else 0
        yield command[: found.start()] if found else command, exit_code, "\n".join(lines).strip()


def fits(expected: str, printed: str) -> bool:
    """Whether what was printed is what a page shows, where `...` stands for anything and blanks for any blanks."""
    pattern = r"\s+".join(".*?".join(re.escape(part) for part in word.split("...")) for word in expected.split())
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def environment(uri: str, database: str) -> dict[str, str]:
    """The environment of a page's commands: the server, the database, and `lazymig` and `python` by their names."""
    path = os.pathsep.join([str(quick_script().parent), str(SCRIPT.parent), os.environ.get("PATH", "")])
    return {
        **os.environ, "PATH": path, "MONGODB_URI": uri, "MONGODB_DATABASE": database, "LAZYMIG_TEST_URI": uri,
        "COLUMNS": "100",
    }  # fmt: skip
