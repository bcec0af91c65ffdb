"""`lazymig sweep`: move what clients have not touched, heal and purge."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated, Any, Protocol

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.failures import Unusable
from lazymig.cli.ids import Names
from lazymig.cli.letters import as_object, show_letters
from lazymig.cli.loading import made, opened
from lazymig.cli.options import App, Debug, Exit, Json
from lazymig.cli.output import complain, say, show_json
from lazymig.cli.progress import Standing, reporter
from lazymig.control import LEASE
from lazymig.fleet.dask import sweep_on_dask
from lazymig.fleet.workers import Workers
from lazymig.repository import Repository
from lazymig.sweeper import Progress, Sweeper, SweepReport

#: Documents that do not convert, named by a rehearsal at most; --json names more.
_SHOWN = 20
#: How far a sweep stands back from other processes of its machine.
_NICE = 10
_WAITING = (
    "waiting for the lease of another sweeper; should that one be dead, it goes on here after "
    f"{LEASE.total_seconds():.0f} s at most"
)
_Count = Annotated[int, Parameter(validator=Number(gte=1))]
_Positive = Annotated[float | None, Parameter(validator=Number(gt=0), show_default=False)]
_Seconds = Annotated[float, Parameter(validator=Number(gte=0))]


async def sweep(
    *,
    app: App,
    batch_size: _Count = 1000,
    concurrency: _Count = 2,
    rate: _Positive = None,
    max_time: _Positive = None,
    grace: _Seconds = 3600.0,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    adopt: Annotated[bool, Parameter(negative="")] = False,
    workers: _Count = 1,
    shard: Annotated[str | None, Parameter(show_default=False)] = None,
    dask: Annotated[str | None, Parameter(show_default=False)] = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Move every entity that no client has touched into V2, heal what died half way, and purge old deletes.

    It can be stopped (Ctrl-C, SIGTERM) and goes on from its checkpoint when it is started again. Documents that cannot
    be moved get a dead letter, never stop it, and make the exit code 3. Progress goes to stderr (with --json as
    JSON lines), the report to stdout.

    Parameters
    ----------
    batch_size
        Documents per batch.
    concurrency
        Batches in flight at the same time.
    rate
        Documents per second at most; without it, as fast as it goes.
    max_time
        Seconds after which it stops as if by Ctrl-C.
    grace
        Seconds for which the marks of deletes are kept; more than the longest time that a read may be in flight.
    dry_run
        Convert everything and write nothing; name the first documents that do not convert (20, with --json 1,000).
    adopt
        Replace V2's documents that lazymig did not store (somebody's own back-fill) by what V1 holds.
    workers
        Processes of this machine that share the work; each with its own rate limit.
    shard
        I/N: only every N-th partition, from the I-th (0 to N - 1), as an Indexed Job of Kubernetes numbers its pods.
    dask
        The address of a Dask scheduler, whose workers share the work instead of this process.
    """
    if dry_run and (workers > 1 or dask or shard):
        raise Unusable("--dry-run keeps no leases to share the work by; leave --workers, --shard and --dask out")
    if dask and (workers > 1 or shard):
        raise Unusable("--dask shares the work by itself; leave --workers and --shard out")
    options: dict[str, Any] = {
        "batch_size": batch_size, "concurrency": concurrency, "rate_limit": rate, "grace_s": grace,
        "max_time_s": max_time, "shard": _shard(shard), "adopt": adopt,
    }  # fmt: skip
    if workers > 1:
        # Before any worker starts: a typo or a server that is down is one line here, and a failed worker there.
        async with opened(app, in_json=json) as repository:
            _check_grace(repository, grace)
    if hasattr(os, "nice"):
        os.nice(_NICE)  # whoever shares this machine goes first; workers inherit it
    with reporter("sweep", as_json=json) as shown:
        tell: Callable[[Progress], None] = lambda progress: shown.tell(standing(progress))  # noqa: E731
        if dask:
            report = await sweep_on_dask(dask, partial(_checked, app, grace), options)
        elif workers > 1:
            report = await _run(Workers(partial(made, app), workers, options, tell))
        else:
            async with opened(app, in_json=json) as repository:
                _check_grace(repository, grace)
                report = await _run(Sweeper(repository, dry_run=dry_run, on_progress=tell, **options))
    if json:
        names = Names(letter.id for letter in report.not_movable)
        letters = [as_object(letter, names) for letter in report.not_movable]
        show_json({**attrs.asdict(report), "not_movable": letters})
    else:
        _render(report, dry_run=dry_run)
    return Exit.NEEDS_PERSON if report.needs_person else Exit.DONE


def _check_grace(repository: Repository[Any, Any], grace: float) -> None:
    """Before the sweeper does, whose words are those of Python."""
    if repository.timeout_s is not None and grace <= repository.timeout_s:
        raise Unusable(
            f"--grace {grace:g}: pass more than the repository's timeout_s ({repository.timeout_s:g} s), for which an "
            "operation may be in flight"
        )


async def _checked(app: str, grace: float) -> Repository[Any, Any]:
    """The repository in a worker of Dask, whose own process checks what this one cannot see."""
    repository = await made(app)
    _check_grace(repository, grace)
    return repository


class _Sweeping(Protocol):
    def stop(self) -> None: ...

    async def run(self) -> SweepReport: ...


async def _run(sweeping: _Sweeping) -> SweepReport:
    with _stopped_by_signals(sweeping.stop):
        return await sweeping.run()


def _shard(text: str | None) -> tuple[int, int]:
    """`I/N` as numbers."""
    if text is None:
        return 0, 1
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise Unusable("--shard: pass I/N with I from 0 to N - 1, such as 0/4")
    return int(index), int(count)


def standing(progress: Progress) -> Standing:
    """A sweep's progress for the terminal."""
    counts = {
        name: getattr(progress, name)
        for name in ("migrated", "present", "moved_by_clients", "reconverted", "healed", "purged")
    }
    left = {name: getattr(progress, name) for name in ("remaining", "dead", "dirty")}
    note = _WAITING if progress.waiting else ""
    return Standing(progress.done, progress.total, counts, left, note, progress.before)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked and task is not None:
            task.cancel()  # asked twice: somebody is in a hurry, and the checkpoint is good as it is
            return
        asked = True
        complain("stopping after the batches in flight; once more to abort")
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        with suppress(NotImplementedError):  # not on Windows, where Ctrl-C aborts
            loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in numbers:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)


def _foreign(report: SweepReport, dry_run: bool) -> dict[str, str]:
    counts = {"would be adopted" if dry_run else "adopted": report.adopted, "not lazymig's, left": report.foreign}
    return {name: f"{count:,}" for name, count in counts.items() if count}


def _render(report: SweepReport, *, dry_run: bool) -> None:
    ended = "finished" if report.finished else "stopped early; start it again to go on"
    per_s = report.scanned / report.elapsed_s if report.elapsed_s else 0
    say(f"{report.migration}: {ended}, {report.elapsed_s:.1f} s, {per_s:,.0f} documents/s")
    shared = report.finished and report.scanned < report.total
    others = " (the rest by earlier runs or other processes)" if shared else ""
    rows = {
        "scanned": f"{report.scanned:,} of about {report.total:,}{others}",
        "would be migrated" if dry_run else "migrated": f"{report.migrated:,}",
        "in V2 before": f"{report.present:,} (by reads, writes and earlier sweeps)",
        "moved by clients meanwhile": f"{report.moved_by_clients:,}",
        "converted anew": f"{report.reconverted:,} (bodies of older conversions)",
        "healed": f"{report.healed:,}",
        "purged": f"{report.purged:,}",
        "not movable": f"{report.dead:,}",
        **_foreign(report, dry_run),
        "remaining, about": f"{report.remaining:,}",
        "dirty (open writes)": f"{report.dirty:,}",
        "open dead letters": f"{report.dead_letters:,}",
    }
    for name, value in rows.items():
        say(f"  {name:<30} {value}")
    for warning in report.warnings:
        say(f"Warning: {warning}")
    if report.foreign:
        say("V2 holds documents without _lazymig: sweep --adopt takes over those that V1 has; remove the others.")
    if report.dead_letters and dry_run:
        named = report.not_movable[:_SHOWN]
        say("")
        show_letters(f"Do not convert: {len(named):,} of {report.dead:,}", named, Names(one.id for one in named))
        say("Some documents do not convert; a sweep would give each a dead letter and move all others.")
    elif report.dead_letters:
        say("Some documents need a person: lazymig dead-letters list shows which, and why.")
