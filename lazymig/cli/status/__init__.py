"""`lazymig status`: how far a migration is. Changes nothing."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json
from lazymig.cli.output import show_json
from lazymig.cli.status.course import Course, sparkline
from lazymig.cli.status.screen import show
from lazymig.cli.status.watching import watch as watch_on
from lazymig.repository import Repository
from lazymig.status.gauges import show_gauges
from lazymig.status.looking import Status, looked_up
from lazymig.status.objects import object_of

__all__ = ["Status", "looked_up", "show", "sparkline", "status"]


async def status(
    *,
    app: App,
    exact: Flag = False,
    watch: Flag = False,
    interval: Annotated[float, Parameter(validator=Number(gt=0))] = 2.0,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show how far a migration is: its phase, what is moved, what runs, and what needs a person.

    Changes nothing; the role read is enough. The exit code is 3 when dead letters are open, or V1 and V2 do not agree
    somewhere. With --watch it is 0 when Ctrl-C ends it.

    Args:
        exact: Count the documents. Without it the numbers are estimates, which cost next to nothing.
        watch: Show it again and again, until Ctrl-C; in a pipe as a block of lines each time, with --json as one line.
        interval: Seconds between two looks, with --watch.
    """
    async with opened(app, in_json=json) as repository:
        course = Course()
        look = partial(_look, repository, exact=exact, course=None if json else course)
        if watch:
            await watch_on(look, interval, in_json=json, course=course)
            return Exit.DONE
        found = await look(None)
    if json:
        show_json(object_of(found))
    else:
        show(found, course.samples)
    return Exit.NEEDS_PERSON if found.needs_person else Exit.DONE


async def _look(
    repository: Repository[Any, Any], before: Status | None, *, exact: bool, course: Course | None
) -> Status:
    """Look up the status and its course, and set the gauges of an application that exports metrics."""
    found = await looked_up(repository, exact=exact, before=before)
    show_gauges(repository.tally, found)
    if course is not None:
        await course.follow(repository, found)
    return found
