"""How `lazymig retire` shows V1's end and what a watch sees."""

from __future__ import annotations

import attrs

from lazymig.cli.output import remark, say, section, show_json, verdict, wrapped
from lazymig.retirement import Condition, Reduction, RetirementReport, WatchReport

#: The stages in words.
_STAGES = {
    "serving": "where it was",
    "quarantined": "in quarantine",
    "dropped": "gone",
    "reduced": "gone, and V2 is reduced",
    "retired": "gone, and its retirement is finished",
}
_STAGES_IN_PLACE = {
    "serving": "where they were",
    "reduced": "gone",
    "retired": "gone, and their retirement is finished",
}
#: Seconds between two lines of a watch in which nothing has changed.
_LINE_EVERY_S = 60.0


def render(report: RetirementReport, *, in_json: bool) -> None:
    """Print how far V1's end is."""
    if in_json:
        show_json({**attrs.asdict(report), "blocked": report.blocked})
        return
    what, stages = ("V1's fields are", _STAGES_IN_PLACE) if report.in_place else ("V1 is", _STAGES)
    what = "the part of V1 is" if report.part else what
    say(f"{report.migration}: {what} {stages[report.stage]}")
    if report.interrupted:
        wrapped(f"{report.interrupted} has begun and is not known to be done: run lazymig retire {report.interrupted}")
    for title, lines in (("What will go", report.goes), ("Before you go on", report.warnings)):
        _show_lines(title, lines)
    _show_lines("What was done", report.history)
    if report.conditions:
        section("Conditions")
        for one in report.conditions:
            _show_condition(one)
    if report.archive:
        say("")
        say(f"Archived: {report.archive}")
    if report.stage in ("dropped", "reduced", "retired"):
        _show_lines("Code that may go", report.code)
    if report.next and not report.interrupted:
        say("")
        wrapped(f"Next{', once every condition holds' if report.blocked else ''}: lazymig retire {report.next}")


def _show_lines(title: str, lines: tuple[str, ...]) -> None:
    if lines:
        section(title)
        for line in lines:
            wrapped(line, first="  ", rest="    ")


def _show_condition(one: Condition) -> None:
    wrapped(f"{'yes' if one.holds else 'NO '}  {one.name}: {one.evidence}", first="  ", rest="       ")
    if not one.holds:
        wrapped(one.remedy, first="       ", rest="       ")


def show_reduction(done: Reduction) -> None:
    """Print what a reduction did."""
    if done.failed:
        verdict(f"{done.failed:,} documents could not be reduced; correct them, and run it again", good=False)
        _show_lines("The first of them", done.failures)
    else:
        say("V2 is reduced" if done.finished else "stopped early; run it again to continue")
    left = {} if done.left is None else {"younger tombstones": done.left}
    rows = {"scanned": done.scanned, "made smaller": done.reduced, "tombstones removed": done.tombstones, **left}
    if done.kept:
        rows["left as they are"] = done.kept
    for name, value in rows.items():
        say(f"  {name:<30} {value:,}")


def counts_of(report: WatchReport) -> dict[str, int]:
    """Return what a watch counted, by its description."""
    changes = {f"changes of V1 ({name})": count for name, count in report.changes.items()}
    if report.in_place:
        return changes or {"changes of V1": 0}
    return {**(changes or {"changes of V1": 0}), "writes the server counted": report.writes, "reads": report.reads}


class Lines:
    """Says on stderr what a watch sees: when that changes, and once a minute."""

    def __init__(self, *, in_json: bool) -> None:
        self._in_json = in_json
        self._said = ""
        self._at_s = float("-inf")

    def show(self, report: WatchReport) -> None:
        """Say it if it is new, or old enough."""
        counts = ", ".join(f"{name} {count:,}" for name, count in counts_of(report).items())
        text = "waiting: another process watches" if report.waiting else f"watching V1: {counts}"
        if report.since is None and not report.waiting:
            return
        if text != self._said or report.elapsed_s - self._at_s >= _LINE_EVERY_S:
            remark(text, in_json=self._in_json)
            self._said, self._at_s = text, report.elapsed_s
