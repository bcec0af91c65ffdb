"""What panels are made of: facts by their names, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attrs import frozen

#: What is known, by its name.
Facts: TypeAlias = Mapping[str, str]


@frozen
class Column:
    """A column's name, and whether it holds numbers, which stand at its right side."""

    name: str
    number: bool = False


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
        columns: The names of the columns, with `|` between them and `#` before those of numbers.
        rows: The cells of each row.
    """
    named = tuple(Column(name.strip().removeprefix("#"), name.strip().startswith("#")) for name in columns.split("|"))
    return Table(caption, named, tuple(tuple(row) for row in rows)) if rows else None
