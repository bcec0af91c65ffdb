"""How far V1's end is, in words."""

from __future__ import annotations

from collections.abc import Callable

from lazymig.retirement import Reduction, RetirementReport

STAGES = {
    "serving": "V1 is where it was", "quarantined": "V1 is in quarantine", "dropped": "V1 is gone",
    "reduced": "V1 is gone, and V2 is reduced", "retired": "V1 is gone, and its retirement is finished",
}  # fmt: skip


def list_facts(report: RetirementReport) -> tuple[tuple[str, str], ...]:
    """Return how far V1's end is, by names."""
    facts = {"Stage": describe_stage(report), "Archived": report.archive, "Next": report.next}
    if report.interrupted:
        facts["Begun"] = f"{report.interrupted} is not known to be done: do it again"
    return tuple((name, value) for name, value in facts.items() if value)


def describe_stage(report: RetirementReport) -> str:
    """Return where V1 is, in a sentence without its full stop."""
    if not (report.in_place or report.part):
        return STAGES[report.stage]
    return STAGES[report.stage].replace("V1 is", "V1's fields are" if report.in_place else "the part of V1 is")


def list_lines(report: RetirementReport) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what would go and what else to know, by titles."""
    lists = (
        ("What will go", report.goes), ("Before you go on", report.warnings), ("What was done", report.history),
        ("Code that may go", report.code if report.stage in ("dropped", "reduced", "retired") else ()),
    )  # fmt: skip
    return tuple((title, lines) for title, lines in lists if lines)


def describe_end(report: RetirementReport) -> str:
    """Return where V1 is and what comes next."""
    following = f"; next: {report.next}" if report.next else ""
    return f"{describe_stage(report)}{following}"


def describe_part(done: Reduction) -> str:
    """Return what a reduction did so far."""
    return f"scanned {done.scanned:,}, made smaller {done.reduced:,}, tombstones removed {done.tombstones:,}"


class Doublings:
    """Says how far a reduction is each time that twice as many documents were looked at."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next = 1

    def show(self, done: Reduction) -> None:
        """Say it, if it is far enough."""
        if done.scanned >= self._next:
            self._next = 2 * done.scanned
            self._say(describe_part(done))
