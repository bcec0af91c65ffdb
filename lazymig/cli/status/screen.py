"""How `lazymig status` is laid out: one row per line in a pipe, and on a terminal as much as one screen holds."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen
from rich.cells import cell_len
from rich.console import Console

from lazymig.cli.letters import show_letters
from lazymig.cli.output import encodable, is_terminal, plain, say, table
from lazymig.cli.status.course import describe_course, describe_rest, sparkline
from lazymig.control import RunRecord, Sample
from lazymig.status.follower import follower_rows
from lazymig.status.ids import Names
from lazymig.status.looking import Status
from lazymig.status.rows import count_rows, describe_headline, describe_share
from lazymig.status.versions import describe_deletable
from lazymig.status.words import (
    describe_counts,
    describe_dark_log,
    describe_fleet,
    describe_last_sweep,
    describe_next,
    describe_passes,
    describe_phase,
    describe_verified,
    describe_warnings,
)

#: Columns of a row's name; columns from which two rows stand on one line; columns of a bar, at most.
_NAME_WIDTH, _TWO_FROM, _BAR_MAX = 30, 76, 50
#: Columns of a bar, at least, beside which the course of the last day is drawn.
_BAR_MIN = 15
#: Columns between two rows on one line, and of a row's name there.
_GAP, _SHORT_NAME = 2, 23
#: Lines that a table takes besides its rows, about.
_AROUND_LETTERS, _AROUND_RUNS = 8, 7


@frozen
class Page:
    """Where the text goes: a pipe, where each row is a line, or a terminal of so many columns."""

    width: int
    terminal: bool

    def wrap(self, text: str) -> list[str]:
        """Return a paragraph as lines; as one in a pipe, where it is searched for."""
        line = plain(text)
        if not self.terminal:
            return [line]
        return textwrap.wrap(line, min(self.width, 120), subsequent_indent="  ", break_on_hyphens=False)


def lines_of(found: Status, page: Page, samples: Sequence[Sample] = ()) -> Iterator[str]:
    """Yield the text of the screen, line by line."""
    yield from page.wrap(describe_headline(found))
    if not found.upcasting_only:
        yield from page.wrap(f"  {describe_phase(found.phase)}")
        if page.terminal:
            yield _draw_share(found, page, samples)
    for paragraph in describe_fleet(found.fleet, found.at):
        yield from page.wrap(paragraph)
    yield from _lay_out(count_rows(found), page)
    if found.follower is not None:
        yield from _lay_out(follower_rows(found.follower, found.at), page, two=False)
    if found.versions is not None:
        yield from page.wrap(describe_deletable(found.versions))
    yield from (line for paragraph in _paragraphs(found, page, samples) for line in page.wrap(paragraph))


def _draw_share(found: Status, page: Page, samples: Sequence[Sample]) -> str:
    """Return the line of the bar, with the course of the last day beside it where there is room."""
    course = describe_course(found, samples, drawn=True)
    room = page.width - 30 - cell_len(course) - 2
    if not course or room < _BAR_MIN:
        return f"  {bar(found.share, min(page.width - 30, _BAR_MAX))}  {describe_share(found)}"
    return f"  {bar(found.share, min(room, _BAR_MAX))}  {describe_share(found)}  {course}"


def _paragraphs(found: Status, page: Page, samples: Sequence[Sample]) -> Iterator[str]:
    yield from describe_passes(found)
    # A terminal has one screen: while it is known how long the sweep takes, that is more important than the last one.
    rest = describe_rest(found, samples, known=page.terminal)
    course = "" if page.terminal else describe_course(found, samples)
    last = describe_last_sweep(found.runs[0], found.at) if found.runs and not (page.terminal and rest) else ""
    yield from filter(None, (course, rest, last))
    yield from describe_verified(found.verified)
    yield from describe_dark_log(found)
    yield from describe_warnings(found)
    yield from describe_next(found)


def show_tables(found: Status, room: float = math.inf) -> None:
    """Print what is behind the screen: the oldest dead letters, and the last runs; only what fits into the room."""
    if found.letters and (room := room - len(found.letters) - _AROUND_LETTERS) < 0:
        say(f"The {found.dead_letters:,} open dead letters: lazymig dead-letters list")
    elif found.letters:
        names = Names(letter.id for letter in found.letters)
        say("")
        show_letters(f"Dead letters, the oldest {len(found.letters)}", found.letters, names)
    if found.runs and len(found.runs) + _AROUND_RUNS <= room:
        say(f"Documents moved per run, oldest first: {sparkline([_moved(run) for run in reversed(found.runs)])}")
        table("Last runs (UTC)", ("started", "seconds", "ended", "counts"), [_row(run) for run in found.runs])


def bar(share: float, width: int) -> str:
    """Draw a share, from 0 to 1, as a bar; only what is whole is drawn as full."""
    full, empty = encodable("█", "#"), encodable("░", ".")
    width = max(width, 10)
    filled = int(share * width)
    return full * filled + empty * (width - filled)


def _lay_out(rows: Mapping[str, str], page: Page, *, two: bool = True) -> Iterator[str]:
    if not (two and page.terminal and page.width >= _TWO_FROM):
        width = _SHORT_NAME if page.terminal and page.width < _TWO_FROM else _NAME_WIDTH
        yield from (f"  {name:<{width}} {plain(value)}" for name, value in rows.items())
        return
    half = (page.width - _GAP) // 2
    cells = [f"  {name:<{_SHORT_NAME}} {plain(value)}" for name, value in rows.items()]
    middle = (len(cells) + 1) // 2  # down the left column first, as a list is read
    for place, left in enumerate(cells[:middle]):
        right = cells[middle + place] if middle + place < len(cells) else ""
        yield f"{left}{' ' * max(half - cell_len(left), 1)}{right}".rstrip()


def _moved(run: RunRecord) -> int:
    return run.counts.get("migrated", 0) + run.counts.get("rewritten", 0)


def _row(run: RunRecord) -> tuple[str, str, str, str]:
    seconds = f"{(run.ended_at - run.started_at).total_seconds():,.1f}"
    ended = "finished" if run.finished else "stopped early"
    return f"{run.started_at:%Y-%m-%d %H:%M:%S}", seconds, ended, describe_counts(run)


def show(found: Status, samples: Sequence[Sample] = ()) -> None:
    """Print the screen, and the tables behind it."""
    console = Console()
    lines = list(lines_of(found, Page(console.width, is_terminal()), samples))
    for line in lines:
        say(line)
    show_tables(found, console.height - len(lines) if is_terminal() else math.inf)
