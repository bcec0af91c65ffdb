"""`lazymig status --watch`: the screen again and again, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from pymongo.errors import PyMongoError
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lazymig.cli.failures import in_one_line
from lazymig.cli.output import complain, is_terminal, say, show_json
from lazymig.cli.status.course import Course
from lazymig.cli.status.screen import Page, lines_of
from lazymig.cli.stopping import stopped_by_signals
from lazymig.status.looking import Status
from lazymig.status.objects import object_of

#: Looks up the status, given the one before.
Look = Callable[[Status | None], Awaitable[Status]]


async def watch(look: Look, interval_s: float, *, in_json: bool, course: Course) -> Status:
    """Show the status once per interval until a signal comes; return the last one. `look` keeps the course up.

    On a terminal one screen is drawn over. In a pipe each time is a block of lines, or one JSON object with `in_json`.
    The first look raises what goes wrong. Later ones leave what was shown last, and say why it is not newer.
    """
    asked = asyncio.Event()
    found = await look(None)
    with stopped_by_signals(asked.set, quietly=True), _shown_by(course, in_json=in_json) as show:
        show(found, "")
        while not await _ended(asked, interval_s):
            try:
                found = await look(found)
            except PyMongoError as error:
                show(found, in_one_line(error))
            else:
                show(found, "")
    return found


async def _ended(asked: asyncio.Event, interval_s: float) -> bool:
    """Wait for the interval; True as soon as the end is asked for."""
    try:
        await asyncio.wait_for(asked.wait(), interval_s)
    except TimeoutError:
        return False
    return True


@contextmanager
def _shown_by(course: Course, *, in_json: bool) -> Iterator[Callable[[Status, str], None]]:
    if in_json or not is_terminal():
        blocks = 0

        def show(found: Status, trouble: str) -> None:
            nonlocal blocks
            if trouble:
                complain(f"not looked up: {trouble}")
                return
            _print(found, course, in_json=in_json, first=not blocks)
            blocks += 1

        yield show
        return
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        yield lambda found, trouble: live.update(_draw(found, course, trouble, console), refresh=True)


def _print(found: Status, course: Course, *, in_json: bool, first: bool) -> None:
    if in_json:
        show_json(object_of(found))
    else:
        if not first:
            say("")
        for line in lines_of(found, Page(80, terminal=False), course.samples):
            say(line)
    sys.stdout.flush()


def _draw(found: Status, course: Course, trouble: str, console: Console) -> Text:
    """Return the screen as text. Nothing of it is markup."""
    lines = [Text(line) for line in lines_of(found, Page(console.width, terminal=True), course.samples)]
    lines[0].stylize("bold")
    state = f"not looked up since: {trouble}" if trouble else "Ctrl-C ends this"
    lines.append(Text(f"{found.at:%Y-%m-%d %H:%M:%S} UTC; {state}", "bold red" if trouble else "dim"))
    return Text("\n").join(lines[: max(console.height - 2, 1)] + lines[-1:] if len(lines) > console.height else lines)
