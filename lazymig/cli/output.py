"""Results on stdout, everything else on stderr. Data are printed as plain text, never as markup."""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lazymig.status.json_text import as_json

#: A terminal with fewer columns gets no drawn table.
_TABLE_WIDTH = 60
#: Columns of text: at most, and in a pipe.
_TEXT_WIDTH = 80
#: Where diagnostics go.
talk = Console(stderr=True, highlight=False)


def prepare_streams() -> None:
    """Print characters that a stream's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain(value: object) -> str:
    r"""Return the text of a value on one line, with an escape for what a terminal would obey, such as `\x1b`.

    These are control characters, line breaks, and characters that change the direction of writing.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encodable(text: str, instead: str) -> str:
    """Return the text if stdout's encoding has all its characters, else the other one."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return instead
    return text


def complain(message: str) -> None:
    """Print a diagnostic on stderr: one line, unless the message has several."""
    lines = [plain(line) for line in message.rstrip().split("\n")]
    talk.print(Text.assemble(("lazymig:", "bold red"), " ", "\n".join(lines)), soft_wrap=True)


def remark(message: str, *, in_json: bool) -> None:
    """Print one line on stderr that is no error, as JSON where all of stderr is."""
    if in_json:
        sys.stderr.write(as_json({"event": "note", "note": message}) + "\n")
    else:
        talk.print(Text(f"lazymig: {plain(message)}"), soft_wrap=True)


def say(message: str) -> None:
    """Print one line of the result on stdout."""
    sys.stdout.write(plain(message) + "\n")


def say_fields(fields: Sequence[object]) -> None:
    """Print one line of the result on stdout, its fields separated by tabs. A field holds no tab."""
    sys.stdout.write("\t".join(map(plain, fields)) + "\n")


def width_of_text() -> int:
    """Return the columns for text on stdout: those of a narrow terminal, else 80."""
    return min(Console().width, _TEXT_WIDTH) if is_terminal() else _TEXT_WIDTH


def wrapped(message: str, *, first: str = "", rest: str = "") -> None:
    """Print a paragraph of the result on stdout, with these indents of its first line and of the rest."""
    text = plain(message)
    for line in textwrap.wrap(
        text, width_of_text(), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    ):
        say(line)


def definitions(meanings: Mapping[str, str]) -> None:
    """Print commands or words with their meanings, in two columns, or below each other on a narrow terminal."""
    column = max(map(cell_len, meanings)) + 4
    for word, meaning in meanings.items():
        if width_of_text() < _TABLE_WIDTH:
            say(f"  {word}")
            wrapped(meaning, first=" " * 6, rest=" " * 6)
        else:
            wrapped(meaning, first=f"  {word:<{column - 2}}", rest=" " * column)


def section(title: str) -> None:
    """Print a blank line and a title on stdout, bold on a terminal."""
    say("")
    Console(highlight=False).print(Text(plain(title), "bold"), soft_wrap=True)


def verdict(message: str, *, good: bool) -> None:
    """Print the conclusion of the result, green or red on a terminal."""
    Console(highlight=False).print(Text(plain(message), "bold green" if good else "bold red"), soft_wrap=True)


def show_json(result: Mapping[str, Any]) -> None:
    """Print the result as one JSON object on one line of stdout."""
    sys.stdout.write(as_json(result) + "\n")


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a small table on stdout: names in the first column, whole numbers aligned to the right.

    Where stdout is no terminal, or a narrow one, each row is one line.
    """
    cells = [[f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in row] for row in rows]
    numeric = [bool(rows) and all(isinstance(row[index], int) for row in rows) for index in range(len(columns))]
    if not is_terminal() or Console().width < _TABLE_WIDTH:
        say("")
        say(title)
        for line in aligned([list(columns), *cells], numeric):
            say(line)
        return
    drawn = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        # Names are never broken over lines, so that they can be copied.
        drawn.add_column(column, justify="right" if numeric[index] else "left", overflow="fold", no_wrap=not index)
    for row in cells:
        drawn.add_row(*map(Text, row))
    Console(highlight=False).print(drawn)


def aligned(rows: Sequence[Sequence[str]], numeric: Sequence[bool] = ()) -> list[str]:
    """Return each row as one line, its columns aligned; those of numbers to the right."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    right = [*numeric, *[False] * (len(widths) - len(numeric))]
    lines = [map(_filled, row, widths, right) for row in rows]
    return ["  ".join(line).rstrip() for line in lines]


def _filled(cell: str, width: int, right: bool) -> str:
    blank = " " * (width - cell_len(cell))
    return blank + cell if right else cell + blank
