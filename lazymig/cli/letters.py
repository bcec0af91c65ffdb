"""Dead letters for a person and for a pipe. An id is never broken, and in a pipe a letter is one line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime

import attrs
from rich.cells import cell_len
from rich.console import Console

from lazymig.cli.output import aligned, is_terminal, plain, say, say_fields, table
from lazymig.status.ids import Names
from lazymig.status.letters import grouped
from lazymig.stores.records import DeadLetter

_MOMENT = "%Y-%m-%d %H:%M:%S"
#: What a person reads in place of a record's own names.
_HEADS = {"direction": "step", "path": "field", "first_at": "first tried", "last_at": "last tried"}


def in_full(letter: DeadLetter, names: Names) -> dict[str, str]:
    """Return what is recorded about one letter, under the names that a list of them uses as well."""
    values = {_HEADS.get(name, name): value for name, value in attrs.asdict(letter).items()}
    values["id"] = names.reference(letter.id)
    moments = {name: f"{value:{_MOMENT}}" for name, value in values.items() if isinstance(value, datetime)}
    return {name: moments.get(name, "-" if value in (None, "") else str(value)) for name, value in values.items()}


def show_letters(title: str, letters: Sequence[DeadLetter], names: Names) -> None:
    """Print the groups, then each letter."""
    groups = [(one.count, one.direction, one.error, one.line or "-", one.path or "-") for one in grouped(letters)]
    heads = ("count", "step", "error", "line", "field")
    if is_terminal():
        table(title, heads, groups)
        _show_blocks(letters, names)
        return
    # Comments, so that a pipe finds one line per letter and nothing else: grep -v '^#'.
    say(f"# {title}")
    for row in (heads, *groups):
        say(f"# {'  '.join(map(str, row))}")
    say_fields(("# id", *heads[1:], "attempts", "last tried", "waived because", "message"))
    for letter in letters:
        say_fields(_row(letter, names))


def _row(letter: DeadLetter, names: Names) -> tuple[str, ...]:
    last = f"{letter.last_at:{_MOMENT}}" if letter.last_at else "-"
    return (
        names.reference(letter.id), letter.direction, letter.error, letter.line or "-", letter.path or "-",
        str(letter.attempts), last, letter.waived or "-", letter.message,
    )  # fmt: skip


def _show_blocks(letters: Sequence[DeadLetter], names: Names) -> None:
    """Print columns where the terminal is wide enough, else each id on its own line and the rest below it."""
    width = Console().width
    lines = aligned([[plain(cell) for cell in _row(letter, names)[:7]] for letter in letters]) if letters else []
    if max(map(cell_len, lines), default=0) < width:
        for line in lines:
            say(line)
        return
    for letter in letters:
        id, *rest = _row(letter, names)
        say(id)
        for line in textwrap.wrap(plain(_in_words(*rest)), max(width - 4, 20), break_on_hyphens=False):
            say(f"    {line}")


def _in_words(step: str, error: str, line: str, path: str, attempts: str, last: str, waived: str, message: str) -> str:
    where = (f" at {line}" if line != "-" else "") + (f", field {path}" if path != "-" else "")
    # Only the message says what the server refuses; that of a conversion adds nothing.
    reason = f"; {message}" if step == "store" else ""
    tried = f"; tried {attempts}x, last {last}" if last != "-" else ""
    accepted = f"; waived: {waived}" if waived != "-" else ""
    return f"{step}: {error}{where}{reason}{tried}{accepted}"
