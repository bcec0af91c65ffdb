"""How the results of processes that share a verification add up."""

from __future__ import annotations

from attrs import evolve

from lazymig.fleet.jobs import sum_verifications, sum_verify_progress
from lazymig.verifier import VerifyProgress, VerifyReport

REPORT = VerifyReport(
    migration="people", total=100, compared=100, match=95, different=3, missing=2, accepted={"numbers": 1},
    rechecked=7, repaired=1, behind=4, finished=True, elapsed_s=5.0,
)  # fmt: skip
PROGRESS = VerifyProgress(
    total=100, done=40, compared=20, suspected=3, rechecked=0, repaired=0, elapsed_s=1.0, waiting=True
)


def test_verdicts_are_of_the_whole_pass() -> None:
    """Verdicts are counted once, by the process that ended last; what each did by itself is added up."""
    other = evolve(REPORT, different=4, match=94, accepted={"numbers": 2, "int-width": 1}, repaired=2, elapsed_s=4.0)
    found = sum_verifications([REPORT, other])
    assert (found.compared, found.match, found.different, found.missing) == (100, 95, 3, 2)
    assert (found.accepted, found.repaired, found.rechecked) == ({"numbers": 3, "int-width": 1}, 3, 7)
    assert found.behind == 8


def test_a_process_that_came_too_late_hides_nothing() -> None:
    """A process that found all done reports no comparisons of its own, and the sum has those of the others."""
    late = evolve(REPORT, total=0, compared=0, match=0, elapsed_s=9.0)
    found = sum_verifications([REPORT, late])
    assert (found.total, found.compared, found.match, found.finished) == (100, 100, 95, True)


def test_stopped_processes_have_not_finished() -> None:
    """A pass is finished only if a process saw its end."""
    stopped = evolve(REPORT, finished=False)
    assert not sum_verifications([stopped, stopped]).finished
    assert sum_verifications([stopped, REPORT]).finished


def test_progress_adds_up() -> None:
    """Comparisons add up, the pass is counted once, and waiting is said only if all processes wait."""
    other = evolve(PROGRESS, done=30, compared=15, total=120, waiting=False, elapsed_s=2.0)
    found = sum_verify_progress([PROGRESS, other], other, 2)
    assert (found.total, found.done, found.compared, found.suspected, found.elapsed_s) == (100, 40, 35, 6, 2.0)
    assert not found.waiting
    assert sum_verify_progress([PROGRESS, PROGRESS], PROGRESS, 2).waiting
    assert not sum_verify_progress([PROGRESS], PROGRESS, 2).waiting
