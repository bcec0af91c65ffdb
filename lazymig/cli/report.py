"""`lazymig report`: the page as one file, for a ticket or an archive. Changes nothing in the database."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit
from lazymig.cli.output import say
from lazymig.cli.packages import needing
from lazymig.cli.phase_options import DEMANDS
from lazymig.cli.report_file import check_target, write_report
from lazymig.cli.sweep_options import Seconds
from lazymig.status.looking import AnyRepository
from lazymig.switching.case import Demands

#: Returns a report, and whether something needs a person.
Make: TypeAlias = Callable[[AnyRepository, Demands], Awaitable[tuple[str, bool]]]


async def report(
    *,
    app: App,
    html: Annotated[str, Parameter(allow_leading_hyphen=True)],
    soak: Annotated[Seconds, Parameter(group=DEMANDS)] = 3600.0,
    max_age: Annotated[Seconds, Parameter(group=DEMANDS)] = 86_400.0,
    debug: Debug = False,
) -> int:
    """Write what the page of lazymig serve shows into one HTML file, for a ticket or an archive.

    It says where the migration stands, what blocks the next step, and what the last verification shows and cannot
    exclude, with charts. The file needs no other file and no network. It holds ids and field paths, and nothing else
    of the documents. The role read is enough. The exit code is 3 where that of lazymig status is.

    Args:
        html: The file; - for stdout. A report that stands there is replaced. Any other file is left as it is.
        soak: Seconds for which verifications must have found nothing before V2 is trusted.
        max_age: Seconds that the last full verification may be old then.
    """
    make = _find_maker()
    target = None if html == "-" else check_target(html)
    async with opened(app) as repository:
        text, needs_person = await make(repository, Demands(soak, max_age))
    if target is None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    else:
        did = "replaced the report that stood there" if write_report(target, text) else "written"
        say(f"{html}: {did}, {len(text.encode()) / 1000:,.0f} kB")
    return Exit.NEEDS_PERSON if needs_person else Exit.DONE


def _find_maker() -> Make:
    """Return what makes a report. Raises `Missing` where its packages are not installed."""
    with needing("cli,web", "a report"):
        from lazymig.web.looks import look_up
        from lazymig.web.report import make_report

    async def make(repository: AnyRepository, demands: Demands) -> tuple[str, bool]:
        snapshot = await look_up(repository, demands, None)
        return make_report(snapshot), snapshot.status.needs_person

    return make
