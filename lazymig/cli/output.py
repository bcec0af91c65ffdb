"""The two streams: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

#: What a person is told besides the result.
talk = Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """One diagnostic on stderr."""
    talk.print(f"[bold red]lazymig:[/] {escape(message.rstrip())}", soft_wrap=True)


def say(message: str) -> None:
    """One line of the result on stdout."""
    Console(highlight=False).print(escape(message), soft_wrap=True)


def verdict(message: str, *, good: bool) -> None:
    """The line of the result that all others lead to."""
    Console(highlight=False).print(escape(message), style="bold green" if good else "bold red", soft_wrap=True)


def show_json(result: Mapping[str, Any]) -> None:
    """The result as one JSON object on one line of stdout."""
    sys.stdout.write(as_json(result) + "\n")


def as_json(value: Mapping[str, Any]) -> str:
    """A JSON object on one line; times in ISO 8601 (UTC), ids as their text."""
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + ("Z" if value.tzinfo is None else "")
    return str(value)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A small table on stdout: the first column names, all whole numbers are aligned to the right."""
    drawn = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(f"{cell:,}" if isinstance(cell, int) else escape(str(cell)) for cell in row))
    Console(highlight=False).print(drawn)
