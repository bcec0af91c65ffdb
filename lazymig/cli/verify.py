"""`lazymig verify`: compare both sides, entity by entity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Generic

from attrs import frozen
from cyclopts import Parameter

from lazymig.cli.loading import made, opened
from lazymig.cli.options import App, Debug, Exit, Json
from lazymig.cli.progress import Standing, describe_throttle, reporter
from lazymig.cli.stopping import Stoppable, run_stoppable, step_back, stopped_by_signals
from lazymig.cli.sweep_options import parse_workers
from lazymig.cli.verify_options import (
    CHECKS,
    PACE,
    V1,
    V2,
    Opinions,
    Pace,
    What,
    check,
    keywords_of,
    make_verifier,
)
from lazymig.cli.verify_report import show_json_report, show_report
from lazymig.cli.workers import choose_workers
from lazymig.control import LEASE
from lazymig.fleet.jobs import Job, sum_verifications, sum_verify_progress
from lazymig.fleet.workers import Workers
from lazymig.passes.helm import is_pause
from lazymig.verifier import Verifier, VerifyProgress, VerifyReport, estimate_partitions

_WAITING = (
    "waiting for the lease of another process; if that one is dead, this one goes on after "
    f"{LEASE.total_seconds():.0f} s at most"
)
#: The work of each process, which finds the checks by their names.
VERIFY: Job[VerifyProgress, VerifyReport] = Job(
    "verification", make_verifier, VerifyProgress, VerifyReport, sum_verifications, sum_verify_progress,
    estimate_partitions,
)  # fmt: skip


async def verify(
    *,
    app: App,
    what: Annotated[What, Parameter(name="*")] = What(),  # noqa: B008 - frozen
    opinions: Annotated[Opinions, Parameter(name="*", group=CHECKS)] = Opinions(),  # noqa: B008 - frozen
    pace: Annotated[Pace, Parameter(name="*", group=PACE)] = Pace(),  # noqa: B008 - frozen
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Compare both sides of every entity, by value and by BSON type.

    V1 upgraded must be V2's body, and V2 downgraded must be V1's document. Clients may write meanwhile: what does not
    agree at first is looked at again. It can be stopped (Ctrl-C, SIGTERM) and continues from its checkpoint when it is
    started again.

    Progress goes to stderr, the report to stdout. The exit code is 0 when all was compared and agrees, 3 when
    something does not agree, and 1 when it stopped before its end. With --continuous the last full pass decides.
    """
    check(what, pace)
    keywords = {"opinions": opinions, **keywords_of(what, pace)}
    opinions.load()
    shown = _shown_by(json)
    step_back()
    async with opened(app, in_json=json) as repository:
        verifier = make_verifier(repository, **keywords)
        if what.continuous:
            return await _verify_continuously(verifier, shown)
        workers = await choose_workers(VERIFY, repository, parse_workers(pace.workers), keywords, in_json=json)
        with reporter("verify", as_json=json) as bar:
            update: Callable[[VerifyProgress], None] = lambda progress: bar.update(standing(progress))  # noqa: E731
            run: Stoppable[VerifyReport]
            if workers > 1:
                run = Workers(VERIFY, repository, partial(made, app), workers, keywords, update)
            else:
                run = _Run(make_verifier(repository, on_progress=update, **keywords), what.sample)
            report = await run_stoppable(run)
    return _code(report, shown)


@frozen
class _Run(Generic[V1, V2]):
    """One run of a verifier, with the size of its sample."""

    verifier: Verifier[V1, V2]
    sample: int | None

    def stop(self) -> None:
        self.verifier.stop()

    async def run(self) -> VerifyReport:
        return await self.verifier.run(self.sample)


async def _verify_continuously(verifier: Verifier[V1, V2], shown: Callable[[VerifyReport], None]) -> int:
    """Show a report per pass until stopped, which is the usual end. The last full pass decides the exit code."""
    code = Exit.DONE
    with stopped_by_signals(verifier.stop):
        async for report in verifier.run_continuously():
            shown(report)
            if report.finished or report.needs_person:
                code = Exit.NEEDS_PERSON if report.needs_person else Exit.DONE
    return code


def _shown_by(json: bool) -> Callable[[VerifyReport], None]:
    return show_json_report if json else show_report


def _code(report: VerifyReport, shown: Callable[[VerifyReport], None]) -> int:
    shown(report)
    if report.needs_person:
        return Exit.NEEDS_PERSON
    return Exit.DONE if report.finished else Exit.FAILED


def standing(progress: VerifyProgress) -> Standing:
    """Return a verification's progress in the form that reporters show."""
    counts = {name: getattr(progress, name) for name in ("suspected", "rechecked", "repaired")}
    return Standing(
        progress.done,
        progress.total,
        counts,
        note=_WAITING if progress.waiting else describe_throttle(progress.throttle),
        before=max(progress.done - progress.compared, 0),
        paused=is_pause(progress.throttle),
    )
