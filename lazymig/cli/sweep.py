"""`lazymig sweep`: move what no client has touched, heal and purge."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import made, opened
from lazymig.cli.options import App, Debug, Exit, Json
from lazymig.cli.output import show_json
from lazymig.cli.progress import Standing, describe_throttle, reporter
from lazymig.cli.stopping import Stoppable, run_stoppable, step_back
from lazymig.cli.sweep_options import SHARING, Options, Sharing, check, keywords_of, parse_workers
from lazymig.cli.sweep_report import show_report
from lazymig.cli.workers import choose_workers
from lazymig.control import LEASE
from lazymig.fleet.dask import sweep_on_dask
from lazymig.fleet.jobs import SWEEP
from lazymig.fleet.workers import Workers
from lazymig.passes.helm import is_pause
from lazymig.repository import Repository, calls_of
from lazymig.status.ids import Names
from lazymig.status.letters import as_object
from lazymig.sweeper import Progress, Sweeper, SweepReport

_WAITING = (
    "waiting for the lease of another sweeper; if that one is dead, this one goes on after "
    f"{LEASE.total_seconds():.0f} s at most"
)


async def sweep(
    *,
    app: App,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008 - frozen
    sharing: Annotated[Sharing, Parameter(name="*", group=SHARING)] = Sharing(),  # noqa: B008 - frozen
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Move every entity that no client has touched yet into V2.

    A sweep also finishes what a dead client left half done, and removes the remains of old deletes. It can be stopped
    (Ctrl-C, SIGTERM) and continues from its checkpoint when it is started again. A document that cannot be moved gets
    a dead letter and does not stop the sweep; the exit code is then 3.

    Progress goes to stderr, the report to stdout.
    """
    check(options, sharing)
    keywords = keywords_of(options, sharing)
    step_back()
    if sharing.dask:
        with reporter("sweep", as_json=json):
            report = await sweep_on_dask(sharing.dask, partial(_checked, app, options.grace), keywords)
    else:
        async with opened(app, in_json=json) as repository:
            _check_grace(repository, options.grace)
            given = parse_workers(sharing.workers)
            workers = await choose_workers(SWEEP, repository, given, keywords, in_json=json)
            with reporter("sweep", as_json=json) as shown:
                update: Callable[[Progress], None] = lambda progress: shown.update(standing(progress))  # noqa: E731
                run: Stoppable[SweepReport]
                if workers > 1:
                    run = Workers(SWEEP, repository, partial(made, app), workers, keywords, update)
                else:
                    run = Sweeper(repository, dry_run=options.dry_run, on_progress=update, **keywords)
                report = await run_stoppable(run)
    if json:
        names = Names(letter.id for letter in report.not_movable)
        letters = [as_object(letter, names) for letter in report.not_movable]
        show_json({**attrs.asdict(report), "not_movable": letters})
    else:
        show_report(report, dry_run=options.dry_run)
    return Exit.NEEDS_PERSON if report.needs_person else Exit.DONE


def _check_grace(repository: Repository[Any, Any], grace: float) -> None:
    """Check it before the sweeper does, which names arguments of Python and not options."""
    if calls_of(repository).place is not None:
        return  # nothing is purged there
    if repository.timeout_s is not None and grace <= repository.timeout_s:
        raise Unusable(
            f"--grace {grace:g}: pass more than the repository's timeout_s ({repository.timeout_s:g} s), for which an "
            "operation may be in flight"
        )


async def _checked(app: str, grace: float) -> Repository[Any, Any]:
    """Return the repository in a Dask worker, which must check it: this process does not make one."""
    repository = await made(app)
    _check_grace(repository, grace)
    return repository


def standing(progress: Progress) -> Standing:
    """Return a sweep's progress in the form that reporters show."""
    counts = {
        name: getattr(progress, name)
        for name in ("migrated", "present", "moved_by_clients", "reconverted", "healed", "purged")
    }
    left = {name: getattr(progress, name) for name in ("remaining", "dead", "dirty")}
    note = _WAITING if progress.waiting else describe_throttle(progress.throttle)
    return Standing(
        progress.done, progress.total, counts, left, note, progress.before, paused=is_pause(progress.throttle)
    )
