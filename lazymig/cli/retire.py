"""`lazymig retire`: V1's end, step by step, and undone until V1 is dropped."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import App as CycloptsApp
from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Exit, Flag, Json, examples, find_user
from lazymig.cli.output import complain, say, show_json, wrapped
from lazymig.cli.retire_report import Lines, counts_of, render, show_reduction
from lazymig.cli.stopping import stopped_by_signals
from lazymig.cli.sweep_options import Positive
from lazymig.retirement import Retirement, RetirementReport, asks_for_name
from lazymig.retiring.conditions import NotMet

retire = CycloptsApp(
    name="retire",
    help="Take V1 out of service for good, once the migration is in v2_only: watch, quarantine, archive, drop.",
)

_APP = "--app shop.people:repository"
_DAY_S = 24 * 3600.0


@attrs.frozen(kw_only=True)
class Soaking:
    """How long V1 must have been quiet.

    Args:
        soak_days: Days for which no program may have written V1, since it was last moved.
        unwatched: Accept that nothing shows stray writes; only the time counts then.
    """

    soak_days: Annotated[float, Parameter(validator=Number(gte=0))] = 7.0
    unwatched: Flag = False


Soak = Annotated[Soaking, Parameter(name="*")]
Confirmation = Annotated[
    str | None, Parameter(show_default=False, help="The migration's name, in place of typing it: for scripts.")
]


@retire.command(help_epilogue=examples(f"lazymig retire show {_APP}", f"lazymig retire show {_APP} --json"))
async def show(*, app: App, soak: Soak = Soaking(), json: Json = False, debug: Debug = False) -> int:
    """Show what would go, how much that is, and what blocks it. Changes nothing.

    The exit code is 3 when a condition of the next step does not hold.
    """
    async with _opened(app, json, soak) as retirement:
        report = await retirement.report()
    render(report, in_json=json)
    return Exit.NEEDS_PERSON if report.blocked else Exit.DONE


@retire.command(help_epilogue=examples(f"lazymig retire watch {_APP}", f"lazymig retire watch {_APP} --max-time 3600"))
async def watch(*, app: App, max_time: Positive = None, json: Json = False, debug: Debug = False) -> int:
    """Watch V1 for programs that still write or read it, until stopped. Repairs nothing.

    Needs a replica set. It reads ids and operations of V1's changes, and the server's counts of reads and writes, which
    show refused writes too. It continues where it was stopped. One process watches at a time; others wait.

    The exit code is 3 when a program wrote V1 or tried to.

    Args:
        max_time: Seconds after which it stops, as by Ctrl-C.
    """
    async with _opened(app, json) as retirement:
        with stopped_by_signals(retirement.stop):
            report = await retirement.watch(max_time_s=max_time, on_progress=Lines(in_json=json).show)
    if json:
        show_json(attrs.asdict(report))
    else:
        say(f"{report.migration}: watched V1 for {report.elapsed_s:.1f} s")
        for name, value in counts_of(report).items():
            say(f"  {name:<30} {value:,}")
        for limit in report.limits:
            wrapped(f"Not seen: {limit}")
    return Exit.NEEDS_PERSON if report.needs_person else Exit.DONE


@retire.command(help_epilogue=examples(f"lazymig retire quarantine {_APP}"))
async def quarantine(*, app: App, soak: Soak = Soaking(), json: Json = False, debug: Debug = False) -> int:
    """Rename V1, once every condition holds. Undone by lazymig retire restore. Not with Migration(part=True).

    The exit code is 3 when a condition does not hold.
    """
    async with _opened(app, json, soak) as retirement:
        return await _done(retirement.quarantine(), in_json=json)


@retire.command(help_epilogue=examples(f"lazymig retire restore {_APP}"))
async def restore(*, app: App, json: Json = False, debug: Debug = False) -> int:
    """Give V1 its name back, with its indexes."""
    async with _opened(app, json) as retirement:
        return await _done(retirement.restore(), in_json=json)


@retire.command(
    help_epilogue=examples(
        f"lazymig retire archive {_APP} --into archive.people_v1",
        f"lazymig retire archive {_APP} --file people_v1.bson.gz",
    )
)
async def archive(
    *, app: App, into: str | None = None, file: Path | None = None, json: Json = False, debug: Debug = False
) -> int:
    """Copy V1 in quarantine, and compare the copy with it by count and checksum.

    With Migration(part=True) it copies the ids and the fields, from V1 as it stands.

    Args:
        into: A collection that does not exist, as name or database.name.
        file: A file that does not exist, .bson or .bson.gz; mongorestore reads it.
    """
    target = into if file is None else file
    if target is None or (into is not None and file is not None):
        raise Unusable("name one place: --into COLLECTION or --file FILE")
    async with _opened(app, json) as retirement:
        return await _done(retirement.archive(target), in_json=json)


@retire.command(help_epilogue=examples(f"lazymig retire drop {_APP}", f"lazymig retire drop {_APP} --confirm people"))
async def drop(
    *, app: App, confirm: Confirmation = None, soak: Soak = Soaking(), json: Json = False, debug: Debug = False
) -> int:
    """Drop V1 for good: in quarantine, after another soak, and once you have typed the migration's name.

    With Migration(part=True) it removes the fields from V1's documents, in batches. It can be stopped (Ctrl-C, SIGTERM)
    and continues where it was.

    The exit code is 3 when a condition does not hold.
    """
    async with _opened(app, json, soak) as retirement:
        name = _confirmed(retirement, confirm, "V1 will be dropped, which cannot be undone.")
        with stopped_by_signals(retirement.stop):
            return await _done(retirement.drop(confirm=name), in_json=json)


@retire.command(
    help_epilogue=examples(f"lazymig retire reduce {_APP}", f"lazymig retire reduce {_APP} --strip --confirm people")
)
async def reduce(
    *,
    app: App,
    grace: Annotated[float, Parameter(validator=Number(gte=0))] = 3600.0,
    strip: Flag = False,
    confirm: Confirmation = None,
    soak: Soak = Soaking(),
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Leave V2's documents the revision that optimistic locking needs, beside the running service.

    Where one document carries both shapes, it takes V1's own fields out, and asks for the migration's name before.

    It can be stopped (Ctrl-C, SIGTERM) and continues where it was. Run it again later to remove the tombstones that
    deletes have left since.

    Args:
        grace: The age in seconds at which tombstones are removed.
        strip: Take _lazymig out as a whole, to leave lazymig. Stop every process first; you are asked for the name.
    """
    async with _opened(app, json, soak) as retirement:
        name = None
        if strip:
            name = _confirmed(retirement, confirm, "No process can use V2 through lazymig any more, for good.")
        elif await asks_for_name(retirement):
            name = _confirmed(retirement, confirm, "V1's fields will be taken out, which cannot be undone.")
        with stopped_by_signals(retirement.stop):
            try:
                done = await retirement.reduce(grace_s=grace, strip=strip, confirm=name)
            except NotMet as error:
                complain(str(error))
                return Exit.NEEDS_PERSON
    if json:
        show_json(attrs.asdict(done))
    else:
        show_reduction(done)
    return Exit.NEEDS_PERSON if done.needs_person else Exit.DONE


@retire.command(help_epilogue=examples(f"lazymig retire finish {_APP}"))
async def finish(*, app: App, json: Json = False, debug: Debug = False) -> int:
    """Remove V2's fence, lazymig's indexes of V2 and the migration's control rows; say which code may go."""
    async with _opened(app, json) as retirement:
        return await _done(retirement.finish(), in_json=json)


@asynccontextmanager
async def _opened(app: str, in_json: bool, soak: Soaking = Soaking()) -> AsyncIterator[Retirement[object, object]]:
    async with opened(app, in_json=in_json) as repository:
        yield Retirement(
            repository, soak_s=soak.soak_days * _DAY_S, unwatched=soak.unwatched, by=find_user()
        )  # fmt: skip


def _confirmed(retirement: Retirement[object, object], given: str | None, warning: str) -> str:
    """Return the migration's name as it was typed, or passed. Raises `Unusable` where nobody can type."""
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise Unusable("nobody can be asked here; pass the migration's name by --confirm NAME")
    complain(warning)
    return input(f"Type the migration's name, {retirement.name}, to go on: ").strip()


async def _done(step: Awaitable[RetirementReport], *, in_json: bool) -> int:
    """Make a step and report it. One whose conditions do not hold needs a person."""
    try:
        report = await step
    except NotMet as error:
        complain(str(error))
        return Exit.NEEDS_PERSON
    render(report, in_json=in_json)
    return Exit.DONE
