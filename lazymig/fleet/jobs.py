"""What several processes may do together: how each does its part, and how their results add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from attrs import evolve, frozen

from lazymig.sweeper import Progress, Sweeper, SweepReport, estimate_partitions
from lazymig.sweeping.report import COUNTED
from lazymig.verifier import VerifyProgress, VerifyReport
from lazymig.verifying.report import COUNTED as VERDICTS

P = TypeVar("P")
R = TypeVar("R", bound="Report")
R_co = TypeVar("R_co", covariant=True)


class Report(Protocol):
    """What a process says of its part."""

    @property
    def finished(self) -> bool:
        """Whether the whole pass is done, by this and all other processes."""
        ...


class Running(Protocol[R_co]):
    """A part of a pass in one process."""

    def stop(self) -> None:
        """Finish what is under way, save the checkpoint and return."""
        ...

    def run(self) -> Awaitable[R_co]:
        """Do the part, and return its report."""
        ...


@frozen
class Job(Generic[P, R]):
    """One kind of work. Its functions are importable, because they are sent to the processes by their names."""

    #: What messages call it, such as "sweep".
    name: str
    #: `f(repository, **options)`, where the options include `on_progress`.
    make: Callable[..., Running[R]]
    progress: type[P]
    report: type[R]
    sum_reports: Callable[[Sequence[R]], R]
    #: `f(parts, newest part, number of processes)`. The first of the parts is the oldest.
    sum_progress: Callable[[Sequence[P], P, int], P]
    #: Estimates how many partitions are left to what `make` returned.
    estimate_partitions: Callable[..., Awaitable[int]]


def sum_reports(reports: Sequence[SweepReport]) -> SweepReport:
    """Add up the reports of processes that shared a sweep."""
    summed = {name: sum(getattr(report, name) for report in reports) for name in COUNTED}
    # The last process to end counted last.
    last = max(reports, key=lambda report: report.elapsed_s)
    return evolve(
        reports[0],
        **summed,
        total=max(*(report.total for report in reports), summed["scanned"]),
        remaining=last.remaining,
        dirty=last.dirty,
        dead_letters=last.dead_letters,
        waiting=sum(report.waiting for report in reports),
        left=sum(report.left for report in reports),
        on_server=sum(report.on_server for report in reports),
        # Each process has its own part of V1, and most warnings are the same in all.
        warnings=tuple(dict.fromkeys(warning for report in reports for warning in report.warnings)),
        foreign=max(report.foreign for report in reports),
        elapsed_s=last.elapsed_s,
        # If one process saw the pass finished, all of it is.
        finished=any(report.finished for report in reports),
    )


def sum_progress(parts: Sequence[Progress], last: Progress, count: int) -> Progress:
    """Add up the progress of all workers; `last` is the newest part, and the first of `parts` the oldest."""
    summed = {name: sum(getattr(part, name) for part in parts) for name in COUNTED}
    # Each reports the whole pass as it last counted it. The total is always the first worker's: with changing estimates
    # the share could go back.
    done = max(summed["scanned"], *(part.done for part in parts))
    return evolve(
        last,
        **summed,
        done=done,
        total=max(parts[0].total, done),
        before=min(part.before for part in parts),
        remaining=min(part.remaining for part in parts),
        elapsed_s=max(part.elapsed_s for part in parts),
        waiting=len(parts) == count and all(part.waiting for part in parts),
    )


SWEEP: Job[Progress, SweepReport] = Job(
    "sweep", Sweeper, Progress, SweepReport, sum_reports, sum_progress, estimate_partitions
)


def sum_verifications(reports: Sequence[VerifyReport]) -> VerifyReport:
    """Add up the reports of processes that shared a verification."""
    # The verdicts are of the whole pass. The last process to end added them up last.
    last = max(reports, key=lambda report: report.elapsed_s)
    accepted: Counter[str] = Counter()
    for report in reports:
        accepted.update(report.accepted)
    # A process that came when the others had finished may not see how much they compared.
    compared = max(report.compared for report in reports)
    return evolve(
        last,
        compared=compared,
        match=max(0, compared - sum(getattr(last, name) for name in VERDICTS)),
        total=max(report.total for report in reports),
        accepted=dict(accepted),
        waiting=sum(report.waiting for report in reports),
        left=sum(report.left for report in reports),
        behind=sum(report.behind for report in reports),
        # Each looks again at all that does not agree.
        rechecked=max(report.rechecked for report in reports),
        repaired=sum(report.repaired for report in reports),
        finished=any(report.finished for report in reports),
    )


def sum_verify_progress(parts: Sequence[VerifyProgress], last: VerifyProgress, count: int) -> VerifyProgress:
    """Add up the progress of all workers; `last` is the newest part, and the first of `parts` the oldest."""
    names = ("compared", "suspected", "repaired")
    summed = {name: sum(getattr(part, name) for part in parts) for name in names}
    done = max(summed["compared"], *(part.done for part in parts))
    return evolve(
        last,
        **summed,
        done=done,
        total=max(parts[0].total, done),
        rechecked=max(part.rechecked for part in parts),
        elapsed_s=max(part.elapsed_s for part in parts),
        waiting=len(parts) == count and all(part.waiting for part in parts),
    )
