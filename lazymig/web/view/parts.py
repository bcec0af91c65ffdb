"""What panels are made of: facts by their names, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import frozen

#: What is known, by its name.
Facts: TypeAlias = Mapping[str, str]


@frozen
class Column:
    """A column's name, and what it holds: numbers stand at its right side, and long texts may break anywhere."""

    name: str
    kind: Literal["number", "long", "short"]


@frozen
class Table:
    """Rows of text under a caption. The first cell of a row names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def make_table(caption: str, columns: str, rows: Sequence[Sequence[str]]) -> Table | None:
    """Return a table; None without rows.

    Args:
        caption: What the rows are.
        columns: The names of the columns, with `|` between them, `#` before those of numbers, and `~` before those of
            what people or programs wrote, which may be of any length.
        rows: The cells of each row.
    """
    named = tuple(_parse(name.strip()) for name in columns.split("|"))
    return Table(caption, named, tuple(tuple(row) for row in rows)) if rows else None


def _parse(name: str) -> Column:
    if name.startswith("#"):
        return Column(name[1:], "number")
    return Column(name[1:], "long") if name.startswith("~") else Column(name, "short")
